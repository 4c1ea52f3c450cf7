"""Locks and identities of the operating system's threads, also where gevent has monkey-patched `_thread`.

gevent's `get_ident` names greenlets, and its locks create a hub in each foreign thread; so ours are the originals. They are
re-entrant, since a finalizer or a signal handler may come back to the lock that its thread holds.

With `SYNC_SIO_DEBUG=1` in the environment when this is imported, locks check the rule that they are leaves: with one
held, no second one is taken, no user code runs, nobody waits and no greenlet is switched. A breach raises AssertionError where it
happens and is kept in `breaches`, since that place is often inside a wall that logs.
"""

from __future__ import annotations

import _thread
import os
import sys
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final

from .base import Lock

DEBUG: Final = os.environ.get("SYNC_SIO_DEBUG", "") not in ("", "0")

breaches: list[str] = []
"""What debug locks have complained about in this process; `Driver.audit` tells it."""


def _original(name: str) -> Any:
    monkey = sys.modules.get("gevent.monkey")
    return getattr(_thread, name) if monkey is None else monkey.get_original("_thread", name)


get_ident: Final[Callable[[], int]] = _original("get_ident")
"""Return this OS thread's number, the same for all greenlets that it runs."""

allocate_lock: Final[Callable[[], _thread.LockType]] = _original("allocate_lock")
"""Return a plain lock, which any thread may release: the drivers' own means of sleeping and waking."""

native_rlock: Final[Callable[[], Lock]] = _original("RLock")
"""Return a re-entrant lock without checks. For the drivers' own, which are taken below connections' locks and guard a few lines."""


def native_lock() -> Lock:
    """Return what `Driver.lock` returns, for whoever has no driver yet."""
    return DebugLock() if DEBUG else native_rlock()


def native_order_lock() -> Lock:
    """Return what `Driver.order_lock` returns."""
    return DebugLock(is_order=True) if DEBUG else native_rlock()


_held: dict[int, list[DebugLock]] = {}
"""By thread: its debug locks. Each list is touched by its own thread only."""


if DEBUG and hasattr(os, "register_at_fork"):
    # what other threads held is nobody's in the child, and their numbers are used again
    os.register_at_fork(after_in_child=_held.clear)


class DebugLock:
    """A native re-entrant lock that knows its rules."""

    __slots__ = ("_count", "_is_order", "_lock", "_place")

    def __init__(self, is_order: bool = False) -> None:
        self._lock = native_rlock()
        self._is_order = is_order
        self._count = 0
        frame = sys._getframe(1)
        while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("sync_sio.drivers"):
            frame = frame.f_back
        self._place = f"{frame.f_globals.get('__name__', '?')}:{frame.f_lineno}"

    def __repr__(self) -> str:
        return f"<lock made at {self._place}>"

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        held = _held.setdefault(get_ident(), [])
        if held and held[-1] is not self and not held[-1]._is_order:
            _complain(f"{held[-1]!r} is held and {self!r} is taken: locks are leaves")
        if not self._lock.acquire(blocking, timeout):
            return False
        self._count += 1
        if self._count == 1:
            held.append(self)
        return True

    def release(self) -> None:
        ident = get_ident()
        held = _held.get(ident)
        if not held or held[-1] is not self:
            _complain(f"{self!r} is released by a thread that does not hold it")
        assert held is not None
        self._count -= 1
        if not self._count:
            held.pop()
            if not held:
                _held.pop(ident, None)
        self._lock.release()

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self.release()


def assert_none_held(doing: str) -> None:
    """In debug mode, complain when this thread holds a lock. Callers look at `DEBUG` first where it is hot.

    Args:
        doing: what is about to happen, such as `"user code runs"`.
    """
    held = _held.get(get_ident())
    if held:
        _complain(f"{doing} while {held[-1]!r} is held")


def note_if_held(doing: str) -> None:
    """The same without raising, for places where an error would do more harm."""
    held = _held.get(get_ident())
    if held:
        breaches.append(f"{doing} while {held[-1]!r} is held")


def complain(text: str) -> None:
    """Note a breach of the rules and raise AssertionError."""
    _complain(text)


def _complain(text: str) -> None:
    breaches.append(text)
    raise AssertionError(text)
