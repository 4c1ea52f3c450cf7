"""Threads that work strands, or wait to be called: last in, first out, made when needed, gone when idle for long.

A pool must mean few runnable threads: each one more costs all of them switches of the GIL, and waking one per job
halves the rate. So at most two are on their way at any time, and none while those that are there get on with the jobs; should these
block, the next look finds that nothing was begun, and calls more.
"""

from __future__ import annotations

import logging
import sys
from collections import deque
from collections.abc import Callable
from threading import Thread, current_thread
from typing import Any, Final

from .locks import native_rlock
from .strand import Strand, Worker

AT_ONCE: Final = 2
"""Threads that are woken and have not begun; more are not called for one more job."""
BRISK: Final = 8
"""Jobs begun between two looks from which on the pool gets on by itself."""
IDLE_SECONDS: Final = 30.0
"""After so long without anything to do a thread ends."""

_log = logging.getLogger("sync_sio.threads")


class Pool:
    """Jobs and the threads that wait for them. What the threads do is the driver's.

    Args:
        main: what a new thread runs.
        limit: threads at most.
    """

    def __init__(self, main: Callable[..., None], limit: int, idle_seconds: float = IDLE_SECONDS) -> None:
        self.jobs: deque[Strand] = deque()
        self.limit = limit
        self.threads: set[Thread] = set()
        self.is_stopping = False
        self.given = 0
        """Turns that were given to other threads. Without a lock, so it may lose some: it tells whether they are many."""
        self._begun_before = 0
        self._main = main
        self._idle_seconds = idle_seconds
        self._idle: list[Worker] = []
        self._mutex = native_rlock()        # guards idle, threads and waking
        self._waking = 0
        self._has_complained = False

    def give(self, strand: Strand) -> None:
        """Queue a job; `nudge` makes somebody do it."""
        self.jobs.append(strand)
        self.given += 1

    @property
    def jobs_begun(self) -> int:
        """How many jobs were taken; about, see `given`."""
        return self.given - len(self.jobs)

    def nudge(self) -> None:
        """See to it that the jobs are begun, by few threads."""
        before, self._begun_before = self._begun_before, self.jobs_begun
        if self._begun_before - before >= BRISK:
            return
        wanted = min(AT_ONCE, len(self.jobs)) - self._waking
        if wanted > 0:
            self.wake(wanted)

    def wake(self, count: int) -> int:
        """Call up to `count` threads, new ones if need be. Returns how many were there to be called."""
        with self._mutex:
            for number in range(count):
                if self._idle:
                    self._waking += 1
                    self._idle.pop().baton.release()
                elif not self.start_thread():
                    return number
        return count

    def start_thread(self, *args: Any) -> bool:
        """Start one more thread. False: there are enough, or there can be none."""
        with self._mutex:
            if len(self.threads) >= self.limit or self.is_stopping or sys.is_finalizing():
                return False
            thread = Thread(target=self._run, args=args, name="sync_sio", daemon=True)
            self._waking += 1
            try:
                thread.start()
            except RuntimeError as error:       # the system's limit, or the interpreter is shutting down
                self._waking -= 1
                if not self._has_complained:
                    self._has_complained = True
                    _log.warning("cannot start a thread beside the %d that run: %s", len(self.threads), error)
                return False
            self.threads.add(thread)
        return True

    def others(self) -> list[Thread]:
        """Return our threads, without the caller's."""
        with self._mutex:
            return [thread for thread in self.threads if thread is not current_thread()]

    def spare(self) -> int:
        """Count the threads that can still be called. Without a lock: it is old when it is read."""
        return len(self._idle) + max(0, self.limit - len(self.threads))

    def begun(self) -> None:
        """A thread that was called has come."""
        with self._mutex:
            self._waking -= 1

    def park(self, worker: Worker, must_go_on: Callable[[], bool]) -> bool:
        """Wait to be called. False: nobody has for a long time, or all is over: the thread must end.

        Args:
            must_go_on: tells, when the thread has said that it waits, that there is something to do after all.
        """
        with self._mutex:
            if self.jobs or must_go_on():
                return True
            if self.is_stopping:
                return False
            self._idle.append(worker)
        # the waker adds a job first and takes an idle thread afterwards, both of which happen after our look or are seen by it
        if not worker.baton.acquire(True, self._idle_seconds):
            with self._mutex:
                if worker in self._idle:
                    self._idle.remove(worker)
                    return False
            worker.baton.acquire()              # called at the last moment
        self.begun()
        return True

    def wake_all(self) -> None:
        """Let every waiting thread look around."""
        self.wake(len(self._idle))

    def _run(self, *args: Any) -> None:
        try:
            self._main(*args)
        finally:
            with self._mutex:
                self.threads.discard(current_thread())
