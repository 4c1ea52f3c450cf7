"""One Engine.IO client: its state, what waits for it, and the one lock that guards both.

The states are one table::

    OPENING ──▶ OPEN ──▶ CLOSING ──▶ CLOSED          CLOSING: what was sent before `close()` still goes out
        └─────────┴──────────────────▶

An upgrade in progress is not a state but a `candidate` beside the transport: data flows and closes happen meanwhile.

An end is *decided* under the lock (`_end`: from then on nothing is sent) and *told* without it (`tell`: once, by whoever
decided it if no lock is held there, else by the loop). Races that this settles: two threads that close at once, a write
that fails inside a broadcast, a ping time-out beside a close frame. Exactly one of them decides; the others see CLOSED.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Final, TypeVar, overload

from ..drivers.base import Lock, Timer, Waiter
from ..drivers.strand import Strand
from ..protocol.engineio.payload import decode_packet
from ..protocol.parcel import Parcel
from ..types import Environ
from .ends import QueueOverflow, slow_consumer, tell_operator
from .events import Events, call_all
from .listener import Receiver
from .outbox import Outbox
from .seams import DirectTransport, Home, RequestRecord, Transport
from .state import CLOSED, CLOSING, DROP, OPEN, OPENING, WAIT, WhenFull
from .tap import TAPPED, Tap

F = TypeVar("F", bound=Callable[..., Any])

EVENTS: Final = ("message", "upgrading", "upgrade", "packet", "packet_create", "drain", "heartbeat", "close")
"""What users may listen to on a connection."""
BUSY: Final = -1
"""`corked` while a write is in progress: a finalizer that emits on the same thread may only append."""
MAX_QUEUED_EVENTS: Final = 256
"""Events of one client that may wait for its handlers before it is no longer read; four times that ends it."""
CLOSE_TIMEOUT: Final = 30.0
"""Seconds that `close()` waits for what was sent before to be taken."""


class Connection:
    """One client, on whichever transport.

    `lock` guards state, outbox, corked, senders, the queue counters and who reads; also the non-blocking write itself and the
    life of the descriptor. `transport` and `candidate` are changed under it. `receiver` is set before the connection can be
    reached and never changes. `heard` and `is_extended` belong to the heartbeat and whoever reads; a lost update costs nothing.
    """

    __slots__ = (
        "__weakref__",
        "_events",
        "_record",
        "_request",
        "_strand",
        "candidate",
        "close_code",
        "corked",
        "deadline",
        "description",
        "direct",
        "driver",
        "heard",
        "home",
        "id",
        "is_extended",
        "is_paused",
        "is_told",
        "lock",
        "opened_at",
        "outbox",
        "owed_acks",
        "queued",
        "queued_bytes",
        "reason",
        "receiver",
        "remote_address",
        "resumed",
        "senders",
        "state",
        "tap",
        "transport",
        "upgraded",
    )

    decode_packet = staticmethod(decode_packet)
    """Of a text message: type and data."""

    protocol: ClassVar[int] = 4
    """The revision of Engine.IO that this client speaks."""

    def __init__(self, home: Home[Connection], sid: str, record: RequestRecord, remote_address: str) -> None:
        self.home = home
        self.id = sid
        self.driver = home.driver
        self.lock: Lock = home.driver.lock()
        self.state = OPENING
        self.opened_at = home.driver.wall_time()
        self.remote_address = remote_address
        self.receiver: Receiver
        self.transport: Transport
        self.direct: DirectTransport | None = None
        self.candidate: Transport | None = None
        self.outbox: Outbox | None = None
        self.corked = 0
        self.senders: list[Waiter] | None = None
        self.queued = 0
        self.queued_bytes = 0
        self.owed_acks = 0
        self.is_paused = False
        self.resumed: Waiter | None = None
        self.heard = False
        self.is_extended = False
        self.is_told = False
        self.deadline: Timer | None = None
        self.reason = ""
        self.description: object = None
        self.close_code: int | None = None
        self._record = record
        self._request: Environ | None = None
        self._strand: Strand | None = None
        self._events: Events | None = None
        self.tap: Tap | None = None
        self.upgraded = False
        """Whether it began with polling and is on WebSocket now."""

    def __repr__(self) -> str:
        return f"<Connection {self.id} {self.state.value} on {self.transport.name}>"

    # -- what users see ------------------------------------------------------------------------------------------------

    @property
    def ready_state(self) -> str:
        """`"opening"`, `"open"`, `"closing"` or `"closed"`."""
        return self.state.value

    @property
    def upgrading(self) -> bool:
        """Whether a WebSocket is there that it may switch to."""
        return self.candidate is not None

    @property
    def buffered_bytes(self) -> int:
        """What waits for this client to take it; see `max_buffered_bytes`."""
        outbox = self.outbox
        return 0 if outbox is None else outbox.size

    @property
    def request(self) -> Environ:
        """The handshake's WSGI environ, without sockets and streams. The same dict each time."""
        if self._request is None:
            self._request = self._record.expand()
        return self._request

    def peek_request(self) -> Environ:
        """Return what `request` does, for a moment: it is not kept if nobody has asked for it, as it is large."""
        return self._record.expand() if self._request is None else self._request

    @property
    def strand(self) -> Strand:
        """Where user code runs that has no socket (yet): engine events, dynamic namespaces."""
        if self._strand is None:
            with self.lock:
                if self._strand is None:
                    self._strand = Strand(self)
        return self._strand

    @overload
    def on(self, name: str, listener: F) -> F: ...
    @overload
    def on(self, name: str) -> Callable[[F], F]: ...
    def on(self, name: str, listener: Any = None) -> Any:
        """Call `listener` for one of these, in order, on a strand of this connection's own; as a call or a decorator.

        `"upgrading"(transport)`, `"upgrade"(transport)`: the probe came, the switch is made. `"packet"(packet)`,
        `"packet_create"(packet)`: one was received, or will be sent; `packet.type` is `"message"`, `"ping"` …, `packet.data` str or
        bytes. `"drain"()`: all that was sent has left. `"heartbeat"()`: the client has answered a ping. `"message"(data)`.
        `"close"(reason, description)`.
        """
        return self._add(name, listener, once=False)

    @overload
    def once(self, name: str, listener: F) -> F: ...
    @overload
    def once(self, name: str) -> Callable[[F], F]: ...
    def once(self, name: str, listener: Any = None) -> Any:
        """The same for the next time only."""
        return self._add(name, listener, once=True)

    def off(self, name: str, listener: Callable[..., Any] | None = None) -> None:
        """Remove a listener, or all of one event."""
        events = self._listeners()
        events.off(name, listener)
        with self.lock:
            if self.tap is not None and not any(map(events.has, ("message", *TAPPED))):
                self.tap = None

    def send(self, data: str | bytes, compress: bool = True) -> None:
        """Send one message. Blocks only while over half of `max_buffered_bytes` waits for this client; a closed one gets nothing.

        Args:
            compress: whether it may be compressed, where that was agreed on.

        Raises:
            TypeError: neither str nor bytes.
            SlowConsumer: the client did not take what waits within `send_timeout`; it is closed.
        """
        if isinstance(data, str):
            try:
                text = data.encode()
            except UnicodeEncodeError:      # UTF-8 has no form for lone surrogates: they become U+FFFD, as in JavaScript
                text = data.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()
            parcel = Parcel(text, (), compress)
        elif isinstance(data, bytes | bytearray | memoryview):
            parcel = Parcel(None, (bytes(data),), compress)
        else:
            raise TypeError(f"a message is str or bytes, not {type(data).__name__}: encode it first, with JSON for instance")
        self.send_parcel(parcel, WAIT)

    def fire(self, name: str, *args: object, size: int = 0, may_register: bool = False) -> None:
        """Have the listeners of `name` called on the strand. Any thread, no lock held.

        Args:
            size: bytes that it counts for while it waits.
            may_register: listeners may still come that have a right to this: a handler of "connection" that has not run.
        """
        events = self._events
        if not may_register and (events is None or not events.has(name)):
            return
        strand = self.strand
        if strand.put(_call_listeners, self, (name, args), self.home.habits[name], size):
            self.driver.run(strand)

    def _add(self, name: str, listener: Any, once: bool) -> Any:
        if listener is None:
            return lambda function: self._add(name, function, once)
        events = self._listeners()
        (events.once if once else events.on)(name, listener)
        if name in TAPPED or (name == "message" and not self.home.is_plain):
            with self.lock:
                if self.tap is None:
                    self.tap = Tap(self, events)
        return listener

    def _listeners(self) -> Events:
        events = self._events
        if events is None:
            with self.lock:
                events = self._events
                if events is None:
                    events = self._events = Events(*EVENTS)
        return events

    # -- out: any thread -------------------------------------------------------------------------------------------------

    def send_parcel(self, parcel: Parcel, when_full: WhenFull) -> bool:
        """Send now, or keep it until there is room. False: the connection is closing or closed, nothing was sent (nor was a `DROP`).

        Never raises for the recipient's sake, but for `WAIT`: SlowConsumer.
        """
        with self.lock:
            if self.state is not OPEN:
                return False
            direct = self.direct
            if direct is not None and self.outbox is None and not self.corked:
                self.corked = BUSY
                direct.write(parcel)
                self.corked = 0
                if self.tap is not None:
                    self.tap.sent(parcel)
                self.uncork()               # a finalizer on this thread may have emitted meanwhile
                return True
            if when_full is DROP and not self.transport.may_take():
                return False
            waits = not self._append(parcel, when_full)
        return self._send_later(parcel) if waits else True

    def _append(self, parcel: Parcel, when_full: WhenFull) -> bool:
        """Keep a parcel (lock held). False: too much waits, and the caller must wait."""
        outbox = self.outbox
        if outbox is None:
            outbox = self.outbox = Outbox()
        size = outbox.size
        if size:
            limit = self.home.options.max_buffered_bytes
            if when_full is WAIT and (self.senders or size + parcel.size > limit // 2) and self.driver.may_wait():
                return False
            if size + parcel.size > limit:
                self._end("transport error", slow_consumer(size + parcel.size, limit))
                self.driver.post(self.tell)
                return True
        outbox.append(parcel)
        if self.tap is not None:
            self.tap.sent(parcel)
        self.transport.poke()
        return True

    def wait_for_room(self) -> None:
        """Block while over half of `max_buffered_bytes` waits for this client, as `WAIT` does, and send nothing. Raises SlowConsumer."""
        outbox = self.outbox
        if outbox is not None and outbox.size > self.home.options.max_buffered_bytes // 2 and self.driver.may_wait():
            self._send_later(None)

    def _send_later(self, parcel: Parcel | None) -> bool:
        """Wait for room, first come first served, then send."""
        size = 0 if parcel is None else parcel.size
        driver, options = self.driver, self.home.options
        half = options.max_buffered_bytes // 2
        deadline = driver.now() + options.send_timeout
        waiter = driver.waiter()
        with self.lock:
            if self.senders is None:
                self.senders = []
            self.senders.append(waiter)
            self._wake_sender()
        while True:
            in_time = waiter.wait(max(0.0, deadline - driver.now()))
            with self.lock:
                if self.senders is None or self._is_over():
                    return False
                outbox = self.outbox
                has_room = outbox is None or not outbox.size or outbox.size + size <= half
                if in_time and not has_room:
                    # broadcasts have taken the room meanwhile; we stay the first
                    again = driver.waiter()
                    self.senders[self.senders.index(waiter)] = waiter = again
                    continue
                self.senders.remove(waiter)
                if has_room:
                    if parcel is None:
                        pass
                    elif outbox is None and self.direct is not None and not self.corked:
                        self.direct.write(parcel)
                        if self.tap is not None:
                            self.tap.sent(parcel)
                    else:
                        self._append(parcel, WhenFull.CLOSE)
                    self._wake_sender()
                    return True
                error = slow_consumer(0 if outbox is None else outbox.size, options.max_buffered_bytes, options.send_timeout)
                self._end("transport error", error)
            self.tell()
            raise error

    def _wake_sender(self) -> None:
        """Let the first of those who wait go on if there is room (lock held)."""
        senders, outbox = self.senders, self.outbox
        if senders and (outbox is None or outbox.size <= self.home.options.max_buffered_bytes // 2):
            senders[0].set()

    def uncork(self) -> None:
        """Send what a turn has gathered (lock held). Part of Flow."""
        if self.outbox is not None and self.direct is not None and not self.direct.is_armed and self.state is not CLOSED:
            self.direct.drain()

    def drained(self) -> None:
        """The transport has less to send than before (lock held, any transport)."""
        if self.tap is not None and self.outbox is None:
            self.tap.drained()
        if self.senders:
            self._wake_sender()
        if self.state is CLOSING and self.outbox is None and self.transport.may_close():
            self._end(self.reason, self.description)
            self.driver.post(self.tell)

    # -- in: whoever reads -------------------------------------------------------------------------------------------------

    def receive(self, kind: str, data: bytes) -> None:
        """Take one Engine.IO packet that is no upgrade (phase one, no lock). Raises ProtocolError for the floor above."""
        tap = self.tap                      # `off` may take it away meanwhile
        if tap is not None:
            tap.received(kind, data)
        if kind == "4":
            self.receiver.text(data)
        elif kind == "b":
            self.receiver.binary(data)
        elif kind == "3":
            self.home.pong(self)
        elif kind == "1":
            self.end("transport close")
        elif kind == "2":
            self.end("transport error", "invalid heartbeat direction")
        # 0, 5 and 6 from an established client say nothing

    def on_queued(self, size: int) -> None:
        """One more event waits in a strand (lock held). Part of Flow."""
        self.queued += 1
        self.queued_bytes += size
        limit = self.home.options.max_http_buffer_size
        if self.queued <= MAX_QUEUED_EVENTS and self.queued_bytes <= limit:
            return
        if not self.owed_acks:
            self.is_paused = True
        if (self.queued > 4 * MAX_QUEUED_EVENTS or self.queued_bytes > 4 * limit) and self.state is OPEN:
            self._end("transport error", QueueOverflow(self.queued, self.queued_bytes))
            self.driver.post(self.tell)

    def on_worked(self, count: int, size: int) -> None:
        """Events were run (lock held). Part of Flow."""
        self.queued -= count
        self.queued_bytes -= size
        if (
            self.is_paused
            and self.queued <= MAX_QUEUED_EVENTS // 2
            and self.queued_bytes <= self.home.options.max_http_buffer_size // 2
        ):
            self._resume()

    def wait_until_resumed(self) -> None:
        """Block a thread that reads for this connection alone while too much waits for its handlers (no lock held)."""
        if not self.is_paused:
            return
        waiter = self.driver.waiter()
        with self.lock:
            if not self.is_paused or self.state is CLOSED:
                return
            self.resumed = waiter
        waiter.wait()

    def owe_ack(self) -> None:
        """The client was asked for an acknowledgement (lock held): it is read whatever waits, or nobody would ever be answered."""
        self.owed_acks += 1
        if self.is_paused:
            self._resume()

    def settle_ack(self) -> None:
        """An acknowledgement came, or is awaited no more (lock held)."""
        self.owed_acks -= 1

    def _resume(self) -> None:
        self.is_paused = False
        if self.resumed is not None:
            self.resumed.set()
            self.resumed = None
        if self.direct is not None and self.state is not CLOSED:
            self.direct.read_again()

    # -- the end -----------------------------------------------------------------------------------------------------------

    def open(self) -> None:
        """The open packet is on its way."""
        with self.lock:
            if self.state is OPENING:
                self.state = OPEN

    def close(self, discard: bool = False) -> None:
        """Close the connection after what was sent before; with `discard` without waiting for what has no room. Any thread; idempotent.

        A client that polls is told by its next poll, for which it has 30 s.
        """
        if discard:
            with self.lock:
                self._drain_corked()
            self.abort("forced close")
        else:
            self.close_for("forced close")

    def close_for(self, reason: str, description: object = None, code: int | None = None) -> None:
        """Close from our side, with what listeners shall be told of it; see `close`."""
        with self.lock:
            if self.state is not OPEN and self.state is not OPENING:
                return
            self.close_code = code
            self.reason, self.description = reason, description
            self._drain_corked()
            if self._is_over():
                return
            is_done = self.transport.may_close()
            if is_done:
                self._end(reason, description)
            else:
                self.state = CLOSING
        if is_done:
            self.tell()
            return
        timer: Timer | None = self.driver.later(CLOSE_TIMEOUT, self.end, reason, description)
        with self.lock:
            if self.state is CLOSING:
                self.deadline, timer = timer, None
        if timer is not None:
            timer.cancel()                  # it has ended meanwhile

    def _drain_corked(self) -> None:
        """Send what this turn has gathered (lock held)."""
        direct = self.direct
        if direct is not None and self.outbox is not None and not direct.is_armed and self.corked != BUSY and self.state is not CLOSED:
            direct.drain()

    def abort(self, reason: str, description: object = None, code: int | None = None) -> None:
        """End at once from our side: what waits is dropped, but the client is told. Any thread; idempotent."""
        with self.lock:
            if self.state is CLOSED:
                return
            self.close_code = code
            self._end(reason, description)
        self.tell()

    def end(self, reason: str, description: object = None) -> None:
        """The connection has ended, or must. Any thread without a lock; the first call decides."""
        with self.lock:
            if self.state is CLOSED:
                return
            self._end(reason, description)
        self.tell()

    def discard(self) -> None:
        """End before it has begun, as its request is refused: only the floor above knew of it. No lock held."""
        with self.lock:
            if self.state is not OPENING:
                return
            self._end("forced close", None)
            self.is_told = True
        self.home.forget(self)
        self.receiver.closed(self.reason, None)

    def lose(self, error: OSError) -> None:
        """A write failed (lock held)."""
        if self.state is not CLOSED:
            self._end("transport error", error)
            self.driver.post(self.tell)

    def _is_over(self) -> bool:
        return self.state is CLOSED

    def _end(self, reason: str, description: object) -> None:
        """Decide the end (lock held, state is not CLOSED)."""
        self.state = CLOSED
        self.reason, self.description = reason, description
        if self.senders is not None:
            for waiter in self.senders:
                waiter.set()
            self.senders = None
        if self.resumed is not None:
            self.resumed.set()
            self.resumed = None

    def tell(self) -> None:
        """Tell everybody of the end. No lock held; once, whoever comes first."""
        with self.lock:
            if self.is_told:
                return
            self.is_told = True
            transport, candidate, deadline = self.transport, self.candidate, self.deadline
            self.candidate = self.deadline = None
        if deadline is not None:
            deadline.cancel()
        transport.finish()
        if candidate is not None:
            candidate.finish()
        with self.lock:
            self.outbox = None
        self.home.forget(self)
        for probe in self.home.probes:
            probe.connection_closed(self, self.reason)
        tell_operator(self.home.notices, self.id, self.description)
        self.receiver.closed(self.reason, self.description)
        self.fire("close", self.reason, self.description, may_register=self._events is not None or self.home.has_greeters())


def _call_listeners(connection: Connection, call: tuple[str, tuple[object, ...]]) -> None:
    name, args = call
    if connection._events is not None:
        call_all(connection._events.take(name), args, connection.id)
        if name == "close":
            with connection.lock:
                connection._events = connection.tap = None      # nothing comes after it: what the listeners hold is let go
