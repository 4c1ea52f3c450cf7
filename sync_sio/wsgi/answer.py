"""One response of our own server: what the application says, framed as HTTP/1.1."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from contextlib import suppress
from email.utils import formatdate
from types import TracebackType
from typing import Any, Final, Protocol

from ..protocol.http import reason_phrase, response, response_head
from ..types import HeaderList
from .http1 import Body, Head

__all__ = ["Answer", "ClientGone", "connection_lines"]

logger = logging.getLogger("sync_sio.wsgi")

DRAINED: Final = 64 * 1024
"""Bytes of a body that nobody has read, up to which reading them is better than a new connection."""

_STATUS: Final = re.compile(r"[1-9]\d\d( .*)?")
_HOP_BY_HOP: Final = frozenset({"connection", "keep-alive", "transfer-encoding", "upgrade", "proxy-connection", "te", "trailer"})
_ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None] | None


class ClientGone(ConnectionError):
    """An answer cannot be sent: nothing to log, the client went."""


class Line(Protocol):
    """The connection, as an answer sees it."""

    @property
    def is_ending(self) -> bool:
        """The server stops: no further request on this connection."""
        ...

    @property
    def is_elsewhere(self) -> bool:
        """Somebody else has the connection, or will answer: what is written here reaches nobody."""
        ...

    def send(self, data: bytes) -> None:
        """Send all of it; raises ClientGone."""
        ...


class Answer:
    """One response: what the application says of it, framed as HTTP/1.1."""

    def __init__(self, connection: Line, head: Head, body: Body) -> None:
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
        if self._connection.is_elsewhere:
            return
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
        if self._connection.is_elsewhere:
            return
        if self._is_sent:
            self._connection.send(self._framed(data))
        else:
            self._send_head(data, None)

    def fail(self) -> None:
        """The application raised. If nothing has been sent, the client is told."""
        self.keeps_alive = False
        if not self._is_sent and not self._connection.is_elsewhere:
            self._is_sent = True
            status = 400 if self._body.is_broken else 500
            headers = [("Content-Type", "text/plain; charset=utf-8"), ("Connection", "close")]
            text = f"{reason_phrase(status)}\n".encode() if self._head.method != "HEAD" else b""
            with suppress(ClientGone):
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
            kept += connection_lines(self._head, self.keeps_alive)
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


def connection_lines(head: Head, keeps_alive: bool) -> HeaderList:
    """Return the header that tells the client whether it may send another request, if it needs to be told."""
    if not keeps_alive:
        return [("Connection", "close")]
    return [] if head.version >= (1, 1) else [("Connection", "keep-alive")]


def _status_line(status: str, headers: HeaderList) -> bytes:
    code, _, reason = status.partition(" ")
    head = response_head(int(code), headers)
    if not reason or "\r" in reason or "\n" in reason:
        return head
    # the application's own words
    return b"HTTP/1.1 %b\r\n" % status.encode("latin-1", "replace") + head.partition(b"\r\n")[2]
