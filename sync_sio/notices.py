"""What an operator must act on: WARNING, once per cause and minute. Everything else here is silent by default."""

from __future__ import annotations

import logging
from collections.abc import Callable

INTERVAL = 60.0
"""Seconds in which one cause is told once."""
MAX_CAUSES = 1000
"""Causes remembered at most: a client that invents new ones may not fill our memory."""


class Notices:
    """Warns through one logger, and keeps still about what it said less than a minute ago.

    Threads: any; two that meet on one cause may both tell it, which does no harm. Never call it with a lock held.
    """

    def __init__(self, logger: logging.Logger, now: Callable[[], float]) -> None:
        self._logger = logger
        self._now = now
        self._told: dict[str, float] = {}

    def warn(self, cause: str, message: str, *args: object) -> None:
        """Log `message % args` at WARNING unless `cause` was told within the last minute."""
        now = self._now()
        if now - self._told.get(cause, -INTERVAL) < INTERVAL:
            return
        if len(self._told) >= MAX_CAUSES:
            self._told.clear()
        self._told[cause] = now
        self._logger.warning(message, *args)
