"""The WebSocket transport: frames in, parcels out, on a stream that the loop watches.

It has three roles, one after the other: with `upgrade` set it is a candidate, whose messages only the probe sees; then it is the
connection's own; then, `is_leaving`, it waits for the client's close frame, so that what we sent last is not lost to a reset.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from ..drivers.base import Driver, Stream
from ..errors import ProtocolError
from ..protocol.engineio.packet import EnginePacketError
from ..protocol.parcel import Parcel
from ..protocol.websocket.deflate import Deflate
from ..protocol.websocket.frames import (
    BINARY,
    CLOSE,
    NO_CODE,
    PING,
    TEXT,
    FrameError,
    FrameReader,
    close_frame,
    parse_close,
    pong_frame,
)
from .connection import Connection
from .outgoing import FLUSH_BYTES
from .seams import Candidate, DirectTransport, Lane
from .state import CLOSED, OPEN

READ_BYTES: Final = 66 * 1024
"""One read: a 64 KiB message with its heads fits."""
LINGER: Final = 2.0
"""Seconds that a client has to answer our close frame."""
MESSAGE: Final = ord("4")


class WebSocketTransport:
    """One WebSocket. The connection's lock guards writes, `is_armed` and the life of the stream; reading is the loop's."""

    __slots__ = (
        "close_code",
        "connection",
        "deflate",
        "driver",
        "fd",
        "head",
        "is_armed",
        "is_deaf",
        "is_leaving",
        "is_lost",
        "leftover",
        "reader",
        "stream",
        "upgrade",
    )

    name: Final = "websocket"

    def __init__(
        self, connection: Connection, stream: Stream, leftover: bytes = b"", deflate: Deflate | None = None, head: bytes = b""
    ) -> None:
        self.connection = connection
        self.driver: Driver = connection.driver
        self.stream = stream
        self.fd = stream.fd
        self.deflate = deflate
        limit = connection.home.options.max_http_buffer_size
        self.reader = FrameReader(limit) if deflate is None else FrameReader(limit, deflate.inflate)
        self.leftover = leftover
        self.head = head
        """The answer to the handshake, until it is sent."""
        self.upgrade: Candidate | None = None
        self.is_armed = False
        self.is_deaf = False
        self.is_leaving = False
        self.is_lost = False
        self.close_code: int | None = None

    def serve(self, is_wanted: bool = True) -> None:
        """Read from now on: what the server had read ahead, then the stream. Any thread. `is_wanted`: False: only to say goodbye."""
        self.driver.post(self._begin)
        if not is_wanted or self.connection.state is CLOSED:
            self.finish()                   # it may have ended while it was on its way to this transport
            if self.connection.home.is_closed:
                self.driver.discard(self)   # the loop may have ended: nobody else would

    def _begin(self) -> None:
        leftover, self.leftover = self.leftover, b""
        if leftover:
            self._feed(leftover)
        if not self.is_lost:
            self.driver.watch(self)
            with self.connection.lock:
                if self.is_armed or self.connection.is_paused:
                    self.driver.set_interest(self, not self.connection.is_paused, self.is_armed)

    # -- out: any thread, the connection's lock held ---------------------------------------------------------------------------

    def write(self, parcel: Parcel) -> None:
        """Send a parcel; nothing waits before it. What does not fit is kept."""
        data = parcel.frames if self.deflate is None else self._deflated(parcel)
        try:
            sent = self.stream.send(data)
        except OSError as error:
            self.connection.lose(error)
            return
        if sent != len(data):
            self.keep(memoryview(data)[sent:])

    def may_take(self) -> bool:
        # what a turn gathers in the outbox waits for us, not for the client
        return not self.is_armed

    def poke(self) -> None:
        """A parcel was added to the outbox."""
        connection = self.connection
        if connection.outbox is None or self.is_armed or connection.is_writing:
            return
        if connection.corked != self.driver.ident() or connection.outbox_bytes > FLUSH_BYTES:
            self.drain()                    # what another thread sends must not wait for our handler

    def may_close(self) -> bool:
        return self.connection.outbox is None

    def send_raw(self, data: bytes) -> None:
        """The same for bytes that are no parcel."""
        if self.connection.tail is not None:
            return                          # a pong to a client that does not read
        try:
            sent = self.stream.send(data)
        except OSError as error:
            if self.upgrade is None:
                self.connection.lose(error)
            return
        if sent != len(data) and self.upgrade is None:
            self.keep(memoryview(data)[sent:])

    def send_control(self, parcel: Parcel) -> None:
        """Send a packet past the outbox: a candidate has none."""
        self.send_raw(parcel.frames)

    @property
    def direct(self) -> DirectTransport | None:
        """What may be written to at once."""
        return self

    @property
    def lane(self) -> Lane | None:
        """Where frames may be written as they are."""
        return self.stream.lane if self.deflate is None else None

    def open(self, parcels: list[Parcel]) -> None:
        """Answer the handshake; these are the session's first packets."""
        head, self.head = self.head, b""
        self.send_raw(head + b"".join([parcel.frames for parcel in parcels]))

    def send_handshake(self) -> None:
        """Answer the handshake of a candidate. A client that has no room even for that is none."""
        head, self.head = self.head, b""
        try:
            is_sent = self.stream.send(head) == len(head)
        except OSError:
            is_sent = False
        if not is_sent:
            self.stream.shutdown()

    def drain(self) -> None:
        """Send what waits, as far as it fits, and ask to be told when more does."""
        connection = self.connection
        connection.is_writing = True
        try:
            while connection.outbox is not None:
                data: bytes | memoryview | None = connection.take_tail()
                if data is None:
                    parcels = connection.take_some()
                    data = parcels[0].frames if len(parcels) == 1 and self.deflate is None else self._join(parcels)
                if not data:
                    continue
                try:
                    sent = self.stream.send(data)
                except OSError as error:
                    connection.lose(error)
                    return
                if sent != len(data):
                    self.keep(memoryview(data)[sent:])
                    if connection.senders:
                        connection.drained()
                    return
        finally:
            connection.is_writing = False
        if self.is_armed:
            self._arm(False)
        if connection.senders or connection.state is not OPEN or connection.tap is not None:
            connection.drained()

    def _join(self, parcels: list[Parcel]) -> bytes:
        if self.deflate is not None:
            return b"".join([self._deflated(parcel) for parcel in parcels])
        return b"".join([parcel.frames for parcel in parcels])

    def _deflated(self, parcel: Parcel) -> bytes:
        deflate = self.deflate
        assert deflate is not None
        return parcel.deflated(deflate.kind, deflate.frame) if parcel.may_compress else parcel.frames

    def keep(self, rest: memoryview) -> None:
        """Keep the rest of a write, and have the loop tell when there is room."""
        self.connection.keep(rest)
        if not self.is_armed:
            self._arm(True)

    def _arm(self, writable: bool) -> None:
        self.is_armed = writable
        self.driver.set_interest(self, not self.connection.is_paused or self.is_leaving, writable)

    def read_again(self) -> None:
        """The connection may be read again."""
        self.driver.set_interest(self, True, self.is_armed)
        if self.stream.has_pending():
            self.driver.post(self.on_readable)

    # -- in: the loop ------------------------------------------------------------------------------------------------------------

    def on_writable(self) -> None:
        with self.connection.lock:
            if self.connection.state is not CLOSED and not self.is_leaving:
                self.drain()
            elif self.is_armed:
                self._arm(False)

    def on_readable(self) -> None:
        if self.reader.buffer is not None or self.is_deaf or self.stream.is_tls:
            self._read_otherwise()
            return
        data = self.stream.recv(READ_BYTES)
        if data:
            text = self.reader.lone(data)
            if text is None or text[0] != MESSAGE or not self._deliver_one(text):
                self._feed(data)
        elif data is not None:
            self._lost()

    def _deliver_one(self, text: bytes) -> bool:
        """Hand on the one message that a read brought, as most do. False: it is to be looked at more closely."""
        connection = self.connection
        if connection.state is not OPEN or connection.tap is not None or self.is_leaving or self.upgrade is not None:
            return False
        connection.heard = True
        try:
            connection.receiver.text(text, 1)
        except ProtocolError as problem:
            connection.close_for("forced close", problem)
        if connection.is_paused:
            self._stop_reading()
        return True

    def _stop_reading(self) -> None:
        """Too much waits for the client's handlers."""
        with self.connection.lock:
            if self.connection.is_paused:
                self.driver.set_interest(self, False, self.is_armed)

    def _read_otherwise(self) -> None:
        """Read into the middle of a large frame, or with TLS, or what is not listened to any more."""
        stream = self.stream
        data: bytes | None
        if self.is_deaf:
            if not self.is_lost and stream.recv(READ_BYTES) == b"":
                self._lost()
            return
        if stream.is_tls:
            with self.connection.lock:      # OpenSSL: never a read beside a write
                data = stream.recv(READ_BYTES)
            if data is not None and stream.has_pending():
                self.driver.post(self.on_readable)
        elif (space := self.reader.space()) is not None:
            count = stream.recv_into(space)
            if count:
                self._filled(count)
                return
            data = None if count is None else b""
        else:
            data = stream.recv(READ_BYTES)
        if data:
            self._feed(data)
        elif data is not None:
            self._lost()

    def _feed(self, data: bytes) -> None:
        messages: list[tuple[int, bytes]] = []
        try:
            self.reader.feed(data, messages)
        except FrameError as error:
            self._deliver(messages, error)
        else:
            self._deliver(messages)

    def _filled(self, count: int) -> None:
        messages: list[tuple[int, bytes]] = []
        try:
            self.reader.filled(count, messages)
        except FrameError as error:
            self._deliver(messages, error)
        else:
            self._deliver(messages)

    def _deliver(self, messages: list[tuple[int, bytes]], error: FrameError | None = None) -> None:
        """Hand on what one read brought, and see to what was wrong behind it."""
        connection = self.connection
        connection.heard = True
        receiver = connection.receiver
        try:
            if len(messages) > 1 and connection.tap is None and connection.state is OPEN and not (self.is_leaving or self.upgrade):
                texts = [payload for opcode, payload in messages if opcode == TEXT and payload and payload[0] == MESSAGE]
                if len(texts) == len(messages):
                    receiver.texts(texts, 1)
                    messages = []
            for opcode, payload in messages:
                if opcode > BINARY or self.is_leaving or self.upgrade is not None:
                    if not self._rare(opcode, payload):
                        break
                elif connection.state is not OPEN:
                    continue                # only a close frame counts from here on
                elif connection.tap is not None:
                    if opcode == TEXT:
                        self._packet(payload)
                    else:
                        connection.receive("b", payload)
                elif opcode == BINARY:
                    receiver.binary(payload)
                elif payload and payload[0] == MESSAGE:
                    receiver.text(payload, 1)
                else:
                    self._packet(payload)
        except ProtocolError as problem:
            connection.close_for("forced close", problem)
        if error is not None:
            self._refuse(error)
        elif connection.is_paused and not self.is_leaving and self.upgrade is None:
            self._stop_reading()

    def _packet(self, payload: bytes) -> None:
        try:
            kind, data = self.connection.decode_packet(payload)
        except EnginePacketError as error:
            self.connection.abort("parse error", error)
        else:
            self.connection.receive(kind, data)

    def _rare(self, opcode: int, payload: bytes) -> bool:
        """A control frame, or whatever comes in another role. False: nothing after it matters."""
        connection = self.connection
        if opcode == CLOSE:
            self._on_close(payload)
            return False
        if self.is_leaving:
            return True
        if opcode == PING:
            with connection.lock:
                if connection.state is OPEN:
                    self.send_raw(pong_frame(payload))
        elif self.upgrade is not None:
            if opcode == TEXT:
                self.upgrade.on_text(payload)
            elif opcode == BINARY:
                self.upgrade.on_text(b"")
        return True

    def _on_close(self, payload: bytes) -> None:
        try:
            code, reason = parse_close(payload)
        except FrameError as error:
            self._refuse(error)
            return
        self.is_lost = self.is_deaf = True  # the client says nothing more
        self.close_code = None if code == NO_CODE else code
        if self.is_leaving:
            self.driver.discard(self)
        elif self.upgrade is not None:
            self.upgrade.on_lost()
        else:
            self.connection.abort("transport close", f"close frame {code} {reason}".rstrip())

    def _refuse(self, error: FrameError) -> None:
        self.is_deaf = True                 # what follows cannot be understood; it is read, so that our close frame gets through
        self.close_code = error.code
        if self.is_leaving:
            return
        if self.upgrade is not None:
            self.upgrade.on_lost()
        else:
            self.connection.abort("transport error", error, error.code)

    def _lost(self) -> None:
        """End of file."""
        self.is_lost = self.is_deaf = True
        if self.is_leaving:
            self.driver.discard(self)
        elif self.upgrade is not None:
            self.upgrade.on_lost()
        else:
            self.connection.end("transport close")

    # -- the end -------------------------------------------------------------------------------------------------------------------

    def finish(self) -> None:
        """Leave (no lock held): a close frame if one still fits between two frames, then the client's answer or the end. Idempotent."""
        connection = self.connection
        with connection.lock:
            if self.is_leaving:
                return
            self.is_leaving = True
            is_told = False
            if self.upgrade is not None or connection.tail is None:
                frame = close_frame(self.close_code if self.close_code is not None else connection.close_code)
                with suppress(OSError):
                    is_told = self.stream.send(frame) == len(frame)
            upgrade, self.upgrade = self.upgrade, None
            if is_told and not self.is_lost:
                self.is_armed = False
                self.driver.set_interest(self, True, False)
        if upgrade is not None:
            upgrade.stop()
        if is_told and not self.is_lost:
            connection.home.lingering.add(self)
            self.driver.later(LINGER, self.driver.discard, self)
        else:
            self.driver.discard(self)

    def on_discarded(self) -> None:
        with self.connection.lock:
            self.is_lost = self.is_deaf = self.is_leaving = True
            self.stream.close()
        self.connection.home.lingering.discard(self)

