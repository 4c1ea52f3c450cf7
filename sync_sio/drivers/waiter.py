"""One wait of an OS thread for one result."""

from __future__ import annotations

from collections.abc import Callable
from threading import TIMEOUT_MAX
from typing import Any

from .locks import DEBUG, allocate_lock, assert_none_held


class ThreadWaiter:
    """A `base.Waiter` for OS threads.

    Args:
        about_to_block: called before the caller is put to sleep; raises when it may not be.
    """

    __slots__ = ("_about_to_block", "_gate", "_is_set", "_turn", "value")

    def __init__(self, about_to_block: Callable[[], None]) -> None:
        self.value: Any = None
        self._about_to_block = about_to_block
        self._is_set = False
        self._turn = [None]         # whoever pops it is the first: atomic, and nobody can be made to wait in it
        self._gate = allocate_lock()
        self._gate.acquire()

    def set(self, value: Any = None) -> bool:
        try:
            self._turn.pop()
        except IndexError:
            return False
        self.value = value
        self._is_set = True
        self._gate.release()
        return True

    def wait(self, timeout: float | None = None) -> bool:
        if DEBUG:
            assert_none_held("a thread waits")
        if self._is_set:
            return True
        if timeout is None:
            seconds = -1.0
        elif timeout > 0:
            seconds = min(timeout, TIMEOUT_MAX)
        else:
            return False
        self._about_to_block()
        if not self._gate.acquire(True, seconds):
            return self._is_set
        self._gate.release()        # stays open for whoever waits or asks again
        return True
