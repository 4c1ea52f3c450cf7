"""One client of our own threaded server: its requests, one after the other, on the thread that was made for it."""

from __future__ import annotations

import logging
import re
import socket
import ssl
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from email.utils import formatdate
from types import TracebackType
from typing import Any, Final
from wsgiref.util import FileWrapper

from ..protocol.http import reason_phrase, response, response_head
from ..types import Environ, HeaderList, WSGIApp
from .http1 import MAX_HEAD, BadRequest, Body, Head, find_head, parse_head
from .takeover import EMBEDDED

__all__ = ["HttpConnection"]

logger = logging.getLogger("sync_sio.wsgi")

IDLE_TIMEOUT: Final = 75.0
"""Seconds that a connection may wait for its next request, for a piece of a body, and for its client to take a piece of an answer."""
HEAD_TIMEOUT: Final = 20.0
"""Seconds in which a request's head has to be there once it has begun; also the TLS handshake."""
LINGER_TIMEOUT: Final = 0.5
"""Seconds that a refused client is listened to: closing at once would reset the connection, and it might never see the answer."""
DRAINED: Final = 64 * 1024
"""Bytes of a body that nobody has read, up to which reading them is better than a new connection."""
RECEIVE: Final = 64 * 1024

_STATUS: Final = re.compile(r"[1-9]\d\d( .*)?")
_HOP_BY_HOP: Final = frozenset({"connection", "keep-alive", "transfer-encoding", "upgrade", "proxy-connection", "te", "trailer"})
_ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None] | None


class _ClientGone(ConnectionError):
    """An answer cannot be sent: nothing to log, the client went."""


class HttpConnection:
    """A connection while the server has it.

    Args:
        sock: connected, blocking.
        address: the client's.
        app: the application.
        environ: what is the same for every request.
        tls: handshake first, here and not where connections are accepted.
    """

    def __init__(
        self, sock: socket.socket, address: tuple[Any, ...], app: WSGIApp, environ: Environ, tls: ssl.SSLContext | None
    ) -> None:
        self._sock: socket.socket | None = sock
        self._address = address
        self._app = app
        self._environ = environ
        self._tls = tls
        self._buffer = bytearray()
        self.is_idle = True
        """It waits for a request."""
        self.is_ending = False
        """The server stops: no further request after the current one."""

    def serve(self) -> None:
        """Answer requests until the client goes, waits too long, or its connection is taken over."""
        try:
            self._begin()
            while self._serve_one():
                pass
        except OSError:
            pass  # the client went; what it was doing then has been told to the application
        finally:
            sock, self._sock = self._sock, None
            if sock is not None:
                sock.close()

    def abort(self) -> None:
        """End the connection from another thread: its own one wakes and closes it. A connection that was taken over is left alone."""
        sock = self._sock
        if sock is not None:
            with suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)

    def give_away(self) -> tuple[socket.socket, bytes]:
        """Return the socket, which is no longer ours, and what has been read behind the request."""
        sock, self._sock = self._sock, None
        if sock is None:
            raise ConnectionError("the connection was given away before, or has ended")
        leftover = bytes(self._buffer)
        self._buffer.clear()
        return sock, leftover

    # -- where bodies come from ---------------------------------------------------------------------------------------------

    def read_some(self, limit: int) -> bytes:
        if not self._buffer and not self._receive(IDLE_TIMEOUT):
            return b""
        piece = bytes(self._buffer[:limit])
        del self._buffer[:limit]
        return piece

    def read_line(self, limit: int) -> bytes:
        while (end := self._buffer.find(b"\r\n", 0, limit + 2)) < 0:
            if len(self._buffer) >= limit + 2:
                raise BadRequest(400, f"a line of over {limit} bytes")
            if not self._receive(IDLE_TIMEOUT):
                raise ConnectionError("the client ended the request body early")
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        return line

    def send(self, data: bytes) -> None:
        """Send all of it. Each piece that the client takes gives it time for the next: only one that stands still is given up."""
        sock = self._sock
        if sock is None:
            return  # taken over: the client gets its answer from whoever has it
        try:
            sock.settimeout(IDLE_TIMEOUT)
            view = memoryview(data)
            while view:
                view = view[sock.send(view) :]
        except OSError as error:
            raise _ClientGone(str(error)) from error

    # -- requests -------------------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        assert self._sock is not None
        with suppress(OSError):
            self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._tls is not None:
            self._sock.settimeout(HEAD_TIMEOUT)
            # SSLError is an OSError: a failed handshake ends like a client that went
            self._sock = self._tls.wrap_socket(self._sock, server_side=True)

    def _serve_one(self) -> bool:
        """Answer one request. False: the connection is over."""
        try:
            data = self._read_head()
            if data is None:
                return False
            head = parse_head(data)
        except BadRequest as refusal:
            self._refuse(refusal)
            return False
        body = Body(self, head.length, (lambda: self.send(response_head(100, ()))) if head.expects_continue else _nothing)
        answer = _Answer(self, head, body)
        self._run(head, body, answer)
        if self._sock is None:
            return False
        if answer.keeps_alive:
            return self._drain(body)
        if not body.is_over:
            self._linger()
        return False

    def _read_head(self) -> bytes | None:
        """Return a request's head; None: there is no further one."""
        self.is_idle = True
        deadline = time.monotonic() + IDLE_TIMEOUT
        while True:
            while self._buffer.startswith(b"\r\n"):
                del self._buffer[:2]  # some clients send one behind a body
            if self._buffer and self.is_idle:
                self.is_idle = False
                deadline = time.monotonic() + HEAD_TIMEOUT
            end = find_head(self._buffer)
            if end:
                data = bytes(self._buffer[:end])
                del self._buffer[:end]
                return data
            if self.is_ending:
                return None
            left = deadline - time.monotonic()
            try:
                if left <= 0 or not self._receive(left):
                    return None
            except TimeoutError:
                if self._buffer:
                    raise BadRequest(408, f"the request's head was not there after {HEAD_TIMEOUT:g} s") from None
                return None

    def _receive(self, timeout: float) -> bool:
        """Add what comes to the buffer; False at the end."""
        sock = self._sock
        if sock is None:
            return False
        sock.settimeout(timeout)
        data = sock.recv(MAX_HEAD if self.is_idle else RECEIVE)
        self._buffer += data
        return bool(data)

    def _run(self, head: Head, body: Body, answer: _Answer) -> None:
        """Call the application: a wall."""
        environ = {
            **self._environ,
            **head.environ(),
            "REMOTE_ADDR": self._address[0] if self._address else "",
            "REMOTE_PORT": str(self._address[1]) if len(self._address) > 1 else "",
            "wsgi.input": body,
            "wsgi.errors": sys.stderr,
            "wsgi.file_wrapper": FileWrapper,
            EMBEDDED: self,
        }
        try:
            result = self._app(environ, answer.start)
            try:
                answer.send_all(result)
            finally:
                close = getattr(result, "close", None)
                if close is not None:
                    close()
        except _ClientGone:
            answer.keeps_alive = False
        except Exception:
            if not (body.is_broken and answer.may_fail()):
                logger.exception("the application failed on %s %s", head.method, head.target)
            answer.fail()

    def _drain(self, body: Body) -> bool:
        """Make way for the next request."""
        while not body.is_over:
            if not body.read(RECEIVE) and not body.is_over:
                return False
        return True

    def _refuse(self, refusal: BadRequest) -> None:
        text = f"{refusal}\n".encode()
        headers = [("Content-Type", "text/plain; charset=utf-8"), ("Connection", "close")]
        self.send(response(refusal.status, headers, text))
        self._linger()

    def _linger(self) -> None:
        sock = self._sock
        if sock is None:
            return
        deadline = time.monotonic() + LINGER_TIMEOUT
        with suppress(OSError):
            socket.socket.shutdown(sock, socket.SHUT_WR)
            while (left := deadline - time.monotonic()) > 0:
                socket.socket.settimeout(sock, left)
                if not socket.socket.recv(sock, RECEIVE):
                    return


class _Answer:
    """One response: what the application says of it, framed as HTTP/1.1."""

    def __init__(self, connection: HttpConnection, head: Head, body: Body) -> None:
        self._connection = connection
        self._head = head
        self._body = body
        self._status = ""
        self._headers: HeaderList = []
        self._is_sent = False
        """The head is."""
        self._is_chunked = False
        self._has_body = True
        self._left: int | None = None
        """Bytes that Content-Length promised and that have not been sent; None: it was not said."""
        self.keeps_alive = head.keeps_alive

    def start(self, status: str, headers: HeaderList, exc_info: _ExcInfo = None) -> Any:
        """WSGI's `start_response`."""
        if exc_info is not None:
            try:
                if self._is_sent:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None
        elif self._status:
            raise AssertionError("start_response was called twice")
        if not _STATUS.fullmatch(status):
            raise ValueError(f"the status {status!r} is not one such as '200 OK'")
        self._status = status
        self._headers = list(headers)
        return self.write

    def send_all(self, result: Iterable[bytes]) -> None:
        if isinstance(result, list | tuple):
            body = b"".join(result)
            if self._is_sent:
                self.write(body)
            else:
                self._send_head(body, len(body))
        else:
            for piece in result:
                if piece:
                    self.write(piece)
            if not self._is_sent:
                self._send_head(b"", 0)
        if self._is_chunked:
            self._connection.send(b"0\r\n\r\n")
        if self._has_body and self._left:
            logger.error("%s: the application sent %d bytes less than its Content-Length", self._head.target, self._left)
            self.keeps_alive = False

    def write(self, data: bytes) -> None:
        if self._is_sent:
            self._connection.send(self._framed(data))
        else:
            self._send_head(data, None)

    def fail(self) -> None:
        """The application raised. If nothing has been sent, the client is told."""
        self.keeps_alive = False
        if not self._is_sent:
            self._is_sent = True
            status = 400 if self._body.is_broken else 500
            headers = [("Content-Type", "text/plain; charset=utf-8"), ("Connection", "close")]
            text = f"{reason_phrase(status)}\n".encode() if self._head.method != "HEAD" else b""
            with suppress(_ClientGone):
                self._connection.send(response(status, headers, text))

    def may_fail(self) -> bool:
        """Whether an error can be put down to the client: nothing of an answer was sent when it broke its request."""
        return not self._is_sent

    def _send_head(self, first: bytes, whole: int | None) -> None:
        """Send the head with the first bytes. `whole`: the length of the body, when that is all of it."""
        if not self._status:
            raise AssertionError("the application did not call start_response")
        code = int(self._status[:3])
        self._has_body = self._head.method != "HEAD" and code >= 200 and code not in (204, 304)
        names = set()
        kept: HeaderList = []
        for name, value in self._headers:
            lowered = name.lower()
            names.add(lowered)
            if lowered == "connection" and "close" in value.lower():
                self.keeps_alive = False
            elif lowered == "content-length":
                self._left = int(value)
            if lowered not in _HOP_BY_HOP or code == 101:
                kept.append((name, value))
        if code != 101:
            if "content-length" not in names and code >= 200 and code not in (204, 304):
                if whole is not None:
                    self._left = whole
                    if self._has_body or whole:
                        kept.append(("Content-Length", str(whole)))
                elif self._head.version >= (1, 1):
                    kept.append(("Transfer-Encoding", "chunked"))
                    self._is_chunked = self._has_body
                else:
                    self.keeps_alive = False
            if "date" not in names:
                kept.append(("Date", formatdate(usegmt=True)))
            self._decide_keep_alive()
            if not self.keeps_alive:
                kept.append(("Connection", "close"))
            elif self._head.version < (1, 1):
                kept.append(("Connection", "keep-alive"))
        else:
            self.keeps_alive = False
        head = _status_line(self._status, kept)
        self._is_sent = True
        self._connection.send(head + self._framed(first))

    def _decide_keep_alive(self) -> None:
        left = self._body.left
        if self._connection.is_ending or self._body.is_broken:
            self.keeps_alive = False
        elif not self._body.is_over and (left is None or left > DRAINED or self._head.expects_continue):
            # A client that waits for 100 Continue may send the body or not: what comes next could not be told.
            self.keeps_alive = False

    def _framed(self, data: bytes) -> bytes:
        if not self._has_body or not data:
            return b""
        if self._is_chunked:
            return b"%x\r\n%b\r\n" % (len(data), data)
        if self._left is not None:
            if len(data) > self._left:
                logger.error("%s: the application sent more bytes than its Content-Length", self._head.target)
                data = data[: self._left]
            self._left -= len(data)
        return data


def _status_line(status: str, headers: HeaderList) -> bytes:
    code, _, reason = status.partition(" ")
    head = response_head(int(code), headers)
    if not reason or "\r" in reason or "\n" in reason:
        return head
    # the application's own words
    return b"HTTP/1.1 %b\r\n" % status.encode("latin-1", "replace") + head.partition(b"\r\n")[2]


def _nothing() -> None: ...
