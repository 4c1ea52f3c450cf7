"""A one-way connection between two workers: frames, some of which carry a descriptor."""

from __future__ import annotations

import _socket
import array
import os
import struct
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, Protocol

from ..drivers.base import MAX_QUEUED, Driver, Waiter
from ..drivers.strand import Strand

__all__ = ["HELLO", "MESSAGE", "REQUEST", "Carried", "Link", "frame"]

HELLO, REQUEST, MESSAGE = range(3)
"""What a frame is. The first on each link says who speaks; a REQUEST carries a descriptor."""

MAX_WAITING: Final = 64 * 1024 * 1024
"""Bytes that may wait for a worker that does not read: then it is given up, until it does again."""
MAX_INCOMING: Final = 16 * 1024 * 1024
"""Bytes of messages that may wait to be dealt with, before no more are read."""
_HEAD: Final = struct.Struct("!IB")
_RECEIVE: Final = 256 * 1024
_DESCRIPTORS: Final = 64
"""How many one read may bring."""


def frame(kind: int, payload: bytes) -> bytes:
    """Return what a link carries."""
    return _HEAD.pack(len(payload), kind) + payload


class Carried(Protocol):
    """What has a descriptor to give away. Closed when it is sent, or cannot be."""

    @property
    def fd(self) -> int: ...

    def close(self) -> None: ...


class Link:
    """One direction: a `base.Watched`, and the `base.Flow` of the turns in which messages are dealt with.

    Args:
        sock: connected, non-blocking.
        take: gets (link, kind, payload, descriptor or -1) for each frame; phase one.
        ended: is told of the end, once; phase one.
        greeting: the first frame, if anything is said on this link: `begin` sends it, and what is said earlier waits behind it.

    Attributes:
        peer: who is at the other end; `""` until it has said so.
        strand: messages of one worker are dealt with in their order.
        other: the link in the other direction, if this one was dialled here and that one has ever been there.
        trouble: why it was ended, if an operator must know.
    """

    def __init__(
        self,
        sock: _socket.socket,
        driver: Driver,
        take: Callable[[Link, int, bytes, int], None],
        ended: Callable[[Link], None],
        peer: str = "",
        greeting: bytes = b"",
    ) -> None:
        self.fd = sock.fileno()
        self.peer = peer
        self.lock = driver.lock()
        self.corked = 0
        self.queued = 0
        self.queued_bytes = 0
        self.max_queued_bytes = MAX_INCOMING
        self.is_paused = False
        self.strand = Strand(self)
        self._sock = sock
        self._driver = driver
        self._take = take
        self._ended = ended
        self.other: Link | None = None
        self.trouble = ""
        self._is_over = False
        self._waiting: deque[tuple[memoryview, Carried | None]] = deque([(memoryview(greeting), None)] if greeting else ())
        self._waiting_bytes = len(greeting)
        self._all_sent: Waiter | None = None
        self._buffer = bytearray()
        self._descriptors: deque[int] = deque()
        self._name = f"to {peer}" if peer else "from a worker"

    def __repr__(self) -> str:
        return f"<bus: {self._name}>"

    # -- out: any thread -----------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Send the greeting. Once, when the loop watches the link and others may know of it."""
        with self.lock:
            if not self._is_over:
                self._drain()
                if self._waiting and not self._is_over:
                    self._arm()

    def wait_until_sent(self, seconds: float) -> None:
        """Block until nothing waits to be sent, for so long at most. For one at a time."""
        waiter = self._driver.waiter()
        with self.lock:
            if not self._waiting:
                return
            self._all_sent = waiter
        if self._driver.may_wait():
            waiter.wait(seconds)

    def send(self, data: bytes, carried: Carried | None = None) -> bool:
        """Send a frame, and what it carries, without waiting. False: the link is over; what was carried is the caller's still."""
        with self.lock:
            if self._is_over:
                return False
            self._waiting.append((memoryview(data), carried))
            self._waiting_bytes += len(data)
            if len(self._waiting) == 1:
                self._drain()
                if self._waiting and not self._is_over:
                    self._arm()
            elif self._waiting_bytes - len(self._waiting[0][0]) > MAX_WAITING:      # the first may be a large one that is being read
                self.trouble = "it does not read what it is told: over 64 MiB that waited are dropped, and its clients miss broadcasts"
                self._give_up()
        return True

    def _drain(self) -> None:
        waiting = self._waiting
        while waiting:
            view, carried = waiting[0]
            try:
                if carried is None:
                    sent = self._sock.send(view)
                else:
                    rights = (_socket.SOL_SOCKET, _socket.SCM_RIGHTS, array.array("i", [carried.fd]))
                    sent = self._sock.sendmsg([view], [rights])
            except BlockingIOError:
                return
            except OSError:
                self._give_up()
                return
            if carried is not None:
                carried.close()
            self._waiting_bytes -= sent
            if sent == len(view):
                waiting.popleft()
            else:
                waiting[0] = view[sent:], None

    def _give_up(self) -> None:
        self._is_over = True
        for _, carried in self._waiting:
            if carried is not None:
                carried.close()
        self._waiting.clear()
        self._driver.discard(self)

    def _arm(self) -> None:
        self._driver.set_interest(self, not self.is_paused, bool(self._waiting))

    # -- the loop ------------------------------------------------------------------------------------------------------------

    def on_writable(self) -> None:
        with self.lock:
            self._drain()
            waiter = None if self._waiting else self._all_sent
            if not self._is_over:
                self._arm()
        if waiter is not None:
            waiter.set()

    def on_readable(self) -> None:
        try:
            data, extra, flags, _ = self._sock.recvmsg(_RECEIVE, _socket.CMSG_SPACE(4 * _DESCRIPTORS), _CLOSE_ON_EXEC)
        except BlockingIOError:
            return
        except OSError:
            data, extra, flags = b"", [], 0
        self._note_descriptors(extra)
        if not data or flags & _socket.MSG_CTRUNC:
            # none is free for what came: a request must never be taken for that of another descriptor
            if data:
                self.trouble = "no descriptor is free for the connections that it hands over: see `ulimit -n`"
            self.close()
            return
        self._buffer += data
        self._read_frames()

    def _note_descriptors(self, extra: list[tuple[int, int, bytes]]) -> None:
        for level, kind, value in extra:
            if level == _socket.SOL_SOCKET and kind == _socket.SCM_RIGHTS:
                numbers = array.array("i")
                numbers.frombytes(value[: len(value) - len(value) % numbers.itemsize])
                for number in numbers:
                    os.set_inheritable(number, False)       # where the system has no flag for it
                self._descriptors += numbers

    def _read_frames(self) -> None:
        buffer, at = self._buffer, 0
        while len(buffer) - at >= _HEAD.size:
            size, kind = _HEAD.unpack_from(buffer, at)
            begin = at + _HEAD.size
            if len(buffer) < begin + size:
                break
            at = begin + size
            number = self._descriptors.popleft() if kind == REQUEST and self._descriptors else -1
            self._take(self, kind, bytes(memoryview(buffer)[begin:at]), number)
        del buffer[:at]

    def close(self) -> None:
        """End it. Any thread, idempotent."""
        with self.lock:
            if not self._is_over:
                self._give_up()

    def abandon(self) -> None:
        """In the child of a fork: give the descriptor back, the parent has its own. Else nobody would see when the parent dies."""
        self.fd = -1
        self._sock.close()
        for _, carried in self._waiting:
            if carried is not None:
                carried.close()
        self._close_descriptors()

    def on_discarded(self) -> None:
        with self.lock:
            self._sock.close()
            waiter = self._all_sent
        if waiter is not None:
            waiter.set()
        self._close_descriptors()
        self._ended(self)

    def _close_descriptors(self) -> None:
        numbers, self._descriptors = self._descriptors, deque()
        for number in numbers:
            with suppress(OSError):
                os.close(number)

    # -- Flow: messages that wait for their turn -----------------------------------------------------------------------------

    def uncork(self) -> None: ...

    def on_full(self) -> None:
        if not self.is_paused and not self._is_over:
            self.is_paused = True
            self._arm()

    def on_worked(self) -> None:
        if self.queued <= MAX_QUEUED // 2 and self.queued_bytes <= self.max_queued_bytes // 2:
            self.is_paused = False
            if not self._is_over:
                self._arm()


_CLOSE_ON_EXEC: Final[Any] = getattr(_socket, "MSG_CMSG_CLOEXEC", 0)
