"""How handlers are registered, and which of them is called."""

from __future__ import annotations

import gc
import time
import weakref
from typing import Any

import pytest
from flask import Flask, current_app, request

from sync_sio.testing import TestClient
from sync_sio_flask import SocketIO, emit

from .conftest import Make


def test_on_names_an_event(app: Flask, socketio: SocketIO) -> None:
    @socketio.on("my event")
    def handle(value: int) -> int:
        return value + 1

    assert handle(1) == 2  # the function is still itself
    assert socketio.test_client(app).emit("my event", 2, callback=True) == 3


def test_event_takes_the_functions_name(app: Flask, socketio: SocketIO) -> None:
    @socketio.event
    def shout(text: str) -> str:
        return text.upper()

    @socketio.event(namespace="/low")
    def whisper(text: str) -> str:
        return text.lower()

    @socketio.event("/low")
    def mumble(text: str) -> str:
        return text[:1]

    client = socketio.test_client(app)
    client.connect("/low")
    assert client.emit("mumble", "Ada", callback=True, namespace="/low") == "A"
    assert client.emit("shout", "Ada", callback=True) == "ADA"
    assert client.emit("whisper", "Ada", callback=True, namespace="/low") == "ada"
    assert client.emit("whisper", "Ada", callback=True) is None  # nobody handles it here


def test_on_event_is_on_as_a_call(app: Flask, socketio: SocketIO) -> None:
    socketio.on_event("double", lambda number: number * 2)
    socketio.on_event("double", lambda number: number * 4, namespace="/more")
    client = socketio.test_client(app)
    client.connect("/more")
    assert client.emit("double", 2, callback=True) == 4
    assert client.emit("double", 2, callback=True, namespace="/more") == 8


def test_the_last_handler_of_an_event_is_the_one(app: Flask, socketio: SocketIO) -> None:
    called: list[str] = []
    socketio.on("e")(lambda: called.append("first"))
    client = socketio.test_client(app)
    client.emit("e")
    socketio.on("e")(lambda: called.append("second"))
    client.emit("e")  # also for who was there before
    assert called == ["first", "second"]


def test_several_arguments_of_every_kind(app: Flask, socketio: SocketIO) -> None:
    got: list[tuple[Any, ...]] = []
    socketio.on("e")(lambda *args: got.append(args))
    socketio.test_client(app).emit("e", 1, "zwei", [3, {"four": None}], b"\x05", True)
    assert got == [(1, "zwei", [3, {"four": None}], b"\x05", True)]


def test_message_and_json_are_events_of_send(app: Flask, socketio: SocketIO) -> None:
    got: list[Any] = []
    socketio.on("message")(got.append)
    socketio.on("json")(got.append)
    client = socketio.test_client(app)
    client.send("hello")
    client.send({"a": 1}, json=True)
    assert got == ["hello", {"a": 1}]


@pytest.mark.parametrize(
    ("result", "ack"),
    [(None, []), ((), []), ((1,), 1), ((1, 2), [1, 2]), ([1, 2], [1, 2]), ("one", "one"), (False, False)],
)
def test_the_result_is_the_acknowledgement(app: Flask, socketio: SocketIO, result: Any, ack: Any) -> None:
    socketio.on("e")(lambda: result)
    assert socketio.test_client(app).emit("e", callback=True) == ack


def test_star_is_for_events_without_a_handler(app: Flask, socketio: SocketIO) -> None:
    seen: list[Any] = []

    @socketio.on("*")
    def anything(event: str, *args: Any) -> str:
        seen.append((event, args, request.event["message"], request.event["args"]))  # type: ignore[attr-defined]
        return "anything"

    socketio.on("known")(lambda: "known")
    client = socketio.test_client(app)
    assert client.emit("known", callback=True) == "known"
    assert client.emit("unknown", 1, 2, callback=True) == "anything"
    assert client.emit("error", "a client's own", callback=True) == "anything"
    assert seen == [("unknown", (1, 2), "*", ("unknown", 1, 2)), ("error", ("a client's own",), "*", ("error", "a client's own"))]


def test_a_clients_own_event_named_error_has_a_handler(app: Flask, socketio: SocketIO) -> None:
    socketio.on("error")(lambda what: f"{what}: noted")
    assert socketio.test_client(app).emit("error", "oh", callback=True) == "oh: noted"


def test_star_does_not_stand_for_connect_and_disconnect(app: Flask, socketio: SocketIO) -> None:
    seen: list[str] = []
    socketio.on("*")(lambda event, *args: seen.append(event))
    socketio.test_client(app).disconnect()
    assert seen == []


def test_the_namespace_star_is_for_namespaces_without_a_handler(make: Make) -> None:
    app, socketio = make(namespaces="*")
    socketio.on("where", namespace="*")(lambda: request.namespace)  # type: ignore[attr-defined]
    socketio.on("where", namespace="/home")(lambda: "home")
    socketio.on("*", namespace="*")(lambda event, *args: f"{event} in {request.namespace}")  # type: ignore[attr-defined]
    client = socketio.test_client(app)
    for name in ("/home", "/away"):
        client.connect(name)
    assert client.emit("where", callback=True) == "/"
    assert client.emit("where", callback=True, namespace="/home") == "home"
    assert client.emit("where", callback=True, namespace="/away") == "/away"
    assert client.emit("what", callback=True, namespace="/home") == "what in /home"
    assert client.emit("what", callback=True, namespace="/away") == "what in /away"


def test_only_namespaces_that_are_known_take_clients(make: Make) -> None:
    app, socketio = make(namespaces=["/quiet"])
    socketio.on("e", namespace="/busy")(lambda: None)
    socketio.on("e", namespace="*")(lambda: None)
    for name, is_there in (("/", True), ("/quiet", True), ("/busy", True), ("/other", False)):
        assert socketio.test_client(app, namespace=name).is_connected(name) is is_there, name


def test_all_namespaces_take_clients_if_told_so(make: Make) -> None:
    app, socketio = make(namespaces="*")
    seen: list[str] = []
    socketio.on("connect", namespace="*")(lambda: seen.append(request.namespace))  # type: ignore[attr-defined]
    socketio.on("connect", namespace="/later")(lambda: seen.append("later"))
    for name in ("/", "/a", "/later"):
        assert socketio.test_client(app, namespace=name).is_connected(name)
    assert seen == ["/", "/a", "later"]


@pytest.mark.parametrize("wrong", [None, 5, "name"])
def test_what_is_no_function_is_refused(socketio: SocketIO, wrong: Any) -> None:
    with pytest.raises(TypeError, match="a function is wanted"):
        socketio.on_event("e", wrong)


def test_a_decorator_without_its_parentheses_is_refused(socketio: SocketIO) -> None:
    with pytest.raises(TypeError, match="print> is no event name"):
        socketio.on(print)  # type: ignore[arg-type]


def test_async_functions_are_refused(socketio: SocketIO) -> None:
    async def handle() -> None: ...

    with pytest.raises(TypeError, match="async"):
        socketio.on("e")(handle)


def test_a_factory_registers_first_and_has_an_application_later() -> None:
    socketio = SocketIO()
    socketio.on("who")(lambda: current_app.name)
    apps = [Flask("red"), Flask("blue")]
    for app in apps:
        socketio.init_app(app)
    red, blue = (socketio.test_client(app) for app in apps)
    assert red.emit("who", callback=True) == "red"
    assert blue.emit("who", callback=True) == "blue"
    socketio.on("late")(lambda: "late")  # with all of them
    assert red.emit("late", callback=True) == blue.emit("late", callback=True) == "late"


def test_several_applications_do_not_hear_each_other() -> None:
    socketio = SocketIO()
    apps = [Flask("red"), Flask("blue")]
    for app in apps:
        socketio.init_app(app)
    socketio.on("tell")(lambda: emit("told", current_app.name, broadcast=True))
    red, blue = (socketio.test_client(app) for app in apps)
    red.emit("tell")
    assert [each["args"] for each in red.get_received()] == [["red"]] and blue.get_received() == []
    with apps[0].app_context():
        socketio.emit("from a page")
    assert len(red.get_received()) == 1 and blue.get_received() == []
    socketio.emit("from nowhere")  # the last one
    assert red.get_received() == [] and len(blue.get_received()) == 1


def test_an_application_that_is_let_go_is_freed() -> None:
    socketio = SocketIO()
    first = Flask("first")
    socketio.init_app(first)
    socketio.test_client(first).disconnect()
    socketio.init_app(last := Flask("last"))
    socketio_of_first = weakref.ref(first)
    del first
    deadline = time.monotonic() + 10
    while socketio_of_first() is not None and time.monotonic() < deadline:      # its threads may be on their way out of the last turn
        gc.collect()
        time.sleep(0.01)
    assert socketio_of_first() is None
    assert last.extensions["socketio"] is socketio


def test_two_servers_in_front_of_one_application() -> None:
    app = Flask("shop")
    inner, outer = SocketIO(app), SocketIO(app, path="/other")
    inner.on("who")(lambda: "inner")
    outer.on("who")(lambda: emit("told", broadcast=True))
    one, two = inner.test_client(app), outer.test_client(app)
    assert one.emit("who", callback=True) == "inner"
    two.emit("who")
    assert len(two.get_received()) == 1 and one.get_received() == []
    assert app.test_client().get("/other/?EIO=4&transport=polling").data[:1] == b"0"
    assert app.test_client().get("/socket.io/?EIO=4&transport=polling").data[:1] == b"0"


def test_an_application_that_is_given_twice_is_spoken_to_from_its_pages() -> None:
    app = Flask("shop")
    socketio = SocketIO(app)
    socketio.init_app(app)
    app.get("/tell")(lambda: socketio.emit("told") or "done")
    with TestClient(app.wsgi_app) as client:  # type: ignore[arg-type]  # the server that clients reach
        assert app.test_client().get("/tell").text == "done"
        assert client.received == [["told"]]


def test_without_an_application_it_says_what_is_missing() -> None:
    with pytest.raises(RuntimeError, match="init_app"):
        SocketIO().emit("e")


def test_what_was_registered_can_be_read(app: Flask, socketio: SocketIO) -> None:
    def handle() -> None: ...

    def fail(error: Exception) -> None: ...

    socketio.on("e", namespace="/x")(handle)
    socketio.on_error("/x")(fail)
    socketio.on_error_default(fail)
    assert socketio.handlers == [("e", handle, "/x")]
    assert socketio.exception_handlers == {"/x": fail} and socketio.default_exception_handler is fail
    assert app.extensions["socketio"] is socketio


def test_pages_are_still_there(app: Flask, socketio: SocketIO) -> None:
    app.get("/page")(lambda: "a page")
    browser = app.test_client()
    assert browser.get("/page").text == "a page"
    assert browser.get("/nothing").status_code == 404
    assert browser.get("/socket.io/?EIO=4&transport=polling").data.startswith(b'0{"sid":')


def test_the_handlers_of_the_server_are_there_too(app: Flask, socketio: SocketIO) -> None:
    @socketio.io.event
    def native(socket: Any, number: int) -> tuple[str, int]:
        assert request.sid == socket.id  # type: ignore[attr-defined]
        return current_app.name, number

    assert socketio.test_client(app).emit("native", 5, callback=True) == ["shop", 5]


def test_a_namespace_may_be_named_without_its_slash(make: Make) -> None:
    app, socketio = make(namespaces=["quiet"])
    socketio.on("e", namespace="chat")(lambda: "chat")
    socketio.on_error("chat")(lambda error: "error")
    client = socketio.test_client(app, "chat")
    assert client.is_connected("/chat") and client.emit("e", callback=True, namespace="chat") == "chat"
    socketio.emit("told", namespace="chat")
    assert client.get_received("/chat") == [{"name": "told", "args": [], "namespace": "/chat"}]
    assert client.emit("e", 1, callback=True, namespace="/chat") == "error"
    assert socketio.test_client(app, "/quiet").is_connected("/quiet")
