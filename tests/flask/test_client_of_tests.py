"""The test client."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask, request, session

from sync_sio_flask import SocketIO, SocketIOTestClient, emit, send
from sync_sio_flask import disconnect as disconnect_client


def test_it_connects_by_itself(app: Flask, socketio: SocketIO) -> None:
    client = socketio.test_client(app)
    assert isinstance(client, SocketIOTestClient)
    assert client.is_connected() and client.is_connected("/") and not client.is_connected("/other")
    assert client.connected == {"/": True} and client.eio_sid and client.refusal is None
    assert SocketIOTestClient(app, socketio).is_connected()


def test_it_receives_once(app: Flask, socketio: SocketIO) -> None:
    @socketio.on("e")
    def handle() -> None:
        emit("none")
        emit("several", (1, [2]))
        send("text")
        send({"a": 1}, json=True)

    client = socketio.test_client(app)
    client.emit("e")
    assert client.get_received() == [
        {"name": "none", "args": [], "namespace": "/"},
        {"name": "several", "args": [1, [2]], "namespace": "/"},
        {"name": "message", "args": "text", "namespace": "/"},
        {"name": "json", "args": {"a": 1}, "namespace": "/"},
    ]
    assert client.get_received() == []


@pytest.mark.parametrize(("result", "answer"), [(None, []), (1, 1), ((1, 2), [1, 2]), ([1], [1])])
def test_an_acknowledgement_is_returned_when_asked_for(app: Flask, socketio: SocketIO, result: Any, answer: Any) -> None:
    socketio.on("message")(lambda value: result)
    client = socketio.test_client(app)
    assert client.send("x", callback=True) == answer
    assert client.send("x") is None
    assert client.emit("nobody handles it", callback=True) is None


def test_handlers_see_what_the_test_has_said_of_the_request(app: Flask, socketio: SocketIO) -> None:
    socketio.on("e")(lambda: (dict(request.args), "Upgrade" in request.headers, request.headers.get("X-A"), request.path))
    client = socketio.test_client(app)
    assert client.emit("e", callback=True, broadcast=True) == [{}, False, None, "/socket.io/"]
    client = socketio.test_client(app, query_string="?a=1", headers={"X-A": "b"})
    assert client.emit("e", callback=True) == [{"a": "1"}, False, "b", "/socket.io/"]


def test_what_a_handler_has_done_is_done(app: Flask, socketio: SocketIO) -> None:
    import time

    done: list[int] = []

    @socketio.on("slow")
    def slow() -> None:
        time.sleep(0.05)  # long enough for a client that does not wait to be too early
        done.append(1)

    socketio.test_client(app).emit("slow")
    assert done == [1]


def test_it_connects_and_leaves_again(app: Flask, socketio: SocketIO) -> None:
    socketio.on("e", namespace="/x")(lambda: emit("told"))
    client = socketio.test_client(app)
    client.connect("/x", query_string="a=1", headers={"X-A": "b"}, auth={"c": 2})
    client.emit("e", namespace="/x")
    assert client.get_received("/x") == [{"name": "told", "args": [], "namespace": "/x"}]
    assert client.get_received() == []
    client.disconnect("/x")
    assert not client.is_connected("/x") and client.is_connected()
    client.connect("/x")
    assert client.is_connected("/x")
    client.disconnect()
    assert not client.is_connected()
    with pytest.raises(RuntimeError, match="not connected"):
        client.disconnect()


def test_a_server_that_disconnects_it(app: Flask, socketio: SocketIO) -> None:
    @socketio.on("e")
    def handle() -> None:
        emit("bye")
        disconnect_client()

    client = socketio.test_client(app)
    client.emit("e")
    assert not client.is_connected()
    assert [each["name"] for each in client.get_received()] == ["bye"]
    with pytest.raises(RuntimeError, match="not connected"):
        client.get_received()
    with pytest.raises(RuntimeError, match="not connected"):
        client.emit("e")


def test_it_has_the_cookies_of_a_browser(app: Flask, socketio: SocketIO) -> None:
    @app.get("/login/<name>")
    def login(name: str) -> str:
        session["name"] = name
        return ""

    socketio.on("who")(lambda: session.get("name"))
    browser = app.test_client()
    browser.get("/login/ada")
    assert socketio.test_client(app, flask_test_client=browser).emit("who", callback=True) == "ada"
    assert socketio.test_client(app).emit("who", callback=True) == []


def test_it_answers_what_the_server_asks(app: Flask, socketio: SocketIO) -> None:
    from sync_sio_flask import call

    socketio.on("e")(lambda: call("question", 1))
    client = socketio.test_client(app)

    @client.on("question")
    def answer(number: int) -> int:
        return number + 1

    assert client.emit("e", callback=True) == 2
    assert client.get_received() == []
