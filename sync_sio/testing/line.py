"""A connection in memory: the transport of the server's end, and how messages get to and fro without two readers at a time."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Mapping
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import urlencode

from ..drivers.locks import allocate_lock
from ..drivers.strand import Strand
from ..engine.connection import Connection
from ..engine.opening import begin_session
from ..engine.requests import Refusal
from ..engine.state import CLOSED, OPEN
from ..errors import ProtocolError, RequestRefused
from ..protocol.parcel import Parcel
from ..protocol.websocket.frames import TOO_BIG, FrameError
from ..types import Environ
from ..wsgi.environ import Request

if TYPE_CHECKING:
    from ..engine.server import EngineServer

PING: Final = b"2"


class Ear(Protocol):
    """Who is at the client's end."""

    def wake(self) -> None:
        """Something has come, or the end (any thread, the connection's lock may be held): do not block."""
        ...


class MemoryTransport:
    """A `DirectTransport` that hands parcels to its client as they are sent; nothing ever waits in an outbox for long."""

    name: Final = "websocket"
    is_armed = False
    lane = None

    def __init__(self, connection: Connection, inbox: deque[Parcel], ear: Ear) -> None:
        self._connection = connection
        self._inbox = inbox
        self._ear = ear

    def write(self, parcel: Parcel) -> None:
        self._inbox.append(parcel)
        self._ear.wake()

    def drain(self) -> None:
        connection = self._connection
        if connection.outbox is not None:
            self._inbox += connection.outbox
            connection.drop_all()
            self._ear.wake()
        connection.drained()

    def keep(self, rest: memoryview) -> None:
        raise AssertionError("all fits")

    def poke(self) -> None:
        # what a turn gathers for its client is sent when the turn ends, as on a WebSocket
        if self._connection.corked != self._connection.driver.ident():
            self.drain()

    def may_take(self) -> bool:
        return True

    def may_close(self) -> bool:
        return self._connection.outbox is None

    def read_again(self) -> None:
        self._ear.wake()

    def on_readable(self) -> None: ...

    def finish(self) -> None:
        self._ear.wake()


class Line:
    """One connection between a server and a client in its process. Any thread.

    Messages of the client are read by whoever sends them, by one thread at a time: `_token` is that right, and no `Lock`, as the
    connection's is taken under it. It is held while the server sorts what came, which runs no user code and never blocks.

    Raises:
        RequestRefused: the handshake was.
    """

    def __init__(self, engine: EngineServer, environ: Environ, ear: Ear) -> None:
        self.driver = engine.start(environ)
        request = Request(environ, engine.options.trusted_proxies)
        if not engine.origins.may(request.origin, environ, request.host, request.stated_scheme):
            raise RequestRefused(f"the origin {request.origin!r} is refused: see cors_allowed_origins")
        connection = begin_session(engine, request)
        if connection is None:
            limit = engine.options.max_connections
            raise RequestRefused("the server is closed" if engine.is_closed else f"max_connections={limit} are there")
        if isinstance(connection, Refusal):
            raise RequestRefused(connection.text)
        self.connection = connection
        self.inbox: deque[Parcel] = deque()
        self.count = 0
        """Messages that the server has read."""
        self._engine = engine
        self._ear = ear
        self._token = allocate_lock()

    def open(self) -> None:
        """Let the server know of it. The ear must be ready."""
        connection = self.connection
        transport = MemoryTransport(connection, self.inbox, self._ear)
        with connection.lock:
            connection.switch_to(transport, transport)
        self._engine.opened(connection)

    @property
    def is_over(self) -> bool:
        return self.connection.state is CLOSED

    @property
    def is_paused(self) -> bool:
        """Whether the client is not read now, as too much waits for its handlers."""
        return self.connection.is_paused and self.connection.state is OPEN

    @property
    def strand(self) -> Strand | None:
        """Where listeners of engine events run; None: there was none to call."""
        return self.connection._strand

    def send(self, *messages: tuple[str, bytes]) -> None:
        """Have the server read packets: their type, `"b"` for a binary message, and data. Lost when the connection has ended."""
        with self._token:
            for kind, data in messages:
                self._feed(kind, data)
                self.count += kind != "3"

    def _feed(self, kind: str, data: bytes) -> None:
        connection = self.connection
        if connection.state is not OPEN:
            return
        connection.heard = True
        limit = connection.home.options.max_http_buffer_size
        size = len(data) + (kind != "b")
        if size > limit:
            connection.abort("transport error", FrameError(TOO_BIG, f"a message of {size} bytes is over the limit of {limit}"), TOO_BIG)
            return
        try:
            connection.receive(kind, data)
        except ProtocolError as error:
            connection.close_for("forced close", error)

    def hang_up(self, reason: str) -> None:
        """End the connection from the client's side."""
        self.connection.end(reason)


def environ_of(
    path: str, headers: Mapping[str, str], query: Mapping[str, str], environ: Mapping[str, Any]
) -> Environ:
    """Return the WSGI environ of a WebSocket handshake as a browser on this machine would make it."""
    made: Environ = {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/" + path.strip("/") + "/",
        "QUERY_STRING": urlencode({"EIO": "4", "transport": "websocket", **query}),
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": "localhost",
        "HTTP_UPGRADE": "websocket",
        "HTTP_CONNECTION": "Upgrade",
        "HTTP_SEC_WEBSOCKET_KEY": "AAAAAAAAAAAAAAAAAAAAAA==",
        "HTTP_SEC_WEBSOCKET_VERSION": "13",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": BytesIO(),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for name, value in headers.items():
        made["HTTP_" + name.upper().replace("-", "_")] = value
    return {**made, **environ}
