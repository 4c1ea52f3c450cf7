"""Clients that have joined no namespace yet. Who has not within `connect_timeout` is closed.

All have the same time, so a dict in the order of insertion is a queue in the order of deadlines, and one timer is enough: most clients
join within a round trip, and a timer for each would be made and cancelled each time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ..drivers.base import Driver, Timer

MAX_SPACING: Final = 0.25
"""Seconds between two looks at least, or an eightieth of the time if that is less: so many who say nothing cost four looks a second."""

TooLate = Callable[[], None]


class Newcomers:
    """Who is being waited for; each is known by the function that is called, in the loop, when its time is over.

    `lock` guards the queue and the timer. Any thread may call everything.
    """

    def __init__(self, driver: Driver, timeout: float) -> None:
        self._driver = driver
        self._timeout = timeout
        self._spacing = min(MAX_SPACING, timeout / 80)
        self._lock = driver.lock()
        self._due: dict[TooLate, float] = {}
        self._timer: Timer | None = None

    def add(self, too_late: TooLate) -> None:
        """Wait for this one from now on."""
        due = self._driver.now() + self._timeout
        with self._lock:
            self._due[too_late] = due
            if self._timer is None:
                self._timer = self._driver.later(self._timeout, self._tick)

    def remove(self, too_late: TooLate) -> None:
        """It has joined, or is gone. Idempotent."""
        with self._lock:
            self._due.pop(too_late, None)
            timer = None
            if not self._due:
                timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def __len__(self) -> int:
        return len(self._due)

    def _tick(self) -> None:
        now = self._driver.now()
        late = []
        with self._lock:
            # it may be another by now: this one was cancelled just when it began
            timer, self._timer = self._timer, None
            for too_late, due in self._due.items():
                if due > now:
                    self._timer = self._driver.later(max(due - now, self._spacing), self._tick)
                    break
                late.append(too_late)
            for too_late in late:
                del self._due[too_late]
        if timer is not None:
            timer.cancel()
        for too_late in late:
            too_late()
