"""What will happen at a time: a heap for the loop, which alone touches it, and timers that anybody may cancel."""

from __future__ import annotations

import logging
from collections.abc import Callable
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Any, Final

PURGE_AT: Final = 256
"""Cancelled timers in the heap that make it worth looking whether they are most of it."""

_log = logging.getLogger("sync_sio.loop")


class HeapTimer:
    """A `base.Timer`. A cancelled one is an empty shell until its time would have come, or until many are swept out."""

    __slots__ = ("_timers", "args", "deadline", "fn")

    def __init__(self, timers: Timers, deadline: float, fn: Callable[..., None], args: tuple[Any, ...]) -> None:
        self._timers = timers
        self.deadline = deadline
        self.fn: Callable[..., None] | None = fn
        self.args = args

    def cancel(self) -> None:
        if self.fn is not None:
            self.fn = None
            self.args = ()
            self._timers.cancelled += 1     # may lose a count between two threads: it only says when to look

    def run(self) -> None:
        """Do it, if it was not cancelled. The wall around timers: a bug is logged and ends nothing else."""
        fn, args = self.fn, self.args
        self.fn = None
        self.args = ()
        if fn is not None:
            try:
                fn(*args)
            except Exception:
                _log.exception("a timer failed: %s", getattr(fn, "__qualname__", fn))


class Timers:
    """A heap of timers. `push`, `run_due` and `next_deadline` are the loop's; `HeapTimer.cancel` is anybody's."""

    __slots__ = ("_heap", "_numbers", "cancelled")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, HeapTimer]] = []
        self._numbers = count()
        self.cancelled = 0

    def push(self, timer: HeapTimer) -> None:
        if timer.fn is not None:
            heappush(self._heap, (timer.deadline, next(self._numbers), timer))

    def next_deadline(self) -> float | None:
        """Return when `run_due` has something to do, None for never."""
        heap = self._heap
        while heap and heap[0][2].fn is None:
            heappop(heap)
        return heap[0][0] if heap else None

    def run_due(self, now: float) -> None:
        """Run everything whose time has come, oldest first; what that arms for now is run by the next call."""
        heap = self._heap
        if self.cancelled > PURGE_AT:
            self._purge()
        if not heap or heap[0][0] > now:
            return
        due = []
        while heap and heap[0][0] <= now:
            due.append(heappop(heap)[2])
        for timer in due:
            timer.run()

    def __len__(self) -> int:
        """Count those that were not cancelled."""
        return sum(1 for _, _, timer in self._heap if timer.fn is not None)

    def __iter__(self) -> Any:
        return (timer for _, _, timer in self._heap if timer.fn is not None)

    def _purge(self) -> None:
        self.cancelled = 0
        self._heap[:] = [entry for entry in self._heap if entry[2].fn is not None]
        heapify(self._heap)
