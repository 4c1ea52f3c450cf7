"""Swap the server's side of a connection for a sink, so that it is ours alone.

How that is done depends on the kind of socket, not on the server:

- a plain socket, or a bare descriptor: ours is a duplicate, and the sink takes the server's number (`dup2`), so servers that
  remember the number (waitress, uWSGI in C) are served too;
- TLS of the standard library: the number is wired into OpenSSL, so the server's object becomes a husk instead;
- a gevent socket: its watchers end and its object gets the sink. Ours keeps the number, as libev's poll set knows it by that;
- a connection of our own server is just given away.
"""

from __future__ import annotations

import _socket
import contextlib
import os
import socket
import ssl
import sys
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, Final, Protocol

try:
    import fcntl
except ImportError:                                 # Windows
    fcntl = None  # type: ignore[assignment]

from ..drivers.base import Stream
from ..drivers.keeping import PlainSocket
from ..drivers.streams import PlainStream, TlsStream

__all__ = ["GivesAway", "swap", "why_not"]

ReadAhead = Callable[[], bytes]
"""Takes what the server has read and not used. Called once, when nothing can fail any more."""

RECEIVE: Final = 65536
BEYOND_SELECT: Final = 1024
"""The first descriptor that `select` does not take. Waitress waits with it, and libraries of users: the numbers below are left to them."""


class GivesAway(Protocol):
    """A connection of a server that needs no sink, as it lets go."""

    def give_away(self) -> Stream:
        """Return the stream, which is the server's no longer."""
        ...


def why_not(sock: object) -> str | None:
    """Tell why a connection cannot be swapped; None when it can. `sock`: what the server has, an object or a number."""
    if isinstance(sock, int) or hasattr(sock, "give_away"):
        return None
    if not isinstance(sock, socket.socket) and not _is_gevents(sock):
        return f"its socket is of a kind that cannot be taken over, {type(sock).__module__}.{type(sock).__name__}"
    if isinstance(sock, ssl.SSLSocket) and sock._sslobj is None:  # type: ignore[attr-defined]
        return "TLS has ended on this connection"
    return None if sock.fileno() >= 0 else "the socket is closed"  # type: ignore[attr-defined]


def swap(sock: Any, read_ahead: ReadAhead, is_talkative: bool = False) -> tuple[Stream, bytes]:
    """Return the connection as a stream of ours, and what the server had read ahead.

    Args:
        sock: what the server has, of a kind that `why_not` allows.
        read_ahead: see `ReadAhead`.
        is_talkative: the server logs or skips something when a write fails, so the sink must swallow what is written.

    Raises:
        OSError: no descriptors are left. Nothing has changed then.
    """
    if hasattr(sock, "give_away"):
        leftover = read_ahead()
        return sock.give_away(), leftover
    if isinstance(sock, int):
        return _swap_number(sock, None, read_ahead, is_talkative)
    if _is_gevents(sock):
        return _swap_gevent(sock, read_ahead, is_talkative)
    if isinstance(sock, ssl.SSLSocket):
        return _swap_tls(sock, read_ahead)
    return _swap_number(sock.fileno(), sock, read_ahead, is_talkative)


def _end_watchers(sock: Any) -> None:
    """Have gevent look at a socket no more."""
    for watcher in (sock._read_event, sock._write_event):
        if watcher is not None:
            watcher.stop()
            watcher.close()


def _swap_number(number: int, owner: object, read_ahead: ReadAhead, is_talkative: bool) -> tuple[Stream, bytes]:
    # Everything that can fail comes first.
    with _sink(owner, is_talkative) as sink:
        ours = PlainSocket(fileno=_duplicate(number))
        leftover = read_ahead()
        os.dup2(sink.fileno(), number, inheritable=False)
    return PlainStream(ours), leftover


def _duplicate(number: int) -> int:
    if fcntl is not None:
        with contextlib.suppress(OSError):          # the process may not have so many
            return fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, BEYOND_SELECT)
    return os.dup(number)


def _swap_tls(sock: Any, read_ahead: ReadAhead) -> tuple[Stream, bytes]:
    with _sink() as sink:
        leftover = read_ahead()
        sslobj = sock._sslobj
        sock.__dict__["_sink"] = _socket.socket(fileno=sink.detach())
        sock.__class__ = _husk(type(sock))  # type: ignore[arg-type]
    # OpenSSL's object has only a weak reference to the socket and reads its timeout, so the stream keeps it.
    return TlsStream(sslobj, sock), leftover


def _swap_gevent(sock: Any, read_ahead: ReadAhead, is_talkative: bool) -> tuple[Stream, bytes]:
    gevents_socket = sys.modules["gevent._socket3"].socket
    with _sink(sock, is_talkative) as sink:
        leftover = read_ahead()
        raw, sslobj = sock._sock, getattr(sock, "_sslobj", None)
        _end_watchers(sock)
        timeout, io_refs = sock.timeout, sock._io_refs
        gevents_socket.__init__(sock, sink.family, sink.type, sink.proto, fileno=sink.detach())
        sock.timeout, sock._io_refs = timeout, io_refs
    if sslobj is None:
        return PlainStream(PlainSocket(fileno=raw.detach())), leftover
    sock._sslobj = None  # from here on it is a plain socket to the server
    return TlsStream(sslobj, raw), leftover


def _is_gevents(sock: object) -> bool:
    # gevent is not imported for this: where it is not, the socket is not its own
    module = sys.modules.get("gevent._socket3")
    return module is not None and isinstance(sock, module.socket)


# --- the sink


@contextlib.contextmanager
def _sink(owner: object = None, is_talkative: bool = False) -> Iterator[_socket.socket]:
    """Make a raw socket for the server to talk to: reads give the end, writes fail, or are swallowed for a server that would tell.

    `owner`: the server's Python object, with which a swallowing sink ends; None: it has only a number. What has not been detached
    is closed at the end of the context.
    """
    # raw ones: never gevent's, even in a patched process
    near, far = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_STREAM)
    if not is_talkative:
        far.close()
    else:
        # The far end has to outlive the server's. What is written, a response's head, fits into the kernel's buffer.
        far.shutdown(_socket.SHUT_WR)
        if owner is None:
            _far_ends.keep(far)
        else:
            weakref.finalize(owner, far.close).atexit = False
    try:
        yield near
    finally:
        near.close()


class _FarEnds:
    """Far ends of sinks whose near end is a bare number: closed when the next one comes and the server is done with its own."""

    def __init__(self) -> None:
        self._kept: deque[_socket.socket] = deque()

    def keep(self, far: _socket.socket) -> None:
        # any number of threads: each far end is with one of them at a time
        for _ in range(len(self._kept)):
            with contextlib.suppress(IndexError):
                other = self._kept.popleft()
                if self._is_done(other):
                    other.close()
                else:
                    self._kept.append(other)
        self._kept.append(far)

    def _is_done(self, far: _socket.socket) -> bool:
        with contextlib.suppress(BlockingIOError, InterruptedError):
            while far.recv(RECEIVE, _socket.MSG_DONTWAIT):
                pass
            return True
        return False


_far_ends = _FarEnds()


@cache
def _husk(kind: type[ssl.SSLSocket]) -> type[ssl.SSLSocket]:
    """Return a subclass of the server's TLS socket whose methods talk to nobody. Same layout, so `__class__` may be set."""

    def nothing(self: Any, *_: Any, **__: Any) -> None: ...

    def no_bytes(self: Any, *_: Any, **__: Any) -> bytes:
        return b""

    def zero(self: Any, *_: Any, **__: Any) -> int:
        return 0

    def swallow(self: Any, data: Any, *_: Any, **__: Any) -> int:
        with memoryview(data) as view:
            return view.nbytes

    def fileno(self: Any) -> int:
        sink = self.__dict__.get("_sink")
        return -1 if sink is None else sink.fileno()

    def close(self: Any) -> None:
        sink = self.__dict__.pop("_sink", None)
        if sink is not None:
            sink.close()

    methods: dict[str, Any] = {
        **dict.fromkeys(("close", "_real_close"), close),
        **dict.fromkeys(("shutdown", "setblocking", "settimeout", "gettimeout", "sendall", "unwrap"), nothing),
        **dict.fromkeys(("getpeercert", "_decref_socketios", "__del__"), nothing),
        **dict.fromkeys(("recv", "read"), no_bytes),
        **dict.fromkeys(("recv_into", "pending"), zero),
        **dict.fromkeys(("send", "write"), swallow),
        "fileno": fileno,
    }
    return type(f"Husk{kind.__name__}", (kind,), {"__slots__": (), **methods})
