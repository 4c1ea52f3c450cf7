"""`Server` as an application: what it is made of, what is behind it, and the names of its events."""

from __future__ import annotations

from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from sync_sio import Server
from sync_sio.testing import TestClient


def get(io: Server, path: str) -> tuple[str, bytes]:
    said: list[str] = []
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": path, "QUERY_STRING": "", "SERVER_NAME": "localhost", "SERVER_PORT": "80"}
    body = b"".join(io(environ, lambda status, headers, *_: said.append(status)))
    return said[0], body


def page(text: bytes) -> Any:
    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Length", str(len(text)))])
        return [text]

    return application


@pytest.mark.parametrize("port", [3000, "3000"])
def test_a_port_is_no_application(port: Any) -> None:
    with pytest.raises(TypeError, match=rf"call listen\({port!r}\)"):
        Server(port)
    with pytest.raises(TypeError, match=rf"call listen\({port!r}\)"):
        Server().attach(port)


def test_options_are_keywords() -> None:
    with pytest.raises(TypeError, match=r"Server\(\*\*options\)"):
        Server({"path": "/x"})  # type: ignore[arg-type]


def test_requests_outside_the_path_go_to_the_application_attached_last() -> None:
    io = Server()
    assert get(io, "/page")[0].startswith("404")
    assert io.attach(page(b"one")) is io
    assert get(io, "/page") == ("200 OK", b"one")
    io.attach(page(b"two"))
    assert get(io, "/page") == ("200 OK", b"two")
    assert get(Server(page(b"three")), "/page") == ("200 OK", b"three")


def test_http_server_is_the_one_that_serves() -> None:
    io = Server(page(b"page"), runtime="threads")
    assert io.http_server is None
    with io.start() as running:
        http_server = io.http_server
        assert http_server is not None and http_server is running.http_server
        assert (http_server.port, http_server.url) == (running.port, running.url) and running.port
        with urlopen(http_server.url, timeout=10) as answer:
            assert answer.read() == b"page"
        http_server.stop()                      # it is what listens: nobody answers now
        assert io.http_server is http_server
        with pytest.raises(URLError):
            urlopen(http_server.url, timeout=10)


def test_connect_is_connection_by_another_name() -> None:
    io = Server()
    heard: list[str] = []
    io.on("connection", lambda socket: heard.append("on connection"))
    io.on("connect", lambda socket: heard.append("on connect"))
    io.event("connect", lambda socket: heard.append("event connect"))
    io.sockets.once("connect", lambda socket: heard.append("once"))
    assert io.listeners("connect") == io.listeners("connection") and len(io.listeners("connect")) == 4
    with TestClient(io) as client:
        client.settle()
    with TestClient(io) as client:
        client.settle()
    assert heard == ["on connection", "on connect", "event connect", "once", "on connection", "on connect", "event connect"]
    io.off("connect")
    assert io.listeners("connection") == []
    io.close()
