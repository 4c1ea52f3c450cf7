"""The bus between the workers of one machine: who is there, and who says what to whom.

Each worker dials every other one that it finds, so there are two links between two workers, one for each direction. The kernel ends
both when a worker dies, however it does.
"""

from __future__ import annotations

import _socket
from collections.abc import Callable
from typing import Final, Protocol

from ..drivers.base import Driver, Timer, Waiter
from ..drivers.locks import native_lock
from .link import HELLO, MESSAGE, REQUEST, Carried, Link, frame
from .meeting import Meeting, clear

__all__ = ["READY_TIMEOUT", "Bus", "Ear"]

READY_TIMEOUT: Final = 2.0
"""Seconds that the first requests of a worker wait for the others to know it."""
LAST_WORDS: Final = 0.5
"""Seconds that who leaves gives the others to take what was said to them."""
AGAIN: Final = 0.5
"""Seconds until a worker that could not be reached is dialled again, or one that could not be accepted is."""


class Ear(Protocol):
    """Who hears the messages of other workers."""

    def heard(self, worker: str, payload: bytes) -> None:
        """A message (a turn): those of one worker come in the order in which it sent them."""
        ...

    def left(self, worker: str) -> None:
        """It is gone, and what it said before was heard (a turn).

        Twice of one that is gone before we have heard who it is: when our link to it ends, and behind what it said.
        """
        ...


def _say_nothing(cause: str, message: str, *args: object) -> None: ...


class Bus:
    """This worker's part of it. Any thread; the loop calls what begins with `_on`.

    Args:
        meeting: where the others are.
        passed: gets (payload, descriptor) of a request that another worker passes on; phase one.
        warn: as `Notices.warn`, for what an operator must act on.

    Attributes:
        id: this worker's, with which the ids of its sessions begin.
        is_ready: the others know this worker, or had the time to.
        ear: hears messages; None: nobody does.
    """

    def __init__(
        self, meeting: Meeting, driver: Driver, passed: Callable[[bytes, int], None], warn: Callable[..., None] = _say_nothing
    ) -> None:
        self.id = meeting.id
        self.is_ready = False
        self.ear: Ear | None = None
        self._meeting = meeting
        self._driver = driver
        self._passed = passed
        self._warn = warn
        self._lock = native_lock()
        self._to: dict[str, Link] = {}
        self._from: dict[str, Link] = {}
        self._links: set[Link] = set()
        self._unknowing: set[str] = set()
        """Workers that have not dialled us yet."""
        self._waiters: list[Waiter] = []
        self._is_closed = False
        self._again: Timer | None = None
        self._door = _Door(meeting.listen(), driver, self._on_dialled)
        driver.watch(self._door)
        meeting.sweep()
        self._dial(is_first=True)

    # -- who is there --------------------------------------------------------------------------------------------------------

    @property
    def workers(self) -> list[str]:
        """The ids of the others."""
        return list(self._to)

    def has(self, worker: str) -> bool:
        """Tell whether there is such another worker."""
        if worker not in self._to:
            self._dial()            # it may be so new that we have not heard of it
        return worker in self._to

    def wait_until_ready(self) -> None:
        """Block until the others know this worker: what they broadcast from then on reaches its clients."""
        waiter = self._driver.waiter()
        with self._lock:
            if self.is_ready:
                return
            self._waiters.append(waiter)
        waiter.wait(READY_TIMEOUT)
        self.is_ready = True

    def _look_whether_ready(self) -> None:
        with self._lock:
            if self._unknowing:
                return
            self.is_ready = True
            waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.set()

    # -- what is said --------------------------------------------------------------------------------------------------------

    def publish(self, payload: bytes) -> None:
        """Say something to all others."""
        data = frame(MESSAGE, payload)
        for link in list(self._to.values()):
            link.send(data)

    def tell(self, worker: str, payload: bytes) -> None:
        """Say something to one; nothing happens if it has gone."""
        link = self._to.get(worker)
        if link is not None:
            link.send(frame(MESSAGE, payload))

    def hand_over(self, worker: str, payload: bytes, carried: Carried) -> bool:
        """Give a descriptor to a worker. False: it has gone, and nothing has happened."""
        link = self._to.get(worker)
        return link is not None and link.send(frame(REQUEST, payload), carried)

    # -- life ----------------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Leave, when the others have taken what was said to them, or had the time to. Idempotent."""
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
            links = list(self._links)
        deadline = self._driver.now() + LAST_WORDS
        if self._again is not None:
            self._again.cancel()
        self._meeting.leave()
        self._driver.discard(self._door)
        for link in links:
            link.wait_until_sent(max(0.0, deadline - self._driver.now()))
        for link in links:
            link.close()

    def abandon(self) -> None:
        """This is the child of a fork: the parent is the worker, not we."""
        self._is_closed = True
        self._door.abandon()
        for link in self._links:
            link.abandon()

    def _dial(self, is_first: bool = False) -> None:
        """Connect to all whom we know nothing of yet."""
        for worker, path in self._meeting.others():
            if worker in self._to:
                continue
            link = self._connect(worker, path)
            if link is None:
                continue
            with self._lock:
                is_new = worker not in self._to and not self._is_closed
                if is_new:
                    self._to[worker] = link
                    self._links.add(link)
                    link.other = self._from.get(worker)
                    if is_first and worker not in self._from:
                        self._unknowing.add(worker)
            if is_new:
                self._driver.watch(link)
                link.begin()
            else:
                self._driver.discard(link)
        if is_first:
            self._look_whether_ready()

    def _connect(self, worker: str, path: str) -> Link | None:
        sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
        sock.setblocking(False)
        try:
            sock.connect(path)
        except ConnectionRefusedError:
            clear(path)             # whoever had it was killed
        except BlockingIOError:
            self._dial_again()      # it has more on its hands than it can accept
        except OSError:
            pass
        else:
            return Link(sock, self._driver, self._on_frame, self._on_ended, worker, frame(HELLO, self.id.encode()))
        sock.close()
        return None

    def _dial_again(self) -> None:
        if self._again is None and not self._is_closed:
            self._again = self._driver.later(AGAIN, self._on_time)

    def _on_time(self) -> None:
        self._again = None
        if not self._is_closed:
            self._dial()

    def _on_dialled(self, sock: _socket.socket) -> None:
        link = Link(sock, self._driver, self._on_frame, self._on_ended)
        with self._lock:
            is_wanted = not self._is_closed
            if is_wanted:
                self._links.add(link)
        if is_wanted:
            self._driver.watch(link)
        else:
            self._driver.discard(link)

    def _on_frame(self, link: Link, kind: int, payload: bytes, number: int) -> None:
        if kind == HELLO:
            self._on_hello(link, payload.decode())
        elif kind == REQUEST:
            if number >= 0:
                self._passed(payload, number)
        elif link.strand.put(_hear, (self, link.peer), payload, None, len(payload)):
            self._driver.run(link.strand)

    def _on_hello(self, link: Link, worker: str) -> None:
        link.peer = worker
        with self._lock:
            self._from[worker] = link
            self._unknowing.discard(worker)
            known = self._to.get(worker)
            if known is not None:
                known.other = link
        if known is None:
            self._dial()
        self._look_whether_ready()

    def _on_ended(self, link: Link) -> None:
        worker = link.peer
        if link.trouble:
            self._warn(link.trouble, "worker %s: %s", worker or "?", link.trouble)
        with self._lock:
            self._links.discard(link)
            was_to = self._to.get(worker) is link
            if was_to:
                del self._to[worker]
            was_from = self._from.get(worker) is link
            if was_from:
                del self._from[worker]
            other = self._from.get(worker) if was_to else self._to.get(worker)
            if was_to or was_from:          # else two have dialled at once, and this is the one that is not needed
                self._unknowing.discard(worker)
            is_gone = (was_to or was_from) and other is None and not self._is_closed
        self._look_whether_ready()
        if is_gone:
            # behind what it has said
            strand = (link.other or link).strand
            if strand.put(_tell_of_the_end, self, worker):
                self._driver.run(strand)
        elif was_to:
            self._dial_again()      # it lives, but did not read what it was told


class _Door:
    """Where other workers dial: a `base.Watched`."""

    def __init__(self, listener: _socket.socket, driver: Driver, dialled: Callable[[_socket.socket], None]) -> None:
        self.fd = listener.fileno()
        self._listener = listener
        self._driver = driver
        self._dialled = dialled

    def __repr__(self) -> str:
        return "<bus: where workers dial>"

    def on_readable(self) -> None:
        try:
            number, _ = self._listener._accept()  # type: ignore[attr-defined]
        except (BlockingIOError, ConnectionAbortedError, InterruptedError):
            return                      # nobody is there any more
        except OSError:                 # no descriptor is free, which would be told again at once
            self._driver.set_interest(self, False, False)
            self._driver.later(AGAIN, self._driver.set_interest, self, True, False)
            return
        sock = _socket.socket(fileno=number)
        sock.setblocking(False)
        self._dialled(sock)

    def on_writable(self) -> None: ...

    def on_discarded(self) -> None:
        self._listener.close()

    def abandon(self) -> None:
        self.fd = -1
        self._listener.close()


def _hear(whose: tuple[Bus, str], payload: bytes) -> None:
    bus, worker = whose
    if bus.ear is not None:
        bus.ear.heard(worker, payload)


def _tell_of_the_end(bus: Bus, worker: str) -> None:
    if bus.ear is not None:
        bus.ear.left(worker)
