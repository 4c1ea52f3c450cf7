"""Who else is there: servers are asked, and who was heard lately need not be."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from typing import Final

from ...drivers.base import Driver, Waiter
from ...drivers.locks import native_rlock
from ...workers.meeting import ID_LENGTH
from .link import Tell

__all__ = ["Neighbours"]

FRESH_SECONDS: Final = 5.0
"""Who was heard so lately is there; others are asked."""
KNOCK_SECONDS: Final = 2.0
"""How long the answer to that is waited for."""
MAX_KNOWN: Final = 10_000
"""Servers that are remembered, before those that have said nothing lately are forgotten."""

_ID: Final = re.compile(rf"[A-Za-z0-9_-]{{{ID_LENGTH}}}")


class Neighbours:
    """Servers elsewhere, by their ids. Any thread.

    Args:
        knock: `knock(server, tell)` asks a server to say that it is there; `tell` is called with how many have got that, or with an
            exception.
        count: `count(server, tell)` finds out how many listen to a server's channel where `knock` cannot tell; None: it cannot either.
            None instead of it: `knock` can.
    """

    def __init__(
        self,
        driver: Driver,
        knock: Callable[[str, Tell], None],
        count: Callable[[str, Callable[[int | None], None]], None] | None,
    ) -> None:
        self._driver = driver
        self._knock = knock
        self._count = count
        self._lock = native_rlock()         # guards what follows
        self._heard_at: dict[str, float] = {}
        self._askers: defaultdict[str, set[Waiter]] = defaultdict(set)

    def has(self, server: str) -> bool:
        """Tell whether a server is there; may block for a moment. `server`: whatever a client says."""
        if not _ID.fullmatch(server):
            return False
        if self.silence(server) < FRESH_SECONDS:
            return True
        waiter = self._driver.waiter()
        with self._lock:
            self._askers[server].add(waiter)
        self._knock(server, partial(self._knocked, server, waiter))
        waiter.wait(KNOCK_SECONDS)
        with self._lock:
            self._askers[server].discard(waiter)
            if not self._askers[server]:
                del self._askers[server]
        return bool(waiter.value)

    def silence(self, server: str) -> float:
        """Return for how many seconds nothing was heard of it."""
        at = self._heard_at.get(server)
        return float("inf") if at is None else self._driver.now() - at

    def heard(self, server: str) -> None:
        """It has said something, so it is there."""
        now = self._driver.now()
        with self._lock:
            self._heard_at[server] = now
            if len(self._heard_at) > MAX_KNOWN:
                self._heard_at = {name: at for name, at in self._heard_at.items() if now - at < FRESH_SECONDS}
            waiters = list(self._askers.get(server, ()))
        for waiter in waiters:
            waiter.set(True)

    def forget(self, server: str) -> None:
        """It has gone."""
        self._heard_at.pop(server, None)

    def _knocked(self, server: str, waiter: Waiter, reply: object) -> None:
        if not isinstance(reply, int) or (not reply and self._count is None):
            waiter.set(False)
        elif not reply and self._count is not None:
            self._count(server, partial(_counted, waiter))


def _counted(waiter: Waiter, number: int | None) -> None:
    if number == 0:
        waiter.set(False)
