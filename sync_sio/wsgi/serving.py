"""One client of our own server: its requests, one after the other.

While a connection waits for a request, the loop reads it (phase one). A head that is complete becomes a turn, and the
application runs in it: a thread or greenlet is held only while an application works. If that blocks, or has to wait for its client,
others have their turns meanwhile.

An application may *give the connection away*, or *park* it: then the answer comes later, from anybody, by `finish`, and the
connection goes on with its next request. What the application writes in the ordinary way after that reaches nobody.
"""

from __future__ import annotations

import _socket
import ssl
import sys
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context
from enum import Enum
from functools import partial
from typing import Any, Final

from ..drivers.base import Stream, Waiter
from ..drivers.keeping import PlainSocket
from ..drivers.strand import Strand
from ..drivers.streams import PlainStream, TlsStream
from ..protocol.http import response
from ..types import HeaderList
from .answer import connection_lines
from .exchange import RECEIVE, End, Exchange
from .http1 import MAX_HEAD, BadRequest, find_head, parse_head
from .service import Service
from .takeover import EMBEDDED

__all__ = ["HttpConnection"]

IDLE_TIMEOUT: Final = 75.0
"""Seconds that a connection may wait for its next request, for a piece of a body, and for its client to take a piece of an answer."""
HEAD_TIMEOUT: Final = 20.0
"""Seconds in which a request's head has to be there once it has begun; also the TLS handshake."""
LINGER_TIMEOUT: Final = 0.5
"""Seconds that a refused client is listened to: closing at once would reset the connection, and it might never see the answer."""


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
        "_exchange",
        "_gone",
        "_is_deaf",
        "_is_watched",
        "_may_go_on",
        "_on_sent",
        "_raw",
        "_service",
        "_state",
        "_strand",
        "_tail",
        "_waiter",
        "buffer",
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
        "stream",
    )

    def __init__(self, sock: PlainSocket, address: Any, service: Service) -> None:
        self._service = service
        self._address = address
        self._raw = sock
        self.stream: Stream
        self.driver = driver = service.driver
        self.lock = driver.lock()
        if service.tls is None:
            self._state = READING
            self.stream = PlainStream(sock)
        else:
            self._state = SHAKING
            self.stream = TlsStream(service.tls._wrap_socket(sock, server_side=True), sock)  # type: ignore[attr-defined]
        self.fd = self.stream.fd
        self._strand = Strand(self)
        self.buffer = bytearray()
        self._is_watched = False
        self._is_deaf = False
        """It is watched, but not for what the client sends: that is too much already."""
        self._waiter: Waiter | None = None
        self._exchange: Exchange | None = None
        """What the turn works on, or has parked."""
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

    def begin_with(self, data: bytes) -> None:
        """Its first request was read elsewhere, and no other one comes after it."""
        with self.lock:
            self.is_ending = True
            self.buffer += data
            self._find_request(True)

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
            self.stream.close()
            self._let_go()
        if told is not None:
            told()

    def look(self, now: float) -> None:
        """See whether the client has had its time (phase one)."""
        with self.lock:
            if now < self.deadline or (self._state is PARKED and self._tail is None):
                return
            if self._state is READING and self.buffer:
                self._refuse(BadRequest(408, f"the request's head was not there after {HEAD_TIMEOUT:g} s"))
            elif self._state in (SHAKING, READING, PARKED):
                self._close()

    def _shake(self) -> None:
        try:
            self.stream._sslobj.do_handshake()  # type: ignore[attr-defined]
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
        data = self.stream.recv(MAX_HEAD)
        if data is None:
            return
        if not data:
            self._close()
            return
        is_first = not self.buffer
        self.buffer += data
        self._find_request(is_first)

    def _find_request(self, is_first: bool) -> None:
        """Begin a turn if a whole head is there. `is_first`: these are its first bytes."""
        buffer = self.buffer
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
        self._exchange = exchange = Exchange(self, head)
        strand = self._strand
        if strand.put(HttpConnection.work, self, exchange, self._service.habit(head)):
            self.driver.run(strand)

    def _note(self) -> None:
        self._forget()
        if self._waiter is not None:
            self._waiter.set()

    def _listen(self) -> Callable[[], None] | None:
        """Take what a client sends while its answer is awaited, or return whom to tell that it went."""
        if self._is_deaf:
            return self._lose()             # nobody asked: it broke
        data = self.stream.recv(RECEIVE)
        if data == b"":
            return self._lose()
        if data is not None:
            self.buffer += data
            if len(self.buffer) > MAX_HEAD:
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

    def _let_go(self) -> None:
        """Forget what has a reference to this one: a connection that is over is gone when nobody holds it, without the collector."""
        self._exchange = None
        with suppress(AttributeError):      # a turn that found the connection closed may have been first
            del self._strand

    def _go_on(self) -> None:
        """Make way for the next request, which may be there already."""
        if self.is_ending:
            self._close()
            return
        self._state = READING
        self.deadline = self.driver.now() + IDLE_TIMEOUT
        if self.buffer:
            self._find_request(True)
        if self._state is READING:
            self._watch()

    def _refuse(self, refusal: BadRequest) -> None:
        text = f"{refusal}\n".encode()
        headers = [("Content-Type", "text/plain; charset=utf-8"), ("Connection", "close")]
        with suppress(OSError):             # it is short: what does not fit is for a client that does not read
            self.stream.send(response(refusal.status, headers, text))
        self._linger()

    def _linger(self) -> None:
        self._state = LINGERING
        with suppress(OSError):
            _socket.socket.shutdown(self._raw, _socket.SHUT_WR)
        self._watch()
        self.driver.later(LINGER_TIMEOUT, self.driver.discard, self)

    # -- the turn ------------------------------------------------------------------------------------------------------------

    def wait(self, is_writable: bool = False) -> None:
        """Block this turn until the client sends, or takes, something, or has gone. Raises TimeoutError when it takes too long."""
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
        if not is_there:
            raise TimeoutError(f"the client has {'taken' if is_writable else 'sent'} nothing for {IDLE_TIMEOUT:g} s")

    def work(self, exchange: Exchange) -> None:
        """Answer one request (a turn)."""
        address = self._address
        is_pair = isinstance(address, tuple) and len(address) > 1
        environ = {
            **self._service.environ,
            "REMOTE_ADDR": address[0] if is_pair else "",
            "REMOTE_PORT": str(address[1]) if is_pair else "",
            EMBEDDED: self,
        }
        end = Context().run(exchange.run, self._service.app, environ)
        if end is End.ELSEWHERE:
            return                          # the connection may be at its next request by now: nothing is touched
        with self.lock:
            if end is End.NEXT:
                self._go_on()
            elif end is End.CLOSE:
                self._close()
            else:
                self._linger()

    # -- for the application, in its turn ------------------------------------------------------------------------------------

    def read_ahead(self) -> bytes:
        data = bytes(self.buffer)
        self.buffer.clear()
        return data

    def give_away(self) -> Stream:
        """Return the stream, which is no longer ours. What was read behind the request is had with `read_ahead` before."""
        with self.lock:
            exchange = self._exchange
            if self._state is not WORKING or exchange is None:
                raise ConnectionError("the connection was given away before, or has ended")
            self._forget()
            self._state = OVER
            exchange.is_elsewhere = True
            self._let_go()
        self._service.connections.discard(self)
        return self.stream

    def park(self, gone: Callable[[], None]) -> bool:
        """Leave the answer to `finish`. False: this request cannot be answered later, as it has a body.

        Args:
            gone: called in phase one, once, when the client hangs up before; not when the server stops.
        """
        with self.lock:
            exchange = self._exchange
            if self._state is not WORKING or exchange is None or exchange.head.length != 0:
                return False
            self._state = PARKED
            exchange.is_elsewhere = True
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
            exchange = self._exchange
            if self._state is not PARKED or self._tail is not None or exchange is None:
                return 0
            head = exchange.head
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
            sent = self.stream.send(self._tail)
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
            if self._state is SHAKING or (self._state is READING and not self.buffer):
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
