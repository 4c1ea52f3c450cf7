"""Pings of all connections, and who did not answer. No thread: the loop ticks while somebody is there.

All delays are equal, so a dict in the order of insertion is a queue in the order of deadlines: no heap, no timer objects.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..drivers.base import Driver, Timer
from ..protocol.parcel import Parcel
from .connection import CLOSED, WhenFull

if TYPE_CHECKING:
    from .connection import Connection

MAX_TICK: Final = 0.25
"""Seconds: the pings of one tick go out together, so that an idle server wakes four times a second, however many clients it has."""
PING: Final = Parcel.control(b"2")


class Heartbeat:
    """`lock` guards both dicts and the timer; it is never held while something is sent."""

    def __init__(self, driver: Driver, interval: float, timeout: float) -> None:
        self._driver = driver
        self._interval = interval
        self._timeout = timeout
        self._tick_length = max(0.01, min(MAX_TICK, interval / 10, timeout / 10))
        self._lock = driver.lock()
        self._to_ping: dict[Connection, float] = {}
        self._awaited: dict[Connection, float] = {}
        self._timer: Timer | None = None

    def opened(self, connection: Connection) -> None:
        """From now on this one is pinged. Any thread."""
        due = self._driver.now() + self._interval
        with self._lock:
            self._to_ping[connection] = due
            must_start = self._timer is None
        if must_start:
            self._start()

    def pong(self, connection: Connection) -> None:
        """The client has answered, or spoken without being asked: its next ping is an interval away. Any thread."""
        due = self._driver.now() + self._interval
        with self._lock:
            if connection.state is CLOSED:
                return
            self._awaited.pop(connection, None)
            self._to_ping.pop(connection, None)
            self._to_ping[connection] = due

    def forget(self, connection: Connection) -> None:
        """The connection has ended. Any thread."""
        with self._lock:
            self._to_ping.pop(connection, None)
            self._awaited.pop(connection, None)

    def __len__(self) -> int:
        return len(self._to_ping) + len(self._awaited)

    def stop(self) -> None:
        with self._lock:
            timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def _start(self) -> None:
        timer = self._driver.later(self._tick_length, self._tick)
        with self._lock:
            if self._timer is None:
                self._timer, timer = timer, None
        if timer is not None:
            timer.cancel()                  # two first connections at once

    def _tick(self) -> None:
        now = self._driver.now()
        with self._lock:
            self._timer = None
            late = _take_due(self._awaited, now)
            due = _take_due(self._to_ping, now)
            for connection in due:
                if connection.state is not CLOSED:
                    self._awaited[connection] = now + self._timeout
        for connection in due:
            connection.heard = connection.is_extended = False
            connection.send_parcel(PING, WhenFull.CLOSE)
        for connection in late:
            self._judge(connection, now)
        with self._lock:
            must_go_on = self._timer is None and bool(self._to_ping or self._awaited)
        if must_go_on:
            self._start()

    def _judge(self, connection: Connection, now: float) -> None:
        """The pong is overdue. A process that stood still must not drop everybody, so the client is read once more."""
        if connection.direct is not None and not connection.is_paused and connection.state is not CLOSED:
            connection.direct.on_readable()
            if connection in self._to_ping:
                return
        if connection.is_paused or (connection.heard and not connection.is_extended):
            # whom we do not read cannot answer; who has sent something else meanwhile gets one more chance
            connection.is_extended = not connection.is_paused
            with self._lock:
                if connection.state is not CLOSED:
                    self._awaited[connection] = now + self._timeout
        else:
            connection.abort("ping timeout")


def _take_due(queue: dict[Connection, float], now: float) -> list[Connection]:
    due = []
    for connection, when in queue.items():
        if when > now:
            break
        due.append(connection)
    for connection in due:
        del queue[connection]
    return due
