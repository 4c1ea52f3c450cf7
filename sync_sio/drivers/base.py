"""What the floors above may ask of a runtime. Four things implement it: threads, greenlets, `testing.manual`, `testing.interleave`.

Work is done in two phases. *Phase one* reads, decodes and sorts: `Watched.on_readable`, `Watched.on_writable`, everything
given to `post` and `later`. It runs no user code, never blocks, holds no lock for long, and always ends. *Phase two* runs
turns: the tasks of a `Strand`, which are user code and may block.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

if TYPE_CHECKING:
    from .strand import Strand

BytesLike = bytes | bytearray | memoryview


class Lock(Protocol):
    """A re-entrant lock of the operating system's threads, never gevent's; held for a moment, never across a switch."""

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool: ...

    def release(self) -> None: ...

    def __enter__(self) -> bool: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> object: ...


class Waiter(Protocol):
    """One wait for one result. Whichever waits, a greenlet or an OS thread, is woken from wherever `set` is called."""

    value: Any

    def set(self, value: Any = None) -> bool:
        """Give the result. The first call wins and returns True; never blocks; any thread, phase one included."""
        ...

    def wait(self, timeout: float | None = None) -> bool:
        """Block until the result is there (True) or `timeout` seconds are over (False). None waits for ever.

        The one door through which our own calls block: what this thread's turn has gathered for its connection is sent
        first, and somebody else takes the lead. May be called again after False.
        """
        ...


class Timer(Protocol):
    """Something that will happen once."""

    def cancel(self) -> None:
        """Make sure that it does not happen, if it has not; let go of everything that it held. Any thread, idempotent."""
        ...


class Stream(Protocol):
    """A connected, non-blocking byte stream: a plain socket, TLS, or a test's. One reader at a time, see `Connection`."""

    fd: int
    is_tls: bool

    @property
    def lane(self) -> Any:
        """Whatever has the quickest `send` there is: it may raise BlockingIOError instead of returning 0."""
        ...

    def recv(self, size: int) -> bytes | None:
        """Return what is there, at most `size` bytes; None when nothing is; `b""` at the end, an error included."""
        ...

    def recv_into(self, view: memoryview) -> int | None:
        """The same into `view`: the count, None when nothing is there, 0 at the end."""
        ...

    def send(self, data: BytesLike) -> int:
        """Hand over as much as fits and return how many bytes; 0: full, nothing was taken. Raises OSError when the peer is gone.

        After a part was taken, the next call must begin with the first byte that was not: TLS may have encrypted it already.
        """
        ...

    def has_pending(self) -> bool:
        """Tell whether bytes wait inside (TLS) that no poll will report."""
        ...

    def shutdown(self) -> None:
        """End both directions without giving the descriptor back; never raises. The poller reports the end."""
        ...

    def close(self) -> None:
        """Give the descriptor back. Only the loop does this, once, after it has stopped watching."""
        ...


class Watched(Protocol):
    """Something with a descriptor that the loop watches. All three are called in phase one, by one thread at a time."""

    fd: int
    """The driver sets it to -1 just before `on_discarded`: that is how it knows that it has done so."""

    def on_readable(self) -> None:
        """Read once, decode, put tasks on strands (`Driver.run`). Level-triggered: what is left is told again.

        Called without interest, too, when the connection broke: reading it to its end makes the poller fall silent.
        """
        ...

    def on_writable(self) -> None:
        """Send what waits; `Driver.set_interest` when nothing does any more."""
        ...

    def on_discarded(self) -> None:
        """The loop has stopped watching, for good: close the stream. Called exactly once after `Driver.discard`."""
        ...


MAX_QUEUED: Final = 256
"""Tasks of one flow that may wait before it hears of it."""


class Flow(Protocol):
    """What a strand needs of the connection that it belongs to. Fields are guarded by `lock`."""

    lock: Lock
    corked: int
    """The thread whose sends to this connection are gathered until its turn ends; 0: nobody's. Set by that thread, without `lock`."""
    queued: int
    """Tasks that wait in strands of this flow or run, counted by the strands …"""
    queued_bytes: int
    """… and the bytes that they count for."""
    max_queued_bytes: int
    is_paused: bool
    """Too much waits, so it is not read: `on_worked` is wanted."""

    def uncork(self) -> None:
        """Called with `lock` held and `corked` set to 0: send what was gathered."""
        ...

    def on_full(self) -> None:
        """Called with `lock` held, whenever more than `MAX_QUEUED` tasks or `max_queued_bytes` wait."""
        ...

    def on_worked(self) -> None:
        """Called with `lock` held while `is_paused`: less waits than before."""
        ...


class Habit:
    """What was learned about one event, known by (namespace, event name): does its handler block?

    Belongs to the driver, which keeps what it likes here; everybody else only carries it. Made once per registered event.
    """

    __slots__ = ("free_since", "penalty", "pooled", "spent")

    def __init__(self) -> None:
        self.spent = 0.0
        self.pooled = 0
        self.penalty = 0
        self.free_since = 0.0


class Load(NamedTuple):
    """What a runtime has to do at this moment; old by the time that it is read.

    Attributes:
        waiting: turns for which there is no thread or greenlet yet.
        running: turns that somebody works, blocked ones included; with greenlets those alone that have blocked.
    """

    waiting: int
    running: int


class Driver(Protocol):
    """A runtime: how this process waits, spawns, polls and tells the time. Every method may be called from any thread."""

    name: str
    """`"threads"`, `"gevent"`, `"manual"` or `"interleave"`."""

    def lock(self) -> Lock:
        """Return a new lock; see `Lock`. `post`, `later`, `run`, `set_interest`, `discard` and `Waiter.set` may be called with one held."""
        ...

    def order_lock(self) -> Lock:
        """Return a lock under which others may be taken, for the one place that needs it: the order of what is recovered."""
        ...

    def waiter(self) -> Waiter:
        """Return a new waiter; see `Waiter`."""
        ...

    def now(self) -> float:
        """Return monotonic seconds."""
        ...

    def wall_time(self) -> float:
        """Return seconds since the epoch; for showing, never for deadlines."""
        ...

    def ident(self) -> int:
        """Return this OS thread's number, the hub's for each of its greenlets; never 0."""
        ...

    def may_wait(self) -> bool:
        """Tell whether this thread may block: not in phase one, not on gevent's hub."""
        ...

    def watch(self, watched: Watched) -> None:
        """Report `watched` as readable from now on; once it was discarded, do nothing. Raises OSError for what cannot be polled."""
        ...

    def set_interest(self, watched: Watched, readable: bool, writable: bool) -> None:
        """Say what to report. Called with the connection's lock held; after `discard`, does nothing."""
        ...

    def discard(self, watched: Watched) -> None:
        """Stop watching, then call `watched.on_discarded()` in the loop, once, however often this is called.

        Works for a `watched` that was never given to `watch` too: then only `on_discarded` is posted.
        """
        ...

    def release(self, watched: Watched) -> None:
        """Report `watched` no more, and leave its descriptor to the caller, who may close it, or give it to another loop, at once.

        An `on_readable` or `on_writable` that is on its way may still come. `watch` may be called again.
        """
        ...

    def post(self, fn: Callable[..., None], *args: Any) -> None:
        """Run `fn(*args)` in the loop, in phase one, after what was posted before. In signal handlers, too."""
        ...

    def later(self, delay: float, fn: Callable[..., None], *args: Any) -> Timer:
        """Run `fn(*args)` in the loop, in phase one, `delay` seconds from now."""
        ...

    def run(self, strand: Strand) -> None:
        """Have the strand's turn worked. For whoever got True from `Strand.put`, and nobody else."""
        ...

    def spawn(self, fn: Callable[..., Any], *args: Any) -> None:
        """Run user code beside everything else, on a thread or greenlet of its own. An exception is logged."""
        ...

    def sleep(self, seconds: float) -> None:
        """Block the caller, like `Waiter.wait`."""
        ...

    def start_if_needed(self) -> None:
        """Start what serves: the loop and its first threads. Idempotent. `watch`, `post`, `later`, `run` do it themselves."""
        ...

    def stop(self, timeout: float) -> None:
        """End the loop and our threads, waiting at most `timeout` seconds; what is posted is run first. Idempotent, and for good.

        Never waits for the turn that it is called from. What is posted afterwards is not run; `discard` still is seen to.
        """
        ...

    def abandon(self) -> None:
        """In the child of a fork: close poller and bell, touch no descriptor of the parent's, forget all else."""
        ...

    def load(self) -> Load:
        """Count what waits and what runs, without the turn that it is called from."""
        ...

    def audit(self) -> list[str]:
        """Name what is left: watched descriptors, timers, posts, running turns. Empty when all is clean. For tests."""
        ...
