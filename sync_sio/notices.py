"""What an operator must act on: WARNING, one line per cause and minute. Everything else here is silent by default."""

from __future__ import annotations

import logging
from collections.abc import Callable

INTERVAL = 60.0
"""Seconds in which one cause is told once."""
MAX_CAUSES = 1000
"""Causes remembered at most: a client that invents new ones may not fill our memory."""


class Notices:
    """Warns through one logger. What it said less than a minute ago is counted only, and the number told when the minute is over.

    Threads: any; two that meet on one cause may both tell it, or be counted as one, which does no harm. Never call it with a lock held.
    """

    def __init__(self, logger: logging.Logger, now: Callable[[], float]) -> None:
        self._logger = logger
        self._now = now
        self._told: dict[str, float] = {}
        self._more: dict[str, tuple[int, str]] = {}
        """How often it happened again, and what would have been said the last time."""

    def warn(self, cause: str, message: str, *args: object) -> None:
        """Log `message % args` at WARNING, unless `cause` was told within the last minute."""
        now = self._now()
        is_recent = now - self._told.get(cause, -INTERVAL) < INTERVAL
        if is_recent or cause in self._more:
            count, _ = self._more.get(cause, (0, ""))
            self._more[cause] = count + 1, message % args
            if not is_recent:
                self._tell_more(cause, now)
            return
        if len(self._told) >= MAX_CAUSES:
            self._told.clear()
            self._more.clear()
        self._told[cause] = now
        self._logger.warning(message, *args)

    def remind(self, at_once: bool = False) -> None:
        """Say how often it happened again, of each cause whose minute is over; `at_once`: of all, as there is no later."""
        if self._more:
            now = self._now()
            for cause in list(self._more):
                if at_once or now - self._told.get(cause, -INTERVAL) >= INTERVAL:
                    self._tell_more(cause, now)

    def _tell_more(self, cause: str, now: float) -> None:
        count, last = self._more.pop(cause, (0, ""))
        before = self._told.get(cause, now)
        self._told[cause] = now
        if count:                               # another thread may have been quicker
            self._logger.warning("%d more in the last %.0f s, the last: %s", count, now - before, last)
