"""Namespaces as classes."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask, request

from sync_sio_flask import Namespace, SocketIO, emit, join_room

from .conftest import Make


class Desk(Namespace):
    def __init__(self, namespace: str | None = None) -> None:
        super().__init__(namespace)
        self.seen: list[Any] = []

    def on_connect(self, auth: Any) -> None:
        self.seen.append(("connect", auth))

    def on_disconnect(self, reason: str) -> None:
        self.seen.append(("disconnect", reason))

    def on_add(self, a: int, b: int = 1) -> int:
        return a + b

    def on_who(self) -> tuple[str, str]:
        return request.namespace, type(self.socketio).__name__  # type: ignore[attr-defined]

    def helper(self) -> str:
        return "not for clients"


def test_methods_are_handlers(app: Flask, socketio: SocketIO) -> None:
    desk = socketio.on_namespace(Desk("/desk"))
    client = socketio.test_client(app, "/desk", auth={"a": 1})
    assert client.emit("add", 1, 2, callback=True, namespace="/desk") == 3
    assert client.emit("add", 1, callback=True, namespace="/desk") == 2
    assert client.emit("who", callback=True, namespace="/desk") == ["/desk", "SocketIO"]
    client.disconnect("/desk")
    assert desk.seen == [("connect", {"a": 1}), ("disconnect", "client disconnect")]
    assert socketio.namespace_handlers == [desk]


def test_the_main_namespace_is_the_default(app: Flask, socketio: SocketIO) -> None:
    socketio.on_namespace(Desk())
    assert socketio.test_client(app).emit("add", 1, callback=True) == 2


def test_only_methods_that_begin_with_on_are_for_clients(app: Flask, socketio: SocketIO) -> None:
    socketio.on_namespace(Desk())
    client = socketio.test_client(app)
    for event in ("helper", "_helper", "unknown", "seen", "trigger_event"):
        assert client.emit(event, callback=True) == [], event


def test_methods_may_take_less(app: Flask, socketio: SocketIO) -> None:
    seen: list[str] = []

    class Short(Namespace):
        def on_connect(self) -> None:
            seen.append("connect")

        def on_disconnect(self) -> None:
            seen.append("disconnect")

    socketio.on_namespace(Short("/s"))
    socketio.test_client(app, "/s").disconnect("/s")
    assert seen == ["connect", "disconnect"]


def test_connect_of_a_class_refuses(app: Flask, socketio: SocketIO) -> None:
    class Closed(Namespace):
        def on_connect(self) -> bool:
            return False

    socketio.on_namespace(Closed("/closed"))
    assert not socketio.test_client(app, "/closed").is_connected("/closed")


def test_functions_come_before_methods(app: Flask, socketio: SocketIO) -> None:
    socketio.on_namespace(Desk())
    socketio.on("add")(lambda *args: "the function")
    assert socketio.test_client(app).emit("add", 1, callback=True) == "the function"


def test_trigger_event_may_be_overridden(app: Flask, socketio: SocketIO) -> None:
    seen: list[Any] = []

    class Watched(Desk):
        def trigger_event(self, event: str, *args: Any) -> Any:
            seen.append((event, [type(arg).__name__ for arg in args]))
            return super().trigger_event(event, *args) or f"no {event}"

    socketio.on_namespace(Watched("/w"))
    client = socketio.test_client(app, "/w")
    assert client.emit("add", 1, 2, callback=True, namespace="/w") == 3
    assert client.emit("anything at all", callback=True, namespace="/w") == "no anything at all"
    client.disconnect("/w")
    assert seen == [
        ("connect", ["str", "dict", "NoneType"]),
        ("add", ["str", "int", "int"]),
        ("anything at all", ["str"]),
        ("disconnect", ["str", "str"]),
    ]


def test_a_method_error_hears_of_errors(app: Flask, socketio: SocketIO) -> None:
    class Fragile(Namespace):
        def on_e(self) -> None:
            raise ValueError("on purpose")

        def error(self, error: Exception) -> str:
            return f"sorry: {error}"

    socketio.on_namespace(Fragile("/f"))
    assert socketio.test_client(app, "/f").emit("e", callback=True, namespace="/f") == "sorry: on purpose"


def test_its_verbs_are_about_its_namespace(app: Flask, socketio: SocketIO) -> None:
    class Loud(Namespace):
        def on_join(self, room: str) -> None:
            join_room(room)

        def on_tell(self) -> None:
            self.emit("to all", 1)
            self.emit("to others", 2, include_self=False)
            self.emit("to room", 3, "r")
            self.send("message", room=None)
            emit("own")

        def on_move(self) -> list[Any]:
            sid = request.sid  # type: ignore[attr-defined]
            self.enter_room(sid, "a")
            self.enter_room(sid, "b")
            self.leave_room(sid, "a")
            found = sorted(self.rooms(sid), key=len)
            self.close_room("b")
            return [found[0], len(found), len(self.rooms(sid))]

        def on_remember(self, value: Any) -> Any:
            sid = request.sid  # type: ignore[attr-defined]
            with self.session(sid) as kept:
                kept["first"] = value
            self.save_session(sid, {**self.get_session(sid), "second": 2})
            return self.get_session(sid)

        def on_ask(self) -> Any:
            return self.call("question", to=request.sid)  # type: ignore[attr-defined]

        def on_kick(self, sid: str) -> None:
            self.disconnect(sid)

    socketio.on_namespace(Loud("/l"))
    client, other = (socketio.test_client(app, "/l") for _ in range(2))
    main = socketio.test_client(app)
    other.emit("join", "r", namespace="/l")
    client.emit("tell", namespace="/l")
    assert [each["name"] for each in client.get_received("/l")] == ["to all", "message", "own"]
    assert [each["name"] for each in other.get_received("/l")] == ["to all", "to others", "to room", "message"]
    assert main.get_received() == []
    assert client.emit("move", callback=True, namespace="/l") == ["b", 2, 1]
    assert client.emit("remember", 1, callback=True, namespace="/l") == {"first": 1, "second": 2}
    client.on("question", lambda: "answer", namespace="/l")
    assert client.emit("ask", callback=True, namespace="/l") == "answer"
    client.emit("kick", other._clients["/l"].id, namespace="/l")
    assert not other.is_connected("/l")


def test_the_namespace_star(make: Make) -> None:
    app, socketio = make(namespaces="*")
    socketio.on_namespace(Desk("*"))
    client = socketio.test_client(app, "/any")
    assert client.emit("who", callback=True, namespace="/any") == ["/any", "SocketIO"]


@pytest.mark.parametrize("wrong", [object(), Desk, "name"])
def test_what_is_no_namespace_is_refused(socketio: SocketIO, wrong: Any) -> None:
    with pytest.raises(ValueError, match="no Namespace"):
        socketio.on_namespace(wrong)


def test_it_says_when_it_is_not_registered() -> None:
    with pytest.raises(RuntimeError, match="not registered"):
        Desk("/desk").emit("e")
