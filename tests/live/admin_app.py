"""An application that the Admin UI looks at: `python admin_app.py RUNTIME PORT`; the page itself is at /ui/ when ADMIN_UI names its folder.

Four admins look at one server: `/admin`, `/admin-read-only`, `/admin-production` and `/admin-open`, which asks for no password.
"""

from __future__ import annotations

import contextlib
import json
import logging
import mimetypes
import os
import signal
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from sync_sio import Server
from sync_sio.admin import instrument

HOST = "127.0.0.1"
logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


class Live:
    """What some keep in `socket.data`, and nobody can send."""

    def __repr__(self) -> str:
        return "<a live object>"


def page(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    path = environ["PATH_INFO"]
    if path == "/audit":
        return answer(start_response, "application/json", json.dumps(io.audit()).encode())
    if path == "/plain":
        return answer(start_response, "text/plain", b"plain")
    file = Path(os.environ.get("ADMIN_UI", "/nowhere"), path.removeprefix("/ui/") or "index.html")
    if path.startswith("/ui/") and ".." not in path and file.is_file():
        return answer(start_response, mimetypes.guess_type(file.name)[0] or "application/octet-stream", file.read_bytes())
    start_response("404 Not Found", [("Content-Type", "text/plain"), ("Content-Length", "0")])
    return []


def answer(start_response: Callable[..., Any], kind: str, body: bytes) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", kind), ("Content-Length", str(len(body)))])
    return [body]


io = Server(page, runtime=sys.argv[1] if len(sys.argv) > 2 else "auto")
people = {"username": "admin", "password": "let me in"}
instrument(io, auth=people)
instrument(io, auth=lambda name, password: (name, password) == ("reader", "a secret"), namespace_name="/admin-read-only", read_only=True)
instrument(io, auth=people, namespace_name="/admin-production", mode="production")
instrument(io, auth=None, namespace_name="/admin-open")


@io.use
def greet(socket: Any) -> None:
    if name := socket.handshake.query.get("name"):
        socket.data["name"] = name


@io.event
def join(socket: Any, room: str) -> None:
    socket.join(room)


@io.event
def leave(socket: Any, room: str) -> None:
    socket.leave(room)


@io.event
def echo(socket: Any, *args: Any) -> tuple[Any, ...]:
    return args


@io.event
def remember(socket: Any, key: str, value: Any) -> str:
    socket.data[key] = Live() if value == "live" else value
    return "done"


@io.event
def say(socket: Any, room: str, *args: Any) -> None:
    io.to(room).emit("said", *args)


@io.event("tell me")
def tell_me(socket: Any, *args: Any) -> None:
    socket.emit("told", *args)


@io.event("open namespace")
def open_namespace(socket: Any, name: str) -> str:
    return io.of(name).name


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        io.listen(int(sys.argv[2]), HOST)
