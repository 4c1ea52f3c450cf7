"""The gevent runtime, in monkey-patched processes and in others. The only module that imports gevent.

The hub is the poller: a watcher for each connection calls phase one in the hub itself, which then switches into a parked
greenlet for each turn. When that switch comes back, the turn has finished *or it blocks*: both times what it gathered is sent. So there
is no lead and no standby, and all that is learned is which events block: those are bounded by `max_handlers`, and quick ones are run
even while so many sleep.

Locks are the operating system's and never held across a switch, so greenlets cannot meet on them, and foreign threads may.
Those send by themselves; only watchers, timers and turns are handed to the hub.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import gevent
import greenlet
from gevent import get_hub
from gevent._hub_local import get_hub_if_exists
from gevent.monkey import get_original
from greenlet import getcurrent

from . import keeping
from .base import Lock, Timer, Waiter, Watched
from .locks import DEBUG, allocate_lock, assert_none_held, breaches, get_ident, native_lock, native_order_lock, native_rlock, note_if_held
from .strand import Strand, catch
from .timers import HeapTimer, Timers

MAX_HANDLERS: Final = 1000
SPARE: Final = 16
"""So many turns more run when that many block, of events that were never seen to: quick ones are served even then."""
MAX_PARKED: Final = 100
"""Greenlets that are kept for the next turns; more were a burst."""
A_DAY: Final = 86400.0
PROBE: Final = 0.00005
"""Seconds for which the hub gives the GIL away to see whether it gets it back."""
PROBE_EVERY: Final = 0.25
"""Seconds between two such looks, while anybody is connected."""
READ: Final = 1
WRITE: Final = 2

_log = logging.getLogger("sync_sio.greenlets")
_native_sleep: Callable[[float], None] = get_original("time", "sleep")
_traced: set[int] = set()


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

    __slots__ = ("_is_set", "_parked", "_turn", "value")

    def __init__(self) -> None:
        self.value: Any = None
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
        hub = get_hub_if_exists()
        if hub is not None and getcurrent() is hub:
            raise RuntimeError("the hub may not wait: it reads for everybody")
        sleeper = ParkedThread() if hub is None else ParkedGreenlet(hub)
        self._parked.append(sleeper)
        if not self._is_set:                # `set` says so first and looks for sleepers afterwards
            try:
                sleeper.park(timeout)
            finally:
                with suppress(ValueError):  # `set` has taken it
                    self._parked.remove(sleeper)
        return self._is_set


class Watch:
    """What the hub watches for one `Watched`. Watchers are touched by the hub's thread only."""

    __slots__ = ("is_gone", "readable", "reader", "watched", "writable", "writer")

    def __init__(self, watched: Watched) -> None:
        self.watched = watched
        self.readable = True
        self.writable = False
        self.is_gone = False
        self.reader: Any = None
        self.writer: Any = None

    def close(self) -> None:
        self.is_gone = True
        for watcher in (self.reader, self.writer):
            if watcher is not None:
                watcher.stop()
                watcher.close()
        self.reader = self.writer = None


class Bench:
    """A greenlet that works turns, parked in between: `strand` is the one that it works. Touched by the hub's thread only."""

    __slots__ = ("greenlet", "has_blocked", "strand", "switch")

    def __init__(self, live: Callable[[Bench], None], hub: Any) -> None:
        self.greenlet = greenlet.greenlet(live, hub)
        self.switch: Callable[..., object] = self.greenlet.switch
        self.strand: Strand | None = None
        self.has_blocked = False


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
        self._watches: dict[int, Watch] = {}
        self._watching = native_rlock()
        self._is_phase_one = False
        self._ready: list[Strand] = []              # turns that phase one has found
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
        return GreenletWaiter()

    def may_wait(self) -> bool:
        hub = get_hub_if_exists()
        return hub is None or getcurrent() is not hub

    def sleep(self, seconds: float) -> None:
        if DEBUG:
            assert_none_held("a greenlet sleeps")
        hub = get_hub_if_exists()
        if hub is None:
            _native_sleep(max(0.0, seconds))
        elif getcurrent() is hub:
            raise RuntimeError("the hub may not wait: it reads for everybody")
        else:
            gevent.sleep(max(0.0, seconds))

    # -- Driver: the loop --------------------------------------------------------------------------------------------------

    def _schedule(self, fn: Callable[..., Any], *args: Any) -> None:
        if get_ident() == self._ident:
            self._loop.run_callback(fn, *args)
        else:
            self._loop.run_callback_threadsafe(fn, *args)

    def post(self, fn: Callable[..., None], *args: Any) -> None:
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
            self._run_ready()

    def watch(self, watched: Watched) -> None:
        with self._watching:
            if watched.fd < 0:
                return
            watch = self._watches.get(watched.fd)
            if watch is not None and watch.watched is watched:
                return
            watch = self._watches[watched.fd] = Watch(watched)
        if get_ident() == self._ident:
            self._apply(watch)
        else:
            self._loop.run_callback_threadsafe(self._apply, watch)

    def set_interest(self, watched: Watched, readable: bool, writable: bool) -> None:
        watch = self._watches.get(watched.fd)
        if watch is None or watch.watched is not watched:
            return
        # what is wanted is noted under the connection's lock, so whoever applies it later applies the last word
        watch.readable = readable
        watch.writable = writable
        if get_ident() == self._ident:
            self._apply(watch)
        else:
            self._loop.run_callback_threadsafe(self._apply, watch)

    def _apply(self, watch: Watch) -> None:
        if watch.is_gone:
            return
        reader = watch.reader
        if reader is None:
            reader = watch.reader = self._loop.io(watch.watched.fd, READ)
            if self._prober is None and not self._is_stopped:
                self._prober = self._loop.timer(PROBE_EVERY, PROBE_EVERY, ref=False)
                self._prober.start(self._probe)
        if watch.readable != reader.active:
            if watch.readable:
                reader.start(self._readable, watch)
            else:
                reader.stop()
        if watch.writable != (watch.writer is not None):
            if watch.writable:
                watch.writer = self._loop.io(watch.watched.fd, WRITE)
                watch.writer.start(self._writable, watch)
            else:
                watch.writer.stop()
                watch.writer.close()
                watch.writer = None

    def discard(self, watched: Watched) -> None:
        if watched.fd < 0:
            return                                  # long gone
        watch = self._watches.get(watched.fd)
        if watch is not None and watch.watched is watched:
            watch.is_gone = True
            if get_ident() == self._ident:
                watch.close()
        self.post(self._discard, watched)

    def _discard(self, watched: Watched) -> None:
        with self._watching:
            fd = watched.fd
            if fd < 0:
                return
            watch = self._watches.get(fd)
            if watch is not None and watch.watched is watched:
                del self._watches[fd]
                watch.close()                       # before the descriptor, or libev meets the next one of that number
            watched.fd = -1
        watched.on_discarded()

    def release(self, watched: Watched) -> None:
        with self._watching:
            watch = self._watches.get(watched.fd)
            if watch is None or watch.watched is not watched:
                return
            del self._watches[watched.fd]
            watch.is_gone = True
        if get_ident() == self._ident:
            watch.close()
        else:
            self._loop.run_callback_threadsafe(watch.close)

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
            self._run_ready()

    def _probe(self) -> None:
        """See whether a native thread computes: the GIL, given away, then comes back late."""
        if not self._watches:
            self._stop_probing()
            return
        began = time.monotonic()
        _native_sleep(PROBE)
        self._judge.look(time.monotonic() - began > PROBE + keeping.too_late())

    def _stop_probing(self) -> None:
        self._judge.rest()
        if self._prober is not None:
            self._prober.stop()
            self._prober.close()
            self._prober = None

    # -- phase one, in the hub ---------------------------------------------------------------------------------------------

    def _readable(self, watch: Watch) -> None:
        if watch.is_gone:
            return
        self._is_phase_one = True
        try:
            watch.watched.on_readable()
        except Exception:
            self._broken(watch)
        self._is_phase_one = False
        if self._ready:
            self._run_ready()

    def _writable(self, watch: Watch) -> None:
        if watch.is_gone:
            return
        self._is_phase_one = True
        try:
            watch.watched.on_writable()
        except Exception:
            self._broken(watch)
        self._is_phase_one = False
        if self._ready:
            self._run_ready()

    def _broken(self, watch: Watch) -> None:
        """The wall around connections: a bug in phase one costs the one that it met."""
        _log.exception("reading or writing failed; connection closed: %r", watch.watched)
        self.discard(watch.watched)

    # -- turns -------------------------------------------------------------------------------------------------------------

    def run(self, strand: Strand) -> None:
        if get_ident() != self._ident:
            self._loop.run_callback_threadsafe(self._work, strand)
        elif self._is_phase_one:
            self._ready.append(strand)              # reading comes first
        else:
            self._loop.run_callback(self._work, strand)

    def _run_ready(self) -> None:
        ready = self._ready
        if len(ready) == 1:
            self._work(ready.pop())
            return
        self._ready = []
        for strand in ready:
            self._work(strand)

    def _work(self, strand: Strand) -> None:
        """Have a turn worked; in the hub."""
        busy = len(self._busy)
        if busy >= self._max_handlers and (strand.has_blocked or busy >= self._max_handlers + SPARE):
            self._queue.append(strand)
            return
        if self._free:
            bench = self._free.pop()
        else:
            bench = Bench(self._live, self._hub)
            bench.switch(bench)
        bench.strand = strand
        bench.switch()
        if bench.strand is strand:
            # it blocks: what it said before must not wait, and the next of its kind are counted
            bench.has_blocked = True
            self._busy.add(bench)
            habit = strand.running_habit
            if habit is not None and not habit.penalty:
                catch(habit)
            if strand.flow.corked:
                strand.uncork(self._ident)

    def _live(self, bench: Bench) -> None:
        to_hub, free, busy, ident = self._hub.switch, self._free, self._busy, self._ident
        to_hub()
        while (strand := bench.strand) is not None:
            has_more = strand.work(ident)
            bench.strand = None
            if bench.has_blocked:
                bench.has_blocked = False
                busy.discard(bench)
            if has_more:
                self._loop.run_callback(self._work, strand)
            elif self._queue and len(busy) < self._max_handlers:
                self._loop.run_callback(self._work, self._queue.popleft())
            if self._ended is not None:
                self._ended.set()
            if self._is_stopped or len(free) >= MAX_PARKED:
                return
            del strand                              # a parked greenlet keeps no client that has gone
            free.append(bench)
            to_hub()

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
        self._stop_probing()
        while self._free:
            self._free.pop().switch()               # without a strand it ends
        finished.set()

    def abandon(self) -> None:
        # stopping a libev watcher in the child changes nothing for the parent: it takes nothing out of an epoll set
        for watch in self._watches.values():
            watch.close()
        if self._timer is not None:
            self._timer.stop()
            self._timer.close()
        keeping.forget()
        self._stop_probing()
        self._renew()

    def audit(self) -> list[str]:
        me = getcurrent()
        left = list(breaches)
        left += [f"watched: {watch.watched!r} on descriptor {fd}" for fd, watch in list(self._watches.items())]
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
