"""What goes to one client: sent at once when nothing waits, else kept in the outbox until the transport can take it.

The half of a connection that many threads use at once. It is entered with `send_parcel`, and left through the *lane* of a plain
WebSocket, through the transport's `write` and `drain`, or by whoever takes the outbox: a ticket, a writing thread.
"""

from __future__ import annotations

from typing import Any, Final

from ..drivers.base import Driver, Lock, Waiter
from ..drivers.locks import get_ident
from ..protocol.parcel import Parcel
from .ends import slow_consumer
from .seams import DirectTransport, Home, Lane, Transport
from .state import CLOSED, CLOSING, DROP, OPEN, OPENING, WAIT, State, WhenFull
from .tap import Tap

FLUSH_BYTES: Final = 256 * 1024
"""About so much is joined into one write: more would copy what the kernel cannot take anyway."""
MUCH: Final = 16 * 1024
"""From so much on it is looked at whether a turn has gathered enough."""


class Outgoing:
    """`lock` guards all that is here, the non-blocking write itself, and the life of the descriptor.

    Attributes:
        outbox: parcels that wait; None when nothing waits, so an empty one stands before a `tail`.
        outbox_bytes: what they and the tail count for.
        tail: the rest of a write that did not fit: bytes that go out before any parcel does.
        corked: the thread whose turn gathers what it sends; 0: nobody's. That thread sets it without the lock.
        is_writing: a write is in progress: a finalizer that emits on the same thread may only append.
        direct: the transport, if it writes at once.
        lane: where frames may be written just as they are; None when somebody must look at them, or hear of them.
        senders: who waits for room, first come first served.
    """

    __slots__ = (
        "corked",
        "direct",
        "driver",
        "home",
        "is_writing",
        "lane",
        "lock",
        "outbox",
        "outbox_bytes",
        "senders",
        "state",
        "tail",
        "tap",
        "transport",
    )

    home: Home[Any]
    driver: Driver
    lock: Lock
    transport: Transport

    def __init__(self) -> None:
        self.state: State = OPENING
        self.direct: DirectTransport | None = None
        self.lane: Lane | None = None
        self.outbox: list[Parcel] | None = None
        self.outbox_bytes = 0
        self.tail: memoryview | None = None
        self.corked = 0
        self.is_writing = False
        self.senders: list[Waiter] | None = None
        self.tap: Tap | None = None

    def switch_to(self, transport: Transport, direct: DirectTransport | None) -> None:
        """Send through this transport from now on (lock held)."""
        self.transport, self.direct = transport, direct
        self.listen_in(self.tap)

    def listen_in(self, tap: Tap | None) -> None:
        """Show to `tap` what is sent from now on (lock held)."""
        self.tap = tap
        self.lane = self.direct.lane if self.direct is not None and tap is None else None

    # -- any thread ------------------------------------------------------------------------------------------------------

    def send_parcel(self, parcel: Parcel, when_full: WhenFull) -> bool:
        """Send now, or keep it until there is room. False: the connection is closing or closed, nothing was sent (nor was a `DROP`).

        Never raises for the recipient's sake, but for `WAIT`: SlowConsumer.
        """
        lock = self.lock
        lock.acquire()                      # twice as quick as `with`
        try:
            if self.state is not OPEN:
                return False
            lane = self.lane
            if lane is not None:
                if self.outbox is None and not self.corked and not self.is_writing:
                    self._write(lane, parcel.frames)
                    if self.outbox is not None:
                        self.uncork()       # a finalizer on this thread may have emitted meanwhile
                    return True
                if self.corked == get_ident() and self.tail is None:
                    # of our own turn: it waits for us until that ends, not for the client
                    if self.outbox is None:
                        fresh: list[Parcel] = []
                        if self.outbox is None:     # a finalizer on this thread may have come back in here
                            self.outbox = fresh
                    # nothing is called or made between that look and the change
                    self.outbox_bytes = waiting = self.outbox_bytes + parcel.size
                    self.outbox.append(parcel)
                    if waiting > MUCH and not self.is_writing:
                        self._send_if_much()
                    return True
            if self._send_slowly(parcel, when_full):
                return True
            if when_full is not WAIT:
                return False
        finally:
            lock.release()
        return self._send_later(parcel)

    def wait_for_room(self) -> None:
        """Block while over half of `max_buffered_bytes` waits for this client, as `WAIT` does, and send nothing. Raises SlowConsumer."""
        if self.outbox_bytes > self.home.options.max_buffered_bytes // 2 and self.driver.may_wait():
            self._send_later(None)

    @property
    def buffered_bytes(self) -> int:
        """What waits for this client to take it; see `max_buffered_bytes`."""
        return self.outbox_bytes

    # -- with the lock held ------------------------------------------------------------------------------------------------

    def _write(self, lane: Lane, data: bytes) -> None:
        """Send now, nothing waits before it; what does not fit is kept."""
        self.is_writing = True
        try:
            sent = lane.send(data)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self.lose(error)
            sent = len(data)
        if sent != len(data) and self.direct is not None:
            self.direct.keep(memoryview(data)[sent:])
        self.is_writing = False

    def _send_slowly(self, parcel: Parcel, when_full: WhenFull) -> bool:
        """Send to a transport of another kind, or to one that is listened in to, or keep it. False: it was dropped, or has to wait."""
        direct = self.direct
        if direct is not None and self.outbox is None and not self.corked and not self.is_writing:
            self.is_writing = True
            direct.write(parcel)
            self.is_writing = False
            if self.tap is not None:
                self.tap.sent(parcel)
            self.uncork()
            return True
        if when_full is DROP and not self.transport.may_take():
            return False
        waiting = self.outbox_bytes
        if waiting:
            limit = self.home.options.max_buffered_bytes
            if when_full is WAIT and (self.senders or waiting + parcel.size > limit // 2) and self.driver.may_wait():
                return False
            if waiting + parcel.size > limit:
                self._end("transport error", slow_consumer(waiting + parcel.size, limit))
                self.driver.post(self.tell)
                return True
        self._append(parcel)
        return True

    def _append(self, parcel: Parcel) -> None:
        fresh = [parcel]
        outbox = self.outbox                # as in `send_parcel`
        if outbox is None:
            self.outbox = fresh
        else:
            outbox += fresh
        self.outbox_bytes += parcel.size
        if self.tap is not None:
            self.tap.sent(parcel)
        self.transport.poke()

    def _send_if_much(self) -> None:
        """Send what a turn has gathered so far, if it would be too much for one write, or for a client that reads slowly."""
        if self.outbox_bytes > min(FLUSH_BYTES, self.home.options.max_buffered_bytes // 2) and self.direct is not None:
            self.direct.drain()

    def uncork(self) -> None:
        """Send what a turn has gathered. Part of Flow."""
        outbox = self.outbox
        if outbox is None or self.is_writing:
            return
        lane = self.lane
        if lane is not None and len(outbox) == 1 and self.tail is None and self.state is OPEN and not self.senders:
            self.outbox = None
            self.outbox_bytes = 0
            self._write(lane, outbox[0].frames)
            outbox = self.outbox
        if outbox is not None and self.direct is not None and not self.direct.is_armed and self.state is not CLOSED:
            self.direct.drain()

    def take_some(self) -> list[Parcel]:
        """Take the oldest parcels out of the outbox, about `FLUSH_BYTES` of them, at least one if there is one."""
        outbox = self.outbox
        if outbox is None:
            return []
        if self.tail is None and self.outbox_bytes <= FLUSH_BYTES:
            self.outbox = None
            self.outbox_bytes = 0
            return outbox
        size = count = 0
        for parcel in outbox:
            size += parcel.size
            count += 1
            if size >= FLUSH_BYTES:
                break
        taken = outbox[:count]
        del outbox[:count]
        self.outbox_bytes -= size
        if not outbox and self.tail is None:
            self.outbox = None
        return taken

    def keep(self, tail: memoryview) -> None:
        """Remember the rest of a write."""
        if self.outbox is None:
            self.outbox = []
        self.tail = tail
        self.outbox_bytes += len(tail)

    def take_tail(self) -> memoryview | None:
        """Return the rest of a write, which is the caller's to send."""
        tail, self.tail = self.tail, None
        if tail is not None:
            self.outbox_bytes -= len(tail)
            if not self.outbox:
                self.outbox = None
        return tail

    def drop_all(self) -> None:
        """Forget what waits."""
        self.outbox = self.tail = None
        self.outbox_bytes = 0

    def drained(self) -> None:
        """The transport has less to send than before (any transport)."""
        if self.tap is not None and self.outbox is None:
            self.tap.drained()
        if self.senders:
            self._wake_sender()
        if self.state is CLOSING and self.outbox is None and self.transport.may_close():
            self._end_as_planned()

    # -- who waits for room ------------------------------------------------------------------------------------------------

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
                if self.senders is None or self.state is CLOSED:
                    return False
                waiting = self.outbox_bytes
                has_room = not waiting or waiting + size <= half
                if in_time and not has_room:
                    # broadcasts have taken the room meanwhile; we stay the first
                    again = driver.waiter()
                    self.senders[self.senders.index(waiter)] = waiter = again
                    continue
                self.senders.remove(waiter)
                if has_room:
                    if parcel is not None:
                        self._send_slowly(parcel, WhenFull.CLOSE)
                    self._wake_sender()
                    return True
                error = slow_consumer(waiting, options.max_buffered_bytes, options.send_timeout)
                self._end("transport error", error)
            self.tell()
            raise error

    def _wake_sender(self) -> None:
        """Let the first of those who wait go on if there is room (lock held)."""
        if self.senders and self.outbox_bytes <= self.home.options.max_buffered_bytes // 2:
            self.senders[0].set()

    # -- the end: `Connection`'s ---------------------------------------------------------------------------------------------

    def lose(self, error: OSError) -> None:
        """A write failed (lock held)."""
        if self.state is not CLOSED:
            self._end("transport error", error)
            self.driver.post(self.tell)

    def _end(self, reason: str, description: object) -> None:
        raise NotImplementedError

    def _end_as_planned(self) -> None:
        raise NotImplementedError

    def tell(self) -> None:
        raise NotImplementedError
