"""One request of our own server and its answer, while a turn works on them."""

from __future__ import annotations

import logging
import sys
from enum import Enum
from typing import Final, Protocol
from wsgiref.util import FileWrapper

from ..drivers.base import Stream
from ..protocol.http import response_head
from ..types import Environ, WSGIApp
from .answer import Answer, ClientGone
from .http1 import BadRequest, Body, Head

__all__ = ["RECEIVE", "End", "Exchange", "Wire"]

logger = logging.getLogger("sync_sio.wsgi")

RECEIVE: Final = 64 * 1024


class Wire(Protocol):
    """The connection, as a turn sees it. Stream and buffer are the turn's until its answer is sent, or is somebody else's."""

    stream: Stream
    buffer: bytearray
    """What was received and not used."""
    is_ending: bool

    def wait(self, is_writable: bool = False) -> None:
        """Block until the client sends, or takes, something, or has gone. Raises TimeoutError."""
        ...


class End(Enum):
    """What becomes of the connection behind a request."""

    NEXT = "its client may send another"
    CLOSE = "it is closed"
    LINGER = "it is closed when the client has had time to see the answer"
    ELSEWHERE = "somebody else has it, or will answer"


class Exchange:
    """Where the body comes from (`http1.ByteSource`), where the answer goes (`answer.Line`), and the application between them."""

    __slots__ = ("_wire", "head", "is_elsewhere")

    def __init__(self, wire: Wire, head: Head) -> None:
        self._wire = wire
        self.head = head
        self.is_elsewhere = False
        """The client gets its answer from whoever has the connection by now: what is written here reaches nobody."""

    @property
    def is_ending(self) -> bool:
        return self._wire.is_ending

    def run(self, app: WSGIApp, environ: Environ) -> End:
        """Call the application and send what it says: a wall.

        Args:
            environ: without what the request itself says; changed.
        """
        head = self.head
        # local, as both have this object: a request leaves no cycle of references behind
        body = Body(self, head.length, self._tell_to_go_on if head.expects_continue else _nothing)
        answer = Answer(self, head, body)
        environ.update(head.environ())
        environ["wsgi.input"] = body
        environ["wsgi.errors"] = sys.stderr
        environ["wsgi.file_wrapper"] = FileWrapper
        try:
            result = app(environ, answer.start)
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
        if self.is_elsewhere:
            return End.ELSEWHERE
        if answer.keeps_alive:
            return End.NEXT if body.is_over or _drain(body) else End.CLOSE
        return End.CLOSE if body.is_over else End.LINGER

    def read_some(self, limit: int) -> bytes:
        buffer = self._wire.buffer
        if not buffer and not self._receive():
            return b""
        piece = bytes(buffer[:limit])
        del buffer[:limit]
        return piece

    def read_line(self, limit: int) -> bytes:
        buffer = self._wire.buffer
        while (end := buffer.find(b"\r\n", 0, limit + 2)) < 0:
            if len(buffer) >= limit + 2:
                raise BadRequest(400, f"a line of over {limit} bytes")
            if not self._receive():
                raise ConnectionError("the client ended the request body early")
        line = bytes(buffer[:end])
        del buffer[: end + 2]
        return line

    def send(self, data: bytes) -> None:
        """Send all of it. Each piece that the client takes gives it time for the next: only one that stands still is given up."""
        wire = self._wire
        try:
            sent = wire.stream.send(data)
            if sent < len(data):
                view = memoryview(data)[sent:]
                while view:
                    wire.wait(is_writable=True)
                    view = view[wire.stream.send(view) :]
        except OSError as error:
            raise ClientGone(str(error)) from error

    def _receive(self) -> bool:
        """Add what comes to the buffer; False at the end."""
        wire = self._wire
        while (data := wire.stream.recv(RECEIVE)) is None:
            wire.wait()
        wire.buffer += data
        return bool(data)

    def _tell_to_go_on(self) -> None:
        self.send(response_head(100, ()))


def _drain(body: Body) -> bool:
    """Make way for the next request. False: the client went."""
    try:
        while not body.is_over:
            if not body.read(RECEIVE) and not body.is_over:
                return False
    except OSError:
        return False
    return True


def _nothing() -> None: ...
