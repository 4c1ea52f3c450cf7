"""A driver without any concurrency: phase one and turns run when told, time moves when told.

    driver = ManualDriver()
    stream, client = driver.stream_pair()
    …                               # watch something that reads `stream`
    client.send(b"hello")
    driver.step()                   # phase one: what is readable, posts, timers that are due
    driver.run_turns()              # handlers
    driver.settle()                 # both, until nothing is left to do at this moment
    driver.advance(25)              # time passes, timer by timer, settling after each

Turns run on threads of their own, but only one thread of all runs at any time, and which one is determined: so a handler
that waits stays where it is while the test goes on, and a run can be repeated exactly. When the test's own thread
waits, everything that can happen happens, and time moves on if nothing else can end the wait.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any, Final

from ..drivers.base import BytesLike, Load, Lock, Timer, Waiter, Watched
from ..drivers.locks import allocate_lock, assert_none_held, breaches, get_ident, native_lock, native_order_lock
from ..drivers.strand import Strand
from ..drivers.timers import HeapTimer, Timers

START: Final = 1000.0
EPOCH: Final = 1_700_000_000.0
FIRST_FD: Final = 1_000_000
"""Far from the real ones, so that a mistake cannot hit any."""

_log = logging.getLogger("sync_sio.testing")


class Stuck(AssertionError):
    """A wait without a time-out that nothing can end."""


class ManualStream:
    """One end of a connection in memory: a `drivers.base.Stream`, and what a test needs to play the other side."""

    def __init__(self, fd: int, capacity: int) -> None:
        self.fd = fd
        self.is_tls = False
        self.capacity = capacity
        """Bytes that may be on their way to this end: lower it to make the other end's sends meet a full buffer."""
        self.is_closed = False
        self.peer: ManualStream = self
        self._incoming = bytearray()
        self._is_ended = False          # the other end sends no more
        self._is_shut = False

    def recv(self, size: int = 1 << 20) -> bytes | None:
        if self._incoming and not self._is_shut:
            data = bytes(self._incoming[:size])
            del self._incoming[:size]
            return data
        return b"" if self._is_ended or self._is_shut else None

    def recv_into(self, view: memoryview) -> int | None:
        data = self.recv(len(view))
        if data is None:
            return None
        view[: len(data)] = data
        return len(data)

    def send(self, data: BytesLike) -> int:
        if self._is_shut or self.peer._is_shut:
            raise BrokenPipeError(f"the connection of descriptor {self.fd} has ended")
        count = max(0, min(len(data), self.peer.capacity - len(self.peer._incoming)))
        self.peer._incoming += bytes(data[:count])
        return count

    @property
    def lane(self) -> ManualStream:
        return self

    def has_pending(self) -> bool:
        return False

    def shutdown(self) -> None:
        self._is_shut = True
        self.peer._is_ended = True

    def close(self) -> None:
        self.shutdown()
        self.is_closed = True

    def is_readable(self) -> bool:
        return bool(self._incoming) or self._is_ended or self._is_shut

    def is_writable(self) -> bool:
        return self._is_shut or self.peer._is_shut or len(self.peer._incoming) < self.peer.capacity


class ManualWaiter:
    """A `drivers.base.Waiter`."""

    __slots__ = ("_driver", "_is_set", "value")

    def __init__(self, driver: ManualDriver) -> None:
        self.value: Any = None
        self._driver = driver
        self._is_set = False

    def set(self, value: Any = None) -> bool:
        if self._is_set:
            return False
        self.value = value
        self._is_set = True
        return True

    def wait(self, timeout: float | None = None) -> bool:
        assert_none_held("a thread waits")
        if not self._is_set and (timeout is None or timeout > 0):
            self._driver.wait_for(lambda: self._is_set, timeout)
        return self._is_set


class Player:
    """A thread that runs turns or spawned functions, one at a time, while everybody else stands still."""

    def __init__(self, driver: ManualDriver) -> None:
        self.driver = driver
        self.ident = 0
        self.job: Callable[[], Any] | None = None
        self.strand: Strand | None = None
        self.is_done: Callable[[], bool] | None = None
        self.deadline: float | None = None
        self._go = allocate_lock()
        self._back = allocate_lock()
        self._go.acquire()
        self._back.acquire()
        Thread(target=self._live, daemon=True, name="sync_sio manual").start()

    def play(self) -> None:
        """Let it go on until it has finished or waits."""
        self._go.release()
        self._back.acquire()

    def rest(self) -> None:
        """Give the word back; for the thread itself."""
        self._back.release()
        self._go.acquire()

    def _live(self) -> None:
        self.ident = get_ident()
        while True:
            self._go.acquire()
            job = self.job
            if job is None:
                self._back.release()
                return
            try:
                job()
            except BaseException:
                _log.exception("a spawned function failed")
            self.job = self.strand = None
            self._back.release()


class ManualDriver:
    """A `drivers.base.Driver` for tests. All but the methods named in the module's docstring is that interface."""

    name = "manual"

    def __init__(self, max_handlers: int | None = None) -> None:
        self.time = START
        self._max_handlers = 1000 if max_handlers is None else max_handlers
        self._timers = Timers()
        self._posts: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self._turns: deque[Strand] = deque()
        self._spawned: deque[Callable[[], Any]] = deque()
        self._streams: dict[int, ManualStream] = {}
        self._next_fd = FIRST_FD
        self._watched: dict[int, Watched] = {}
        self._interest: dict[int, tuple[bool, bool]] = {}
        self._free: list[Player] = []
        self._waiting: list[Player] = []
        self._quiet: list[Player] = []
        """Those whose turn has called `settle`, the innermost last."""
        self._playing: Player | None = None
        self._is_phase_one = False
        self._is_stopped = False

    # -- for tests ---------------------------------------------------------------------------------------------------------

    def stream_pair(self, capacity: int = 1 << 16) -> tuple[ManualStream, ManualStream]:
        """Make a connected pair: one end to be watched, the other for the test, or both to be watched."""
        first, second = ManualStream(self._next_fd, capacity), ManualStream(self._next_fd + 1, capacity)
        self._next_fd += 2
        first.peer, second.peer = second, first
        self._streams[first.fd] = first
        self._streams[second.fd] = second
        return first, second

    def step(self) -> bool:
        """Do phase one once: whoever is ready, timers that are due, posts. Returns whether there was anything."""
        assert not self._is_phase_one, "step() is called in phase one"
        with self._phase_one():
            return self._step()

    def run_turns(self) -> bool:
        """Let every turn that waits begin, and those that were woken go on. Returns whether there was any."""
        assert self._playing is None, "run_turns() is called in a turn"
        is_any = self._resume()
        for _ in range(len(self._turns)):
            if sum(player.strand is not None for player in self._waiting) >= self._max_handlers:
                break
            is_any = True
            strand = self._turns.popleft()
            player = self._player()
            player.strand = strand
            player.job = lambda strand=strand, player=player: self._turn(strand, player)
            self._play(player)
            strand.uncork(player.ident)     # it has finished, or it waits
        while self._spawned:
            is_any = True
            player = self._player()
            player.job = self._spawned.popleft()
            self._play(player)
        return is_any

    def settle(self) -> None:
        """Run phase one and turns until nothing is left to do at this moment. In a turn: let everybody else do so."""
        player = self._playing
        if player is not None:
            self._quiet.append(player)
            player.rest()
            return
        for _ in range(100_000):
            is_any = self.step()
            if not self.run_turns() and not is_any:
                if not self._quiet:
                    return
                self._play(self._quiet.pop())
        raise Stuck("there is always something to do: does somebody report as readable what it does not read?")

    def advance(self, seconds: float) -> None:
        """Let time pass, and everything happen that it brings."""
        end = self.time + seconds
        self.settle()
        while True:
            deadline = self._next_deadline()
            if deadline is None or deadline > end:
                break
            self.time = max(self.time, deadline)
            self.settle()
        self.time = end
        self.settle()

    # -- Driver: time, locks, waiting --------------------------------------------------------------------------------------

    def lock(self) -> Lock:
        return native_lock()

    def order_lock(self) -> Lock:
        return native_order_lock()

    def waiter(self) -> Waiter:
        return ManualWaiter(self)

    def now(self) -> float:
        return self.time

    def wall_time(self) -> float:
        return EPOCH + self.time - START

    def ident(self) -> int:
        return get_ident()

    def may_wait(self) -> bool:
        return not self._is_phase_one

    def sleep(self, seconds: float) -> None:
        assert_none_held("a thread sleeps")
        self.wait_for(lambda: False, max(0.0, seconds))

    def wait_for(self, is_done: Callable[[], bool], timeout: float | None) -> None:
        """Block the caller until something is so, or until time is over."""
        if self._is_phase_one:
            raise RuntimeError("phase one may not wait: it would wait for itself")
        deadline = None if timeout is None else self.time + timeout
        player = self._playing
        if player is not None:
            player.is_done, player.deadline = is_done, deadline
            self._waiting.append(player)
            player.rest()
            return
        # the test's thread: everything may happen meanwhile, and time passes when nothing else does
        while True:
            self.settle()
            if is_done():
                return
            moments = [when for when in (self._next_deadline(), deadline) if when is not None]
            if not moments:
                raise Stuck("a wait without a time-out, and nothing is left that could end it")
            self.time = max(self.time, min(moments))
            if deadline is not None and self.time >= deadline:
                self.settle()
                return

    # -- Driver: the loop --------------------------------------------------------------------------------------------------

    def watch(self, watched: Watched) -> None:
        if watched.fd >= 0:
            assert watched.fd in self._streams, f"descriptor {watched.fd} is none of stream_pair()'s"
            self._watched[watched.fd] = watched
            self._interest[watched.fd] = (True, False)

    def set_interest(self, watched: Watched, readable: bool, writable: bool) -> None:
        if self._watched.get(watched.fd) is watched:
            self._interest[watched.fd] = (readable, writable)

    def discard(self, watched: Watched) -> None:
        if watched.fd >= 0:
            self._forget(watched)
            self.post(self._discard, watched)

    def release(self, watched: Watched) -> None:
        self._forget(watched)

    def post(self, fn: Callable[..., None], *args: Any) -> None:
        self._posts.append((fn, args))

    def later(self, delay: float, fn: Callable[..., None], *args: Any) -> Timer:
        timer = HeapTimer(self._timers, self.time + delay, fn, args)
        self._timers.push(timer)
        return timer

    def run(self, strand: Strand) -> None:
        self._turns.append(strand)

    def spawn(self, fn: Callable[..., Any], *args: Any) -> None:
        self._spawned.append(lambda: fn(*args))

    def start_if_needed(self) -> None: ...

    def stop(self, timeout: float) -> None:
        if self._is_stopped or self._playing is not None or self._is_phase_one:
            return
        self._is_stopped = True
        self.settle()
        for player in self._free:
            player.job = None
            player.play()
        self._free.clear()

    def abandon(self) -> None:
        self._timers = Timers()
        for left in (self._posts, self._turns, self._spawned, self._watched, self._interest, self._waiting, self._quiet, self._free):
            left.clear()

    def load(self) -> Load:
        return Load(len(self._turns), len(self._waiting) + len(self._quiet))

    def audit(self) -> list[str]:
        left = list(breaches)
        left += [f"watched: {watched!r} on descriptor {fd}" for fd, watched in self._watched.items()]
        left += [f"a timer: {getattr(timer.fn, '__qualname__', timer.fn)}" for timer in self._timers]
        left += [f"a post: {getattr(fn, '__qualname__', fn)}" for fn, _ in self._posts]
        left += [f"a turn that waits: {strand!r}" for strand in self._turns]
        left += [f"a turn that waits for something: {player.strand or player.job!r}" for player in (*self._waiting, *self._quiet)]
        return left

    # -- inside ------------------------------------------------------------------------------------------------------------

    @contextmanager
    def _phase_one(self) -> Iterator[None]:
        self._is_phase_one = True
        try:
            yield
        finally:
            self._is_phase_one = False

    def _step(self) -> bool:
        is_any = False
        for fd, watched in list(self._watched.items()):
            stream = self._streams[fd]
            readable, writable = self._interest[fd]
            try:
                if writable and stream.is_writable():
                    is_any = True
                    watched.on_writable()
                if readable and stream.is_readable() and self._watched.get(fd) is watched:
                    is_any = True
                    watched.on_readable()
            except Exception:
                _log.exception("reading or writing failed; connection closed: %r", watched)
                self.discard(watched)
        deadline = self._timers.next_deadline()
        if deadline is not None and deadline <= self.time:
            is_any = True
            self._timers.run_due(self.time)
        for _ in range(len(self._posts)):
            is_any = True
            fn, args = self._posts.popleft()
            try:
                fn(*args)
            except Exception:
                _log.exception("a post failed: %s", getattr(fn, "__qualname__", fn))
        return is_any

    def _forget(self, watched: Watched) -> None:
        if self._watched.get(watched.fd) is watched:
            del self._watched[watched.fd], self._interest[watched.fd]

    def _discard(self, watched: Watched) -> None:
        if watched.fd >= 0:
            self._forget(watched)
            watched.fd = -1
            watched.on_discarded()

    def _turn(self, strand: Strand, player: Player) -> None:
        if strand.work(player.ident):
            self._turns.append(strand)

    def _player(self) -> Player:
        return self._free.pop() if self._free else Player(self)

    def _play(self, player: Player) -> None:
        self._playing = player
        player.play()
        self._playing = None
        if player.job is None:
            self._free.append(player)

    def _resume(self) -> bool:
        """Let those go on whose wait is over, in the order in which they began to wait."""
        is_any = False
        for player in list(self._waiting):
            assert player.is_done is not None
            if player.is_done() or (player.deadline is not None and player.deadline <= self.time):
                is_any = True
                self._waiting.remove(player)
                self._play(player)
        return is_any

    def _next_deadline(self) -> float | None:
        moments = [player.deadline for player in self._waiting if player.deadline is not None]
        deadline = self._timers.next_deadline()
        if deadline is not None:
            moments.append(deadline)
        return min(moments, default=None)
