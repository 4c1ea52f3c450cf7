"""WebSocket on the library simple-websocket, for whoever wants it: `ws_engine="simple-websocket"`.

It blocks, so each connection keeps its web server's thread for reading, and one more for writing beside the library's own. The
library makes the handshake by itself: header listeners are not asked. Everything else is as with our own transport.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final

from ..drivers.base import Driver, Waiter
from ..errors import ProtocolError
from ..protocol.engineio.packet import EnginePacketError
from ..protocol.parcel import Parcel
from ..types import Environ
from .connection import Connection
from .seams import Candidate, DirectTransport
from .state import CLOSED, OPEN

RAISE_AT_END: Final = {"gunicorn": StopIteration, "werkzeug": ConnectionResetError}
"""What ends the application call on these servers without a response in the middle of a WebSocket, and without noise."""
LOOK_SECONDS: Final = 5.0
"""So often it is looked whether the WebSocket is over: the library does not always wake up who reads."""
LINGER: Final = 2.0
"""Seconds that the library has to answer a close frame, of which it tells us first: the socket is closed when this call ends."""


def accept(environ: Environ, max_message_bytes: int) -> Any:
    """Make the handshake and return the library's object.

    Raises:
        RuntimeError: the library is not there, or knows no way to this web server's socket.
    """
    try:
        from simple_websocket import Server
    except ImportError as error:
        raise RuntimeError('ws_engine="simple-websocket" needs the package simple-websocket: install it') from error
    return Server.accept(environ, max_message_size=max_message_bytes)


class SimpleWebSocketTransport:
    """One WebSocket of the library. The connection's lock guards `_waiter`, `_is_sending` and `_is_over`; the writer alone sends."""

    name: Final = "websocket"
    direct: Final[DirectTransport | None] = None

    def __init__(self, connection: Connection, websocket: Any) -> None:
        self.connection = connection
        self.upgrade: Candidate | None = None
        self._driver: Driver = connection.driver
        self._websocket = websocket
        self._waiter: Waiter | None = None
        self._control: list[Parcel] = []
        self._is_sending = False
        self._is_over = False

    # -- Transport -----------------------------------------------------------------------------------------------------------

    def poke(self) -> None:
        if self._waiter is not None:
            self._waiter.set()

    def may_take(self) -> bool:
        return self.connection.outbox is None and not self._is_sending

    def may_close(self) -> bool:
        return self.connection.outbox is None and not self._is_sending

    def finish(self) -> None:
        with self.connection.lock:
            self._is_over = True
            self.poke()
        if self.upgrade is not None:
            self.upgrade.stop()

    def send_control(self, parcel: Parcel) -> None:
        self._control.append(parcel)
        self.poke()

    # -- the beginning and the end of the application's call -----------------------------------------------------------------------

    def open(self, parcels: list[Parcel]) -> None:
        """These are the session's first packets (lock held). The library has answered the handshake."""
        self.connection.outbox = list(parcels)
        self.connection.outbox_bytes = sum(parcel.size for parcel in parcels)

    def send_handshake(self) -> None:
        """The library has answered it."""

    def serve(self, is_wanted: bool = True) -> None:
        """Read on the web server's thread until the WebSocket is over, then leave the application's call in the way that this server
        wants it: raises, or returns for an empty response. `is_wanted`: False: only to say goodbye.
        """
        if not is_wanted:
            self.finish()
        self._driver.spawn(self.write)
        self.read()
        error = RAISE_AT_END.get(getattr(self._websocket, "mode", ""))
        if error is not None:
            raise error()

    # -- writing: a thread of its own ------------------------------------------------------------------------------------------

    def write(self) -> None:
        """Send what waits until the end (a spawned function)."""
        connection = self.connection
        try:
            while True:
                parcels = self._next()
                if parcels is None:
                    break
                for parcel in parcels:
                    for is_binary, data in parcel.packets():
                        self._websocket.send(bytes(data) if is_binary else data.decode("utf-8", "surrogatepass"))
                with connection.lock:
                    self._is_sending = False
                    if self.upgrade is None:
                        connection.drained()
        except Exception as error:          # the library has errors of its own, and those of sockets
            connection.end("transport error", error)
        finally:
            self._close()

    def _next(self) -> list[Parcel] | None:
        """Return what is to be sent, waiting for it; None at the end."""
        connection = self.connection
        while True:
            with connection.lock:
                if self._control:
                    parcels, self._control = self._control, []
                    return parcels
                if self.upgrade is None and connection.outbox is not None and not self._is_over:
                    parcels = connection.take_some()
                    self._is_sending = True
                    return parcels
                if self._is_over:
                    return None
                waiter = self._waiter = self._driver.waiter()
            waiter.wait()

    def _close(self) -> None:
        with suppress(Exception):           # it is closed
            self._websocket.close(self.connection.close_code or 1000)

    # -- reading: the web server's thread ----------------------------------------------------------------------------------------

    def read(self) -> None:
        """Deliver what comes until the end."""
        connection = self.connection
        while True:
            try:
                message = self._websocket.receive(timeout=LOOK_SECONDS)
            except Exception:               # the library's way of saying that this is the end
                break
            if message is None:
                continue
            connection.heard = True
            if self.upgrade is not None:
                self._probe(message)
            elif connection.state is not OPEN:
                continue
            else:
                self._deliver(message)
                connection.wait_until_resumed()
        if self.upgrade is not None:
            self._driver.post(self.upgrade.on_lost)
        elif connection.state is not CLOSED:
            connection.end("transport close")
        self._websocket.thread.join(LINGER)

    def _deliver(self, message: str | bytes) -> None:
        connection = self.connection
        try:
            if isinstance(message, str):
                connection.receive(*connection.decode_packet(message.encode("utf-8", "surrogatepass")))
            else:
                connection.receive("b", bytes(message))
        except EnginePacketError as error:
            connection.abort("parse error", error)
        except ProtocolError as error:
            connection.close_for("forced close", error)

    def _probe(self, message: str | bytes) -> None:
        """An upgrade is the loop's business: what comes after it must wait until the loop has seen it."""
        waiter = self._driver.waiter()
        self._driver.post(self._probed, message.encode() if isinstance(message, str) else b"", waiter)
        waiter.wait()

    def _probed(self, data: bytes, waiter: Waiter) -> None:
        try:
            if self.upgrade is not None:
                self.upgrade.on_text(data)
        finally:
            waiter.set()
