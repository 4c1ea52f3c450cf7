"""What an editor and mypy know of the public face: `make types` checks this file, nothing runs it."""

from __future__ import annotations

import re
from typing import Any

from typing_extensions import assert_type

from sync_sio import Namespace, Server, Socket, event
from sync_sio.engine.connection import Connection
from sync_sio.sockets.broadcast import BroadcastOperator
from sync_sio.sockets.handshake import Handshake
from sync_sio.sockets.parents import ParentNamespace
from sync_sio.sockets.remote import RemoteSocket
from sync_sio.sockets.socket_operator import SocketOperator
from sync_sio.testing import TestClient
from sync_sio_flask import Namespace as FlaskNamespace
from sync_sio_flask import SocketBlueprint, SocketIO

io = Server()


@io.on("connection")
def connected(socket: Socket) -> None:
    @socket.on("move")
    def moved(x: int, y: int) -> str:
        return "ok"

    @socket.on_any
    def seen(event: str, *args: Any) -> None: ...

    assert_type(moved(1, 2), str)
    assert_type(socket.handshake, Handshake)
    assert_type(socket.conn, Connection)
    assert_type(socket.rooms, set[str])
    assert_type(socket.volatile.timeout(5), SocketOperator)
    assert_type(socket.to("a").except_(["b"]), BroadcastOperator)
    assert_type(socket.namespace, Namespace)


@io.event
def hello(socket: Socket, name: str) -> str:
    return name


@io.event("chat message", concurrent=True)
def chat(socket: Socket, text: str) -> int:
    return len(text)


@io.use
def check(socket: Socket) -> None: ...


class Admin:
    @event("chat message")
    def chat(self, socket: Socket, text: str) -> str:
        return text


assert_type(hello(None, "x"), str)  # type: ignore[arg-type]  # decorators return the function as it was
assert_type(chat(None, "x"), int)  # type: ignore[arg-type]
assert_type(io.register(Admin()), Admin)
assert_type(io.of("/a"), Namespace)
assert_type(io.of(re.compile("a")), ParentNamespace)
assert_type(io.of(lambda name, auth, environ: True), ParentNamespace)
assert_type(io.to("a").local.compress(False), BroadcastOperator)
assert_type(io.fetch_sockets(), list[RemoteSocket])
assert_type(io.call("x"), list[Any])

with TestClient(io) as client:
    assert_type(client, TestClient)
    assert_type(client.receive(), list[Any])


socketio = SocketIO()
blueprint = SocketBlueprint("blueprint", __name__)


@socketio.on("add", namespace="/sums")
def add(a: int, b: int) -> int:
    return a + b


@socketio.event
def subtract(a: int, b: int) -> int:
    return a - b


@blueprint.event(namespace="/sums")
def negate(a: int) -> int:
    return -a


@socketio.on_error_default
def failed(error: Exception) -> str:
    return str(error)


class Sums(FlaskNamespace):
    def on_add(self, a: int, b: int) -> int:
        return a + b


assert_type(add(1, 2), int)
assert_type(subtract(1, 2), int)
assert_type(negate(1), int)
assert_type(failed(ValueError()), str)
assert_type(socketio.on_namespace(Sums("/sums")), Sums)
assert_type(socketio.io, Server)
