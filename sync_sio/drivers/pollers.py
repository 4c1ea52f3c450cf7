"""What a loop asks "who is ready?", and the bell that ends its waiting."""

from __future__ import annotations

import os
import select
import selectors
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Protocol

from .locks import native_rlock

READ: Final = 1
WRITE: Final = 4
"""epoll's own numbers. Any other bit that a poller reports means that the connection broke: reading will tell."""


class Poller(Protocol):
    """A level-triggered poll set."""

    is_shared: bool
    """It may be changed by any thread while another one waits in it; else by the leader only."""

    def register(self, fd: int, mask: int, /) -> None: ...

    def modify(self, fd: int, mask: int, /) -> None: ...

    def unregister(self, fd: int, /) -> None: ...

    def poll(self, timeout: float, max_events: int, /) -> list[tuple[int, int]]:
        """Wait at most `timeout` seconds, -1 for ever."""
        ...

    def close(self) -> None: ...


class EpollPoller:
    """Linux. No ONESHOT, no ET: one reader at a time needs no re-arming, and a leader that lost its lead forgets nothing."""

    is_shared = True

    def __init__(self, new_epoll: Callable[[], select.epoll] | None = None) -> None:
        epoll = select.epoll() if new_epoll is None else new_epoll()
        self.fileno = epoll.fileno
        self.register = epoll.register
        self.modify = epoll.modify
        self.unregister = epoll.unregister
        self.poll = epoll.poll
        self.close = epoll.close


class SelectorPoller:
    """Everywhere else: kqueue, poll or select, whatever `selectors` finds."""

    is_shared = False

    def __init__(self, selector: selectors.BaseSelector | None = None) -> None:
        self._selector = selectors.DefaultSelector() if selector is None else selector

    def register(self, fd: int, mask: int) -> None:
        events = self._events(mask)
        if events:
            self._selector.register(fd, events)

    def modify(self, fd: int, mask: int) -> None:
        self.unregister(fd)         # selectors know no descriptor without events
        self.register(fd, mask)

    def unregister(self, fd: int) -> None:
        with suppress(KeyError):
            self._selector.unregister(fd)

    def poll(self, timeout: float, max_events: int) -> list[tuple[int, int]]:
        ready = self._selector.select(None if timeout < 0 else timeout)
        return [
            (key.fd, (READ if events & selectors.EVENT_READ else 0) | (WRITE if events & selectors.EVENT_WRITE else 0))
            for key, events in ready[:max_events]
        ]

    def close(self) -> None:
        self._selector.close()

    @staticmethod
    def _events(mask: int) -> int:
        return (selectors.EVENT_READ if mask & READ else 0) | (selectors.EVENT_WRITE if mask & WRITE else 0)


def new_poller() -> Poller:
    return EpollPoller() if hasattr(select, "epoll") else SelectorPoller()


class Bell:
    """Ends the wait of whoever polls its descriptor. One reader; `ring` may be called anywhere, in signal handlers too."""

    def __init__(self) -> None:
        self._is_rung = False
        self._is_closed = False
        self._mutex = native_rlock()        # or a late ring writes into whatever has got the number
        if hasattr(os, "eventfd"):
            self.fd = self._write_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        else:
            self.fd, self._write_fd = os.pipe()
            os.set_blocking(self.fd, False)
            os.set_blocking(self._write_fd, False)

    def ring(self) -> None:
        if not self._is_rung:
            self._is_rung = True
            with self._mutex, suppress(OSError):        # full, which rings as well
                if not self._is_closed:
                    os.write(self._write_fd, b"\1\0\0\0\0\0\0\0")

    def on_readable(self) -> None:
        # first the read, then the flag: a ring between them writes nothing, and whoever polls looks at its queues after both. The other
        # way round its write would be read here, and the flag would keep everybody from ringing again
        with suppress(OSError):
            os.read(self.fd, 64)
        self._is_rung = False

    def on_writable(self) -> None: ...

    def on_discarded(self) -> None: ...

    def abandon(self) -> None:
        """Close it in the child of a fork, where another thread of the parent's may hold the lock for ever."""
        self._mutex = native_rlock()
        self.close()

    def close(self) -> None:
        with self._mutex:
            if self._is_closed:
                return
            self._is_closed = True
            os.close(self.fd)
            if self._write_fd != self.fd:
                os.close(self._write_fd)
