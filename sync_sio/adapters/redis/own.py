"""What this server has put into a stream and gives its own clients when it comes back from there; and in which order they get it all."""

from __future__ import annotations

import logging
from collections import OrderedDict, deque
from dataclasses import dataclass

from ...drivers.base import Driver, Waiter
from ...drivers.locks import native_rlock
from ..base import AdapterListener, Answer, Broadcast, Kept, Message
from . import streams_wire as wire

PATIENCE_SECONDS = 1.0
"""After so long our own clients get a broadcast without its place: Redis cannot be reached, or stands still."""
FORGET_SECONDS = 120.0
"""What was delivered without a place and has not come back since is not waited for any more."""

_log = logging.getLogger("sync_sio.redis")


@dataclass(slots=True)
class Own:
    """A broadcast on its way through the stream."""

    namespace: str
    broadcast: Broadcast
    at: float
    is_early: bool = False


@dataclass(frozen=True, slots=True)
class Handed:
    """What the listener is told next; without a message only the place moves on."""

    namespace: str
    server: str
    message: Message | Answer | Kept | None
    stream: str = ""
    place: str = ""


class Desk:
    """Hands what comes to the listener, one after the other, whichever thread brings it. Any thread; its lock is a leaf."""

    def __init__(self, listener: AdapterListener, driver: Driver, server: str) -> None:
        self._listener = listener
        self._driver = driver
        self._server = server
        self._lock = native_rlock()
        self._queue: deque[Handed] = deque()
        self._is_handing = False
        self._own: OrderedDict[int, Own] = OrderedDict()       # the oldest first
        self._fresh: deque[int] = deque()       # of these, and of some that were: those that clients here have not got
        self._places: dict[str, str] = {}
        self._awaited: list[tuple[str, int, Waiter]] = []
        self.lag = 0.0

    def place(self, stream: str) -> str:
        """Return up to which entry of a stream everything was handed over."""
        return self._places.get(stream, "")

    # -- our own -----------------------------------------------------------------------------------------------------------

    def expect(self, number: int, namespace: str, broadcast: Broadcast) -> None:
        """It is about to be put into the stream."""
        with self._lock:
            self._own[number] = Own(namespace, broadcast, self._driver.now())
            self._fresh.append(number)

    def deliver_late(self, patience: float) -> None:
        """Give our clients what has not come back for `patience` seconds. Not in phase one."""
        before = self._driver.now() - patience
        with self._lock:
            while (own := self._oldest_fresh()) is not None and own.at <= before:
                own.is_early = True
                number = self._fresh.popleft()
                self._queue.append(Handed(own.namespace, self._server, Kept(own.broadcast, "", number)))
            while (own := next(iter(self._own.values()), None)) is not None and own.at < before - FORGET_SECONDS:
                self._own.popitem(last=False)
        self._hand_over()

    def has_late(self) -> bool:
        """Tell whether `deliver_late` has anything to do."""
        with self._lock:
            own = self._oldest_fresh()
        return own is not None and own.at <= self._driver.now() - PATIENCE_SECONDS

    def _oldest_fresh(self) -> Own | None:
        """Return what clients here have waited for for longest, the first of `_fresh` (the lock held)."""
        while self._fresh:
            own = self._own.get(self._fresh[0])
            if own is not None:
                return own
            self._fresh.popleft()
        return None

    def refused(self, number: int) -> None:
        """It will not come back: our clients get it as it is, in the order of these calls. Some lock may be held here."""
        with self._lock:
            own = self._own.pop(number, None)
            self._oldest_fresh()                # what is not there any more is let go
            if own is None or own.is_early:
                return
            self._queue.append(Handed(own.namespace, self._server, own.broadcast))
            is_handing = self._is_handing
        if not is_handing:
            self._driver.spawn(self._hand_over)

    # -- what comes --------------------------------------------------------------------------------------------------------

    def came_back(self, number: int, stream: str, place: str) -> None:
        """The stream has brought an entry of ours."""
        with self._lock:
            own = self._own.pop(number, None)
            self._oldest_fresh()
            kept = None if own is None else Kept(own.broadcast, place, number if own.is_early else 0)
            if own is not None and not own.is_early:
                self.lag = self._driver.now() - own.at
            self._queue.append(Handed("" if own is None else own.namespace, self._server, kept, stream, place))
        self._hand_over()

    def came(self, handed: Handed) -> None:
        """Another server has said something, or a stream has gone on."""
        with self._lock:
            self._queue.append(handed)
        self._hand_over()

    def start_at(self, stream: str, place: str) -> None:
        """The reading of a stream begins after this entry."""
        with self._lock:
            self._places[stream] = place

    def wait_for(self, stream: str, place: str, seconds: float) -> None:
        """Block until a stream was handed over up to an entry, for so long at most."""
        wanted = wire.number(place)
        with self._lock:
            if wire.number(self._places.get(stream, "")) >= wanted:
                return
            waiter = self._driver.waiter()
            self._awaited.append((stream, wanted, waiter))
        if not waiter.wait(seconds):
            with self._lock:
                self._awaited = [each for each in self._awaited if each[2] is not waiter]

    def _hand_over(self) -> None:
        """Tell the listener what is in the queue, unless another thread is at it: that one will see to ours, too."""
        with self._lock:
            if self._is_handing:
                return
            self._is_handing = True
        try:
            while (handed := self._next()) is not None:
                if handed.message is not None:
                    try:
                        self._listener.received(handed.namespace, handed.server, handed.message)
                    except Exception:
                        _log.exception("a message of %s cannot be dealt with", handed.server)
                if handed.place:
                    self._moved(handed.stream, handed.place)
        except BaseException:               # a greenlet that is killed: whoever comes next goes on
            self._is_handing = False
            raise

    def _next(self) -> Handed | None:
        """Return what is handed over next. None: nothing is, and whoever asks is at it no longer."""
        with self._lock:
            if self._queue:
                return self._queue.popleft()
            self._is_handing = False
            return None

    def _moved(self, stream: str, place: str) -> None:
        with self._lock:
            self._places[stream] = place
            if not self._awaited:
                return
            here = wire.number(place)
            there = [waiter for name, wanted, waiter in self._awaited if name == stream and wanted <= here]
            self._awaited = [each for each in self._awaited if each[2] not in there]
        for waiter in there:
            waiter.set()
