"""The byte streams under connections: plain sockets, and TLS without its socket module. All their socket calls are here and in `keeping`.

Reads and writes of one `TlsStream` must not run at the same time (OpenSSL keeps one state for both): the connection's lock
sees to it. A `PlainStream` may be read and written side by side.
"""

from __future__ import annotations

import _socket
import errno
import ssl
from contextlib import suppress
from typing import Any, Final

from .base import BytesLike
from .keeping import PlainSocket

RECORD: Final = 16 * 1024
"""Bytes of one TLS record, and of one write to OpenSSL."""

_FULL = (ssl.SSLWantWriteError, ssl.SSLWantReadError)


def _prepare(raw: _socket.socket) -> int:
    _socket.socket.setblocking(raw, False)
    with suppress(OSError):         # not TCP: AF_UNIX
        _socket.socket.setsockopt(raw, _socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
    return _socket.socket.fileno(raw)


class PlainStream:
    """A `base.Stream` over a connected socket.

    Args:
        raw: a C socket that nobody else uses.
    """

    __slots__ = ("_raw", "fd")

    is_tls: bool = False

    @property
    def lane(self) -> PlainSocket:
        return self._raw

    def __init__(self, raw: PlainSocket) -> None:
        self._raw = raw
        self.fd = _prepare(raw)

    def recv(self, size: int) -> bytes | None:
        try:
            return self._raw.recv(size)
        except BlockingIOError:
            return None
        except OSError:
            return b""

    def recv_into(self, view: memoryview) -> int | None:
        try:
            return self._raw.recv_into(view)
        except BlockingIOError:
            return None
        except OSError:
            return 0

    def send(self, data: BytesLike) -> int:
        try:
            return self._raw.send(data)
        except BlockingIOError:
            return 0

    def has_pending(self) -> bool:
        return False

    def shutdown(self) -> None:
        with suppress(OSError):
            self._raw.shutdown(_socket.SHUT_RDWR)

    def close(self) -> None:
        self._raw.close()


class TlsStream:
    """A `base.Stream` over what `ssl.SSLSocket` has inside. One thread at a time, reading or writing.

    A record that OpenSSL has begun to write must be finished before anything else, with the same bytes. So it is kept here, and
    `send` says that it took all of it but the last byte: the caller keeps something to send and asks to be told when
    there is room, and never believes that nothing of a frame has left (and drops it) when a part has.

    Args:
        sslobj: the `_ssl._SSLSocket` of a finished handshake.
        owner: the Python socket that `sslobj` has a weak reference to: kept alive, and non-blocking. Its methods are called
            unbound, as its class may have been replaced by one that does nothing.
    """

    __slots__ = ("_is_over", "_owner", "_sslobj", "_stuck", "fd")

    is_tls: bool = True

    @property
    def lane(self) -> TlsStream:
        return self

    def __init__(self, sslobj: Any, owner: _socket.socket) -> None:
        self._sslobj = sslobj
        self._owner = owner
        self._stuck: bytes | None = None
        self._is_over = False
        self.fd = _prepare(owner)

    def recv(self, size: int) -> bytes | None:
        if self._is_over:
            return b""
        try:
            data: bytes = self._sslobj.read(size)
            return data
        except _FULL:
            return None
        except (OSError, ValueError):       # SSLError is an OSError; ValueError: closed
            return b""

    def recv_into(self, view: memoryview) -> int | None:
        if self._is_over:
            return 0
        try:
            count: int = self._sslobj.read(len(view), view)
            return count
        except _FULL:
            return None
        except (OSError, ValueError):
            return 0

    def send(self, data: BytesLike) -> int:
        if self._is_over:
            raise BrokenPipeError(errno.EPIPE, "this TLS stream was shut down")
        taken = 0
        write = self._sslobj.write
        try:
            if self._stuck is not None:
                write(self._stuck)
                self._stuck = None
                taken = 1                   # the byte that was held back
            size = len(data)
            if taken == 0 and size <= RECORD:
                chunk: BytesLike = data
                count: int = write(chunk)
                return count
            view = memoryview(data)
            while taken < size:
                chunk = view[taken : taken + RECORD]
                taken += write(chunk)
        except _FULL:
            if self._stuck is None:
                self._stuck = bytes(chunk)
                taken += len(chunk) - 1
        except ValueError as error:
            raise OSError(f"the TLS stream is closed: {error}") from error
        return taken

    def has_pending(self) -> bool:
        try:
            return bool(self._sslobj.pending())
        except (OSError, ValueError):
            return False

    def shutdown(self) -> None:
        self._say_goodbye()
        with suppress(OSError):
            _socket.socket.shutdown(self._owner, _socket.SHUT_RDWR)

    def close(self) -> None:
        self._say_goodbye()
        _socket.socket.close(self._owner)

    def _say_goodbye(self) -> None:
        """Send close_notify if it fits: without it, strict clients report a cut stream. The answer is not waited for."""
        if not self._is_over:
            self._is_over = True
            if self._stuck is None:
                with suppress(OSError, ValueError):
                    self._sslobj.shutdown()
