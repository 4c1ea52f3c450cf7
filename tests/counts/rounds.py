"""Both runtimes, stepped by hand: real drivers, and in the place of the kernel a poller or a hub that says what it was told to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from sync_sio.drivers.base import Driver
from sync_sio.drivers.locks import get_ident
from sync_sio.drivers.loop import Loop
from sync_sio.drivers.pollers import READ
from sync_sio.drivers.strand import Worker
from sync_sio.drivers.threads import ThreadsDriver


class Rounds(Protocol):
    """A driver whose loop runs when told."""

    driver: Driver

    def tell(self, fd: int) -> None:
        """Report this descriptor as readable in the next round."""
        ...

    def step(self) -> None:
        """Do one round: read from whom it was told of, run the turns that this brings, and what was posted."""
        ...


class FakePoller:
    """A `pollers.Poller`: nobody waits for anything."""

    is_shared = True

    def __init__(self) -> None:
        self.ready: list[tuple[int, int]] = []

    def register(self, fd: int, mask: int) -> None: ...

    def modify(self, fd: int, mask: int) -> None: ...

    def unregister(self, fd: int) -> None: ...

    def poll(self, timeout: float, max_events: int) -> list[tuple[int, int]]:
        ready, self.ready = self.ready, []
        return ready

    def close(self) -> None: ...


class ThreadsRounds:
    """The threads runtime, in which the calling thread leads."""

    def __init__(self) -> None:
        self.driver: Driver = self._driver_of(FakePoller())
        self._worker = Worker(get_ident())

    def _driver_of(self, poller: FakePoller) -> ThreadsDriver:
        driver = ThreadsDriver()
        driver._is_started = True           # it starts no threads: we are all of them
        self._poller = poller
        self._loop = driver._loop = Loop(driver._pool.give, lambda: False, poller)
        self._loop.lead.acquire()
        self._loop.has_standby = True
        return driver

    def tell(self, fd: int) -> None:
        self._poller.ready.append((fd, READ))

    def step(self) -> None:
        if not self._loop.step(self._worker, 0):
            raise AssertionError("somebody else leads")
        self._loop.reader = 0               # between two rounds this thread is any thread


class FakeWatcher:
    """A watcher of gevent's loop, which never calls."""

    def start(self, fn: Callable[..., object], *args: Any, update: bool = False) -> None: ...

    def stop(self) -> None: ...

    def close(self) -> None: ...


class FakeHubLoop:
    """What the driver uses of `gevent.get_hub().loop`."""

    def __init__(self) -> None:
        self.callbacks: list[tuple[Callable[..., object], tuple[Any, ...]]] = []

    def run_callback(self, fn: Callable[..., object], *args: Any) -> None:
        self.callbacks.append((fn, args))

    run_callback_threadsafe = run_callback

    def timer(self, seconds: float, repeat: float = 0.0, ref: bool = True) -> FakeWatcher:
        return FakeWatcher()


class GreenletsRounds:
    """The gevent runtime, in which the calling greenlet is the hub."""

    def __init__(self) -> None:
        from greenlet import getcurrent

        from sync_sio.drivers.greenlets import GreenletsDriver

        driver = GreenletsDriver()
        hub: Any = getcurrent()
        driver._hub = hub
        self._loop = driver._loop = FakeHubLoop()
        driver._watched.poller.close()
        self._poller = driver._watched.poller = FakePoller()
        self._poll = driver._poll
        self.driver: Driver = driver

    def tell(self, fd: int) -> None:
        self._poller.ready.append((fd, READ))

    def step(self) -> None:
        self._poll()
        while self._loop.callbacks:
            fn, args = self._loop.callbacks.pop(0)
            fn(*args)
