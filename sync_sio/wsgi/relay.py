"""A client's connection that has to go through this process: the one end of a pair of sockets stands for it elsewhere."""

from __future__ import annotations

import _socket
from typing import Final

from ..drivers.base import Driver, Stream, Timer
from ..drivers.keeping import PlainSocket
from ..drivers.streams import PlainStream
from ..types import HeaderList

__all__ = ["Pump", "Relay", "pair"]

RECEIVE: Final = 64 * 1024
MANY: Final = 256 * 1024
"""Bytes that may wait on one side before the other one is not read any more."""
PATIENCE: Final = 30.0
"""Seconds that somebody who takes nothing of the last bytes is waited for."""
_HOP_BY_HOP: Final = frozenset({"connection", "date"})


def pair() -> tuple[PlainStream, PlainStream]:
    """Return both ends: ours, and the one to give away."""
    near, far = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_STREAM)
    return PlainStream(PlainSocket(fileno=near.detach())), PlainStream(PlainSocket(fileno=far.detach()))


class Relay:
    """Waits for one answer at our end of a pair: a `base.Watched`."""

    def __init__(self, driver: Driver, near: Stream) -> None:
        self.fd = near.fd
        self._driver = driver
        self._near = near
        self._received = bytearray()
        self._waiter = driver.waiter()
        driver.watch(self)

    def wait(self, timeout: float) -> tuple[int, HeaderList, bytes] | None:
        """Block until it is there. Returns status, headers and body; None: whoever had to answer has gone, or stands still.

        Args:
            timeout: seconds; a poll is answered by a ping at the latest, and a client that hears nothing for longer has given up.
        """
        if not self._waiter.wait(timeout):
            self.close()
            return None
        head, end, body = bytes(self._received).partition(b"\r\n\r\n")
        if not end:
            return None
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]
        length = next((int(value) for name, value in headers if name.lower() == "content-length"), 0)
        if len(body) < length:
            return None
        return int(first.split(" ")[1]), [each for each in headers if each[0].lower() not in _HOP_BY_HOP], body

    def close(self) -> None:
        """Wait no more."""
        self._driver.discard(self)

    def on_readable(self) -> None:
        data = self._near.recv(RECEIVE)
        if data:
            self._received += data
        elif data is not None:
            self._driver.discard(self)

    def on_writable(self) -> None: ...

    def on_discarded(self) -> None:
        self._near.close()
        self._waiter.set()


class Pump:
    """Carries bytes between two streams, in both directions, until one of them ends. All of it is the loop's."""

    def __init__(self, driver: Driver, one: Stream, other: Stream) -> None:
        self._driver = driver
        self._sides = _Side(driver, one), _Side(driver, other)
        self._sides[0].other, self._sides[1].other = reversed(self._sides)

    def start(self) -> None:
        for side in self._sides:
            self._driver.watch(side)
        for side in self._sides:
            self._driver.post(side.on_readable)     # TLS may have read already what no poll reports


class _Side:
    """One of the two: a `base.Watched`."""

    other: _Side

    def __init__(self, driver: Driver, stream: Stream) -> None:
        self.fd = stream.fd
        self._driver = driver
        self._stream = stream
        self._waiting = bytearray()
        self._is_away = False
        """Nobody listens to what it says: the other one is full."""
        self._is_released = False
        """It is not watched either, as it has broken; what it has to give is read to the end all the same."""
        self._patience: Timer | None = None
        """Runs while nothing but the last bytes is waited for."""
        self._is_over = False

    def on_readable(self) -> None:
        if self._is_away and self.other.is_full:
            # nobody asked: it has broken, which would be reported again and again
            if self._waiting:
                self._drain()
            elif not self._is_released:
                self._is_released = True
                self._driver.release(self)
            return
        while not self._is_over and not self.other.is_full:
            data = self._stream.recv(RECEIVE)
            if data is None:
                break
            if not data:
                self._end()
                self.other.finish()
                return
            self.other.write(data)
        self._look()

    @property
    def is_full(self) -> bool:
        return len(self._waiting) > MANY

    def _look(self) -> None:
        if self._is_over:
            return
        self._is_away = self.other.is_full
        if self._is_released and (self._waiting or not self._is_away):
            self._is_released = False
            self._driver.watch(self)
        if not self._is_released:
            self._driver.set_interest(self, not self._is_away, bool(self._waiting))

    def write(self, data: bytes) -> None:
        if not self._is_over:
            self._waiting += data
            self._drain()

    def finish(self) -> None:
        """Nothing more comes: end when all is sent."""
        if not self._is_over:
            self._patience = self._driver.later(PATIENCE, self._end)
            self._drain()

    def on_writable(self) -> None:
        if not self._is_over:
            was_full = self.is_full
            self._drain()
            if was_full and not self.is_full:
                self.other.on_readable()

    def _drain(self) -> None:
        waiting, size = self._waiting, len(self._waiting)
        try:
            while waiting:
                sent = self._stream.send(bytes(waiting[:RECEIVE]))
                if not sent:
                    break
                del waiting[:sent]
        except OSError:
            self._end()
            self.other.finish()
            return
        if self._patience is None:
            self._look()
        elif not waiting:
            self._stream.shutdown()
            self._end()
        else:
            if len(waiting) < size:
                self._patience.cancel()
                self._patience = self._driver.later(PATIENCE, self._end)
            self._look()

    def _end(self) -> None:
        if not self._is_over:
            self._is_over = True
            if self._patience is not None:
                self._patience.cancel()
            self._driver.discard(self)

    def on_discarded(self) -> None:
        self._is_over = True
        self._stream.close()
