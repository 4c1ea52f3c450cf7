"""A server that is looked at, in a time that moves when told, with clients in memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from sync_sio import Server
from sync_sio.sockets.socket import Socket
from sync_sio.testing import ManualTime, TestClient

AUTH = {"username": "admin", "password": "let me in"}


class Page(TestClient):
    """An Admin UI in a browser."""

    def said(self) -> list[list[Any]]:
        """Take the events that have come since the last call."""
        return [self.receive(0) for _ in self.received]

    def told(self, name: str) -> list[Any]:
        """Return the arguments of the one event of this name that came since."""
        (args,) = [event[1:] for event in self.said() if event[0] == name]
        return args


class House:
    def __init__(self) -> None:
        self.io = Server()
        self.time = ManualTime(self.io)

    def socket(self, namespace: str = "/") -> Socket:
        """Let a client connect; return the server's socket."""
        return TestClient(self.io, namespace).socket

    def page(self, namespace: str = "/admin", auth: Any = AUTH) -> Page:
        """Let a page look, and forget what it was told in the beginning."""
        page = Page(self.io, namespace, auth)
        page.settle()
        assert page.said()[-1][0] == "server_stats"
        return page

    def new_page(self, auth: Any = AUTH, **environ: Any) -> Page:
        """Let a page look that has heard nothing yet."""
        page = Page(self.io, "/admin", auth, environ=environ)
        page.settle()
        return page


@pytest.fixture
def house() -> Iterator[House]:
    house = House()
    yield house
    for connection in list(house.io.engine.connections.values()):
        connection.close()
    house.time.advance(5)
    assert house.io.engine.probes == ()
    house.io.close()
    house.time.advance(100)
    assert house.io.audit() == []
