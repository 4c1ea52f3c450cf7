"""The gevent runtime, in monkey-patched processes and in others.

The hub watches one descriptor, our poll set. When somebody is ready in it, a parked greenlet *leads*: it does phase one for each of them
and works the turns that this brings. When the switch into it comes back, all is seen to *or a turn blocks*: then what that has gathered is
sent, and another greenlet leads on. So no standby is needed, and all that is learned is which events block: those are bounded by
`max_handlers`, and quick ones are run even while so many sleep.

Locks are the operating system's and never held across a switch, so greenlets cannot meet on them, and foreign threads may.
Those send by themselves; only posts, timers and turns are handed to the hub.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Final

import gevent
import greenlet
from gevent import get_hub
from gevent._hub_local import get_hub_if_exists
from gevent.monkey import get_original
from greenlet import getcurrent

from . import keeping
from .base import Load, Lock, Timer, Waiter, Watched
from .greenlet_waiter import GreenletWaiter
from .locks import DEBUG, assert_none_held, breaches, get_ident, native_lock, native_order_lock, note_if_held
from .pollers import READ, WRITE, EpollPoller, Poller
from .pollset import PollSet
from .strand import Strand, catch
from .timers import HeapTimer, Timers

MAX_HANDLERS: Final = 1000
SPARE: Final = 16
"""So many turns more run when that many block, of events that were never seen to: quick ones are served even then."""
MAX_PARKED: Final = 100
"""Greenlets that are kept for the next turns; more were a burst."""
PROBE: Final = 0.00005
"""Seconds for which the hub gives the GIL away to see whether it gets it back."""
PROBE_EVERY: Final = 0.25
"""Seconds between two such looks, while anybody is connected."""
HUB_READ: Final = 1
HUB_WRITE: Final = 2
MAX_EVENTS: Final = 256
"""Connections that are seen to at a time, before the hub's other work."""

_log = logging.getLogger("sync_sio.greenlets")
_native_sleep: Callable[[float], None] = get_original("time", "sleep")
_traced: set[int] = set()


class HubPoller:
    """A `Poller` of the hub's own watchers, for systems without epoll. Touched by the hub's thread only.

    Args:
        tell: is told of each event by itself; nobody polls.
    """

    is_shared = False

    def __init__(self, loop: Any, tell: Callable[[list[tuple[int, int]]], None]) -> None:
        self._loop = loop
        self._tell = tell
        self._watchers: dict[int, Any] = {}

    def register(self, fd: int, mask: int) -> None:
        if mask:
            watcher = self._watchers[fd] = self._loop.io(fd, (HUB_READ if mask & READ else 0) | (HUB_WRITE if mask & WRITE else 0))
            watcher.start(self._on_events, fd, pass_events=True)

    def _on_events(self, events: int, fd: int) -> None:
        self._tell([(fd, (READ if events & HUB_READ else 0) | (WRITE if events & HUB_WRITE else 0))])

    def modify(self, fd: int, mask: int) -> None:
        self.unregister(fd)
        self.register(fd, mask)

    def unregister(self, fd: int) -> None:
        watcher = self._watchers.pop(fd, None)
        if watcher is not None:
            watcher.stop()
            watcher.close()

    def poll(self, timeout: float, max_events: int) -> list[tuple[int, int]]:
        return []

    def close(self) -> None:
        for fd in list(self._watchers):
            self.unregister(fd)


class Bench:
    """A greenlet that leads and works turns, parked in between. Touched by the hub's thread only."""

    __slots__ = ("greenlet", "strand", "switch")

    def __init__(self, live: Callable[[Bench], None], hub: Any) -> None:
        self.greenlet = greenlet.greenlet(live, hub)
        self.switch: Callable[[Bench], object] = self.greenlet.switch
        self.strand: Strand | None = None
        """What it works now."""


class GreenletsDriver:
    """A `base.Driver` on the hub of the thread that makes it.

    Args:
        max_handlers: turns that may block at the same time, before others that do queue; None: 1,000.
    """

    name = "gevent"

    def __init__(self, max_handlers: int | None = None) -> None:
        self._max_handlers = MAX_HANDLERS if max_handlers is None else max_handlers
        if self._max_handlers < 1:
            raise ValueError(f"max_handlers must be at least 1, not {max_handlers}")
        self._renew()

    def _renew(self) -> None:
        self._hub = get_hub()
        self._loop: Any = self._hub.loop
        self._ident = get_ident()
        self._timers = Timers()
        self._timer: Any = None
        self._armed_for: float | None = None
        self._posts: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self._is_posted = False
        self._watched = PollSet(self._new_poller(), self._post, self._is_hub)
        self._gate: Any = None                      # the hub's watcher of the poll set, if that is a descriptor itself
        self._is_open = False
        self._is_phase_one = False
        self._leading: Bench | None = None
        self._events: Iterator[tuple[int, int]] = iter(())      # what the poller has told, and nobody has seen to
        self._ready: deque[Strand] = deque()        # turns that phase one has found
        self._queue: deque[Strand] = deque()        # those for which there is no greenlet
        self._free: list[Bench] = []
        self._busy: set[Bench] = set()              # whose turns have blocked and not ended
        self._is_stopped = False
        self._ended: Waiter | None = None
        self._judge = keeping.Judge()
        self._prober: Any = None
        if DEBUG and self._ident not in _traced:
            _traced.add(self._ident)
            _trace_switches()

    # -- Driver: time, locks, waiting --------------------------------------------------------------------------------------

    now = staticmethod(time.monotonic)
    wall_time = staticmethod(time.time)
    lock: Callable[[], Lock] = staticmethod(native_lock)
    order_lock: Callable[[], Lock] = staticmethod(native_order_lock)
    ident = staticmethod(get_ident)

    def waiter(self) -> Waiter:
        return GreenletWaiter(self.may_wait)

    def may_wait(self) -> bool:
        if get_ident() == self._ident:
            return not self._is_phase_one and getcurrent() is not self._hub
        hub = get_hub_if_exists()
        return hub is None or getcurrent() is not hub

    def sleep(self, seconds: float) -> None:
        if DEBUG:
            assert_none_held("a greenlet sleeps")
        if not self.may_wait():
            raise RuntimeError("phase one may not wait: it reads for everybody")
        if get_hub_if_exists() is None:
            _native_sleep(max(0.0, seconds))
        else:
            gevent.sleep(max(0.0, seconds))

    # -- Driver: the loop --------------------------------------------------------------------------------------------------

    def _schedule(self, fn: Callable[..., Any], *args: Any) -> None:
        if get_ident() == self._ident:
            self._loop.run_callback(fn, *args)
        else:
            self._loop.run_callback_threadsafe(fn, *args)

    def post(self, fn: Callable[..., None], *args: Any) -> None:
        self._post(fn, args)

    def _post(self, fn: Callable[..., None], args: tuple[Any, ...]) -> None:
        self._posts.append((fn, args))
        if not self._is_posted:
            self._is_posted = True
            self._schedule(self._run_posts)

    def _run_posts(self) -> None:
        # first the flag, then the queue: `post` appends first and looks at the flag afterwards
        self._is_posted = False
        posts = self._posts
        self._is_phase_one = True
        for _ in range(len(posts)):
            fn, args = posts.popleft()
            try:
                fn(*args)
            except Exception:
                _log.exception("a post failed: %s", getattr(fn, "__qualname__", fn))
        self._is_phase_one = False
        if self._ready:
            self._lead()

    def watch(self, watched: Watched) -> None:
        self._watched.watch(watched)
        if not self._is_open:
            self._is_open = True
            self._schedule(self._open)

    def set_interest(self, watched: Watched, readable: bool, writable: bool) -> None:
        self._watched.set_interest(watched, readable, writable)

    def discard(self, watched: Watched) -> None:
        self._watched.discard(watched)

    def release(self, watched: Watched) -> None:
        self._watched.release(watched)

    def _is_hub(self) -> bool:
        return get_ident() == self._ident

    def _new_poller(self) -> Poller:
        """Return the kernel's poll set, which the hub watches as one descriptor; or, where that cannot be, the hub's own."""
        try:
            return EpollPoller(get_original("select", "epoll"))
        except AttributeError:
            return HubPoller(self._loop, self._see_to)

    def _open(self) -> None:
        """Begin to look at the poll set; again, too."""
        if self._is_stopped:
            return
        if self._gate is None and isinstance(self._watched.poller, EpollPoller):
            self._gate = self._loop.io(self._watched.poller.fileno(), READ)
            self._gate.start(self._poll)
        if self._prober is None:
            self._prober = self._loop.timer(PROBE_EVERY, PROBE_EVERY, ref=False)
            self._prober.start(self._probe)

    def _shut(self) -> None:
        """Look no more: a hub may end when it waits for nothing."""
        self._is_open = False
        for watcher in (self._gate, self._prober):
            if watcher is not None:
                watcher.stop()
                watcher.close()
        self._gate = self._prober = None
        self._judge.rest()

    def later(self, delay: float, fn: Callable[..., None], *args: Any) -> Timer:
        timer = HeapTimer(self._timers, time.monotonic() + delay, fn, args)
        if get_ident() == self._ident:
            self._push(timer)
        else:
            self.post(self._push, timer)
        return timer

    def _push(self, timer: HeapTimer) -> None:
        self._timers.push(timer)
        if self._armed_for is None or timer.deadline < self._armed_for:
            self._arm()

    def _arm(self) -> None:
        """Have the hub call when the next timer is due."""
        deadline = self._timers.next_deadline()
        if deadline == self._armed_for:
            return
        if self._timer is not None:
            self._timer.stop()
            self._timer.close()
            self._timer = None
        self._armed_for = deadline
        if deadline is not None:
            self._timer = self._loop.timer(max(0.0, deadline - time.monotonic()))
            self._timer.start(self._on_time, update=True)

    def _on_time(self) -> None:
        self._armed_for = None
        self._is_phase_one = True
        self._timers.run_due(time.monotonic())
        self._is_phase_one = False
        self._arm()
        if self._ready:
            self._lead()

    def _probe(self) -> None:
        """See whether a native thread computes: the GIL, given away, then comes back late."""
        if not self._watched:
            self._shut()
            if self._watched:                       # since: `watch` adds first and looks whether we are open afterwards
                self._open()
            return
        began = time.monotonic()
        _native_sleep(PROBE)
        self._judge.look(time.monotonic() - began > PROBE + keeping.too_late())

    # -- phase one -----------------------------------------------------------------------------------------------------------

    def _poll(self) -> None:
        self._see_to(self._watched.poller.poll(0, MAX_EVENTS))

    def _see_to(self, events: list[tuple[int, int]]) -> None:
        self._events = iter(events)
        self._lead()

    def _lead(self) -> None:
        """Have what is ready seen to, in the hub: by one greenlet, or by one after another as long as they block."""
        while True:
            bench = self._leading = self._free.pop() if self._free else Bench(self._live, self._hub)
            bench.switch(bench)
            if self._leading is None:
                return
            self._leading = None
            self._is_phase_one = False
            strand = bench.strand
            if strand is not None:
                # it blocks: what it said before must not wait, and the next of its kind are counted
                self._busy.add(bench)
                habit = strand.running_habit
                if habit is not None and not habit.penalty:
                    catch(habit)
                if strand.flow.corked:
                    strand.uncork(self._ident)

    def _live(self, bench: Bench) -> None:
        free, to_hub = self._free, self._hub.switch
        while self._leading is bench:
            self._round(bench)
            if self._leading is bench:
                self._leading = None
            if self._is_stopped or len(free) >= MAX_PARKED:
                return
            free.append(bench)
            try:
                to_hub()
            except BaseException:
                # a time-out or a kill that a handler has left behind
                _log.exception("a greenlet was thrown into while it had nothing to do")

    def _round(self, bench: Bench) -> None:
        """Lead until all is seen to, or until a turn has blocked: then somebody else leads by the time it comes back."""
        ready = self._ready
        get = self._watched.get
        while ready:
            if not self._work(bench, ready.popleft()):
                return
        for fd, mask in self._events:
            watched = get(fd)
            if watched is None:
                continue
            self._is_phase_one = True
            try:
                if mask & WRITE:
                    watched.on_writable()
                if mask != WRITE and (mask == READ or get(fd) is watched):
                    watched.on_readable()
            except Exception:
                self._broken(watched)
            self._is_phase_one = False
            while ready:
                if not self._work(bench, ready.popleft()):
                    return

    def _broken(self, watched: Watched) -> None:
        """The wall around connections: a bug in phase one costs the one that it met."""
        _log.exception("reading or writing failed; connection closed: %r", watched)
        self.discard(watched)

    # -- turns -------------------------------------------------------------------------------------------------------------

    def run(self, strand: Strand) -> None:
        if get_ident() != self._ident:
            self._loop.run_callback_threadsafe(self._take, strand)
        elif self._is_phase_one:
            self._ready.append(strand)              # reading comes first
        else:
            self._loop.run_callback(self._take, strand)

    def _take(self, strand: Strand) -> None:
        self._ready.append(strand)
        self._lead()

    def _work(self, bench: Bench, strand: Strand) -> bool:
        """Work a turn, or have it wait. Returns False when it has blocked: the caller leads no more."""
        busy = self._busy
        if busy and self._is_full(strand):
            self._queue.append(strand)
            return True
        bench.strand = strand
        has_more = strand.work(self._ident)
        bench.strand = None
        if has_more:
            self._loop.run_callback(self._take, strand)
        is_leading = self._leading is bench
        if not is_leading:
            busy.discard(bench)
        if self._queue and len(busy) < self._max_handlers:
            self._loop.run_callback(self._take, self._queue.popleft())
        if self._ended is not None:
            self._ended.set()
        return is_leading

    def _is_full(self, strand: Strand) -> bool:
        count = len(self._busy)
        return count >= self._max_handlers and (strand.has_blocked or count >= self._max_handlers + SPARE)

    def spawn(self, fn: Callable[..., Any], *args: Any) -> None:
        if get_ident() == self._ident:
            gevent.spawn(_spawned, fn, args)
        else:
            self._loop.run_callback_threadsafe(gevent.spawn, _spawned, fn, args)

    # -- Driver: life ------------------------------------------------------------------------------------------------------

    def start_if_needed(self) -> None:
        """Do nothing: the hub runs by itself."""

    def stop(self, timeout: float) -> None:
        if self._is_stopped:
            return
        self._is_stopped = True
        deadline = time.monotonic() + timeout
        ended = self.waiter()
        self._schedule(self._finish, ended)
        if not self.may_wait():
            return
        me = getcurrent()
        while ended.wait(deadline - time.monotonic()) and any(bench.greenlet is not me for bench in list(self._busy)):
            ended = self._ended = self.waiter()
            if not any(bench.greenlet is not me for bench in list(self._busy)):
                break
        self._ended = None

    def _finish(self, finished: Waiter) -> None:
        for _ in range(100):
            if not self._posts:
                break
            self._run_posts()
        if self._timer is not None:
            self._timer.stop()
            self._timer.close()
            self._timer = None
        self._armed_for = None
        self._shut()
        self._watched.close()
        while self._free:
            bench = self._free.pop()
            bench.switch(bench)                     # it does not lead, so it ends
        finished.set()

    def abandon(self) -> None:
        # stopping a libev watcher in the child changes nothing for the parent: it takes nothing out of an epoll set
        self._shut()
        self._watched.abandon()
        if self._timer is not None:
            self._timer.stop()
            self._timer.close()
        keeping.forget()
        self._renew()

    def load(self) -> Load:
        me = getcurrent()
        return Load(len(self._ready) + len(self._queue), sum(bench.greenlet is not me for bench in list(self._busy)))

    def audit(self) -> list[str]:
        me = getcurrent()
        left = list(breaches)
        left += [f"watched: {watched!r} on descriptor {fd}" for fd, watched in self._watched]
        left += [f"a timer: {getattr(timer.fn, '__qualname__', timer.fn)}" for timer in self._timers]
        left += [f"a post: {getattr(fn, '__qualname__', fn)}" for fn, _ in list(self._posts)]
        left += [f"a turn that waits: {strand!r}" for strand in [*self._ready, *self._queue]]
        left += [f"a turn that runs: {bench.strand!r}" for bench in list(self._busy) if bench.greenlet is not me]
        return left


def _spawned(fn: Callable[..., Any], args: tuple[Any, ...]) -> None:
    try:
        fn(*args)
    except greenlet.GreenletExit:
        pass
    except BaseException:
        _log.exception("a spawned function failed: %s", getattr(fn, "__qualname__", fn))


def _trace_switches() -> None:
    """In debug mode: note it when a greenlet of this thread is switched away from while it holds a lock."""
    previous = greenlet.gettrace()

    def trace(event: Any, args: Any) -> None:
        note_if_held("a greenlet is switched")
        if previous is not None:
            previous(event, args)

    greenlet.settrace(trace)
