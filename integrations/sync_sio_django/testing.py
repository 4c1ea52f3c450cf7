"""Tests of a Django project: clients in memory who are its users, and a live server with WebSocket."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.servers.basehttp import ThreadedWSGIServer
from django.db import connections
from django.test import Client, LiveServerTestCase
from django.test.testcases import LiveServerThread, SimpleTestCase

from sync_sio.testing import TestClient

from . import databases
from .server import get_server
from .wsgi import get_internal_application

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser

    Base = SimpleTestCase
else:
    Base = object

__all__ = ["SocketLiveServerTestCase", "SocketTestMixin"]


class SocketTestMixin(Base):
    """Clients of `io`, beside a test case of Django's: `class BoardTests(SocketTestMixin, TestCase)`.

    Handlers see what the test has written, and the other way round, as they use its database connections: inside of a `TestCase`'s
    transaction, too. Call `settle` of a client that has sent something before the test looks into the database.
    """

    def connect(
        self,
        user: AbstractBaseUser | None = None,
        namespace: str = "/",
        *,
        client: Client | None = None,
        headers: Mapping[str, str] | None = None,
        **options: Any,
    ) -> TestClient:
        """Connect a client in memory, which leaves at the end of the test.

        Args:
            user: is logged in with a session of its own; None: nobody is.
            client: whose cookies it has: `self.client`, after `self.client.login(…)`, for the pages and events of one browser.
            headers, options: as of `sync_sio.testing.TestClient`.

        Raises:
            ConnectRefused: middleware of the namespace refused it. RequestRefused: its host, or its origin, is not allowed.
        """
        self._share_connections()
        browser = Client() if client is None else client
        if user is not None:
            browser.force_login(user)
        cookie = "; ".join(f"{name}={morsel.value}" for name, morsel in browser.cookies.items())
        given = {"Host": "testserver", **({"Cookie": cookie} if cookie else {}), **(headers or {})}
        made = TestClient(get_server(), namespace, headers=given, **options)
        self.addCleanup(made.disconnect)
        return made

    def _share_connections(self) -> None:
        for connection in connections.all(initialized_only=True):
            if connection.alias not in databases.shared:
                connection.inc_thread_sharing()
                databases.shared[connection.alias] = connection
                self.addCleanup(_unshare, connection.alias)


def _unshare(alias: str) -> None:
    databases.shared.pop(alias).dec_thread_sharing()


class SocketServerThread(LiveServerThread):
    """Django's, on a server of the same kind; what it serves is chosen by the test case."""

    server_class = ThreadedWSGIServer


class SocketLiveServerTestCase(LiveServerTestCase):
    """Django's live server, which serves what `WSGI_APPLICATION` names, with Socket.IO by polling and by WebSocket.

    Whoever is still connected at the end of the class is disconnected.
    """

    server_thread_class = SocketServerThread

    @classmethod
    def _create_server_thread(cls, connections_override: dict[str, Any]) -> LiveServerThread:
        databases.shared.update(connections_override)
        cls.addClassCleanup(cls._part, connections_override)
        handler: Any = cls._handler         # a function does what Django uses a class for
        return cls.server_thread_class(cls.host, handler, connections_override=connections_override, port=cls.port)

    @classmethod
    def _handler(cls, media: Any) -> Any:
        application: Any = get_internal_application()
        if settings.MEDIA_URL.strip("/"):       # else Django's handler for media takes every path for its own
            media.application = application
            application = media
        return cls.static_handler(application)

    @classmethod
    def _part(cls, shared: dict[str, Any]) -> None:
        get_server().disconnect_sockets(close=True)
        get_server().engine.close()
        for alias in shared:
            databases.shared.pop(alias, None)
