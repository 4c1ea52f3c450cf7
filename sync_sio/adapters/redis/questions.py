"""What is asked before it may be: it waits, so that no answer is lost and nobody is counted who cannot be known."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from ...drivers.locks import native_rlock

MAX_HELD: Final = 1000
MAX_HELD_BYTES: Final = 16_000_000
"""Questions that wait; more push out the oldest, which end with their time-outs."""

Awaited = TypeVar("Awaited")


class Held(Generic[Awaited]):
    """Questions that wait for something, each with its size in bytes. Whoever uses it sees to it that one thread does at a time."""

    def __init__(self) -> None:
        self._entries: deque[tuple[Awaited, Callable[[], object], int]] = deque()
        self._bytes = 0

    def __bool__(self) -> bool:
        return bool(self._entries)

    def keep(self, awaited: Awaited, say: Callable[[], object], size: int) -> None:
        self._entries.append((awaited, say, size))
        self._bytes += size
        while len(self._entries) > MAX_HELD or (self._bytes > MAX_HELD_BYTES and len(self._entries) > 1):
            self._bytes -= self._entries.popleft()[2]

    def take(self, is_there: Callable[[Awaited], bool], in_order: bool = False) -> list[Callable[[], object]]:
        """Return those that need not wait any more, and hold them no longer; `in_order`: up to the first that must."""
        taken, kept = [], []
        while self._entries:
            awaited, say, size = entry = self._entries.popleft()
            if is_there(awaited):
                taken.append(say)
                self._bytes -= size
            else:
                kept.append(entry)
                if in_order:
                    break
        self._entries.extendleft(reversed(kept))
        return taken


class Questions:
    """Those that wait until their answers can be heard. Any thread.

    Args:
        hears: tells whether a channel is subscribed by now.
    """

    def __init__(self, hears: Callable[[str], bool]) -> None:
        self._hears = hears
        self._lock = native_rlock()
        self._held: Held[tuple[str, ...]] = Held()

    def ask(self, channels: tuple[str, ...], say: Callable[[], object], size: int) -> None:
        """Call `say` when all of `channels` are heard: now, or as soon as `look` finds it."""
        with self._lock:
            if not self._hears_all(channels):
                self._held.keep(channels, say, size)
                return
        say()

    def look(self) -> None:
        """Ask what can be asked by now."""
        with self._lock:
            ready = self._held.take(self._hears_all)
        for say in ready:
            say()

    def _hears_all(self, channels: tuple[str, ...]) -> bool:
        return all(map(self._hears, channels))
