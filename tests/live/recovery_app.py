"""A server with connection state recovery: `python recovery_app.py RUNTIME PORT`. `flood` emits numbers, come what may."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from sync_sio import Server

ends: list[str] = []


def pages(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    body = json.dumps({"audit": [what for what in io.audit() if "Recovery._tick" not in what], "ends": ends}).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


io = Server(pages, runtime=sys.argv[1], connection_state_recovery=True, ping_interval=1.0, ping_timeout=1.0)  # type: ignore[arg-type]


@io.event
def flood(socket: Any, count: int) -> None:
    """Emit 0 to count - 1 in three ways, from a thread of its own: to the socket, to a room of it, to everybody."""
    socket.join("flood " + socket.id)
    io.spawn(pour, socket, count)


def pour(socket: Any, count: int) -> None:
    ways = (socket, io.to("flood " + socket.id), io)
    for number in range(count):
        ways[number % 3].emit("n", number)
        if number % 7 == 0:
            socket.volatile.emit("v", "volatile, and a str at the end")
        if number % 20 == 0:
            io.sleep(0.001)


@io.event
def state(socket: Any) -> dict[str, Any]:
    return {"id": socket.id, "recovered": socket.recovered, "rooms": sorted(socket.rooms), "data": socket.data}


@io.event
def remember(socket: Any, name: str, value: Any) -> None:
    socket.data[name] = value


def when_gone(socket: Any, *args: Any) -> None:
    """Emit this once its client has gone."""
    socket.on("disconnect", lambda: io.of(socket.namespace.name).to("told later").emit("missed", *args))
    socket.join("told later")


def confuse(socket: Any) -> None:
    """Send what ends in a str, and is not sent again, after what would be."""
    socket.emit("kept")
    socket.volatile.emit("v", "a volatile text")
    socket.volatile.emit("v")
    socket.emit("question", "a text", ack=lambda *args: None)


for name in ("/", "/other"):
    for function in (when_gone, confuse):
        io.of(name).event(function)
io.of("/other").event("state", state)


@io.event
def leave(socket: Any) -> None:
    socket.disconnect()


@io.event
def disconnect(socket: Any, reason: str) -> None:
    ends.append(reason)


io.listen(int(sys.argv[2]))
