"""A connection in memory: the transport of the server's end, and how messages get to and fro without two readers at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import urlencode

from ..drivers.locks import allocate_lock
from ..engine.connection import Connection
from ..engine.opening import begin_session
from ..engine.requests import Refusal
from ..engine.state import CLOSED, OPEN
from ..errors import ProtocolError, RequestRefused
from ..protocol.parcel import Parcel
from ..types import Environ
from ..wsgi.environ import Request

if TYPE_CHECKING:
    from ..engine.server import EngineServer

PING: Final = b"2"
Message = tuple[bool, bytes]


class Ear(Protocol):
    """Who is at the client's end."""

    def wake(self) -> None:
        """Something has come, or the end (any thread, the connection's lock may be held): do not block."""
        ...


class MemoryTransport:
    """A `DirectTransport` that hands parcels to its client as they are sent; nothing ever waits in an outbox for long."""

    name: Final = "websocket"
    is_armed = False

    def __init__(self, connection: Connection, inbox: deque[Parcel], ear: Ear) -> None:
        self._connection = connection
        self._inbox = inbox
        self._ear = ear

    def write(self, parcel: Parcel) -> None:
        self._inbox.append(parcel)
        self._ear.wake()

    def drain(self) -> None:
        connection = self._connection
        outbox = connection.outbox
        if outbox is not None:
            connection.outbox = None
            self._inbox += outbox.take_all()
            self._ear.wake()
        connection.drained()

    def poke(self) -> None:
        # what a turn gathers for its client is sent when the turn ends, as on a WebSocket
        if self._connection.corked != self._connection.driver.ident():
            self.drain()

    def may_take(self) -> bool:
        return True

    def may_close(self) -> bool:
        return self._connection.outbox is None

    def read_again(self) -> None: ...

    def on_readable(self) -> None: ...

    def finish(self) -> None:
        self._ear.wake()


class Line:
    """One connection between a server and a client in its process. Any thread.

    Messages of the client are read by whoever sends them, but by one thread at a time: who finds somebody reading leaves them to
    it. `_token` is that right; it is held while the server sorts what came, which never blocks.
    """

    def __init__(self, engine: EngineServer, environ: Environ, ear: Ear) -> None:
        driver = engine.start(environ)
        request = Request(environ, engine.options.trusted_proxies)
        if not engine.origins.may(request.origin, environ, request.host, request.stated_scheme):
            raise RequestRefused(f"the origin {request.origin!r} is refused: see cors_allowed_origins")
        connection = begin_session(engine, request)
        if connection is None:
            raise RequestRefused("the server is closed, or max_connections are there")
        if isinstance(connection, Refusal):
            raise RequestRefused(connection.text)
        self.connection = connection
        self.driver = driver
        self.inbox: deque[Parcel] = deque()
        self._outgoing: deque[Message] = deque()
        self._token = allocate_lock()
        transport = MemoryTransport(connection, self.inbox, ear)
        with connection.lock:
            connection.transport = connection.direct = transport
        engine.opened(connection)

    @property
    def is_open(self) -> bool:
        return self.connection.state is OPEN

    def pong(self) -> None:
        """Answer a ping."""
        self.connection.home.pong(self.connection)

    def send(self, *messages: Message) -> None:
        """Have the server read messages, each whether it is binary, and its bytes. Lost when the connection has ended."""
        self._outgoing += messages
        while self._outgoing and self._token.acquire(False):
            try:
                while self._outgoing:
                    self._feed(*self._outgoing.popleft())
            finally:
                self._token.release()

    def _feed(self, is_binary: bool, data: bytes) -> None:
        connection = self.connection
        if connection.state is not OPEN:
            return
        connection.heard = True
        try:
            connection.receive("b" if is_binary else "4", data)
        except ProtocolError as error:
            connection.close_for("forced close", error)

    def hang_up(self, reason: str) -> None:
        """End the connection from the client's side."""
        if self.connection.state is not CLOSED:
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
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for name, value in headers.items():
        made["HTTP_" + name.upper().replace("-", "_")] = value
    return {**made, **environ}
