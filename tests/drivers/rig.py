"""One face for the runtimes in tests: connected streams, what a blocking handler does, and an echoing client of the loop."""

from __future__ import annotations

import _socket
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from sync_sio.drivers import keeping
from sync_sio.drivers.base import Driver, Habit, Stream
from sync_sio.drivers.keeping import PlainSocket
from sync_sio.drivers.locks import _original
from sync_sio.drivers.strand import Strand
from sync_sio.drivers.streams import PlainStream

PATIENCE = 10.0


class Far:
    """The other end of a connection."""

    def send(self, data: bytes) -> None:
        raise NotImplementedError

    def recv(self, count: int) -> bytes:
        """Return `count` bytes, or fewer at the end."""
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError


class SocketFar(Far):
    def __init__(self, sock: Any) -> None:
        self.sock = sock
        sock.settimeout(PATIENCE)

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def recv(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            more = self.sock.recv(count - len(data))
            if not more:
                break
            data += more
        return data

    def close(self) -> None:
        self.sock.close()


class ManualFar(Far):
    def __init__(self, rig: ManualRig, stream: Any) -> None:
        self.rig = rig
        self.stream = stream

    def send(self, data: bytes) -> None:
        while data:
            data = data[self.stream.send(data) :]
            self.rig.driver.settle()

    def recv(self, count: int) -> bytes:
        data = b""
        for _ in range(1000):
            self.rig.driver.settle()
            more = self.stream.recv(count - len(data))
            if more == b"":
                break
            data += more or b""
            if len(data) == count:
                break
            if more is None:
                self.rig.driver.advance(0.01)
        return data

    def close(self) -> None:
        self.stream.close()


class Rig:
    """A driver, and how tests talk to it."""

    name = ""
    has_foreign_threads = True
    """Other OS threads may call it."""
    has_bounds = True
    """At most `max_handlers` turns run at once."""
    has_walls = True
    """It survives what must not happen in phase one; else that fails the test."""

    def __init__(self, driver: Driver) -> None:
        self.driver: Any = driver

    def pair(self) -> tuple[Stream, Far]:
        raise NotImplementedError

    def block(self, seconds: float) -> None:
        """Block as user code does, behind the driver's back where that is possible."""
        raise NotImplementedError

    def until(self, is_so: Callable[[], bool]) -> None:
        """Wait until something is so."""
        deadline = self.driver.now() + PATIENCE
        while not is_so():
            assert self.driver.now() < deadline, "it did not happen"
            self.driver.sleep(0.001)

    def warm_up(self) -> None:
        """Wait until everything has started that lets turns run where they are quick."""
        self.driver.start_if_needed()

    def round(self) -> None:
        """Wait until the loop has been through what is posted now."""
        waiter = self.driver.waiter()
        self.driver.post(waiter.set)
        assert waiter.wait(PATIENCE)

    def thread(self, fn: Callable[..., Any], *args: Any) -> Callable[[], Any]:
        """Start an OS thread that is not ours; return a function that waits for its result, or raises what it raised."""
        done = self.driver.waiter()

        def run() -> None:
            try:
                done.set((fn(*args), None))
            except BaseException as error:
                done.set((None, error))

        _original("start_new_thread")(run, ())

        def join() -> Any:
            assert done.wait(PATIENCE), "the thread did not end"
            result, error = done.value
            if error is not None:
                raise error
            return result

        return join


class ThreadsRig(Rig):
    name = "threads"

    def warm_up(self) -> None:
        super().warm_up()
        self.until(lambda: self.driver.loop.has_standby)

    def pair(self) -> tuple[Stream, Far]:
        near, far = socket.socketpair()
        return PlainStream(PlainSocket(fileno=near.detach())), SocketFar(far)

    def block(self, seconds: float) -> None:
        time.sleep(seconds)


class GeventRig(Rig):
    name = "gevent"

    def pair(self) -> tuple[Stream, Far]:
        import gevent.socket

        near, far = _socket.socketpair()
        return PlainStream(PlainSocket(fileno=near.detach())), SocketFar(gevent.socket.socket(fileno=far.detach()))

    def block(self, seconds: float) -> None:
        import gevent

        gevent.sleep(seconds)


class ManualRig(Rig):
    name = "manual"
    has_foreign_threads = False

    def pair(self) -> tuple[Stream, Far]:
        near, far = self.driver.stream_pair()
        return near, ManualFar(self, far)

    def block(self, seconds: float) -> None:
        self.driver.sleep(seconds)


class InterleaveFar(Far):
    """Its patience is that of virtual time: who waits in vain ends the schedule."""

    def __init__(self, end: Any) -> None:
        self.end = end
        self._read = b""

    def send(self, data: bytes) -> None:
        self.end.write(data)

    def recv(self, count: int) -> bytes:
        while len(self._read) < count:
            more = self.end.read(PATIENCE)
            if not more:
                break
            self._read += more
        data, self._read = self._read[:count], self._read[count:]
        return data

    def close(self) -> None:
        self.end.close()


class InterleaveRig(Rig):
    """Not one driver but one for each schedule: `explore` runs a test over and over, see conftest."""

    name = "interleave"
    has_bounds = has_walls = False

    def __init__(self) -> None:
        super().__init__(None)  # type: ignore[arg-type]

    def explore(self, test: Callable[[], object], seeds: range) -> None:
        from sync_sio.testing import interleave

        def scenario(driver: Any) -> None:
            self.driver = driver
            with running(self):
                test()

        interleave.explore(scenario, seeds)

    def pair(self) -> tuple[Stream, Far]:
        near, far = self.driver.stream_pair("client")
        return near, InterleaveFar(far)

    def block(self, seconds: float) -> None:
        self.driver.sleep(seconds)

    def thread(self, fn: Callable[..., Any], *args: Any) -> Callable[[], Any]:
        outcome: list[Any] = []
        task = self.driver.thread(lambda: outcome.append(fn(*args)))

        def join() -> Any:
            self.driver.join(task)
            return outcome[0]

        return join


@contextmanager
def keeping_the_gil(is_kept: bool) -> Iterator[None]:
    """Have sockets keep the GIL all the time, or never, whatever judges see. Skips the test where it cannot be kept."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keeping.Judge, "look", lambda judge, *seen: None)
        if is_kept and not keeping.keep(True):
            pytest.skip("this system or interpreter cannot keep the GIL")
        try:
            yield
        finally:
            keeping.keep(False)


def make_rig(name: str, max_handlers: int | None = None) -> Rig:
    if name == "threads":
        from sync_sio.drivers.threads import ThreadsDriver

        return ThreadsRig(ThreadsDriver(max_handlers))
    if name == "threads-selectors":
        from sync_sio.drivers.loop import Loop
        from sync_sio.drivers.pollers import SelectorPoller
        from sync_sio.drivers.threads import ThreadsDriver

        driver = ThreadsDriver(max_handlers)
        driver._loop = Loop(driver._pool.give, driver._is_short, SelectorPoller())
        return ThreadsRig(driver)
    if name == "gevent":
        from sync_sio.drivers.greenlets import GreenletsDriver

        return GeventRig(GreenletsDriver(max_handlers))
    if name == "gevent-watchers":
        from sync_sio.drivers.greenlets import GreenletsDriver, HubPoller

        greenlets = GreenletsDriver(max_handlers)
        greenlets._watched.poller.close()
        greenlets._watched.poller = HubPoller(greenlets._loop, greenlets._see_to)
        return GeventRig(greenlets)
    if name == "interleave":
        return InterleaveRig()
    from sync_sio.testing.manual import ManualDriver

    return ManualRig(ManualDriver(max_handlers))


class CountingStream:
    """A stream that counts its writes."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.fd = stream.fd
        self.is_tls = stream.is_tls
        self.lane = self
        self.writes = 0
        self.recv, self.recv_into, self.has_pending = stream.recv, stream.recv_into, stream.has_pending
        self.shutdown, self.close = stream.shutdown, stream.close

    def send(self, data: bytes) -> int:
        self.writes += 1
        try:
            return self.stream.send(data)
        except ConnectionError:
            return 0                    # the far end has hung up, which reading will tell


class Client:
    """A small connection: each byte that comes is an event for `handler(client, byte)`, one after the other."""

    def __init__(self, rig: Rig, handler: Callable[[Client, bytes], object], habit: Habit | None = None) -> None:
        self.driver = rig.driver
        stream, self.far = rig.pair()
        self.stream = CountingStream(stream)
        self.fd = stream.fd
        self.lock = self.driver.lock()
        self.corked = 0
        self.out: list[bytes] = []
        self.queued = self.queued_bytes = 0
        self.max_queued_bytes = 1 << 30
        self.is_paused = False
        self.strand = Strand(self)
        self.handler = handler
        self.habit = Habit() if habit is None else habit
        self.gone = self.driver.waiter()
        self.discarded = 0
        self.reads = 0
        self.is_reading = False

    def start(self) -> Client:
        self.driver.watch(self)
        return self

    def close(self) -> None:
        """Hang up from the far end and see the driver let go."""
        self.far.close()
        assert self.gone.wait(PATIENCE), "the end was not noticed"

    # -- Flow

    def uncork(self) -> None:
        out, self.out = self.out, []
        if out and not self.discarded:
            self.stream.send(b"".join(out))

    def on_full(self) -> None: ...

    def on_worked(self) -> None: ...

    def send(self, data: bytes) -> None:
        with self.lock:
            if self.discarded:
                return
            if self.corked and self.corked == self.driver.ident():
                self.out.append(data)
            else:
                self.uncork()
                self.stream.send(data)

    # -- Watched

    def on_readable(self) -> None:
        assert not self.is_reading, "two readers"
        self.is_reading = True
        self.reads += 1
        assert not self.driver.may_wait()
        data = self.stream.recv(65536)
        if data == b"":
            self.driver.discard(self)
        for byte in data or b"":
            self.put(bytes((byte,)))
        self.is_reading = False

    def put(self, data: bytes) -> None:
        if self.strand.put(self._handle, None, data, self.habit, len(data)):
            self.driver.run(self.strand)

    def _handle(self, _: None, data: bytes) -> None:
        self.handler(self, data)

    def on_writable(self) -> None: ...

    def on_discarded(self) -> None:
        with self.lock:
            self.discarded += 1
            self.stream.close()
        self.gone.set()


def echo(client: Client, data: bytes) -> None:
    client.send(data)


@contextmanager
def running(rig: Rig) -> Iterator[Rig]:
    """Give a rig, check that nothing is left afterwards, and stop it."""
    try:
        yield rig
        rig.until(lambda: not rig.driver.audit())
    finally:
        left = rig.driver.audit()
        rig.driver.stop(PATIENCE)
    assert not left
    assert not rig.driver.audit()
