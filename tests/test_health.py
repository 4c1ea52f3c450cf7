"""What the server says of itself."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sync_sio import Server
from sync_sio.testing import TestClient


def ask(server: Server, method: str = "GET", path: str = "/socket.io/health") -> tuple[int, dict[str, str], bytes]:
    told: list[tuple[int, dict[str, str]]] = []
    environ: dict[str, Any] = {"REQUEST_METHOD": method, "PATH_INFO": path, "QUERY_STRING": "", "HTTP_ORIGIN": "https://a.example"}
    body = b"".join(server(environ, lambda status, headers: told.append((int(status[:3]), dict(headers)))))
    return (*told[0], body)


def test_before_anything_is_served_all_is_zero() -> None:
    io = Server(max_connections=7)
    io.of("/admin")
    numbers = io.health()
    assert numbers.pop("pid") > 0
    assert numbers == {
        "status": "ok",
        "runtime": None,
        "uptime": 0.0,
        "clients": 0,
        "max_connections": 7,
        "sockets": 0,
        "rooms": 0,
        "namespaces": {"/": {"sockets": 0, "rooms": 0}, "/admin": {"sockets": 0, "rooms": 0}},
    }
    assert not io.engine.is_started


def test_it_is_served_when_asked_for_and_503_while_closing() -> None:
    io = Server(health=True, cors_allowed_origins="https://a.example")
    status, headers, body = ask(io)
    assert headers["Access-Control-Allow-Origin"] == "https://a.example"
    assert (status, headers["Content-Type"], headers["Cache-Control"]) == (200, "application/json", "no-store")
    assert json.loads(body)["status"] == "ok"
    assert ask(io, "HEAD")[0::2] == (200, b"")
    io.close()
    status, _, body = ask(io)
    assert (status, json.loads(body)["status"]) == (503, "closing")


def test_it_is_not_served_unless_asked_for() -> None:
    status, _, body = ask(Server(cors_allowed_origins=False))
    assert (status, json.loads(body)["code"]) == (400, 0)


def test_what_it_counts() -> None:
    io = Server(health=True, path="/chat")
    io.on("connection", lambda socket: socket.join(["a", "b"]))
    with TestClient(io) as client:
        client.settle()
        numbers = json.loads(ask(io, path="/chat/health")[2])
    io.close()
    assert numbers["namespaces"] == {"/": {"sockets": 1, "rooms": 2}}
    assert (numbers["clients"], numbers["sockets"], numbers["rooms"]) == (1, 1, 2)
    assert numbers["uptime"] >= 0 and numbers["runtime"] in ("threads", "gevent")


def test_the_option_is_true_or_false() -> None:
    with pytest.raises(TypeError, match="health='yes'"):
        Server(health="yes")  # type: ignore[arg-type]
