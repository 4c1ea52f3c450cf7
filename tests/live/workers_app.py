"""What the tests of several workers ask of each: who it is, and all that reaches the clients of the others.

Options come through `LIVE_OPTIONS`; with the hook `generate_id` sessions have ids of the application's own, with `farewell` everybody
hears who has left. `LIVE_ADAPTER` and `LIVE_REDIS` name what links it to servers elsewhere.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
import threading
import uuid
from collections.abc import Callable, Iterable
from io import BytesIO
from typing import Any

from sync_sio import AckTimeout, Server, SlowConsumer
from sync_sio.adapters import redis

logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(name)s %(message)s")

options: dict[str, Any] = json.loads(os.environ.get("LIVE_OPTIONS", "{}"))
if "LIVE_ADAPTER" in os.environ:
    options["adapter"] = getattr(redis, os.environ["LIVE_ADAPTER"])(os.environ["LIVE_REDIS"])


def pages(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    body = b"plain"
    if environ["PATH_INFO"] == "/audit":
        body = json.dumps(io.audit()).encode()
    elif environ["PATH_INFO"] == "/shout":
        io.emit("heard", os.getpid())
        body = str(os.getpid()).encode()
    elif environ["PATH_INFO"] == "/status":
        body = json.dumps([os.getpid(), io.adapter_status().nodes]).encode()
    elif environ["PATH_INFO"] == "/connected":
        body = json.dumps(io.adapter_status().connected).encode()
    elif environ["PATH_INFO"] == "/held":
        body = json.dumps([threading.active_count(), len(os.listdir("/dev/fd"))]).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


io = application = Server(pages, **options)
hooks = os.environ.get("LIVE_HOOKS", "").split()

if "hidden" in hooks:
    # as some middleware does, and servers that are not written in Python: nobody gets at the client's socket

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:  # type: ignore[no-redef]
        size = int(environ.get("CONTENT_LENGTH") or 0)
        kept = {name: value for name, value in environ.items() if name != "gunicorn.socket"}
        return io({**kept, "wsgi.input": BytesIO(environ["wsgi.input"].read(size))}, start_response)

if "farewell" in hooks:

    @io.event
    def connection(socket: Any) -> None:
        @socket.on("disconnect")
        def disconnect(reason: str, description: object) -> None:
            io.emit("left", [socket.id, reason, "x" * 1000])


if "generate_id" in hooks:
    io.engine.generate_id = lambda environ: uuid.uuid4().hex


@io.event
def who(socket: Any) -> int:
    return os.getpid()


@io.event
def shout(socket: Any, value: Any) -> None:
    io.emit("heard", value)


@io.event
def echo(socket: Any, value: Any) -> Any:
    return value


@io.event
def flood(socket: Any, count: int, size: int) -> None:
    with contextlib.suppress(SlowConsumer):
        for number in range(count):
            socket.emit("flood", number, b"x" * size)


@io.event
def tell(socket: Any, rooms: list[str], excepts: list[str], value: Any) -> None:
    io.to(rooms).except_(excepts).emit("heard", value)


@io.event
def join(socket: Any, room: str) -> None:
    socket.join(room)


@io.event
def gather(socket: Any, old: str, new: str) -> None:
    io.to(old).sockets_join(new)


@io.event
def scatter(socket: Any, room: str) -> None:
    io.to(room).sockets_leave(room)


@io.event
def ask(socket: Any, room: str, seconds: float) -> Any:
    try:
        return sorted(io.to(room).timeout(seconds).call("question", room))
    except AckTimeout as error:
        return ["too late", sorted(error.responses)]


@io.event
def fetch(socket: Any, room: str) -> Any:
    return sorted([each.id, sorted(each.rooms)] for each in io.to(room).fetch_sockets())


@io.event
def throw_out(socket: Any, room: str) -> None:
    io.to(room).disconnect_sockets(close=True)


@io.event
def servers(socket: Any, text: str) -> Any:
    return io.server_side_call("are you there", text)


@io.on("are you there")
def are_you_there(text: str, ack: Callable[..., None]) -> None:
    ack([os.getpid(), text])
