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

from ..drivers.base import MAX_QUEUED, Timer, Waiter
from ..drivers.strand import Strand
from ..protocol.engineio.payload import decode_packet
from ..protocol.parcel import Parcel
from ..types import Environ
from .ends import QueueOverflow, tell_operator
from .events import Events, call_all
from .listener import Receiver
from .outgoing import Outgoing
from .seams import Home, RequestRecord, Transport
from .state import CLOSED, CLOSING, OPEN, OPENING, WAIT
from .tap import TAPPED, Tap

F = TypeVar("F", bound=Callable[..., Any])

EVENTS: Final = ("message", "upgrading", "upgrade", "packet", "packet_create", "drain", "heartbeat", "close")
"""What users may listen to on a connection."""
CLOSE_TIMEOUT: Final = 30.0
"""Seconds that `close()` waits for what was sent before to be taken."""


class Connection(Outgoing):
    """One client, on whichever transport.

    `lock` guards what goes out (see `Outgoing`), the state, the queue counters and who reads. `transport` and `candidate` are changed
    under it. `receiver` is set before the connection can be
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
        "deadline",
        "description",
        "heard",
        "id",
        "is_extended",
        "is_paused",
        "is_told",
        "max_queued_bytes",
        "opened_at",
        "owed_acks",
        "queued",
        "queued_bytes",
        "reason",
        "receiver",
        "remote_address",
        "resumed",
        "upgraded",
    )

    decode_packet = staticmethod(decode_packet)
    """Of a text message: type and data."""

    protocol: ClassVar[int] = 4
    """The revision of Engine.IO that this client speaks."""

    def __init__(self, home: Home[Connection], sid: str, record: RequestRecord, remote_address: str) -> None:
        super().__init__()
        self.home = home
        self.id = sid
        self.driver = home.driver
        self.lock = home.driver.lock()
        self.opened_at = home.driver.wall_time()
        self.remote_address = remote_address
        self.receiver: Receiver
        self.candidate: Transport | None = None
        self.queued = 0
        self.queued_bytes = 0
        self.max_queued_bytes: int = home.options.max_http_buffer_size
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
    def request(self) -> Environ:
        """The handshake's WSGI environ, without sockets and streams: `wsgi.input` is an empty one. The same dict each time."""
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
                self.listen_in(None)

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
                    self.listen_in(Tap(self, events))
        return listener

    def _listeners(self) -> Events:
        events = self._events
        if events is None:
            with self.lock:
                events = self._events
                if events is None:
                    events = self._events = Events(*EVENTS)
        return events

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

    def hold(self, size: int) -> None:
        """One more event waits beside the strands (lock held)."""
        self.queued += 1
        self.queued_bytes += size
        if self.queued > MAX_QUEUED or self.queued_bytes > self.max_queued_bytes:
            self.on_full()

    def let_go(self, count: int, size: int) -> None:
        """So many of them wait there no more (lock held)."""
        self.queued -= count
        self.queued_bytes -= size
        if self.is_paused:
            self.on_worked()

    def on_full(self) -> None:
        """Part of Flow: no longer read the client, unless it owes us acknowledgements; four times as much ends it."""
        if not self.owed_acks:
            self.is_paused = True
        if (self.queued > 4 * MAX_QUEUED or self.queued_bytes > 4 * self.max_queued_bytes) and self.state is OPEN:
            self._end("transport error", QueueOverflow(self.queued, self.queued_bytes))
            self.driver.post(self.tell)

    def on_worked(self) -> None:
        """Part of Flow: read it again once half of that is done."""
        if self.queued <= MAX_QUEUED // 2 and self.queued_bytes <= self.max_queued_bytes // 2:
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
        if direct is not None and self.outbox is not None and not direct.is_armed and not self.is_writing and self.state is not CLOSED:
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

    def _is_over(self) -> bool:
        return self.state is CLOSED

    def _end_as_planned(self) -> None:
        """All that was sent before `close()` has gone (lock held)."""
        self._end(self.reason, self.description)
        self.driver.post(self.tell)

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
            self.drop_all()
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
                connection._events = None   # nothing comes after it: what the listeners hold is let go
                connection.listen_in(None)
