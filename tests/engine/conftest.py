"""An engine server on the driver whose time moves when told, with clients in memory."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sync_sio.engine import EngineServer
from sync_sio.engine.connection import Connection
from sync_sio.protocol.websocket.frames import TEXT
from sync_sio.testing.manual import ManualDriver, ManualStream
from sync_sio.types import Environ
from sync_sio.wsgi.takeover import Taken

UPGRADE = {
    "HTTP_UPGRADE": "websocket",
    "HTTP_CONNECTION": "Upgrade",
    "HTTP_SEC_WEBSOCKET_VERSION": "13",
    "HTTP_SEC_WEBSOCKET_KEY": "dGhlIHNhbXBsZSBub25jZQ==",
}


class Rig:
    """A server, and requests that are function calls. Taking the client's socket over gives a stream in memory."""

    def __init__(self, **options: Any) -> None:
        self.driver = ManualDriver()
        self.closed: list[tuple[str, object]] = []
        self.connections: list[Connection] = []
        self._taken: ManualStream | None = None
        self.capacity = 1 << 16
        self.server = EngineServer(_driver=self.driver, _take=self._take, **options)
        self.server.on("connection", self._connected)

    def _take(self, environ: Environ) -> Taken:
        ours, self._taken = self.driver.stream_pair(self.capacity)
        return Taken(ours, b"", False, "test")

    def _connected(self, connection: Connection) -> None:
        self.connections.append(connection)
        connection.on("close", lambda reason, description: self.closed.append((reason, description)))

    def request(
        self, method: str = "GET", query: str = "EIO=4&transport=polling", body: bytes = b"", headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        status, lines, answer = self._request(method, query, body, headers)
        return status, dict(lines), answer

    def lines(self, query: str = "EIO=4&transport=polling", headers: dict[str, str] | None = None) -> list[tuple[str, str]]:
        """The headers of an answer, as they come."""
        return self._request("GET", query, b"", headers)[1]

    def _request(
        self, method: str, query: str, body: bytes, headers: dict[str, str] | None
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        environ = {
            "REQUEST_METHOD": method,
            "PATH_INFO": "/engine.io/",
            "QUERY_STRING": query,
            "SERVER_PROTOCOL": "HTTP/1.1",
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "80",
            "REMOTE_ADDR": "10.0.0.1",
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.input": io.BytesIO(body),
            "HTTP_HOST": "localhost",
            **(headers or {}),
        }
        told: list[tuple[int, list[tuple[str, str]]]] = []
        answer = b"".join(self.server(environ, lambda status, headers: told.append((int(status[:3]), headers))))
        self.driver.settle()
        return (*told[0], answer)

    def websocket(
        self, capacity: int = 1 << 16, query: str = "EIO=4&transport=websocket", headers: dict[str, str] | None = None
    ) -> tuple[Connection, ManualStream]:
        self.capacity = capacity
        status, _, _ = self.request("GET", query, headers={**UPGRADE, **(headers or {})})
        assert status == 101 and self._taken is not None
        assert (self._taken.recv() or b"").startswith(b"HTTP/1.1 101 ")
        return self.connections[-1], self._taken

    def waiting_poll(self, sid: str) -> ManualStream:
        status, headers, body = self.request("GET", f"EIO=4&transport=polling&sid={sid}")
        assert (status, headers["Content-Length"], body) == (200, "0", b""), "the poll was answered, it does not wait"
        assert self._taken is not None
        return self._taken


def frame(payload: bytes, opcode: int = TEXT) -> bytes:
    """One small client frame, masked with zeros."""
    assert len(payload) < 126
    return bytes((0x80 | opcode, 0x80 | len(payload))) + bytes(4) + payload


def frames(data: bytes) -> list[tuple[int, bytes]]:
    """Take the server's frames apart: opcode and payload."""
    found = []
    while data:
        size, start = data[1], 2
        if size == 126:
            size, start = int.from_bytes(data[2:4], "big"), 4
        elif size == 127:
            size, start = int.from_bytes(data[2:10], "big"), 10
        found.append((data[0] & 15, data[start : start + size]))
        data = data[start + size :]
    return found


@pytest.fixture
def make_rig() -> Iterator[Callable[..., Rig]]:
    rigs: list[Rig] = []

    def make(**options: Any) -> Rig:
        rigs.append(Rig(**options))
        return rigs[-1]

    yield make
    for rig in rigs:
        rig.server.shut_down()
        if rig.server.is_started:
            rig.driver.settle()
            rig.driver.advance(100)
            assert rig.server.audit() == []


@pytest.fixture
def rig(make_rig: Callable[..., Rig]) -> Rig:
    return make_rig()


