"""One client of our own server: its requests, one after the other, on the thread or greenlet that was made for it."""

from __future__ import annotations

import logging
import socket
import ssl
import sys
import time
from contextlib import suppress
from typing import Any, Final
from wsgiref.util import FileWrapper

from ..protocol.http import response, response_head
from ..types import Environ, WSGIApp
from .answer import Answer, ClientGone
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
RECEIVE: Final = 64 * 1024


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
                self._shut(sock, socket.SHUT_RDWR)

    def give_away(self) -> socket.socket:
        """Return the socket, which is no longer ours. What was read behind the request is had with `read_ahead` before."""
        sock, self._sock = self._sock, None
        if sock is None:
            raise ConnectionError("the connection was given away before, or has ended")
        return sock

    def read_ahead(self) -> bytes:
        data = bytes(self._buffer)
        self._buffer.clear()
        return data

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
            raise ClientGone(str(error)) from error

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
        answer = Answer(self, head, body)
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

    def _run(self, head: Head, body: Body, answer: Answer) -> None:
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
        except ClientGone:
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
            self._shut(sock, socket.SHUT_WR)
            while (left := deadline - time.monotonic()) > 0:
                if not self._listen(sock, left):
                    return

    def _shut(self, sock: socket.socket, how: int) -> None:
        """End the connection below TLS, whose state belongs to the thread that serves."""
        socket.socket.shutdown(sock, how)

    def _listen(self, sock: socket.socket, timeout: float) -> bytes:
        """Receive below TLS. Raises OSError after so many seconds."""
        socket.socket.settimeout(sock, timeout)
        return socket.socket.recv(sock, RECEIVE)


def _nothing() -> None: ...
