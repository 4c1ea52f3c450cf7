"""What becomes of what handlers raise."""

from __future__ import annotations

import traceback
from typing import Any

import pytest
from flask import Flask, abort, request
from werkzeug.exceptions import Forbidden

from sync_sio import ConnectRefused
from sync_sio.testing import TestClient
from sync_sio_flask import ConnectionRefusedError, SocketBlueprint, SocketIO


def fail(*args: Any) -> None:
    raise ValueError("on purpose")


def test_the_error_handler_of_a_namespace_answers(app: Flask, socketio: SocketIO) -> None:
    seen: list[Any] = []

    @socketio.on_error("/x")
    def failed(error: Exception) -> str:
        seen.append((str(error), request.event["message"], "on purpose" in traceback.format_exc()))  # type: ignore[attr-defined]
        return "sorry"

    socketio.on("e", namespace="/x")(fail)
    client = socketio.test_client(app, "/x")
    assert client.emit("e", callback=True, namespace="/x") == "sorry"
    assert seen == [("on purpose", "e", True)]


def test_the_main_namespace_has_one_too(app: Flask, socketio: SocketIO) -> None:
    socketio.on("e")(fail)
    socketio.on_error()(lambda error: f"sorry: {error}")
    assert socketio.test_client(app).emit("e", callback=True) == "sorry: on purpose"


def test_an_error_handler_may_be_decorated_without_parentheses(app: Flask, socketio: SocketIO) -> None:
    @socketio.on_error
    def failed(error: Exception) -> str:
        return f"sorry: {error}"

    board = SocketBlueprint("board", __name__, namespace="/board")
    board.on_error(lambda error: f"on the board: {error}")
    for name in ("/", "/board"):
        socketio.on("e", namespace=name)(fail)
    app.register_blueprint(board)
    assert failed(ValueError("x")) == "sorry: x"
    client = socketio.test_client(app)
    client.connect("/board")
    assert client.emit("e", callback=True) == "sorry: on purpose"
    assert client.emit("e", callback=True, namespace="/board") == "on the board: on purpose"


def test_the_default_one_is_for_the_others(app: Flask, socketio: SocketIO) -> None:
    for name in ("/x", "/y"):
        socketio.on("e", namespace=name)(fail)
    socketio.on_error("/x")(lambda error: "x")
    socketio.on_error_default(lambda error: "default")
    client = socketio.test_client(app, "/x")
    client.connect("/y")
    assert client.emit("e", callback=True, namespace="/x") == "x"
    assert client.emit("e", callback=True, namespace="/y") == "default"


def test_an_error_handler_takes_an_argument(socketio: SocketIO) -> None:
    with pytest.raises(ValueError, match="the exception"):
        socketio.on_error()(lambda: None)
    with pytest.raises(ValueError, match="the exception"):
        socketio.on_error_default(lambda: None)


def test_without_one_it_is_logged_and_nobody_is_harmed(app: Flask, socketio: SocketIO, caplog: pytest.LogCaptureFixture) -> None:
    socketio.on("e")(fail)
    socketio.on("works")(lambda: "works")
    with TestClient(socketio.io) as client:
        client.emit("e")
        assert client.call("works") == "works"
    assert "on purpose" in caplog.text


def test_it_is_raised_in_a_test(app: Flask, socketio: SocketIO) -> None:
    socketio.on("e")(fail)
    client = socketio.test_client(app)
    with pytest.raises(ValueError, match="on purpose"):
        client.emit("e", callback=True)
    assert client.is_connected()


def test_wrong_arguments_are_an_error_of_the_handler(app: Flask, socketio: SocketIO) -> None:
    socketio.on("e")(lambda one: one)
    client = socketio.test_client(app)
    with pytest.raises(TypeError):
        client.emit("e", 1, 2)
    socketio.on_error_default(lambda error: type(error).__name__)
    assert client.emit("e", callback=True) == "TypeError"


def test_errors_of_connect_and_disconnect_are_told_too(app: Flask, socketio: SocketIO) -> None:
    seen: list[Any] = []
    socketio.on("connect")(fail)
    socketio.on("disconnect")(fail)
    socketio.on_error_default(lambda error: seen.append(request.event["message"]))  # type: ignore[attr-defined]
    assert not socketio.test_client(app).is_connected()  # whoever could not be checked does not come in
    socketio.on("connect")(lambda: None)
    socketio.test_client(app).disconnect()
    assert seen == ["connect", "disconnect"]


@pytest.mark.parametrize("refusal", [lambda: abort(401), lambda: (_ for _ in ()).throw(ConnectionRefusedError("no"))])
def test_no_error_handler_lets_anybody_in(app: Flask, socketio: SocketIO, refusal: Any) -> None:
    asked: list[Any] = []
    socketio.on("connect")(refusal)
    socketio.on_error_default(asked.append)
    with pytest.raises(ConnectRefused):
        TestClient(socketio.io)
    assert asked == []


def test_a_refusal_is_no_error(app: Flask, socketio: SocketIO) -> None:
    seen: list[Any] = []

    @socketio.on("connect")
    def connect() -> None:
        raise ConnectionRefusedError("no")

    socketio.on_error_default(seen.append)
    assert not socketio.test_client(app).is_connected() and seen == []


def test_an_abort_is_an_answer(app: Flask, socketio: SocketIO, caplog: pytest.LogCaptureFixture) -> None:
    socketio.on("e")(lambda *why: abort(403, *why))
    with TestClient(socketio.io) as client:
        assert client.call("e") == {"error": {"code": 403, "message": "Forbidden"}}
        assert client.call("e", "not yours") == {"error": {"code": 403, "message": "not yours"}}
    assert "Traceback" not in caplog.text
    with pytest.raises(Forbidden):
        socketio.test_client(app).emit("e")


def test_an_error_handler_hears_of_an_abort(app: Flask, socketio: SocketIO) -> None:
    socketio.on("e")(lambda: abort(403))
    socketio.on_error_default(lambda error: error.code)
    assert socketio.test_client(app).emit("e", callback=True) == 403


def test_the_servers_on_error_hears_what_nobody_handles(app: Flask, socketio: SocketIO) -> None:
    seen: list[Any] = []
    socketio.io.on_error(lambda error, socket, event, args: seen.append((str(error), event)))
    socketio.on("e")(fail)
    with pytest.raises(ValueError, match="on purpose"):
        socketio.test_client(app).emit("e")
    assert seen == [("on purpose", "e")]


def test_no_client_reaches_the_inside_of_the_router(app: Flask, socketio: SocketIO) -> None:
    from sync_sio_flask.mount import _ROUTED

    with TestClient(socketio.io) as client:
        for args in ((), (1,), (["__init__", "x", []],), ({"fn": 1}, 2)):
            client.emit(_ROUTED, *args)
        client.settle()
        assert client.connected
