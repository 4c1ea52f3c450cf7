"""How clients come, how they are refused, and how they leave."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from flask import Flask, Response, abort, redirect, request

from sync_sio import ConnectRefused
from sync_sio.testing import TestClient
from sync_sio_flask import ConnectionRefusedError, SocketIO, emit, join_room, rooms, send
from sync_sio_flask import disconnect as disconnect_client

from .conftest import Make


@pytest.mark.parametrize("auth", [None, {"token": "x"}])
def test_connect_is_given_what_the_client_authenticates_with(app: Flask, socketio: SocketIO, auth: Any) -> None:
    seen: list[Any] = []
    socketio.on("connect")(lambda auth: seen.append(auth))
    assert socketio.test_client(app, auth=auth).is_connected()
    assert seen == [auth]


def test_connect_may_take_nothing_or_everything(app: Flask, socketio: SocketIO) -> None:
    seen: list[Any] = []
    socketio.on("connect", namespace="/none")(lambda: seen.append(()))
    socketio.on("connect", namespace="/any")(lambda *args: seen.append(args))
    socketio.on("connect", namespace="/default")(lambda auth="nothing": seen.append(auth))

    def decorated(fn: Any) -> Any:
        return lambda *args, **kwargs: fn(*args, **kwargs)

    socketio.on("connect", namespace="/decorated")(decorated(lambda: seen.append("decorated")))
    for name in ("/none", "/any", "/default", "/decorated"):
        assert socketio.test_client(app, name, auth={"a": 1}).is_connected(name)
    assert seen == [(), ({"a": 1},), {"a": 1}, "decorated"]


def test_a_type_error_of_connects_own_is_not_taken_for_another_signature(app: Flask, socketio: SocketIO) -> None:
    calls: list[Any] = []

    @socketio.on("connect")
    def connect(auth: Any) -> None:
        calls.append(auth)
        len(5)  # type: ignore[arg-type]

    with pytest.raises(TypeError, match="len"):
        socketio.test_client(app)
    assert calls == [None]


def test_the_handshake_is_the_request(app: Flask, socketio: SocketIO) -> None:
    seen: list[Any] = []

    @socketio.on("connect")
    def connect() -> None:
        seen.append((request.args["room"], request.args.getlist("x"), request.headers["X-Name"]))
        seen.append((request.event["message"], len(request.sid)))  # type: ignore[attr-defined]

    socketio.test_client(app, query_string="?room=a+b&x=1&x=2", headers={"X-Name": "Ada"})
    assert seen == [("a b", ["1", "2"], "Ada"), ("connect", 20)]


@pytest.mark.parametrize(
    ("reason", "message", "data"),
    [
        (False, "Connection rejected by server", None),
        (ConnectionRefusedError(), "Connection rejected by server", None),
        (ConnectionRefusedError("no"), "no", None),
        (ConnectionRefusedError("no", {"why": 1}), "no", {"why": 1}),
        (ConnectionRefusedError("no", 1, 2), "no", [1, 2]),
        (ConnectRefused("no", data=3), "no", 3),
    ],
    ids=repr,
)
def test_connect_refuses(app: Flask, socketio: SocketIO, reason: Any, message: str, data: Any) -> None:
    gone: list[str] = []
    socketio.on("disconnect")(gone.append)

    @socketio.on("connect")
    def connect() -> Any:
        join_room("r")
        if isinstance(reason, Exception):
            raise reason
        return reason

    client = socketio.test_client(app)
    assert not client.is_connected() and client.connected == {}
    assert isinstance(client.refusal, ConnectRefused)
    assert (client.refusal.message, client.refusal.data) == (message, data)
    with pytest.raises(RuntimeError, match="not connected"):
        client.emit("e")
    with pytest.raises(RuntimeError, match="not connected"):
        client.get_received()
    assert socketio.io.sockets.adapter.rooms == {} and gone == []


def test_any_other_result_accepts(app: Flask, socketio: SocketIO) -> None:
    for result in (None, True, 0, "", "text"):
        socketio.on("connect")(lambda result=result: result)
        assert socketio.test_client(app).is_connected()


@pytest.mark.parametrize("kind", ["abort", "page", "redirect"])
def test_an_abort_refuses_and_says_why(app: Flask, socketio: SocketIO, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    @socketio.on("connect")
    def connect() -> Any:
        if kind == "abort":
            abort(401, "log in first")
        return redirect("/login") if kind == "redirect" else Response(status=401)

    with pytest.raises(ConnectRefused) as caught:
        TestClient(socketio.io)
    assert caught.value.message == ("log in first" if kind == "abort" else "Unauthorized") and caught.value.data == {"code": 401}
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_a_connect_that_fails_refuses(app: Flask, socketio: SocketIO, caplog: pytest.LogCaptureFixture) -> None:
    @socketio.on("connect")
    def connect() -> None:
        raise ValueError("on purpose")

    with pytest.raises(ConnectRefused, match="internal server error"):
        TestClient(socketio.io)
    assert "on purpose" in caplog.text
    with pytest.raises(ValueError, match="on purpose"):
        socketio.test_client(app)


def test_what_connect_emits_reaches_the_client(app: Flask, socketio: SocketIO) -> None:
    @socketio.on("connect")
    def connect() -> None:
        join_room("r")
        emit("own")
        emit("all", broadcast=True)
        emit("room", to="r")
        socketio.emit("extension")
        socketio.emit("extension room", to="r")
        send("message")

    first = socketio.test_client(app)
    own = [each["name"] for each in first.get_received()]
    assert own == ["own", "all", "room", "extension", "extension room", "message"]
    socketio.test_client(app)
    assert [each["name"] for each in first.get_received()] == ["all", "room", "extension", "extension room"]


def test_disconnect_in_connect_refuses(app: Flask, socketio: SocketIO) -> None:
    socketio.on("connect")(lambda: disconnect_client())
    assert not socketio.test_client(app).is_connected()


def test_always_connect_tells_the_client_first(make: Make) -> None:
    app, socketio = make(always_connect=True)
    gone: list[Any] = []
    socketio.on("connect", namespace="/no")(lambda: False)
    socketio.on("connect", namespace="/abort")(lambda: abort(403))
    socketio.on("connect", namespace="/yes")(lambda: emit("welcome"))
    socketio.on("disconnect", namespace="/no")(gone.append)
    client = socketio.test_client(app, "/yes")
    assert client.get_received("/yes") == [{"name": "welcome", "args": [], "namespace": "/yes"}]
    for name in ("/no", "/abort"):
        client.connect(name)
        assert client.refusal is None and not client.is_connected(name)
    assert gone == ["server disconnect"]


def test_the_client_leaves(app: Flask, socketio: SocketIO) -> None:
    seen: list[Any] = []

    @socketio.on("disconnect")
    def disconnect(reason: str) -> None:
        seen.append((reason, sorted(rooms()) == sorted([request.sid, "r"]), request.event["message"]))  # type: ignore[attr-defined]
        emit("left", to="r")

    socketio.on("join")(join_room)
    client, other = socketio.test_client(app), socketio.test_client(app)
    for each in (client, other):
        each.emit("join", "r")
    client.disconnect()
    assert seen == [("client disconnect", True, "disconnect")] and not client.is_connected()
    assert [each["name"] for each in other.get_received()] == ["left"]


def test_disconnect_may_take_nothing(app: Flask, socketio: SocketIO) -> None:
    seen: list[str] = []
    socketio.on("disconnect")(lambda: seen.append("gone"))
    socketio.test_client(app).disconnect()
    assert seen == ["gone"]


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        ("client namespace disconnect", "client disconnect"),
        ("transport close", "transport close"),
        ("ping timeout", "ping timeout"),
        ("transport error", "transport error"),
        ("parse error", "transport error"),
        ("forced close", "transport error"),
        ("server", "server disconnect"),
        ("close", "server disconnect"),
        ("shutdown", "server disconnect"),
    ],
)
def test_why_a_client_has_gone(app: Flask, socketio: SocketIO, end: str, reason: str) -> None:
    seen: list[str] = []
    socketio.on("disconnect")(seen.append)
    socketio.on("leave")(lambda: disconnect_client())
    client = TestClient(socketio.io)
    if end == "server":
        client.emit("leave")
        client.settle()
    elif end == "close":
        client.socket.disconnect(close=True)
        client.settle()
    elif end == "shutdown":
        socketio.io.close()
    elif end == "client namespace disconnect":
        client.disconnect()
    else:
        client.lose(end)
    assert seen == [reason]
    assert reason in vars(SocketIO.reason).values()


def test_each_namespace_is_left_by_itself(app: Flask, socketio: SocketIO) -> None:
    seen: list[str] = []
    for name in ("/", "/a"):
        socketio.on("disconnect", namespace=name)(lambda: seen.append(request.namespace))  # type: ignore[attr-defined]
    client = socketio.test_client(app)
    client.connect("/a")
    client.disconnect("/a")
    assert seen == ["/a"] and client.is_connected() and not client.is_connected("/a")


def test_a_client_that_comes_back_with_recovery_is_routed_as_before(make: Make) -> None:
    _, socketio = make(connection_state_recovery=True)
    socketio.on("e")(lambda: request.sid)  # type: ignore[attr-defined]
    with TestClient(socketio.io) as client:
        sid = client.call("e")
        client.lose()
        client.connect()
        assert client.recovered and client.call("e") == sid
