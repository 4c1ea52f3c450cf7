"""Tasks in order, one at a time: the pending events of one socket.

A strand does not run by itself. `put` tells whoever finds it idle that it is now theirs to hand to `Driver.run`; the driver has
its *turn* worked, by one thread or greenlet, which gives it back when nothing is left.

The list of tasks is the state: None when idle. It is made, appended to and dropped under the flow's lock, so an event can
never lie in a strand that nobody works; the worker iterates over it without, as a list that grows at its end allows.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import perf_counter
from typing import Any, Final

from .base import MAX_QUEUED, Flow, Habit
from .locks import DEBUG, assert_none_held, complain

BUDGET: Final = 16
"""Tasks of one turn, before others get theirs."""
QUICK: Final = 0.00025
"""Seconds that an event may use up on the leader on the average, and is not looked at any further."""
TOO_SLOW: Final = 0.0139
"""Seconds over that average that it may owe: a query of 2 ms is caught at the eighth, and no watchdog would see it."""
FIRST_PENALTY: Final = 256
"""Events that run in the pool after a habit was caught; four times as many after each next time."""
MAX_PENALTY: Final = 1 << 20
FORGIVEN: Final = 60.0
"""Seconds on the leader after which an event that is caught counts as one that never was: the machine may have stood still."""

_log = logging.getLogger("sync_sio.turn")

Task = tuple[Callable[[Any, Any], object], Any, Any, "Habit | None", int]


def catch(habit: Habit) -> None:
    """Note that this event's handler blocks: the pool runs it for a while. Twice for one event does no harm that matters."""
    is_known = habit.penalty and perf_counter() - habit.free_since < FORGIVEN
    habit.penalty = min(habit.penalty * 4, MAX_PENALTY) if is_known else FIRST_PENALTY
    habit.pooled = habit.penalty
    habit.spent = 0.0


def learn(habit: Habit, seconds: float) -> None:
    """Add one run on the leader to what an event owes; each run gives it `QUICK` seconds."""
    habit.spent = max(0.0, habit.spent + seconds - QUICK)
    if habit.spent > TOO_SLOW:
        catch(habit)


class Worker:
    """What a thread that may lead lets others see. Written by itself, but for `is_inline`, which its successor takes away."""

    __slots__ = ("baton", "ident", "is_inline", "now", "strand")

    def __init__(self, ident: int, baton: Any = None) -> None:
        self.ident = ident
        self.baton = baton
        self.is_inline = False
        """It runs a turn as the leader."""
        self.now = 0.0
        """What `perf_counter` said after it had polled, or after its last task."""
        self.strand: Strand | None = None


class Strand:
    """A queue of tasks `fn(subject, item)`.

    Args:
        flow: the connection: its lock guards the queue, and what a turn sends to it may be gathered, see `Flow`.

    Attributes:
        tasks: those that wait or run; None: it is idle. For the driver, which owns it from `run` to the end of the turn.
    """

    __slots__ = ("_done", "_is_worked", "flow", "tasks")

    def __init__(self, flow: Flow) -> None:
        self.flow = flow
        self.tasks: list[Task] | None = None
        self._done = 0
        self._is_worked = False

    def put(
        self, fn: Callable[[Any, Any], object], subject: Any, item: Any, habit: Habit | None = None, size: int = 0
    ) -> bool:
        """Queue `fn(subject, item)`. True: nobody works this strand, the caller must give it to `Driver.run`.

        Any thread, with or without the flow's lock.

        Args:
            habit: what is known of this event; None for tasks that never block, as nothing is learned about them.
            size: bytes that it counts for while it waits.
        """
        return self.put_all([(fn, subject, item, habit, size)], size)

    def put_all(self, fresh: list[Task], size: int) -> bool:
        """The same for several tasks; the list is the strand's from now on. `size`: of all together."""
        flow = self.flow
        lock = flow.lock
        lock.acquire()
        try:
            # nothing is called between the look and the change: a finalizer on this thread may come back in here
            tasks = self.tasks
            if tasks is None:
                self.tasks = fresh
            else:
                tasks += fresh
            flow.queued = queued = flow.queued + len(fresh)
            flow.queued_bytes = waiting = flow.queued_bytes + size
            if queued > MAX_QUEUED or waiting > flow.max_queued_bytes:
                flow.on_full()
        finally:
            lock.release()
        return tasks is None

    @property
    def is_idle(self) -> bool:
        """Tell whether nothing waits, nobody works it, and what its last turn gathered was let go."""
        with self.flow.lock:                # a turn ends in one hold of it
            return self.tasks is None

    def __len__(self) -> int:
        """Count the tasks that wait, without the one that runs."""
        tasks = self.tasks
        return 0 if tasks is None else max(0, len(tasks) - self._done)

    def waiting(self) -> list[Task]:
        """Return the tasks that wait, in order: for messages, as it may be old by the time it is read."""
        tasks = self.tasks
        return [] if tasks is None else tasks[self._done :]

    @property
    def is_pooled(self) -> bool:
        """Tell whether the next task is to be kept from the leader. For the driver, which owns the strand then."""
        tasks = self.tasks
        if tasks is None:
            return False
        habit = tasks[0][3]
        return habit is not None and habit.pooled > 0

    @property
    def running_habit(self) -> Habit | None:
        """Return what is known of the task that runs. For the driver, while the turn stands still."""
        tasks = self.tasks
        return tasks[self._done - 1][3] if tasks is not None and self._done else None

    @property
    def has_blocked(self) -> bool:
        """Tell whether the next task's handler was ever seen to block. For the driver, which owns the strand then."""
        tasks = self.tasks
        if tasks is None:
            return False
        habit = tasks[0][3]
        return habit is not None and habit.penalty > 0

    # -- the turn: for drivers ---------------------------------------------------------------------------------------------

    def work(self, cork: int = 0) -> bool:
        """Run a turn. True: more waits, the strand must be worked again.

        Args:
            cork: the thread whose sends to the flow are gathered until the turn ends or `uncork` is called; 0 for a pool's
                thread: nobody would flush if it blocks.
        """
        flow = self.flow
        tasks = self.tasks
        assert tasks is not None
        if DEBUG:
            self._begin()
        if cork:
            flow.corked = cork
        done = size = 0
        for fn, subject, item, habit, bytes_ in tasks:
            done += 1
            size += bytes_
            self._done = done
            if habit is not None and habit.pooled > 0:
                habit.pooled -= 1
                if not habit.pooled:
                    habit.free_since = perf_counter()
            try:
                fn(subject, item)
                if DEBUG:
                    assert_none_held("a task has ended")
            except BaseException:
                self._failed(fn)
            if done == BUDGET:
                break
        return self._end(tasks, done, size, cork)

    def work_as(self, worker: Worker) -> bool:
        """Run a turn on the leading thread: corked, and measured as long as it leads. True: as `work`.

        It ends early before a task that is known to block; `is_pooled` then tells so.
        """
        flow = self.flow
        tasks = self.tasks
        assert tasks is not None
        if DEBUG:
            self._begin()
        flow.corked = cork = worker.ident
        if not worker.is_inline:
            flow.corked = 0                 # overtaken before it began: nobody would let go what it gathers
        done = size = 0
        started = worker.now
        for fn, subject, item, habit, bytes_ in tasks:
            if habit is not None and habit.pooled > 0:
                break
            done += 1
            size += bytes_
            self._done = done
            try:
                fn(subject, item)
                if DEBUG:
                    assert_none_held("a task has ended")
            except BaseException:
                self._failed(fn)
            if worker.is_inline:            # else it was seen to block, and waiting for the GIL now looks like blocking too
                now = perf_counter()
                if habit is not None and (now - started > QUICK or habit.spent):
                    learn(habit, now - started)
                worker.now = started = now
            if done == BUDGET:
                break
        return self._end(tasks, done, size, cork)

    def uncork(self, cork: int) -> None:
        """Let go what the turn of thread `cork` has gathered, if it still does: it blocks."""
        flow = self.flow
        trouble = None
        with flow.lock:
            if flow.corked == cork:
                flow.corked = 0
                try:
                    flow.uncork()
                except Exception as error:
                    trouble = error
        if trouble is not None:
            self._broken(trouble)

    def _end(self, tasks: list[Task], done: int, size: int, cork: int) -> bool:
        flow = self.flow
        trouble = None
        rest = tasks
        if DEBUG:
            self._is_worked = False
        lock = flow.lock
        lock.acquire()
        try:
            self._done = 0
            # one hold of the lock does all: were the last look and the change two, an event could come between them and lie
            # there for ever. What was run is kept until the lock is free, as what it holds may have finalizers
            if done == len(tasks):
                self.tasks = None
            else:
                self.tasks = rest = tasks[done:]
            flow.queued -= done
            flow.queued_bytes -= size
            if cork and flow.corked == cork:
                flow.corked = 0
                flow.uncork()
            if flow.is_paused:
                flow.on_worked()
        except Exception as error:          # a bug below, which may not end the thread that reads for everybody
            trouble = error
        finally:
            lock.release()
        if trouble is not None:
            self._broken(trouble)
        return rest is not tasks

    def _begin(self) -> None:
        assert_none_held("user code runs")
        if self._is_worked:
            complain(f"{self!r} of {self.flow!r} is worked twice at a time")
        self._is_worked = True

    def _broken(self, error: Exception) -> None:
        _log.error("connection %s: sending what was gathered failed", getattr(self.flow, "id", "?"), exc_info=error)

    def _failed(self, fn: Callable[..., object]) -> None:
        """The wall: whatever a task raises ends no thread of ours, `sys.exit()` included."""
        _log.exception("connection %s: %s failed", getattr(self.flow, "id", "?"), getattr(fn, "__qualname__", fn))
