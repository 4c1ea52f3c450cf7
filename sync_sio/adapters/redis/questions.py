"""What is asked before the answers could be heard: it waits, so that no answer is lost and nobody is counted who cannot be known."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from ...drivers.locks import native_rlock

MAX_HELD: Final = 1000
"""Questions that wait for a subscription; more push out the oldest, which end with their time-outs."""


class Questions:
    """Any thread.

    Args:
        hears: tells whether a channel is subscribed by now.
    """

    def __init__(self, hears: Callable[[str], bool]) -> None:
        self._hears = hears
        self._lock = native_rlock()
        self._held: deque[tuple[tuple[str, ...], Callable[[], object]]] = deque(maxlen=MAX_HELD)

    def ask(self, channels: tuple[str, ...], say: Callable[[], object]) -> None:
        """Call `say` when all of `channels` are heard: now, or as soon as `look` finds it."""
        with self._lock:
            if not all(map(self._hears, channels)):
                self._held.append((channels, say))
                return
        say()

    def look(self) -> None:
        """Ask what can be asked by now."""
        with self._lock:
            ready = [entry for entry in self._held if all(map(self._hears, entry[0]))]
            for entry in ready:
                self._held.remove(entry)
        for _, say in ready:
            say()
