"""The threads runtime: a leader, a standby, and a pool; all of them the same threads.

The *leader* repeats `Loop.step`. The *standby* looks every few milliseconds whether the leader is stuck in a turn with the
lead on the table, and then leads itself. Whoever lost the lead finishes its turn and becomes one of the *pool*, which works what is
known to block. That a handler may block at any moment is thus correct by construction; what is learned is only about speed.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from threading import Thread
from typing import Any, Final

from . import keeping
from .base import Load, Lock, Timer, Waiter, Watched
from .locks import DEBUG, allocate_lock, assert_none_held, breaches, get_ident, native_lock, native_order_lock, native_rlock
from .loop import Loop
from .pool import BRISK, IDLE_SECONDS, Pool
from .strand import Strand, Worker, catch
from .waiter import ThreadWaiter

MAX_HANDLERS: Final = 64
LOOK: Final = 0.005
"""Seconds between two looks of the standby, so about what a blocked turn may hold up everybody else, once."""
DEEP: Final = 0.5
"""The same when nothing happens: the next turn ends it. Waking on a machine that is asleep is dear, 70 µs of its time."""
MANY: Final = 8
"""Turns in the pool between two looks, so 1,600 a second, that make it worth keeping the GIL: one costs 20 µs where threads hand it
to and fro, keeping it 0.4 µs a message."""
CALLED: Final = 8
"""Pool threads that one look calls at most, so 1,600 a second: a machine that stood still for a moment looks like a pool that blocks."""
QUIET: Final = 20
"""Looks without a turn after which the standby sleeps deeply."""

_log = logging.getLogger("sync_sio.threads")


class ThreadsDriver:
    """A `base.Driver` on OS threads, which are started when first needed.

    Args:
        max_handlers: turns that may block at the same time, before others queue; None: 64. Quick ones are run even then.
        idle_seconds: after so long without work a pool thread ends.
    """

    name = "threads"

    def __init__(self, max_handlers: int | None = None, idle_seconds: float = IDLE_SECONDS) -> None:
        self._max_handlers = MAX_HANDLERS if max_handlers is None else max_handlers
        if self._max_handlers < 1:
            raise ValueError(f"max_handlers must be at least 1, not {max_handlers}")
        self._idle_seconds = idle_seconds
        self._is_stopped = False
        self._starting = native_rlock()
        self._renew()

    def _renew(self) -> None:
        self._is_started = False
        self._is_stopping = False
        self._workers: dict[int, Worker] = {}
        self._standby = allocate_lock()         # held by the thread that has this role
        self._alarm = allocate_lock()           # what it sleeps on
        self._alarm.acquire()
        self._judge = keeping.Judge()           # the standby's
        self._announced = -1                    # the turn that said that it will block
        self._has_finished = False
        self._pool = Pool(self._live, self._max_handlers + 2, self._idle_seconds)
        self._loop: Loop | None = None

    @property
    def loop(self) -> Loop:
        """The loop, made when first asked for. For tests: everybody else has the methods of the driver."""
        loop = self._loop
        if loop is None:
            with self._starting:
                loop = self._loop
                if loop is None:
                    loop = self._loop = Loop(self._pool.give, self._is_short)
        return loop

    # -- Driver: time, locks, waiting --------------------------------------------------------------------------------------

    now = staticmethod(time.monotonic)
    wall_time = staticmethod(time.time)
    lock: Callable[[], Lock] = staticmethod(native_lock)
    order_lock: Callable[[], Lock] = staticmethod(native_order_lock)
    ident = staticmethod(get_ident)

    def waiter(self) -> Waiter:
        return ThreadWaiter(self._about_to_block)

    def may_wait(self) -> bool:
        loop = self._loop
        return loop is None or loop.reader != get_ident()

    def sleep(self, seconds: float) -> None:
        if DEBUG:
            assert_none_held("a thread sleeps")
        self._about_to_block()
        time.sleep(max(0.0, seconds))

    def _about_to_block(self) -> None:
        """Send what this thread's turn has gathered; if it leads, have the standby lead at once. Nothing is learned from it."""
        ident = get_ident()
        loop = self._loop
        if loop is not None and loop.reader == ident:
            raise RuntimeError("phase one may not wait: this thread reads for everybody")
        worker = self._workers.get(ident)
        if worker is not None and worker.is_inline:
            strand = worker.strand
            if strand is not None:
                strand.uncork(ident)
            assert loop is not None
            self._announced = loop.turn_count
            self._rouse()

    # -- Driver: the loop --------------------------------------------------------------------------------------------------

    def watch(self, watched: Watched) -> None:
        self.start_if_needed()
        self.loop.watched.watch(watched)

    def set_interest(self, watched: Watched, readable: bool, writable: bool) -> None:
        loop = self._loop
        if loop is not None:
            loop.watched.set_interest(watched, readable, writable)

    def discard(self, watched: Watched) -> None:
        if not self._has_finished:
            self.start_if_needed()
            self.loop.watched.discard(watched)
            if not self._has_finished:          # there is a round to come, then
                return
        self.loop.watched.discard_now(watched)          # perhaps nobody is left to do it

    def release(self, watched: Watched) -> None:
        loop = self._loop
        if loop is not None:
            loop.watched.release(watched)

    def post(self, fn: Callable[..., None], *args: Any) -> None:
        self.start_if_needed()
        self.loop.post(fn, args)

    def later(self, delay: float, fn: Callable[..., None], *args: Any) -> Timer:
        self.start_if_needed()
        return self.loop.later(delay, fn, args)

    def run(self, strand: Strand) -> None:
        loop = self._loop
        if loop is None or not self._is_started:
            self.start_if_needed()
            loop = self.loop
        if loop.reader == get_ident():
            loop.turns.append(strand)           # the leader reads on first, and sees to it then
        elif strand.is_pooled:
            self._give(strand)
        else:
            loop.run(strand)

    def _give(self, strand: Strand) -> None:
        self._pool.give(strand)
        self._pool.nudge()
        rouse = self.loop.on_turn
        if rouse is not None:
            rouse()                             # it must not sleep deeply while jobs wait

    def spawn(self, fn: Callable[..., Any], *args: Any) -> None:
        Thread(target=_spawned, args=(fn, args), name=f"sync_sio spawned {getattr(fn, '__name__', '')}".rstrip(), daemon=True).start()

    # -- Driver: life ------------------------------------------------------------------------------------------------------

    def start_if_needed(self) -> None:
        if not self._is_started and not self._is_stopped:
            with self._starting:
                self._start()

    def _start(self) -> None:
        if not self._is_started and not self._is_stopped:
            loop = self.loop
            loop.lead.acquire(False)            # for the first thread, which leads from the start
            if not self._pool.start_thread(True):
                loop.lead.release()
                raise RuntimeError("sync_sio cannot start a thread: it needs two at least")
            self._is_started = True
            self._pool.start_thread()

    def stop(self, timeout: float) -> None:
        with self._starting:
            loop = self.loop                    # made only to be closed, perhaps: what comes later must find it so
            if not self._is_started:
                self._has_finished = True       # first: who finds us stopped must find that nobody does what is posted
                self._is_stopped = True
                loop.close()
                return
            self._is_stopped = True
        self._is_stopping = True
        if loop.reader != get_ident():
            self._about_to_block()              # a turn may stop us: then the standby is who finishes
        self._rouse()
        loop.wake()
        if loop.reader == get_ident():
            return
        deadline = time.monotonic() + timeout
        # again, as one that ends may have called another just before
        while (threads := self._pool.others()) and time.monotonic() <= deadline:
            for thread in threads:
                thread.join(max(0.0, deadline - time.monotonic()))

    def abandon(self) -> None:
        loop = self._loop
        if loop is not None:
            loop.abandon()
        keeping.forget()
        self._starting = native_rlock()
        self._renew()

    def load(self) -> Load:
        waiting = len(self._pool.jobs) + (0 if self._loop is None else len(self._loop.turns))
        me = get_ident()
        return Load(waiting, sum(worker.strand is not None and worker.ident != me for worker in list(self._workers.values())))

    def audit(self) -> list[str]:
        left = list(breaches)
        if self._loop is not None:
            left += self._loop.audit()
        left += [f"a turn for the pool: {strand!r}" for strand in list(self._pool.jobs)]
        left += [f"a turn that runs: {worker.strand!r}" for worker in list(self._workers.values()) if worker.strand is not None]
        if self._is_stopped:
            left += [f"a thread: {thread.name}" for thread in self._pool.others()]
        return left

    # -- our threads -------------------------------------------------------------------------------------------------------

    def _is_short(self) -> bool:
        return not self._pool.spare()

    def _live(self, leads: bool = False) -> None:
        baton = allocate_lock()
        baton.acquire()
        worker = Worker(get_ident(), baton)
        self._workers[worker.ident] = worker
        pool = self._pool
        jobs = pool.jobs
        pool.begun()
        try:
            while True:
                if leads:
                    leads = self._lead(worker)
                elif not self._has_finished and self._standby.acquire(False):
                    leads = self._stand_by(worker)
                else:
                    try:
                        strand = jobs.popleft()
                    except IndexError:
                        if not pool.park(worker, self._is_wanted):
                            return
                        continue
                    self._work(worker, strand)
                    del strand          # while this thread is parked, it keeps no client that has gone
        finally:
            self._workers.pop(worker.ident, None)

    def _work(self, worker: Worker, strand: Strand) -> None:
        worker.strand = strand
        has_more = strand.work()
        worker.strand = None
        if has_more:
            self._pool.give(strand)
            self._pool.nudge()

    def _is_wanted(self) -> bool:
        return not self._has_finished and not self._standby.locked()

    def _lead(self, worker: Worker) -> bool:
        """Lead until the lead is lost, or until the end. Returns False: it is another thread's turn to lead, if any."""
        loop, pool = self.loop, self._pool
        while not self._is_stopping:
            if not loop.step(worker):
                return False
            if pool.jobs:
                pool.nudge()
                if loop.on_turn is not None:
                    self._rouse()
        self._finish(worker)
        return False

    def _finish(self, worker: Worker) -> None:
        """The last rounds, with the lead held: what is posted is run, and what that posts."""
        loop, pool = self.loop, self._pool
        loop.has_standby = False                # turns go to the pool
        for _ in range(100):
            loop.step(worker, 0)
            if not loop.has_posts():
                break
        self._has_finished = True
        loop.step(worker, 0)                    # what came until this was said
        loop.close()
        loop.reader = 0                         # the lead stays ours: whoever comes back from a turn must not find it
        pool.nudge()
        pool.is_stopping = True
        pool.wake_all()
        self._judge.rest()
        self._rouse()

    def _stand_by(self, worker: Worker) -> bool:
        """Watch the leader until the lead is ours: True. False: this role was given up."""
        loop, pool = self.loop, self._pool
        loop.has_standby = True
        last = -1
        quiet = 0
        is_late = False
        pause = LOOK
        given, begun = pool.given, pool.jobs_begun
        judge = self._judge
        too_late = keeping.too_late()
        while True:
            began = time.monotonic()
            is_called = self._alarm.acquire(True, pause)
            was_late, is_late = is_late, not is_called and time.monotonic() - began > pause + too_late
            loop.on_turn = None
            if self._has_finished:
                judge.rest()
                self._standby.release()
                return False
            count = loop.turn_count
            # getting the GIL took the rest; while we keep it, that may be our doing
            judge.look(is_late and not judge.is_keeping, pool.given - given >= MANY)
            given = pool.given
            waiting = len(pool.jobs)
            before, begun = begun, pool.jobs_begun
            if waiting:
                quiet = 0
                if not pool.wake(1 if begun - before >= BRISK else min(waiting, CALLED)) and len(pool.threads) <= 2:
                    # the system has no thread for us: we are the pool for a while, and the leader only reads
                    loop.has_standby = False
                    self._standby.release()
                    with suppress(IndexError):
                        self._work(worker, pool.jobs.popleft())
                    return False
            # who comes late once saw nothing: a machine that stood still looks like a turn that does
            is_stuck = count == last and (was_late or not is_late)
            if is_stuck or count == self._announced or self._is_stopping:
                if loop.lead.acquire(False):
                    # offered since the last look, or longer than a handler said: somebody is in a turn and does not come back
                    self._take_over(worker, count)
                    return True
                quiet += 1
            else:
                last = count
                quiet = 0
            pause = LOOK
            if is_late and not judge.is_keeping:
                quiet = 0                   # more looks will tell whether somebody computes
            if quiet > QUIET:
                # first say that we sleep deeply, then look again: the leader counts its turn and looks afterwards
                loop.on_turn = self._rouse
                if loop.turn_count == count and loop.lead.locked() and not pool.jobs:
                    pause = DEEP

    def _take_over(self, worker: Worker, count: int) -> None:
        loop = self.loop
        loop.has_standby = False
        habit = loop.take_over(worker)
        # a wait that was announced costs others nothing, and is better left where it is, unless many do it at the same time
        if habit is not None and count == loop.turn_count and (
            count != self._announced or self._pool.spare() <= self._max_handlers // 2
        ):
            catch(habit)
        self._standby.release()
        self._pool.wake(1)                      # whoever comes finds the role free

    def _rouse(self) -> None:
        self.loop.on_turn = None
        with suppress(RuntimeError):            # it is awake
            self._alarm.release()


def _spawned(fn: Callable[..., Any], args: tuple[Any, ...]) -> None:
    try:
        fn(*args)
    except BaseException:
        _log.exception("a spawned function failed: %s", getattr(fn, "__qualname__", fn))
