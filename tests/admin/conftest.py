"""A server that is looked at, on the driver whose time moves when told, with clients in memory."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import pytest

from sync_sio import Server
from sync_sio.sockets.socket import Socket
from sync_sio.testing.manual import ManualDriver, ManualStream
from sync_sio.types import Environ
from sync_sio.wsgi.takeover import Taken
from tests.engine.conftest import UPGRADE, frame, frames

AUTH = {"username": "admin", "password": "let me in"}


class Client:
    """A WebSocket; `said` gives what came since, as `[packet type, namespace, data]` or, for events, `[name, *args]`."""

    def __init__(self, house: House, stream: ManualStream) -> None:
        self.house = house
        self.stream = stream
        self.said()

    def say(self, text: str) -> None:
        payload = f"4{text}".encode()
        self.stream.send(frame(payload))
        self.house.driver.settle()

    def connect(self, namespace: str, auth: Any = None) -> None:
        self.say(f"0{namespace},{json.dumps(auth)}" if auth is not None else f"0{namespace},")

    def raw(self) -> list[str]:
        data = b""
        while chunk := self.stream.recv(1 << 16):
            data += chunk
        return [payload.decode() for _, payload in frames(data)]

    def said(self) -> list[list[Any]]:
        """Return the events since the last call; what is no event as `[text]`."""
        found = []
        for text in self.raw():
            start = text.find("[")
            found.append(json.loads(text[start:]) if text.startswith("42") else [text])
        return found

    def told(self, name: str) -> list[Any]:
        """Return the arguments of the one event of this name that came since."""
        (args,) = [event[1:] for event in self.said() if event[0] == name]
        return args

    def leave(self) -> None:
        self.stream.shutdown()
        self.house.driver.settle()


class House:
    def __init__(self) -> None:
        self.driver = ManualDriver()
        self._taken: ManualStream | None = None
        self.io = Server(_driver=self.driver, _take=self._take)

    def _take(self, environ: Environ) -> Taken:
        ours, self._taken = self.driver.stream_pair(1 << 22)
        return Taken(ours, b"", False, "test")

    def client(self, **environ: Any) -> Client:
        request = {
            "REQUEST_METHOD": "GET",
            "PATH_INFO": "/socket.io/",
            "QUERY_STRING": "EIO=4&transport=websocket",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "80",
            "REMOTE_ADDR": "10.0.0.1",
            "wsgi.input": io.BytesIO(),
            "HTTP_HOST": "localhost",
            **UPGRADE,
            **environ,
        }
        b"".join(self.io(request, lambda status, headers: None))
        self.driver.settle()
        assert self._taken is not None
        head = self._taken.recv(1 << 16) or b""
        assert head.startswith(b"HTTP/1.1 101 ")
        return Client(self, self._taken)

    def socket(self, namespace: str = "/") -> Socket:
        """Let a client connect; return the server's socket."""
        before = set(self.io.of(namespace).sockets)
        self.client().connect(namespace)
        ((_, socket),) = [item for item in self.io.of(namespace).sockets.items() if item[0] not in before]
        return socket

    def page(self, namespace: str = "/admin", auth: Any = AUTH) -> Client:
        """Let a page look, and forget what it was told in the beginning."""
        page = self.client()
        page.connect(namespace, auth)
        assert page.said()[-1][0] == "server_stats"
        return page


@pytest.fixture
def house() -> Iterator[House]:
    house = House()
    yield house
    for connection in list(house.io.engine.connections.values()):
        connection.close()
    house.driver.settle()
    house.driver.advance(5)
    house.driver.settle()
    assert house.io.engine.probes == ()
    house.io.engine.shut_down()
    house.driver.settle()
    house.driver.advance(100)
    assert house.io.audit() == []
