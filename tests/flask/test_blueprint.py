"""Blueprints that have events."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask, request

from sync_sio_flask import Namespace, SocketBlueprint, SocketIO, emit


def fail(*args: Any) -> None:
    raise ValueError("on purpose")


class Desk(Namespace):
    def on_tell(self) -> None:
        self.emit("told")


def make_chat() -> SocketBlueprint:
    chat = SocketBlueprint("chat", __name__, namespace="/chat", url_prefix="/chat")
    chat.get("/", endpoint="page")(lambda: "the page of the chat")

    @chat.on("say it")
    def say(text: str) -> str:
        return f"{request.namespace}: {text}"  # type: ignore[attr-defined]

    @chat.event
    def shout(text: str) -> str:
        return text.upper()

    chat.event(namespace="/other")(fail)
    chat.on_event("fail", fail)
    chat.on_error()(lambda error: f"chat: {error}")
    chat.on("connect")(lambda: emit("welcome"))
    chat.on_namespace(Desk("/desk"))
    return chat


def init_before(app: Flask, chat: SocketBlueprint) -> SocketIO:
    socketio = SocketIO(app)
    app.register_blueprint(chat)
    return socketio


def init_after(app: Flask, chat: SocketBlueprint) -> SocketIO:
    app.register_blueprint(chat)
    return SocketIO(app)


def nested(app: Flask, chat: SocketBlueprint) -> SocketIO:
    outer = SocketBlueprint("outer", __name__)
    outer.register_blueprint(chat)
    app.register_blueprint(outer)
    return SocketIO(app)


@pytest.mark.parametrize("order", [init_before, init_after, nested])
def test_its_pages_and_events_are_those_of_the_application(order: Callable[..., SocketIO]) -> None:
    app = Flask("shop")
    socketio = order(app, make_chat())
    assert app.test_client().get("/chat/").text == "the page of the chat"
    client = socketio.test_client(app, "/chat")
    assert [each["name"] for each in client.get_received("/chat")] == ["welcome"]
    assert client.emit("say it", "tea", callback=True, namespace="/chat") == "/chat: tea"
    assert client.emit("shout", "tea", callback=True, namespace="/chat") == "TEA"
    assert client.emit("fail", callback=True, namespace="/chat") == "chat: on purpose"
    client.connect("/other")
    with pytest.raises(ValueError, match="on purpose"):
        client.emit("fail", namespace="/other")
    client.connect("/desk")
    client.emit("tell", namespace="/desk")
    assert [each["name"] for each in client.get_received("/desk")] == ["told"]


def test_it_is_for_the_applications_that_it_is_registered_with() -> None:
    socketio = SocketIO()
    with_chat, without = Flask("with"), Flask("without")
    for app in (with_chat, without):
        socketio.init_app(app)
    with_chat.register_blueprint(make_chat())
    assert socketio.test_client(with_chat, "/chat").is_connected("/chat")
    assert not socketio.test_client(without, "/chat").is_connected("/chat")


def test_its_handlers_come_before_those_of_the_extension() -> None:
    app = Flask("shop")
    socketio = init_before(app, make_chat())
    socketio.on("shout", namespace="/chat")(lambda text: "the extension")
    socketio.on("whisper", namespace="/chat")(lambda text: text.lower())
    socketio.on_error("/chat")(lambda error: "the extension")
    client = socketio.test_client(app, "/chat")
    assert client.emit("shout", "Tea", callback=True, namespace="/chat") == "TEA"
    assert client.emit("whisper", "Tea", callback=True, namespace="/chat") == "tea"
    assert client.emit("fail", callback=True, namespace="/chat") == "chat: on purpose"


def test_a_mistake_is_told_where_it_stands() -> None:
    chat = SocketBlueprint("chat", __name__)
    with pytest.raises(TypeError, match="a function is wanted"):
        chat.on_event("e", 5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"fail at .* is no event name"):
        chat.on(fail)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no Namespace"):
        chat.on_namespace(object())  # type: ignore[type-var]
