"""Pings of all connections, and who did not answer. No thread: the loop ticks while somebody is there.

All delays are equal, so a dict in the order of insertion is a queue in the order of deadlines: no heap, no timer objects.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ..drivers.base import Driver, Timer
from ..protocol.parcel import Parcel
from .connection import Connection
from .state import CLOSED, WhenFull

MAX_SPACING: Final = 0.25
"""Seconds between two ticks at least, or an eightieth of the shorter delay: what falls due in between goes out together. So an idle server
wakes four times a second, however many clients it has, and a few clients are served to the millisecond."""
PING: Final = Parcel.control(b"2")


class Heartbeat:
    """`lock` guards the queues and the timer; it is never held while something is sent.

    Args:
        on_tick: called after each tick (phase one): what is due now and then needs no timer of its own.
    """

    def __init__(self, driver: Driver, interval: float, timeout: float, on_tick: Callable[[], None]) -> None:
        self._driver = driver
        self._interval = interval
        self._timeout = timeout
        self._on_tick = on_tick
        self._spacing = min(MAX_SPACING, interval / 80, timeout / 80)
        self._lock = driver.lock()
        self._to_ping: dict[Connection, float] = {}
        self._awaited: dict[Connection, float] = {}
        self._listened_to: dict[Connection, float] = {}
        self._timer: Timer | None = None
        self._next = 0.0
        self._last = -MAX_SPACING

    def opened(self, connection: Connection) -> None:
        """From now on this one is pinged, or has to ping. Any thread."""
        if connection.protocol != 4:
            self.listen(connection)
            return
        due = self._driver.now() + self._interval
        with self._lock:
            self._to_ping[connection] = due
            self._arm(due)

    def pong(self, connection: Connection) -> None:
        """The client has answered, or spoken without being asked: its next ping is an interval away. Any thread."""
        due = self._driver.now() + self._interval
        with self._lock:
            if connection.state is CLOSED:
                return
            self._awaited.pop(connection, None)
            self._to_ping.pop(connection, None)
            self._to_ping[connection] = due
            self._arm(due)

    def listen(self, connection: Connection) -> None:
        """A client of the third revision has pinged, or come: it has an interval and a time-out for the next ping. Any thread."""
        due = self._driver.now() + self._interval + self._timeout
        connection.heard = connection.is_extended = False
        with self._lock:
            if connection.state is CLOSED:
                return
            self._awaited.pop(connection, None)
            self._listened_to.pop(connection, None)
            self._listened_to[connection] = due
            self._arm(due)

    def forget(self, connection: Connection) -> None:
        """The connection has ended. Any thread."""
        with self._lock:
            self._to_ping.pop(connection, None)
            self._awaited.pop(connection, None)
            self._listened_to.pop(connection, None)
            timer = None
            if not len(self):
                timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def __len__(self) -> int:
        return len(self._to_ping) + len(self._awaited) + len(self._listened_to)

    def stop(self) -> None:
        """Tick no more."""
        with self._lock:
            timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def _arm(self, due: float) -> None:
        """See to it that there is a tick when something falls due (lock held)."""
        if self._timer is not None:
            if self._next <= due:
                return
            self._timer.cancel()
        now = self._driver.now()
        self._next = max(due, self._last + self._spacing, now)
        self._timer = self._driver.later(self._next - now, self._tick)

    def _tick(self) -> None:
        now = self._driver.now()
        with self._lock:
            # it may be another by now: this one was cancelled just when it began
            timer, self._timer = self._timer, None
            self._last = now
            late = _take_due(self._awaited, now) + _take_due(self._listened_to, now)
            due = _take_due(self._to_ping, now)
            for connection, when in due:
                if connection.state is not CLOSED:
                    # counted from when the ping was due, as ticks come a little late; not from long ago: a process may have
                    # stood still
                    self._awaited[connection] = max(when, now - self._spacing) + self._timeout
        if timer is not None:
            timer.cancel()
        for connection, _ in due:
            connection.heard = connection.is_extended = False
            connection.send_parcel(PING, WhenFull.CLOSE)
        for connection, _ in late:
            self._judge(connection, now)
        with self._lock:
            for queue in (self._awaited, self._to_ping, self._listened_to):
                for when in queue.values():
                    self._arm(when)
                    break
        self._on_tick()

    def _judge(self, connection: Connection, now: float) -> None:
        """The pong is overdue. A process that stood still must not drop everybody, so the client is read once more."""
        if connection.direct is not None and not connection.is_paused and connection.state is not CLOSED:
            connection.direct.on_readable()
            if connection in self._to_ping or connection in self._listened_to:
                return
        if connection.is_paused or (connection.heard and not connection.is_extended):
            # whom we do not read cannot answer; who has sent something else meanwhile gets one more chance
            connection.is_extended = not connection.is_paused
            with self._lock:
                if connection.state is not CLOSED:
                    self._awaited[connection] = now + self._timeout     # of either revision: it is the next to be judged
        else:
            connection.abort("ping timeout")


def _take_due(queue: dict[Connection, float], now: float) -> list[tuple[Connection, float]]:
    due = []
    for item in queue.items():
        if item[1] > now:
            break
        due.append(item)
    for connection, _ in due:
        del queue[connection]
    return due
