"""A seeded scheduler: tasks are greenlets, time is virtual, and at every point chance says who goes on.

The same seed makes the same choices. What the tasks do must not depend on anything else that changes from run to run:
the real clock, addresses of objects, the order of a set of str unless PYTHONHASHSEED is set.
"""

from __future__ import annotations

import logging
import random
import sys
import traceback
from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from types import CodeType, FrameType
from typing import Any, ClassVar

from greenlet import GreenletExit, getcurrent, greenlet

TRACE_LENGTH = 80
MAX_STEPS = 200_000
MAX_SECONDS = 3_600.0
START = 1_000.0


class BrokenRule(AssertionError):
    """The code under test did what the architecture forbids: a second lock, a wait in phase one, a closed descriptor …"""


class Deadlock(BrokenRule):
    """Nothing can run, nothing is going to happen, and the scenario has not ended."""


class Livelock(BrokenRule):
    """The scenario does not come to an end: something is repeated without doing any good."""


class Task:
    """One thread of the schedule."""

    __slots__ = (
        "alarm",
        "corked",
        "ended",
        "finished",
        "greenlet",
        "held",
        "is_phase_one",
        "name",
        "number",
        "rank",
        "waits_for",
        "was_late",
    )

    def __init__(self, number: int, name: str, rank: float) -> None:
        self.number = number
        self.name = name
        self.rank = rank
        self.greenlet: greenlet
        self.held: Any = None
        """The one lock that it holds."""
        self.corked: Any = None
        """The strand whose turn it works, if that is corked."""
        self.is_phase_one = False
        self.waits_for: object = None
        """None: it can run. Else what it waits for, to be shown."""
        self.alarm: Alarm | None = None
        self.was_late = False
        self.ended = False
        self.finished: list[Task] = []
        """Who waits for its end."""


class Alarm:
    """Something that happens at a time. A cancelled one has no `fn`."""

    __slots__ = ("args", "deadline", "fn", "number")

    def __init__(self, deadline: float, number: int, fn: Callable[..., None], args: tuple[Any, ...]) -> None:
        self.deadline = deadline
        self.number = number
        self.fn: Callable[..., None] | None = fn
        self.args = args

    def __lt__(self, other: Alarm) -> bool:
        return (self.deadline, self.number) < (other.deadline, other.number)

    def cancel(self) -> None:
        self.fn = None
        self.args = ()


class Schedule:
    """One run. `run(fn)` runs `fn` as the main task, and everything that it starts, until `fn` has returned."""

    active: ClassVar[Schedule | None] = None
    """The one that runs."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.random = random.Random(seed)
        self.chance = self.random.random
        # Three ways to look for trouble: change often, change seldom, and let whoever has the highest rank run until chance
        # takes it away (finds what needs one task to stand still for long while others do a lot).
        self.by_rank = seed % 3 == 2
        self.urge = (0.5, 0.15, 0.04)[seed % 3]
        self.now = START
        self.steps = 0
        self.switches = 0
        self.is_over = False
        self.failure: BaseException | None = None
        self.tasks: list[Task] = []
        self.ready: list[Task] = []
        self.trace: deque[tuple[str, float, str, CodeType | None, int]] = deque(maxlen=TRACE_LENGTH)
        self.current: Task
        self._alarms: list[Alarm] = []
        self._alarm_count = 0
        self._quiet: list[Task] = []
        self._hub: greenlet
        self._task_count = 0

    # -- tasks ---------------------------------------------------------------------------------------------------------------

    def start(self, name: str, fn: Callable[..., Any], *args: Any) -> Task:
        """Add a task that runs `fn(*args)`. An exception of its is a failure of the schedule."""
        self._task_count += 1
        task = Task(self._task_count, name, self.chance())
        task.greenlet = greenlet(lambda: self._work(task, fn, args), self._hub)
        self.tasks.append(task)
        self.ready.append(task)
        return task

    def join(self, task: Task) -> None:
        """Wait until a task has ended."""
        while not task.ended:
            task.finished.append(self.current)
            self.block(f"the end of {task.name}")

    def run(self, fn: Callable[..., Any], *args: Any) -> None:
        """Run it all; raise what went wrong."""
        self._hub = getcurrent()
        main = self.start("main", fn, *args)
        Schedule.active = self
        try:
            while not main.ended and self.failure is None:
                task = self._next()
                self.current = task
                task.greenlet.switch()
            if self.failure is not None:
                raise self.failure
        finally:
            self._end()
            Schedule.active = None

    def fail(self, error: BaseException) -> None:
        """End the schedule with an error, from within a task; does not return."""
        if self.is_over:
            raise GreenletExit
        if self.failure is None:
            stack = "".join(traceback.format_stack(sys._getframe(1), limit=14))
            error.args = (f"{error.args[0] if error.args else error!r}\nin {self.current.name!r}, at\n{stack}",)
            self.failure = error
        self._hub.switch()
        raise GreenletExit

    def _work(self, task: Task, fn: Callable[..., Any], args: tuple[Any, ...]) -> None:
        try:
            fn(*args)
            if task.held is not None and not self.is_over:
                self.failure = self.failure or BrokenRule(f"{task.name} has ended and still holds {task.held!r}")
        except GreenletExit:
            pass
        except BaseException as error:
            if not self.is_over and self.failure is None:
                self.failure = error
        finally:
            task.ended = True
            if not self.is_over:
                self.tasks.remove(task)
                for waiting in task.finished:
                    self.wake(waiting)

    def _end(self) -> None:
        self.is_over = True
        before = logging.root.manager.disable
        logging.disable(logging.CRITICAL)       # walls log whatever ends what they guard, and this is no news
        for task in self.tasks:
            if not task.greenlet.dead:
                task.greenlet.throw(GreenletExit)
        logging.disable(before)
        self.tasks.clear()
        self.ready.clear()
        self._alarms.clear()

    # -- points --------------------------------------------------------------------------------------------------------------

    def point(self, what: str, place: FrameType | None = None) -> None:
        """Let chance say whether another task goes on here. `what` and `place` are for `story`, "" for what is not worth telling."""
        me = self.current
        if what:
            self.note(what, place)
        self.steps += 1
        ready = self.ready
        if self.steps > MAX_STEPS and not self.is_over:
            self._give_up(self._livelock())
        if not ready or self.is_over:
            return
        if self.by_rank:
            if self.chance() < self.urge:
                me.rank = self.chance()
            if me.rank >= max(task.rank for task in ready):
                return
        elif self.chance() >= self.urge:
            return
        ready.append(me)
        self._switch(self._next())

    def note(self, what: str, place: FrameType | None = None) -> None:
        """Remember what happens, for `story`."""
        if place is None:
            self.trace.append((self.current.name, self.now, what, None, 0))
        else:
            self.trace.append((self.current.name, self.now, what, place.f_code, place.f_lineno))

    def block(self, what: object, deadline: float | None = None) -> bool:
        """Stop the current task until somebody wakes it (True) or the time has come (False)."""
        if self.is_over:
            raise GreenletExit
        me = self.current
        self.steps += 1
        self.note(f"waits for {what}")
        me.waits_for = what
        me.was_late = False
        if deadline is not None:
            if deadline <= self.now:
                me.waits_for = None
                self.ready.append(me)
                me.was_late = True
            else:
                me.alarm = self.alarm(deadline, self._ring, me)
        self._switch(self._next())
        return not me.was_late

    def wake(self, task: Task) -> None:
        """Let a task that has blocked go on; nothing when it can run already."""
        if task.waits_for is not None and not self.is_over:
            task.waits_for = None
            if task.alarm is not None:
                task.alarm.cancel()
                task.alarm = None
            self.ready.append(task)

    def _ring(self, task: Task) -> None:
        if task.waits_for is not None:
            task.waits_for = None
            task.alarm = None
            task.was_late = True
            self.ready.append(task)

    def _switch(self, task: Task) -> None:
        me = self.current
        if task is me:
            return
        self.switches += 1
        self.current = task
        task.greenlet.switch()
        if self.is_over:
            raise GreenletExit

    def _next(self) -> Task:
        """Take the task that goes on out of `ready`; when nothing can, let time pass."""
        ready = self.ready
        if self.steps > MAX_STEPS:
            self._give_up(self._livelock())
        while not ready:
            if self._quiet:
                quiet, self._quiet = self._quiet, []
                for task in quiet:
                    self.wake(task)
            elif not self.pass_to_next_alarm():
                self._give_up(Deadlock(f"nothing can run and nothing will happen\n{self._who_waits()}"))
            elif self.now > START + MAX_SECONDS:
                self._give_up(Livelock(f"{MAX_SECONDS:.0f} virtual seconds and no end\n{self._who_waits()}"))
        if len(ready) == 1:
            return ready.pop()
        place = max(range(len(ready)), key=lambda index: ready[index].rank) if self.by_rank else int(self.chance() * len(ready))
        task = ready[place]
        ready[place] = ready[-1]
        ready.pop()
        return task

    def _give_up(self, error: BaseException) -> None:
        if getcurrent() is self._hub:
            raise error
        self.failure = self.failure or error
        self._hub.switch()
        raise GreenletExit

    def _livelock(self) -> Livelock:
        return Livelock(f"{self.steps} steps and no end: something is tried again and again\n{self._who_waits()}")

    def _who_waits(self) -> str:
        lines = [
            f"  {task.name} {'can run' if task.waits_for is None else f'waits for {task.waits_for}'}"
            + (f", holding {task.held!r}" if task.held is not None else "")
            for task in self.tasks
        ]
        return "\n".join(lines)

    # -- time ----------------------------------------------------------------------------------------------------------------

    def alarm(self, deadline: float, fn: Callable[..., None], *args: Any) -> Alarm:
        """Have `fn(*args)` called, by the scheduler itself, when it is time. It may only wake tasks."""
        self._alarm_count += 1
        alarm = Alarm(deadline, self._alarm_count, fn, args)
        heappush(self._alarms, alarm)
        return alarm

    def settle(self) -> None:
        """Wait until nothing else can run, without letting time pass."""
        self._quiet.append(self.current)
        self.block("quiet")

    def pass_to_next_alarm(self, latest: float | None = None) -> bool:
        """Let time jump to the next thing that is due, whoever could still run; False when there is none (by `latest`)."""
        alarms = self._alarms
        while alarms and alarms[0].fn is None:
            heappop(alarms)
        if not alarms or (latest is not None and alarms[0].deadline > latest):
            return False
        self.now = max(self.now, alarms[0].deadline)
        while alarms and alarms[0].deadline <= self.now:
            alarm = heappop(alarms)
            if alarm.fn is not None:
                fn, args = alarm.fn, alarm.args
                alarm.cancel()
                fn(*args)
        return True

    def story(self) -> str:
        """Tell the last points: who, when, what."""
        lines = []
        last = ""
        for name, when, what, code, line in self.trace:
            who = name if name != last else ""
            where = "" if code is None else f" in {code.co_name} ({'/'.join(code.co_filename.split('/')[-2:])}:{line})"
            lines.append(f"  {when - START:9.3f}  {who:<18} {what}{where}")
            last = name
        return "\n".join(lines)
