"""Waiting on gevent: greenlets of any hub, and OS threads without one. With `greenlets` the only module that imports gevent."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from gevent._hub_local import get_hub_if_exists
from greenlet import getcurrent

from .locks import DEBUG, allocate_lock, assert_none_held, get_ident

A_DAY: Final = 86400.0


class ParkedGreenlet:
    """A greenlet that waits in the hub of its thread."""

    __slots__ = ("_greenlet", "_hub", "_ident", "_is_over", "_is_parked", "_is_woken")

    def __init__(self, hub: Any) -> None:
        self._hub = hub
        self._greenlet = getcurrent()
        self._ident = get_ident()
        self._is_parked = False
        self._is_woken = False
        self._is_over = False

    def park(self, timeout: float | None) -> None:
        """Sleep until woken or until time is over."""
        hub = self._hub
        # without anything active in its loop a hub thinks that we wait for ever, and raises: so there is always a timer
        if timeout is None:
            timer = hub.loop.timer(A_DAY, A_DAY)
            timer.start(_nothing)
        else:
            timer = hub.loop.timer(timeout)
            timer.start(self._time_out, update=True)
        self._is_parked = True
        try:
            while not (self._is_woken or self._is_over):
                hub.switch()
        finally:
            self._is_parked = False         # what is still on its way must not switch into something else
            timer.stop()
            timer.close()

    def wake(self) -> None:
        loop = self._hub.loop
        if get_ident() == self._ident:
            loop.run_callback(self._wake)
        else:
            loop.run_callback_threadsafe(self._wake)

    def _wake(self) -> None:
        self._is_woken = True
        if self._is_parked:
            self._greenlet.switch()

    def _time_out(self) -> None:
        self._is_over = True
        if self._is_parked:
            self._greenlet.switch()


def _nothing() -> None: ...


class ParkedThread:
    """An OS thread that waits; making a hub for it would leave one behind for each."""

    __slots__ = ("_gate",)

    def __init__(self) -> None:
        self._gate = allocate_lock()
        self._gate.acquire()

    def park(self, timeout: float | None) -> None:
        self._gate.acquire(True, -1.0 if timeout is None else min(timeout, A_DAY * 10_000))

    def wake(self) -> None:
        self._gate.release()


class GreenletWaiter:
    """A `base.Waiter` for greenlets of any hub and for OS threads without one."""

    __slots__ = ("_is_set", "_may_wait", "_parked", "_turn", "value")

    def __init__(self, may_wait: Callable[[], bool]) -> None:
        self.value: Any = None
        self._may_wait = may_wait
        self._is_set = False
        self._turn = [None]         # whoever pops it is the first
        self._parked: list[ParkedGreenlet | ParkedThread] = []

    def set(self, value: Any = None) -> bool:
        try:
            self._turn.pop()
        except IndexError:
            return False
        self.value = value
        self._is_set = True
        parked = self._parked
        while True:
            try:
                sleeper = parked.pop()
            except IndexError:
                return True
            sleeper.wake()

    def wait(self, timeout: float | None = None) -> bool:
        if DEBUG:
            assert_none_held("a greenlet waits")
        if self._is_set:
            return True
        if timeout is not None and timeout <= 0:
            return False
        if not self._may_wait():
            raise RuntimeError("phase one may not wait: it reads for everybody")
        hub = get_hub_if_exists()
        sleeper = ParkedThread() if hub is None else ParkedGreenlet(hub)
        self._parked.append(sleeper)
        if not self._is_set:                # `set` says so first and looks for sleepers afterwards
            try:
                sleeper.park(timeout)
            finally:
                with suppress(ValueError):  # `set` has taken it
                    self._parked.remove(sleeper)
        return self._is_set
