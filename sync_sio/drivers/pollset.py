"""The poll set of a loop: which descriptors are watched, and whose they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from .base import Watched
from .locks import native_rlock
from .pollers import READ, WRITE, Poller


class PollSet:
    """What a loop watches. Changed by any thread, with `_watching` held; a poller that is not shared only by the loop.

    Args:
        post: has `fn(*args)` run by the loop, in phase one.
        is_in_loop: tells whether the caller is the loop, in phase one.
    """

    def __init__(
        self, poller: Poller, post: Callable[[Callable[..., None], tuple[Any, ...]], None], is_in_loop: Callable[[], bool]
    ) -> None:
        self.poller = poller
        self.is_closed = False
        self._post = post
        self._is_in_loop = is_in_loop
        self._watched: dict[int, Watched] = {}
        self._watching = native_rlock()
        self.get = self._watched.get
        """Return who is watched on a descriptor, if anybody is."""

    def __len__(self) -> int:
        return len(self._watched)

    def __iter__(self) -> Iterator[tuple[int, Watched]]:
        return iter(list(self._watched.items()))

    def watch(self, watched: Watched) -> None:
        if self.poller.is_shared or self._is_in_loop():
            self.add(watched)
        else:
            self._post(self.add, (watched,))

    def add(self, watched: Watched) -> None:
        """Watch it from now on. For the loop, or before there is one."""
        with self._watching:
            fd = watched.fd
            if fd >= 0 and not self.is_closed:
                self._watched[fd] = watched         # before the poller may tell of it
                try:
                    self.poller.register(fd, READ)
                except BaseException:
                    del self._watched[fd]
                    raise

    def set_interest(self, watched: Watched, readable: bool, writable: bool) -> None:
        # the caller holds its connection's lock, without which the descriptor cannot be closed and its number reused
        mask = (READ if readable else 0) | (WRITE if writable else 0)
        if self.poller.is_shared:
            self._set_interest(watched, mask)
        else:
            self._post(self._set_interest, (watched, mask))

    def _set_interest(self, watched: Watched, mask: int) -> None:
        fd = watched.fd
        if self._watched.get(fd) is watched:
            with suppress(OSError, ValueError):     # it has left the set between the look and the change
                self.poller.modify(fd, mask)

    def discard(self, watched: Watched) -> None:
        if watched.fd < 0:
            return                                  # long gone
        if self.is_closed:
            self.discard_now(watched)
            return
        if self.poller.is_shared or self._is_in_loop():
            self._forget(watched)
        self._post(self.discard_now, (watched,))

    def discard_now(self, watched: Watched) -> None:
        """See to it here: phase one, or anybody when the loop has ended. Whoever comes first does it; for the others it is nothing."""
        with self._watching:
            if watched.fd < 0:
                return
            self._forget(watched)                   # it may have been watched after `discard`
            watched.fd = -1
        watched.on_discarded()

    def release(self, watched: Watched) -> None:
        if self.poller.is_shared or self._is_in_loop():
            self._forget(watched)
            return
        with self._watching:
            fd = watched.fd
            if self._watched.get(fd) is watched:
                del self._watched[fd]               # what the poller still says of it is said to nobody
                self._post(self._unregister, (fd,))

    def _unregister(self, fd: int) -> None:
        with self._watching:
            if fd not in self._watched:
                with suppress(OSError, ValueError):
                    self.poller.unregister(fd)

    def _forget(self, watched: Watched) -> None:
        with self._watching:
            fd = watched.fd
            if fd >= 0 and self._watched.get(fd) is watched:
                del self._watched[fd]
                with suppress(OSError, ValueError):
                    self.poller.unregister(fd)

    def abandon(self) -> None:
        """Close it in the child of a fork. The poller is shared with the parent: nothing is taken out of it."""
        self.is_closed = True
        self.poller.close()

    def close(self) -> bool:
        """Give the poller back. Nothing is done for what is watched. False: it was closed before."""
        with self._watching:                        # or what is being watched meets a closed poller
            was_open = not self.is_closed
            if was_open:
                self.is_closed = True
                self.poller.close()
            return was_open
