"""What threads of a seeded schedule wait with: locks, waiters and timers, each operation a point."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import CodeType, FrameType, TracebackType
from typing import TYPE_CHECKING, Any

from .schedule import Alarm, BrokenRule, Schedule, Task

if TYPE_CHECKING:
    from .interleave import InterleaveDriver


class InterleaveLock:
    """A re-entrant lock. Taking it is a point before and after, giving it back is one after. Nobody is served in order."""

    __slots__ = ("_code", "_count", "_is_order", "_line", "_outer", "_owner", "_schedule", "_waiting")

    def __init__(self, schedule: Schedule, code: CodeType, line: int, is_order: bool = False) -> None:
        self._is_order = is_order
        self._outer: InterleaveLock | None = None
        self._schedule = schedule
        self._owner: Task | None = None
        self._count = 0
        self._waiting: list[Task] = []
        self._code = code
        self._line = line

    def __repr__(self) -> str:
        owner = f", held by {self._owner.name}" if self._owner is not None else ""
        place = "/".join(self._code.co_filename.split("/")[-2:])
        return f"<lock made at {place}:{self._line}{owner}>"

    def acquire(self, blocking: bool = True, timeout: float = -1, place: FrameType | None = None) -> bool:
        schedule = self._schedule
        if schedule.is_over:
            return True
        me = schedule.current
        if self._owner is me:
            self._count += 1
            return True
        if me.held is not None and not me.held._is_order:
            schedule.fail(BrokenRule(f"{me.name} holds {me.held!r} and takes {self!r}: locks are leaves"))
        schedule.point("lock", sys._getframe(1) if place is None else place)
        deadline = schedule.now + timeout if timeout >= 0 else None
        while self._owner is not None:
            if not blocking:
                return False
            self._waiting.append(me)
            if not schedule.block(self, deadline):
                if me in self._waiting:
                    self._waiting.remove(me)
                return False
        self._owner = me
        self._count = 1
        self._outer, me.held = me.held, self
        schedule.point("")
        return True

    def release(self) -> None:
        schedule = self._schedule
        if schedule.is_over:
            return
        me = schedule.current
        if self._owner is not me:
            schedule.fail(BrokenRule(f"{me.name} releases {self!r}, which is not its own"))
        self._count -= 1
        if self._count:
            return
        self._owner, me.held, self._outer = None, self._outer, None
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            for task in waiting:
                schedule.wake(task)
        schedule.point("")

    def __enter__(self) -> bool:
        return self.acquire(place=sys._getframe(1))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self.release()


class InterleaveWaiter:
    """A `drivers.base.Waiter`."""

    __slots__ = ("_driver", "_is_set", "_waiting", "value")

    def __init__(self, driver: InterleaveDriver) -> None:
        self.value: Any = None
        self._driver = driver
        self._is_set = False
        self._waiting: list[Task] = []

    def set(self, value: Any = None) -> bool:
        schedule = self._driver.schedule
        is_first = not self._is_set
        if is_first:
            self._is_set = True
            self.value = value
            for task in self._waiting:
                schedule.wake(task)
            self._waiting.clear()
        schedule.point("set")
        return is_first

    def wait(self, timeout: float | None = None) -> bool:
        driver = self._driver
        schedule = driver.schedule
        driver.about_to_block("a waiter")
        schedule.point("wait")
        deadline = None if timeout is None else schedule.now + timeout
        while not self._is_set:
            self._waiting.append(schedule.current)
            if not schedule.block("a waiter", deadline):
                if schedule.current in self._waiting:
                    self._waiting.remove(schedule.current)
                return self._is_set
        return True


class InterleaveTimer:
    """A `drivers.base.Timer`: pending, then due (the loop will run it), then done."""

    __slots__ = ("alarm", "args", "driver", "fn")

    def __init__(self, driver: InterleaveDriver, fn: Callable[..., None], args: tuple[Any, ...]) -> None:
        self.driver = driver
        self.fn: Callable[..., None] | None = fn
        self.args = args
        self.alarm: Alarm

    def cancel(self) -> None:
        self.fn = None
        self.args = ()
        self.alarm.cancel()
        self.driver.timers.discard(self)
        self.driver.schedule.point("cancel a timer")
