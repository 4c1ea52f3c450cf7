"""One client of our own server: its requests, one after the other.

While a connection waits for a request, the loop reads it (phase one). A head that is complete becomes a turn, and the
application runs in it: a thread or greenlet is held only while an application works. If that blocks, or has to wait for its client,
others have their turns meanwhile.

An application may *give the connection away*, or *park* it: then the answer comes later, from anybody, by `finish`, and the
connection goes on with its next request. What the application writes in the ordinary way after that reaches nobody.
"""

from __future__ import annotations

import _socket
import logging
import re
import ssl
import sys
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from typing import Any, Final
from wsgiref.util import FileWrapper

from ..drivers.base import Driver, Habit, Stream, Waiter
from ..drivers.keeping import PlainSocket
from ..drivers.strand import Strand
from ..drivers.streams import PlainStream, TlsStream
from ..protocol.http import response, response_head
from ..types import Environ, HeaderList, WSGIApp
from .answer import Answer, ClientGone, connection_lines
from .http1 import MAX_HEAD, BadRequest, Body, Head, find_head, parse_head
from .takeover import EMBEDDED

__all__ = ["HttpConnection", "Service", "TlsSocket"]

logger = logging.getLogger("sync_sio.wsgi")

IDLE_TIMEOUT: Final = 75.0
"""Seconds that a connection may wait for its next request, for a piece of a body, and for its client to take a piece of an answer."""
HEAD_TIMEOUT: Final = 20.0
"""Seconds in which a request's head has to be there once it has begun; also the TLS handshake."""
LINGER_TIMEOUT: Final = 0.5
"""Seconds that a refused client is listened to: closing at once would reset the connection, and it might never see the answer."""
RECEIVE: Final = 64 * 1024
MAX_HABITS: Final = 64

_PLACE: Final = re.compile(r"(?:https?://[^/?]*)?/([^/?]*)")


class TlsSocket(PlainSocket):
    """OpenSSL wants a socket that can be weakly referred to."""

    __slots__ = ("__weakref__",)


@dataclass(slots=True)
class Service:
    """What all connections of one server share."""

    app: WSGIApp
    environ: Environ
    driver: Driver
    tls: ssl.SSLContext | None
    connections: set[HttpConnection] = field(default_factory=set)
    habits: dict[str, Habit] = field(default_factory=dict)

    def habit(self, head: Head) -> Habit:
        """Return what is known of the requests to one part of the site: a page that blocks is kept from the thread that reads."""
        matched = _PLACE.match(head.target)
        name = matched[1] if matched else ""
        habit = self.habits.get(name)
        if habit is None:
            if len(self.habits) >= MAX_HABITS:
                name = ""
            habit = self.habits.setdefault(name, Habit())
        return habit


class _State(Enum):
    SHAKING = "shaking hands"
    READING = "waiting for a request"
    WORKING = "an application works"
    PARKED = "the answer comes later"
    LINGERING = "listened to after the last answer"
    OVER = "closed, or given away"


SHAKING, READING, WORKING, PARKED, LINGERING, OVER = _State


class HttpConnection:
    """A connection while the server has it: a `base.Watched`, and the `base.Flow` of its own turns.

    Args:
        sock: connected.
        address: the client's.

    `lock` guards the state and what goes with it, and keeps reading and writing apart in all states but WORKING, where the turn alone
    touches stream and buffer. In WORKING the loop only notes that something has happened, once, and looks away (`_note`): the
    turn may have asked for it, and a client that has gone would be reported again and again.
    """

    __slots__ = (
        "_address",
        "_answer",
        "_buffer",
        "_gone",
        "_head",
        "_is_deaf",
        "_is_watched",
        "_may_go_on",
        "_on_sent",
        "_raw",
        "_service",
        "_state",
        "_strand",
        "_stream",
        "_tail",
        "_waiter",
        "corked",
        "deadline",
        "driver",
        "fd",
        "is_ending",
        "is_paused",
        "lock",
        "max_queued_bytes",
        "queued",
        "queued_bytes",
    )

    def __init__(self, sock: PlainSocket, address: Any, service: Service) -> None:
        self._service = service
        self._address = address
        self._raw = sock
        self._stream: Stream
        self.driver = driver = service.driver
        self.lock = driver.lock()
        if service.tls is None:
            self._state = READING
            self._stream = PlainStream(sock)
        else:
            self._state = SHAKING
            self._stream = TlsStream(service.tls._wrap_socket(sock, server_side=True), sock)  # type: ignore[attr-defined]
        self.fd = self._stream.fd
        self._strand = Strand(self)
        self._buffer = bytearray()
        self._is_watched = False
        self._is_deaf = False
        """It is watched, but not for what the client sends: that is too much already."""
        self._waiter: Waiter | None = None
        self._head: Head | None = None
        self._answer: Answer | None = None
        self._gone: Callable[[], None] | None = None
        self._tail: memoryview | None = None
        self._on_sent: Callable[[], None] | None = None
        self._may_go_on = False
        self.is_ending = False
        """The server stops: no further request after the current one."""
        self.deadline = driver.now() + (IDLE_TIMEOUT if service.tls is None else HEAD_TIMEOUT)
        """When `look` has something to do in the state that it is in."""
        self.corked = 0
        self.queued = 0
        self.queued_bytes = 0
        self.max_queued_bytes = sys.maxsize
        self.is_paused = False

    def __repr__(self) -> str:
        return f"<HttpConnection of {self._address}: {self._state.value}>"

    def uncork(self) -> None: ...

    def on_full(self) -> None: ...

    def on_worked(self) -> None: ...

    # -- the loop: phase one -------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """It was accepted: the request may be there already, and then the loop need not know this connection."""
        with self.lock:
            if self._state is SHAKING:
                self._shake()
            else:
                self._read()
            if self._state in (SHAKING, READING):
                self._watch()

    def on_readable(self) -> None:
        gone: Callable[[], None] | None = None
        with self.lock:
            state = self._state
            if state is READING:
                self._read()
            elif state is WORKING:
                self._note()
            elif state is PARKED:
                gone = self._listen()
            elif state is SHAKING:
                self._shake()
            elif state is LINGERING:
                self._swallow()
        if gone is not None:
            gone()

    def on_writable(self) -> None:
        told = None
        with self.lock:
            state = self._state
            if state is WORKING:
                self._note()
            elif state is PARKED:
                if self._push():
                    told, self._on_sent = self._on_sent, None
            elif state is SHAKING:
                self._shake()
        if told is not None:
            told()

    def on_discarded(self) -> None:
        with self.lock:
            self._state = OVER
            self._is_watched = False
            self._tail = None
            told, self._on_sent = self._on_sent, None
            self._service.connections.discard(self)
            self._stream.close()
        if told is not None:
            told()

    def look(self, now: float) -> None:
        """See whether the client has had its time (phase one)."""
        with self.lock:
            if now < self.deadline or (self._state is PARKED and self._tail is None):
                return
            if self._state is READING and self._buffer:
                self._refuse(BadRequest(408, f"the request's head was not there after {HEAD_TIMEOUT:g} s"))
            elif self._state in (SHAKING, READING, PARKED):
                self._close()

    def _shake(self) -> None:
        try:
            self._stream._sslobj.do_handshake()  # type: ignore[attr-defined]
        except ssl.SSLWantReadError:
            return
        except ssl.SSLWantWriteError:
            self._watch()
            self.driver.set_interest(self, True, True)
            return
        except (OSError, ValueError):
            self._close()                   # somebody knocked and went, or spoke plain HTTP
            return
        if self._is_watched:
            self.driver.set_interest(self, True, False)
        self._state = READING
        self.deadline = self.driver.now() + IDLE_TIMEOUT
        self._read()

    def _read(self) -> None:
        data = self._stream.recv(MAX_HEAD)
        if data is None:
            return
        if not data:
            self._close()
            return
        is_first = not self._buffer
        self._buffer += data
        self._find_request(is_first)

    def _find_request(self, is_first: bool) -> None:
        """Begin a turn if a whole head is there. `is_first`: these are its first bytes."""
        buffer = self._buffer
        while buffer.startswith(b"\r\n"):
            del buffer[:2]                  # some clients send one behind a body
        if not buffer:
            return
        try:
            end = find_head(buffer)
            if not end:
                if is_first:
                    self.deadline = self.driver.now() + HEAD_TIMEOUT
                return
            head = parse_head(bytes(buffer[:end]))
        except BadRequest as refusal:
            self._refuse(refusal)
            return
        del buffer[:end]
        self._state = WORKING
        self._head = head
        strand = self._strand
        if strand.put(_serve, self, head, self._service.habit(head)):
            self.driver.run(strand)

    def _note(self) -> None:
        self._forget()
        if self._waiter is not None:
            self._waiter.set()

    def _listen(self) -> Callable[[], None] | None:
        """Take what a client sends while its answer is awaited, or return whom to tell that it went."""
        if self._is_deaf:
            return self._lose()             # nobody asked: it broke
        data = self._stream.recv(RECEIVE)
        if data == b"":
            return self._lose()
        if data is not None:
            self._buffer += data
            if len(self._buffer) > MAX_HEAD:
                self._is_deaf = True
                self.driver.set_interest(self, False, self._tail is not None)
        return None

    def _lose(self) -> Callable[[], None] | None:
        gone, self._gone = self._gone, None
        self._close()
        return gone

    def _swallow(self) -> None:
        with suppress(BlockingIOError, InterruptedError):
            try:
                if _socket.socket.recv(self._raw, RECEIVE):
                    return
            except (BlockingIOError, InterruptedError):
                raise
            except OSError:
                pass
            self._close()

    # -- the lock held -------------------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        if not self._is_watched:
            self._is_watched = True
            self.driver.watch(self)
        elif self._is_deaf:
            self.driver.set_interest(self, True, False)
        self._is_deaf = False

    def _forget(self) -> None:
        if self._is_watched:
            self._is_watched = False
            self.driver.release(self)

    def _close(self) -> None:
        self._state = OVER
        self.driver.discard(self)

    def _go_on(self) -> None:
        """Make way for the next request, which may be there already."""
        if self.is_ending:
            self._close()
            return
        self._state = READING
        self.deadline = self.driver.now() + IDLE_TIMEOUT
        if self._buffer:
            self._find_request(True)
        if self._state is READING:
            self._watch()

    def _refuse(self, refusal: BadRequest) -> None:
        text = f"{refusal}\n".encode()
        headers = [("Content-Type", "text/plain; charset=utf-8"), ("Connection", "close")]
        with suppress(OSError):             # it is short: what does not fit is for a client that does not read
            self._stream.send(response(refusal.status, headers, text))
        self._linger()

    def _linger(self) -> None:
        self._state = LINGERING
        with suppress(OSError):
            _socket.socket.shutdown(self._raw, _socket.SHUT_WR)
        self._watch()
        self.driver.later(LINGER_TIMEOUT, self.driver.discard, self)

    # -- the turn: where bodies come from, and answers go --------------------------------------------------------------------

    def read_some(self, limit: int) -> bytes:
        if not self._buffer and not self._receive():
            return b""
        piece = bytes(self._buffer[:limit])
        del self._buffer[:limit]
        return piece

    def read_line(self, limit: int) -> bytes:
        while (end := self._buffer.find(b"\r\n", 0, limit + 2)) < 0:
            if len(self._buffer) >= limit + 2:
                raise BadRequest(400, f"a line of over {limit} bytes")
            if not self._receive():
                raise ConnectionError("the client ended the request body early")
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        return line

    def send(self, data: bytes) -> None:
        """Send all of it. Each piece that the client takes gives it time for the next: only one that stands still is given up."""
        try:
            view = memoryview(data)
            while (sent := self._stream.send(view)) < len(view):
                view = view[sent:]
                if not self._wait(is_writable=True):
                    raise TimeoutError(f"the client has taken nothing for {IDLE_TIMEOUT:g} s")
        except OSError as error:
            raise ClientGone(str(error)) from error

    def _receive(self) -> bool:
        """Add what comes to the buffer; False at the end."""
        while True:
            data = self._stream.recv(RECEIVE)
            if data is not None:
                self._buffer += data
                return bool(data)
            if not self._wait():
                raise TimeoutError(f"the client has sent nothing for {IDLE_TIMEOUT:g} s")

    def _wait(self, is_writable: bool = False) -> bool:
        """Block this turn until the client sends, or takes, something, or has gone. False: it took too long."""
        waiter = self.driver.waiter()
        with self.lock:
            self._waiter = waiter
            self._watch()
            if is_writable:
                self.driver.set_interest(self, False, True)
        is_there = waiter.wait(IDLE_TIMEOUT)
        with self.lock:
            self._waiter = None
            self._forget()
        return is_there

    def work(self, head: Head) -> None:
        """Answer one request (a turn)."""
        body = Body(self, head.length, (lambda: self.send(response_head(100, ()))) if head.expects_continue else _nothing)
        answer = self._answer = Answer(self, head, body)
        may_go_on = False
        try:
            Context().run(self._run, head, body, answer)
            # that of an answer which is elsewhere may be the next request's by now: nothing is touched
            may_go_on = not answer.is_elsewhere and answer.keeps_alive and self._drain(body)
        except OSError:
            pass                            # the client went; what it was doing then has been told to the application
        if answer.is_elsewhere:
            return
        with self.lock:
            if may_go_on:
                self._go_on()
            elif answer.keeps_alive or body.is_over:
                self._close()
            else:
                self._linger()

    def _run(self, head: Head, body: Body, answer: Answer) -> None:
        """Call the application: a wall."""
        address = self._address
        is_pair = isinstance(address, tuple) and len(address) > 1
        environ = {
            **self._service.environ,
            **head.environ(),
            "REMOTE_ADDR": address[0] if is_pair else "",
            "REMOTE_PORT": str(address[1]) if is_pair else "",
            "wsgi.input": body,
            "wsgi.errors": sys.stderr,
            "wsgi.file_wrapper": FileWrapper,
            EMBEDDED: self,
        }
        try:
            result = self._service.app(environ, answer.start)
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

    # -- for the application, in its turn ------------------------------------------------------------------------------------

    def read_ahead(self) -> bytes:
        data = bytes(self._buffer)
        self._buffer.clear()
        return data

    def give_away(self) -> Stream:
        """Return the stream, which is no longer ours. What was read behind the request is had with `read_ahead` before."""
        with self.lock:
            answer = self._answer
            if self._state is not WORKING or answer is None:
                raise ConnectionError("the connection was given away before, or has ended")
            self._forget()
            self._state = OVER
            answer.is_elsewhere = True
        self._service.connections.discard(self)
        return self._stream

    def park(self, gone: Callable[[], None]) -> bool:
        """Leave the answer to `finish`. False: this request cannot be answered later, as its body was not read.

        Args:
            gone: called in phase one, once, when the client hangs up before; not when the server stops.
        """
        with self.lock:
            answer = self._answer
            if self._state is not WORKING or answer is None or not answer.is_read:
                return False
            self._state = PARKED
            answer.is_elsewhere = True
            self._gone = gone
            self._watch()
        return True

    def finish(self, status: int, headers: HeaderList, body: bytes, on_sent: Callable[[int], None]) -> int:
        """Answer a request that is parked, and go on with the next. Any thread, no lock held; never blocks.

        Whoever has the lock first ends the parking, this or the client that hangs up; the other finds it done. That the
        application has not returned yet does not matter: its turn ends before the next one of this connection begins.

        Args:
            on_sent: called with what is returned, if that is not 0, when it has been sent or never will be (phase one).

        Returns:
            The bytes that did not fit at once.
        """
        with self.lock:
            head = self._head
            if self._state is not PARKED or self._tail is not None or head is None:
                return 0
            self._gone = None
            self._may_go_on = head.keeps_alive and not self.is_ending
            self._tail = memoryview(response(status, [*headers, *connection_lines(head, self._may_go_on)], body))
            if self._push():
                return 0
            left = len(self._tail)
            self._on_sent = partial(on_sent, left)
            return left

    def _push(self) -> bool:
        """Send what is left of such an answer (lock held). False: some of it still is."""
        assert self._tail is not None
        try:
            sent = self._stream.send(self._tail)
        except OSError:
            self._tail = None
            self._close()
            return True
        if sent < len(self._tail):
            self._tail = self._tail[sent:]
            self.deadline = self.driver.now() + IDLE_TIMEOUT
            self.driver.set_interest(self, not self._is_deaf, True)
            return False
        self._tail = None
        if not self._may_go_on:
            self._close()
            return True
        if self._on_sent is not None:       # it took more than one piece
            self.driver.set_interest(self, not self._is_deaf, False)
        self._go_on()
        return True

    # -- the end -------------------------------------------------------------------------------------------------------------

    def end(self) -> None:
        """The server stops: go when the current request is answered, at once if there is none. Any thread."""
        with self.lock:
            self.is_ending = True
            if self._state is SHAKING or (self._state is READING and not self._buffer):
                self._close()

    def abort(self) -> None:
        """End it from another thread. One that was given away, or waits for an answer from elsewhere, is left alone."""
        with self.lock:
            if self._state is WORKING:
                with suppress(OSError):
                    _socket.socket.shutdown(self._raw, _socket.SHUT_RDWR)
            elif self._state is not PARKED and self._state is not OVER:
                self._close()

    @property
    def is_parked(self) -> bool:
        return self._state is PARKED


def _serve(connection: HttpConnection, head: Head) -> None:
    connection.work(head)


def _nothing() -> None: ...
