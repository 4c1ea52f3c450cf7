"""The loop of the threads runtime: one round polls, does phase one for each who is ready, and runs the turns that this brings.

The *lead* is a lock: its holder polls, reads and owns everything here that is not said to be anybody's. It lays the lead on the
table (`release`) while it runs a turn, and afterwards tries to pick it up again without waiting. If the turn took too
long, another thread has it by then. Two leaders are impossible, whatever the timing, and nobody ever waits for this lock.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from time import monotonic, perf_counter
from typing import Any, Final

from .base import Habit, Watched
from .locks import DEBUG, allocate_lock, complain, get_ident, native_rlock
from .pollers import READ, WRITE, Bell, Poller, new_poller
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
        self.is_closed = False
        self._give = give
        self._is_short = is_short
        self._poller = new_poller() if poller is None else poller
        self._poll = self._poller.poll
        self._bell = Bell()
        self._watched: dict[int, Watched] = {}
        self._watching = native_rlock()
        self._posts: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self._is_polling = False
        self._poller.register(self._bell.fd, READ)
        self._watched[self._bell.fd] = self._bell

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

    def watch(self, watched: Watched) -> None:
        if self._poller.is_shared or self.reader == get_ident():
            self._watch(watched)
        else:
            self.post(self._watch, (watched,))

    def _watch(self, watched: Watched) -> None:
        with self._watching:
            fd = watched.fd
            if fd >= 0 and not self.is_closed:
                self._watched[fd] = watched         # before the poll set may tell of it
                try:
                    self._poller.register(fd, READ)
                except BaseException:
                    del self._watched[fd]
                    raise

    def set_interest(self, watched: Watched, readable: bool, writable: bool) -> None:
        # the caller holds its connection's lock, without which the descriptor cannot be closed and its number reused
        mask = (READ if readable else 0) | (WRITE if writable else 0)
        if self._poller.is_shared:
            self._set_interest(watched, mask)
        else:
            self.post(self._set_interest, (watched, mask))

    def _set_interest(self, watched: Watched, mask: int) -> None:
        fd = watched.fd
        if self._watched.get(fd) is watched:
            with suppress(OSError, ValueError):     # it has left the set between the look and the change
                self._poller.modify(fd, mask)

    def discard(self, watched: Watched) -> None:
        if watched.fd < 0:
            return                                  # long gone
        if self.is_closed:
            self.discard_now(watched)
            return
        if self._poller.is_shared or self.reader == get_ident():
            self._forget(watched)
        self.post(self.discard_now, (watched,))

    def release(self, watched: Watched) -> None:
        if self._poller.is_shared or self.reader == get_ident():
            self._forget(watched)
            return
        with self._watching:
            fd = watched.fd
            if self._watched.get(fd) is watched:
                del self._watched[fd]               # what the poll set still says of it is said to nobody
                self.post(self._unregister, (fd,))

    def _unregister(self, fd: int) -> None:
        with self._watching:
            if fd not in self._watched:
                with suppress(OSError, ValueError):
                    self._poller.unregister(fd)

    def _forget(self, watched: Watched) -> None:
        with self._watching:
            fd = watched.fd
            if fd >= 0 and self._watched.get(fd) is watched:
                del self._watched[fd]
                with suppress(OSError, ValueError):
                    self._poller.unregister(fd)

    def discard_now(self, watched: Watched) -> None:
        """See to it here: phase one, or anybody when the loop has ended. Whoever comes first does it; for the others it is nothing."""
        with self._watching:
            if watched.fd < 0:
                return
            self._forget(watched)                   # it may have been watched after `discard`
            watched.fd = -1
        watched.on_discarded()

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
        events = self._poll(timeout, MAX_EVENTS)
        self._is_polling = False
        worker.now = perf_counter()
        get = self._watched.get
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
            self.discard(watched)

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
        self.is_closed = True
        self._poller.close()
        self._bell.abandon()

    def close(self) -> None:
        """Give poller and bell back, with the lead held. Nothing is done for what is watched."""
        with self._watching:                        # or what is being watched meets a closed poll set
            if self.is_closed:
                return
            self.is_closed = True
            self._watched.pop(self._bell.fd, None)
            self._poller.close()
        self._bell.close()

    def audit(self) -> list[str]:
        """Name what is left."""
        left = [f"watched: {watched!r} on descriptor {fd}" for fd, watched in list(self._watched.items()) if watched is not self._bell]
        left += [f"a timer: {getattr(timer.fn, '__qualname__', timer.fn)}" for timer in self.timers]
        left += [f"a post: {getattr(fn, '__qualname__', fn)}" for fn, _ in list(self._posts)]
        left += [f"a turn that waits: {strand!r}" for strand in list(self.turns)]
        return left
