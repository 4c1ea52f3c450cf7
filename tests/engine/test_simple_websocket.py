"""The library simple-websocket on a socket that takes its time: what it does after it has told us of the end."""

from __future__ import annotations

import base64
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from wsgiref.util import setup_testing_defaults

import pytest

from sync_sio.engine import EngineServer, simple_websocket
from sync_sio.types import Environ


class Slow:
    """A socket that is slow to send close frames."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def send(self, data: bytes) -> int:
        if data[:1] == b"\x88":
            time.sleep(0.3)
        return self._sock.send(data)


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """A client that is connected; its call of the application is the thread "web server", which closes the socket in the end."""
    monkeypatch.setattr(simple_websocket, "LOOK_SECONDS", 0.5)
    ours, theirs = socket.socketpair()
    engine = EngineServer(ws_engine="simple-websocket", runtime="threads", max_http_buffer_size=1000)
    environ: Environ = {
        "werkzeug.socket": Slow(ours),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "QUERY_STRING": "EIO=4&transport=websocket",
        "PATH_INFO": "/engine.io/",
        "HTTP_CONNECTION": "Upgrade",
        "HTTP_UPGRADE": "websocket",
        "HTTP_SEC_WEBSOCKET_VERSION": "13",
        "HTTP_SEC_WEBSOCKET_KEY": base64.b64encode(os.urandom(16)).decode(),
    }
    setup_testing_defaults(environ)

    def serve() -> None:
        with suppress(ConnectionResetError), ours:
            engine(environ, lambda status, headers, exc_info=None: print)

    thread = threading.Thread(target=serve, name="web server", daemon=True)
    thread.start()
    theirs.settimeout(20)
    with theirs:
        received = b""
        while b'"maxPayload"' not in received:
            received += (data := theirs.recv(1000))
            assert data, received
        yield theirs
    engine.stop()
    thread.join(20)
    assert not thread.is_alive()


def read_to_the_end(client: socket.socket) -> bytes:
    received = b""
    with suppress(ConnectionError):
        while data := client.recv(1000):
            received += data
    return received


def test_a_close_frame_is_answered_before_the_socket_is_closed(client: socket.socket) -> None:
    client.sendall(b"\x88\x82\x00\x00\x00\x00\x03\xe8")
    assert read_to_the_end(client) == b"\x88\x02\x03\xe8"


def test_a_message_that_is_too_large_does_not_keep_the_thread(client: socket.socket) -> None:
    client.sendall(b"\x81\xfe\x07\xd0\x00\x00\x00\x00" + b"4" * 2000)
    assert read_to_the_end(client)[:4] == b"\x88\x14\x03\xf1"
    (web_server,) = (thread for thread in threading.enumerate() if thread.name == "web server")
    web_server.join(20)
    assert not web_server.is_alive()
