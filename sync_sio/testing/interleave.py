"""A driver whose threads are greenlets and whose every step is chosen by a seed: a race that shows once shows again.

    def scenario(driver: InterleaveDriver) -> None:
        room = Room(driver.lock())
        driver.run_all(lambda: room.join("a"), lambda: room.leave("a"))
        assert room.is_consistent()

    explore(scenario, range(3000))      # raises ScheduleFailed, which names the seed and tells the last points
    replay(scenario, 1234)              # that schedule again

Every operation of a lock, a waiter or a stream, every post, timer and turn is a point where another thread may go on. Time
is virtual and passes when nothing can run. Besides, the rules of ARCHITECTURE 7 are checked: a lock is a leaf, nobody
waits with a lock or in phase one, a descriptor is closed once, by the loop, and used no more.
"""

from __future__ import annotations

import gc
import logging
import os
import sys
from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from greenlet import GreenletExit

from ..drivers.base import Load, Timer, Watched
from ..drivers.locks import breaches
from .memory import ClientEnd, MemoryStream, Pipe
from .primitives import InterleaveLock, InterleaveTimer, InterleaveWaiter
from .schedule import BrokenRule, Deadlock, Livelock, Schedule, Task

if TYPE_CHECKING:
    from ..drivers.strand import Strand

__all__ = ["BrokenRule", "Deadlock", "InterleaveDriver", "Livelock", "ScheduleFailed", "explore", "replay"]

EPOCH = 1_700_000_000.0
FIRST_FD = 100
_log = logging.getLogger("sync_sio.testing")

Scenario = Callable[["InterleaveDriver"], object]


class ScheduleFailed(AssertionError):
    """A schedule went wrong. The error itself is its `__cause__`.

    Attributes:
        seed: what `replay` wants.
    """

    def __init__(self, seed: int, message: str) -> None:
        super().__init__(message)
        self.seed = seed


def explore(scenario: Scenario, seeds: Iterable[int] = range(100)) -> int:
    """Run a scenario once per seed and return how many schedules that were.

    Args:
        scenario: sets up, runs threads (`driver.run_all`), checks. It must not keep anything between two calls.
        seeds: which schedules. The same seed is the same schedule, see `testing.schedule` for what that asks of the scenario.

    Raises:
        ScheduleFailed: at the first schedule that fails.
    """
    count = 0
    was_enabled = gc.isenabled()
    gc.disable()        # a finalizer that ran at another moment would change the schedule
    try:
        for seed in seeds:
            _run(scenario, seed)
            count += 1
            if count % 200 == 0:
                gc.collect(1)
    finally:
        if was_enabled:
            gc.enable()
    return count


def replay(scenario: Scenario, seed: int) -> None:
    """Run one schedule again. Raises ScheduleFailed as `explore` did."""
    explore(scenario, (seed,))


def _run(scenario: Scenario, seed: int) -> None:
    schedule = Schedule(seed)
    driver = InterleaveDriver(schedule)
    try:
        schedule.run(scenario, driver)
    except Exception as error:
        name = getattr(scenario, "__name__", repr(scenario))
        hashes = os.environ.get("PYTHONHASHSEED", "not set")
        raise ScheduleFailed(
            seed,
            f"seed {seed} of {name} failed after {schedule.switches} switches (replay({name}, {seed}); PYTHONHASHSEED is {hashes}): "
            f"{type(error).__name__}: {error}\nthe last points:\n{schedule.story()}",
        ) from error


class Watch:
    """One entry of the loop's poll set."""

    __slots__ = ("readable", "watched", "writable")

    def __init__(self, watched: Watched, readable: bool, writable: bool) -> None:
        self.watched = watched
        self.readable = readable
        self.writable = writable


class InterleaveDriver:
    """A `drivers.base.Driver` for one schedule. What is beyond that interface is for scenarios."""

    name = "interleave"

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
        self.timers: set[InterleaveTimer] = set()
        self._turns: list[Task] = []
        self._streams: dict[int, MemoryStream] = {}
        self._watched: dict[int, Watch] = {}
        self._posts: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self._due: deque[InterleaveTimer] = deque()
        self._loop: Task | None = None
        self._is_idle = False
        self._is_stopping = False
        self._has_finished = False
        self._turn_count = 0
        self._spawn_count = 0

    # -- for scenarios ---------------------------------------------------------------------------------------------------------

    def thread(self, fn: Callable[..., Any], *args: Any, name: str = "") -> Task:
        """Start a thread of the scenario. What it raises fails the schedule."""
        return self.schedule.start(name or getattr(fn, "__name__", "thread"), fn, *args)

    def join(self, *tasks: Task) -> None:
        """Wait until these threads have ended."""
        for task in tasks:
            self.schedule.join(task)

    def run_all(self, *fns: Callable[[], Any]) -> None:
        """Run functions side by side, and return when all have."""
        self.join(*[self.thread(fn) for fn in fns])

    def settle(self) -> None:
        """Wait until nobody can run any more, at this very moment of virtual time."""
        self.schedule.settle()

    def stall(self, seconds: float) -> None:
        """Let time pass although others could run: the machine was busy. Whatever falls due meanwhile does, point by point."""
        schedule = self.schedule
        until = schedule.now + seconds
        while schedule.pass_to_next_alarm(until):
            schedule.point("time passes")
        schedule.now = max(schedule.now, until)
        schedule.point("time has passed")

    def point(self, what: str = "a point") -> None:
        """Let another thread go on here, perhaps: for code under test that has no point where it matters."""
        self.schedule.point(what)

    def assert_user_code_may_run(self) -> None:
        """Fail the schedule if this is phase one, or if a lock is held: to be called in handlers."""
        task = self.schedule.current
        if task.is_phase_one:
            self.schedule.fail(BrokenRule("user code runs in phase one"))
        if task.held is not None:
            self.schedule.fail(BrokenRule(f"user code runs with {task.held!r} held"))

    def stream_pair(self, name: str, to_client: int = 256, to_server: int = 256) -> tuple[MemoryStream, ClientEnd]:
        """Make a connected pair: the server's stream, and the client's end. The sizes are the buffers', in bytes."""
        inward, outward = Pipe(to_server), Pipe(to_client)
        fd = FIRST_FD
        while fd in self._streams:
            fd += 1
        stream = self._streams[fd] = MemoryStream(self, fd, name, inward, outward)
        return stream, ClientEnd(self, name, outward, inward)

    def gave_back(self, stream: MemoryStream) -> None:
        """A stream was closed: its number is free."""
        if not self.schedule.current.is_phase_one:
            self.schedule.fail(BrokenRule(f"{stream!r} is closed by {self.schedule.current.name}: only the loop may"))
        if stream.fd in self._watched:
            self.schedule.fail(BrokenRule(f"{stream!r} is closed while the loop watches it"))
        if self._streams.pop(stream.fd, None) is not stream:
            self.schedule.fail(BrokenRule(f"{stream!r} was not open"))

    def ready_again(self) -> None:
        """Something about streams has changed: the loop looks."""
        if self._is_idle and self._loop is not None:
            self._is_idle = False
            self.schedule.wake(self._loop)

    # -- Driver: time, locks, waiting --------------------------------------------------------------------------------------------

    def lock(self) -> InterleaveLock:
        caller = sys._getframe(1)
        return InterleaveLock(self.schedule, caller.f_code, caller.f_lineno)

    def order_lock(self) -> InterleaveLock:
        caller = sys._getframe(1)
        return InterleaveLock(self.schedule, caller.f_code, caller.f_lineno, is_order=True)

    def waiter(self) -> InterleaveWaiter:
        return InterleaveWaiter(self)

    def now(self) -> float:
        return self.schedule.now

    def wall_time(self) -> float:
        return EPOCH + self.schedule.now

    def ident(self) -> int:
        return self.schedule.current.number

    def may_wait(self) -> bool:
        return not self.schedule.current.is_phase_one

    def sleep(self, seconds: float) -> None:
        self.about_to_block("sleep")
        self.schedule.block("time", self.schedule.now + max(0.0, seconds))

    def about_to_block(self, what: str) -> None:
        """Check that the current thread may wait, and let go what its turn has gathered."""
        task = self.schedule.current
        if task.is_phase_one:
            self.schedule.fail(BrokenRule(f"phase one waits for {what}"))
        if task.held is not None:
            self.schedule.fail(BrokenRule(f"waits for {what} with {task.held!r} held"))
        if task.corked is not None:
            strand, task.corked = task.corked, None
            strand.uncork(task.number)

    # -- Driver: the loop ----------------------------------------------------------------------------------------------------------

    def watch(self, watched: Watched) -> None:
        self.start_if_needed()
        fd = watched.fd
        if fd < 0 or self._has_finished:
            self.schedule.point("watch what is gone")
            return
        if fd not in self._streams:
            self.schedule.fail(BrokenRule(f"{watched!r} is to be watched, but its descriptor {fd} is not open"))
        if fd in self._watched:
            self.schedule.fail(BrokenRule(f"{watched!r} is to be watched, but {self._watched[fd].watched!r} is, on descriptor {fd}"))
        self._watched[fd] = Watch(watched, True, False)
        self.ready_again()
        self.schedule.point("watch")

    def set_interest(self, watched: Watched, readable: bool, writable: bool) -> None:
        watch = self._watched.get(watched.fd)
        if watch is not None and watch.watched is watched:
            watch.readable = readable
            watch.writable = writable
            self.ready_again()
        self.schedule.point("interest")

    def discard(self, watched: Watched) -> None:
        if watched.fd < 0:
            self.schedule.point("discard again")
        elif self._has_finished:
            self._drop(watched)             # nobody is left to do it
        else:
            # other threads cannot take it out of every poller: it may be read once more
            if self.schedule.current.is_phase_one or self.schedule.chance() < 0.5:
                self._forget(watched)
            self.post(self._drop, watched)

    def release(self, watched: Watched) -> None:
        self._forget(watched)

    def post(self, fn: Callable[..., None], *args: Any) -> None:
        self.start_if_needed()
        if not self._has_finished:
            self._posts.append((fn, args))
            self.ready_again()
        self.schedule.point("post")

    def later(self, delay: float, fn: Callable[..., None], *args: Any) -> Timer:
        self.start_if_needed()
        timer = InterleaveTimer(self, fn, args)
        timer.alarm = self.schedule.alarm(self.schedule.now + delay, self._fall_due, timer)
        if self._has_finished:
            timer.cancel()
        else:
            self.timers.add(timer)
        self.schedule.point("later")
        return timer

    def _fall_due(self, timer: InterleaveTimer) -> None:
        self._due.append(timer)
        self.ready_again()

    def _forget(self, watched: Watched) -> None:
        watch = self._watched.get(watched.fd)
        if watch is not None and watch.watched is watched:
            del self._watched[watched.fd]

    def _drop(self, watched: Watched) -> None:
        if watched.fd < 0:
            return
        self._forget(watched)
        watched.fd = -1
        task = self.schedule.current
        was_phase_one, task.is_phase_one = task.is_phase_one, True
        watched.on_discarded()
        task.is_phase_one = was_phase_one

    def _serve(self) -> None:
        """The loop: whatever there is to do, one thing at a time, in an order of chance."""
        schedule = self.schedule
        task = schedule.current
        while True:
            steps: list[tuple[str, Callable[..., None], tuple[Any, ...]]] = []
            if self._posts:
                steps.append(("post", self._run_post, ()))
            if self._due:
                steps.append(("timer", self._run_timer, ()))
            for watch in self._watched.values():
                stream = self._streams[watch.watched.fd]
                if watch.readable and stream.is_readable():
                    steps.append(("readable", watch.watched.on_readable, ()))
                if watch.writable and stream.is_writable():
                    steps.append(("writable", watch.watched.on_writable, ()))
            if self._is_stopping and not self._posts:
                break
            if not steps:
                self._is_idle = True
                schedule.block("anything for the loop to do")
                continue
            what, fn, args = steps[int(schedule.chance() * len(steps))]
            task.is_phase_one = True
            schedule.point(what)
            self._guard(what, fn, *args)
            task.is_phase_one = False
            if task.held is not None:
                schedule.fail(BrokenRule(f"{what} has ended and still holds {task.held!r}"))
            schedule.point("end of a step")
        self._has_finished = True
        for timer in list(self.timers):
            timer.cancel()
        for watch in list(self._watched.values()):
            self._drop(watch.watched)
        self._loop = None

    def _guard(self, what: str, fn: Callable[..., None], *args: Any) -> None:
        # A real loop has a wall here. In a test, what reaches it is a failure.
        try:
            fn(*args)
        except GreenletExit:
            raise
        except BaseException as error:
            self.schedule.failure = self.schedule.failure or error
            self.schedule.fail(error)

    def _run_post(self) -> None:
        fn, args = self._posts.popleft()
        self.schedule.note(f"runs {getattr(fn, '__qualname__', fn)}")
        fn(*args)

    def _run_timer(self) -> None:
        timer = self._due.popleft()
        fn, args = timer.fn, timer.args
        self.timers.discard(timer)
        if fn is not None:
            timer.fn = None
            timer.args = ()
            self.schedule.note(f"runs {getattr(fn, '__qualname__', fn)}")
            fn(*args)

    # -- Driver: turns and threads ---------------------------------------------------------------------------------------------------

    def run(self, strand: Strand) -> None:
        self.start_if_needed()
        self._turn_count += 1
        self._turns.append(self.schedule.start(f"turn-{self._turn_count}", self._work, strand))
        self.schedule.point("run")

    def _work(self, strand: Strand) -> None:
        """Work a strand until nothing waits in it: as a leader would, corked, or as a pool's thread."""
        schedule = self.schedule
        task = schedule.current
        has_more = True
        while has_more:
            cork = task.number if schedule.chance() < 0.5 else 0
            task.corked = strand if cork else None
            if cork and schedule.chance() < 0.3:
                # a standby sees this turn block, or believes so: it flushes at any moment
                schedule.start("standby", strand.uncork, cork)
            has_more = strand.work(cork)
            task.corked = None
            if task.held is not None:
                schedule.fail(BrokenRule(f"a turn has ended and still holds {task.held!r}"))
            schedule.point("end of a turn")
        self._turns.remove(task)

    def spawn(self, fn: Callable[..., Any], *args: Any) -> None:
        self._spawn_count += 1
        self.schedule.start(f"spawned-{self._spawn_count}", self._run_spawned, fn, args)
        self.schedule.point("spawn")

    def _run_spawned(self, fn: Callable[..., Any], args: tuple[Any, ...]) -> None:
        try:
            fn(*args)
        except GreenletExit:
            raise
        except BaseException:
            _log.exception("a spawned function has failed")

    def start_if_needed(self) -> None:
        if self._loop is None and not self._has_finished:
            self._loop = self.schedule.start("loop", self._serve)

    def stop(self, timeout: float) -> None:
        loop = self._loop
        if loop is None:
            self._has_finished = True
            return
        self._is_stopping = True
        self.ready_again()
        me = self.schedule.current
        if me is loop or me.is_phase_one:
            return
        self.about_to_block("the end of the loop and of turns")
        deadline = self.schedule.now + timeout
        for task in (loop, *self._turns):
            while task is not me and not task.ended:
                task.finished.append(me)
                if not self.schedule.block(f"the end of {task.name}", deadline):
                    return

    def abandon(self) -> None:
        self._watched.clear()
        self._posts.clear()
        self._due.clear()
        for timer in list(self.timers):
            timer.cancel()

    def load(self) -> Load:
        return Load(0, len(self._turns))

    def audit(self) -> list[str]:
        left = [f"watched: {watch.watched!r}" for watch in self._watched.values()]
        left += [f"not closed: {stream!r}" for stream in self._streams.values()]
        left += [f"a timer: {getattr(timer.fn, '__qualname__', timer.fn)}" for timer in self.timers]
        left += [f"a post: {getattr(fn, '__qualname__', fn)}" for fn, _ in self._posts]
        left += breaches
        left += [f"a turn that runs: {task.name}" for task in self._turns]
        return left
