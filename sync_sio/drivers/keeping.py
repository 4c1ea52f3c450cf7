"""Socket calls that keep the GIL, and when they are used.

An ordinary socket call gives the GIL away for the few microseconds that the system needs. Nobody can do much in that time, but
a thread that waits for the GIL is woken by it, and on another core it often gets it: then a thread that computes keeps it for the whole
switch interval (5 ms), and threads that all send hand it to and fro, with two system calls each time. A call that keeps the
GIL costs some tenths of a microsecond more. So it is made only while a `Judge` has seen that somebody else wants the GIL. What was
measured is in docs/explanation/performance.md.

Linux and macOS, CPython with a GIL, plain sockets. Elsewhere nothing is ever changed.
"""

from __future__ import annotations

import _socket
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Any, Final

from .locks import allocate_lock

BUFFER: Final = 64 * 1024
"""Bytes that one kept `recv` takes at most."""
LARGE: Final = 256 * 1024
"""Larger data is not sent with the GIL kept: copying it takes long enough for others to do something."""
AT_ONCE: Final = getattr(_socket, "MSG_DONTWAIT", 0)
"""A flag although descriptors are non-blocking already: another process that shares one may change that."""

RISE: Final = 8
"""What a look that found contention adds to a judge's score; one that did not takes 1 away. So one in nine keeps it where it is."""
ENOUGH: Final = 3 * RISE
"""The score from which on the GIL is kept."""
HOLD: Final = 10.0
"""Seconds that it is kept after a thread was found that computes: as long as we keep it, its traces cannot be told from ours."""
LINGER: Final = 1.0
"""The same after many turns ran in the pool, which is seen at any time."""


class PlainSocket(_socket.socket):
    """A C socket whose `recv`, `recv_into` and `send` keep the GIL while that is wanted.

    The class gets these methods and loses them again (`keep`), which costs nothing where they are called. With them a socket
    takes plain arguments only, no flags.
    """

    __slots__ = ()


def _kept() -> dict[str, Callable[..., Any]]:
    """Make the methods. They know no errors: whatever is not a plain success is left to the ordinary call, which meets it again.

    Raises ImportError, OSError or AttributeError where this cannot be done.
    """
    if sys.platform not in ("linux", "darwin") or sys.implementation.name != "cpython":
        raise ImportError(f"{sys.implementation.name} on {sys.platform}")
    if not getattr(sys, "_is_gil_enabled", lambda: True)():
        raise ImportError("there is no GIL")
    # here, as it takes a megabyte that most processes never need
    import ctypes

    library = ctypes.PyDLL(None)
    # without `argtypes`, which would double the price: integers are C ints then, which holds for what is passed here
    c_recv, c_send = library.recv, library.send
    byref, char, new_buffer = ctypes.byref, ctypes.c_char, ctypes.c_char * BUFFER
    plain_recv, plain_recv_into, plain_send = _socket.socket.recv, _socket.socket.recv_into, _socket.socket.send
    fileno = _socket.socket.fileno                  # -1 once closed, when the number may be another's
    buffers: list[tuple[Any, Any]] = []             # those that nobody uses: a thread may be made to wait between `recv` and the copy

    def recv(self: _socket.socket, size: int) -> bytes:
        try:
            pair = buffers.pop()
        except IndexError:
            buffer = new_buffer()
            pair = (byref(buffer), buffer)
        count = c_recv(fileno(self), pair[0], size if size < BUFFER else BUFFER, AT_ONCE)
        if count > 0:
            data: bytes = pair[1][:count]
            buffers.append(pair)
            return data
        buffers.append(pair)
        return plain_recv(self, size)

    def recv_into(self: _socket.socket, view: memoryview) -> int:
        if view:
            count: int = c_recv(fileno(self), byref(char.from_buffer(view)), min(len(view), LARGE), AT_ONCE)
            if count > 0:
                return count
        return plain_recv_into(self, view)

    def send(self: _socket.socket, data: Any) -> int:
        if type(data) is bytes:                     # what is left of a write that did not fit is a view, and rare
            size = len(data)
            if size <= LARGE:
                count: int = c_send(fileno(self), data, size, AT_ONCE)
                if count >= 0:
                    return count
        return plain_send(self, data)

    return {"recv": recv, "recv_into": recv_into, "send": send}


is_on = False
"""`PlainSocket` keeps the GIL now. One for the process, as there is one GIL."""

_methods: dict[str, Callable[..., Any]] | None = None
"""None: not made yet; empty: they cannot be made."""
_switching = allocate_lock()


def keep(is_wanted: bool) -> bool:
    """Have all plain sockets keep the GIL from now on, or not. Any thread; the last word counts. False: it cannot be done here."""
    global is_on, _methods
    with _switching:
        if _methods is None:
            if not is_wanted:
                return True
            try:
                _methods = _kept()
            except (ImportError, OSError, AttributeError):
                _methods = {}
        if is_wanted != is_on:
            for name, method in _methods.items():
                if is_wanted:
                    setattr(PlainSocket, name, method)
                else:
                    delattr(PlainSocket, name)
            is_on = is_wanted and bool(_methods)
        return bool(_methods)


def forget() -> None:
    """Begin anew in the child of a fork, where another thread of the parent's may hold the lock for ever."""
    global _switching, is_on
    _switching = allocate_lock()
    for name in _methods or ():
        with suppress(AttributeError):
            delattr(PlainSocket, name)
    is_on = False


class Judge:
    """Decides for one driver whether sockets keep the GIL. Used by one thread at a time: the standby, the hub, whoever ends the driver.

    Two judges do not ask each other: whoever wants it kept says so at each look, so the other's "no more" holds for one look at most.
    """

    __slots__ = ("_score", "_until", "is_keeping")

    def __init__(self) -> None:
        self._score = 0
        self._until = 0.0
        self.is_keeping = False
        """This judge wants the GIL kept."""

    def look(self, is_late: bool, is_pooling: bool = False) -> None:
        """Note what was seen since the last look, and decide.

        Args:
            is_late: a thread that had nothing to do but to go on had to wait for the GIL, for `too_late` seconds and more.
            is_pooling: many turns were given to other threads.
        """
        if is_late or is_pooling:
            self._score = min(self._score + RISE, ENOUGH)
            if self._score == ENOUGH and (self.is_keeping or cores() > 1):
                self._until = max(self._until, monotonic() + (HOLD if is_late else LINGER))
                self.is_keeping = True
        else:
            self._score = max(0, self._score - 1)
        if self.is_keeping:
            if monotonic() > self._until:
                self.rest()
                self._score = ENOUGH - RISE         # if it goes on, one look is enough
            elif not is_on:
                keep(True)

    def rest(self) -> None:
        """Want nothing any more."""
        self._score = 0
        if self.is_keeping:
            self.is_keeping = False
            keep(False)


def cores() -> int:
    """Count the processors that this process may use. With one, a thread that waits for the GIL cannot run while another sends, and
    hardly ever gets it: keeping it would only give the other one its fair half.
    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def too_late() -> float:
    """Return the seconds that getting the GIL takes when somebody computes: most of the switch interval."""
    return 0.8 * sys.getswitchinterval()
