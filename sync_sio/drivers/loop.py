"""The loop of the threads runtime: one round polls, does phase one for each who is ready, and runs the turns that this brings.

The *lead* is a lock: its holder polls, reads and owns everything here that is not said to be anybody's. It lays the lead on the
table (`release`) while it runs a turn, and afterwards tries to pick it up again without waiting. If the turn took too
long, another thread has it by then. Two leaders are impossible, whatever the timing, and nobody ever waits for this lock.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from time import monotonic, perf_counter
from typing import Any, Final

from .base import Habit, Watched
from .locks import DEBUG, allocate_lock, complain, get_ident
from .pollers import WRITE, Bell, Poller, new_poller
from .pollset import PollSet
from .strand import Strand, Worker
from .timers import HeapTimer, Timers

MAX_EVENTS: Final = 256

_log = logging.getLogger("sync_sio.loop")


class Loop:
    """One poll set with its timers, posts and turns. Start-up and threads are somebody else's: they call `step`.

    Args:
        give: takes a strand that the leader does not work itself, without blocking.
        is_short: tells whether there would be no standby any more if the next turn blocks.
    """

    def __init__(
        self, give: Callable[[Strand], None], is_short: Callable[[], bool] = lambda: False, poller: Poller | None = None
    ) -> None:
        self.lead = allocate_lock()
        self.leader: Worker | None = None
        """Who took the lead last."""
        self.reader = 0
        """The thread that is in phase one; 0 while a turn runs."""
        self.turns: deque[Strand] = deque()
        """What waits for the leader. Anybody may append (`run` does); whoever leads takes."""
        self.turn_count = 0
        self.has_standby = False
        """Somebody will take the lead if a turn blocks. Without, the leader runs none."""
        self.on_turn: Callable[[], None] | None = None
        """Called once when the next turn begins: the standby sleeps deeply."""
        self.timers = Timers()
        self.watched = PollSet(new_poller() if poller is None else poller, self.post, lambda: self.reader == get_ident())
        self._give = give
        self._is_short = is_short
        self._bell = Bell()
        self._posts: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self._is_polling = False
        self.watched.add(self._bell)

    # -- for anybody -------------------------------------------------------------------------------------------------------

    def post(self, fn: Callable[..., None], args: tuple[Any, ...]) -> None:
        self._posts.append((fn, args))
        if self._is_polling:
            self._bell.ring()

    def run(self, strand: Strand) -> None:
        """Have the leader see to a strand: it works it or gives it away."""
        self.turns.append(strand)
        if self._is_polling:
            self._bell.ring()

    def wake(self) -> None:
        self._bell.ring()

    def later(self, delay: float, fn: Callable[..., None], args: tuple[Any, ...]) -> HeapTimer:
        timer = HeapTimer(self.timers, monotonic() + delay, fn, args)
        if self.reader == get_ident():
            self.timers.push(timer)
        else:
            self.post(self.timers.push, (timer,))
        return timer

    # -- for who leads -----------------------------------------------------------------------------------------------------

    def step(self, worker: Worker, timeout: float = -1) -> bool:
        """Do one round with the lead held: wait for something at most `timeout` seconds (-1: for ever), and see to it.

        Returns False when the lead was lost in a turn: the caller is no leader any more, and must not touch the loop.
        """
        if DEBUG and not self.lead.locked():
            complain("a round without the lead")
        self.leader = worker
        self.reader = worker.ident
        posts = self._posts
        timers = self.timers
        turns = self.turns
        if posts or turns:
            timeout = 0
        else:
            deadline = timers.next_deadline()
            if deadline is not None:
                left = max(0.0, deadline - monotonic())
                timeout = left if timeout < 0 else min(timeout, left)
            # first say that we are about to wait, then look again: `post` appends first and looks whether we wait afterwards
            self._is_polling = True
            if posts or turns:
                timeout = 0
        events = self.watched.poller.poll(timeout, MAX_EVENTS)
        self._is_polling = False
        worker.now = perf_counter()
        get = self.watched.get
        for fd, mask in events:
            watched = get(fd)
            if watched is not None:
                try:
                    if mask & WRITE:
                        watched.on_writable()
                        if mask == WRITE or get(fd) is not watched:
                            continue
                    watched.on_readable()
                except Exception:
                    self._broken(watched)
                # what came is worked while the caches still hold it; who is behind it in the list is told of again if the lead is lost
                if turns and not self._run_turn(worker, turns.popleft()):
                    return False
        timers.run_due(monotonic())
        for _ in range(len(posts)):
            fn, args = posts.popleft()
            try:
                fn(*args)
            except Exception:
                _log.exception("a post failed: %s", getattr(fn, "__qualname__", fn))
        for _ in range(len(turns)):
            if not turns:
                break                               # another thread led in between, and lost the lead to us again
            if not self._run_turn(worker, turns.popleft()):
                return False
        return True

    def _broken(self, watched: Watched) -> None:
        """The wall around connections: a bug in phase one costs the one that it met."""
        _log.exception("reading or writing failed; connection closed: %r", watched)
        if watched is not self._bell:
            self.watched.discard(watched)

    def _run_turn(self, worker: Worker, strand: Strand) -> bool:
        """Work one turn, or give it away. Returns False when the lead was lost."""
        tasks = strand.tasks
        habit = None if tasks is None else tasks[0][3]
        # what has blocked before may have served its time in the pool, but must not take the last standby away
        if not self.has_standby or (habit is not None and habit.penalty and (habit.pooled > 0 or self._is_short())):
            self._give(strand)
            return True
        lead = self.lead
        worker.strand = strand
        worker.is_inline = True
        self.turn_count += 1
        self.reader = 0
        lead.release()
        # the standby says that it sleeps deeply and looks at the count again; we count and look whether it sleeps
        rouse = self.on_turn
        if rouse is not None:
            rouse()
        has_more = strand.work_as(worker)
        worker.is_inline = False
        worker.strand = None
        is_ours = lead.acquire(False)
        if has_more:
            self.run(strand)
        if not is_ours:
            return False
        if self.leader is not worker:
            self.take_over(worker)
        self.reader = worker.ident
        return True

    def take_over(self, worker: Worker) -> Habit | None:
        """Follow the thread that led before and has not come back from its turn; the lead is held by the caller.

        What that turn has gathered is sent. Returns the habit of what it runs, if that is known.
        """
        loser, self.leader = self.leader, worker
        if loser is None or loser is worker or not loser.is_inline:
            return None
        loser.is_inline = False
        strand = loser.strand
        if strand is None:
            return None
        habit = strand.running_habit
        strand.uncork(loser.ident)
        return habit

    def has_posts(self) -> bool:
        return bool(self._posts)

    def abandon(self) -> None:
        """Close it in the child of a fork. The poll set is shared with the parent: nothing is taken out of it."""
        self.watched.abandon()
        self._bell.abandon()

    def close(self) -> None:
        """Give poller and bell back, with the lead held. Nothing is done for what is watched."""
        if self.watched.close():
            self._bell.close()

    def audit(self) -> list[str]:
        """Name what is left."""
        left = [f"watched: {watched!r} on descriptor {fd}" for fd, watched in self.watched if watched is not self._bell]
        left += [f"a timer: {getattr(timer.fn, '__qualname__', timer.fn)}" for timer in self.timers]
        left += [f"a post: {getattr(fn, '__qualname__', fn)}" for fn, _ in list(self._posts)]
        left += [f"a turn that waits: {strand!r}" for strand in list(self.turns)]
        return left
