"""Take the client's connection over from the web server that called us.

`take` (1) finds the server's socket in the environ, (2) takes what the server has read ahead, (3) swaps the server's side for a
*sink*: from then on whatever the server does to its socket (writes, shuts down, polls for the next request, closes) never
reaches the client. So the application ends its call in the ordinary way, at once, through any middleware, and the worker
thread is free: `start_response("101 Switching Protocols", [])` for a WebSocket, `200 OK` with `Content-Length: 0` for a poll
that waits, and an empty body. What the client gets is sent on the stream.

Where each server keeps its socket stands here; how the swap is made depends on the kind of socket and stands in `swap`. Each
server is a test in `tests/wsgi/test_takeover.py`.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Protocol

from ..drivers.base import Stream
from ..errors import SyncSioError
from ..types import Environ, HeaderList
from .swap import swap, why_not

__all__ = ["CannotTake", "Parking", "Taken", "hurry", "is_ours", "may_take", "parking_of", "take", "was_passed"]

EMBEDDED: Final = "sync_sio.connection"
"""Where our own server puts the connection that it serves."""
ASKED: Final = "sync_sio.asked"
"""Which workers have seen a request that was passed on."""
HANDSHAKEN: Final = "sync_sio.handshaken"
"""Set in such a request if the web server has answered the WebSocket handshake."""
READ_AHEAD: Final = 65536


class CannotTake(SyncSioError):
    """This server's socket cannot be had. The message says why, in words for an operator."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A connection that is ours now.

    Attributes:
        stream: the connection, non-blocking.
        leftover: what the client sent behind the request and the server had read already; comes before what `stream` gives.
        handshaken: the server has answered the WebSocket handshake itself (gevent-websocket), so no 101 may be sent.
        server: the server's name, for the log.
    """

    stream: Stream
    leftover: bytes
    handshaken: bool
    server: str


@dataclass(frozen=True, slots=True)
class _Found:
    """Where a server keeps its socket. `read_ahead` is called once, when nothing can fail any more."""

    server: str
    socket: Any
    read_ahead: Callable[[], bytes]
    handshaken: bool = False
    is_talkative: bool = False
    """The server logs or skips something when a write fails: its sink must swallow what is written."""


def may_take(environ: Environ) -> str | None:
    """Tell why the connection of this request cannot be taken over; None when it can. Without side effects."""
    try:
        found = _find(environ)
    except CannotTake as error:
        return str(error)
    return _refusal(found)


def take(environ: Environ) -> Taken:
    """Take the connection of this request over. Call it on the server's own thread or greenlet, once.

    Raises:
        CannotTake: HTTP/2, a server without a Python socket, or no descriptors left. Nothing has changed then, and the
            request can still be answered in the ordinary way.
    """
    found = _find(environ)
    reason = _refusal(found)
    if reason is not None:
        raise CannotTake(reason)
    try:
        stream, leftover = swap(found.socket, found.read_ahead, found.is_talkative)
    except OSError as error:
        raise CannotTake(f"{found.server}: the socket cannot be taken over: {error}") from error
    return Taken(stream, leftover, found.handshaken, found.server)


class Parking(Protocol):
    """A request of a server that lets applications answer later, and then reads the client's next one: our own."""

    def park(self, gone: Callable[[], None]) -> bool:
        """Leave the answer to `finish`, on the thread of the request. False: this one cannot be answered later.

        Args:
            gone: called in the server's phase one, at most once, when the client hangs up first.
        """
        ...

    def finish(self, status: int, headers: HeaderList, body: bytes, on_sent: Callable[[int], None]) -> int:
        """Answer it: any thread, without blocking; a client that has gone gets nothing.

        Returns the bytes that did not fit; `on_sent` is called with their number when they are sent or never will be.
        """
        ...


def parking_of(environ: Environ) -> Parking | None:
    """Return where this request can be answered later; None on all servers but our own."""
    connection: Parking | None = environ.get(EMBEDDED)
    return connection


def was_passed(environ: Environ) -> bool:
    """Tell whether another worker has passed this request on."""
    return ASKED in environ


def is_ours(environ: Environ) -> bool:
    """Tell whether there is no web server of others in front: this is the embedded one, or another worker has passed the request on."""
    return EMBEDDED in environ or was_passed(environ)


def hurry(environ: Environ) -> None:
    """Have what the server writes go out at once: some leave Nagle's algorithm on, and then a poll's answer, which they write in two
    pieces, waits 40 ms for the client's acknowledgement. Where the socket cannot be found, nothing happens.
    """
    if EMBEDDED in environ:
        return
    with suppress(CannotTake, AttributeError, OSError):
        _find(environ).socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _refusal(found: _Found) -> str | None:
    reason = why_not(found.socket)
    return None if reason is None else f"{found.server}: {reason}"


# --- finding the socket: one short function per server


def _find(environ: Environ) -> _Found:
    # HTTP_VERSION is how gunicorn marks HTTP/2; a client that sends a header of that name only harms itself.
    if environ.get("HTTP_VERSION") == "2" or environ.get("SERVER_PROTOCOL", "").startswith("HTTP/2"):
        raise CannotTake("this is HTTP/2, where one connection carries many requests: serve HTTP/1.1")
    for key, find in _SERVERS.items():
        if environ.get(key) is not None:
            return find(environ)
    return _any_python_server(environ)


def _embedded(environ: Environ) -> _Found:
    connection = environ[EMBEDDED]
    return _Found("sync_sio", connection, connection.read_ahead, handshaken=bool(environ.get(HANDSHAKEN)))


def _gevent_websocket(environ: Environ) -> _Found:
    handler: Any = getattr(environ["wsgi.websocket"], "handler", None)
    if not hasattr(handler, "socket") or not hasattr(handler, "rfile"):
        raise CannotTake("another WebSocket library has answered this request: remove it, sync_sio serves WebSocket itself")
    # The client has had its 101, so it may have sent frames already.
    return _Found("gevent-websocket", handler.socket, lambda: _buffered(handler.rfile, handler.socket), handshaken=True)


def _werkzeug(environ: Environ) -> _Found:
    return _with_reader("werkzeug", environ["werkzeug.socket"], environ)


def _gunicorn(environ: Environ) -> _Found:
    unreader = getattr(getattr(environ["wsgi.input"], "reader", None), "unreader", None)
    return _Found("gunicorn", environ["gunicorn.socket"], lambda: _unread(unreader))


def _gunicorn_pywsgi(environ: Environ) -> _Found:
    return _with_reader("gunicorn's gevent_pywsgi", environ["gunicorn.sock"], environ, is_talkative=True)


def _waitress(environ: Environ) -> _Found:
    channel = getattr(environ["waitress.client_disconnected"], "__self__", None)
    if channel is None:
        raise CannotTake("waitress: its channel cannot be found")
    if channel.adj.channel_request_lookahead:
        raise CannotTake("waitress reads on while the application works: set channel_request_lookahead=0")
    if len(channel.requests) > 1:
        raise CannotTake("waitress has read the client's next request already")
    return _Found("waitress", channel.socket, lambda: _begun_request(channel))


def _uwsgi(environ: Environ) -> _Found:
    import uwsgi  # type: ignore[import-untyped,unused-ignore]  # exists only inside a uWSGI process

    if any(option in uwsgi.opt for option in ("https-socket", b"https-socket")):
        raise CannotTake("uWSGI's --https-socket does TLS in C: use --https (with --http-websockets), or a proxy")
    return _Found("uWSGI", uwsgi.connection_fd(), lambda: b"", is_talkative=True)


def _any_python_server(environ: Environ) -> _Found:
    """wsgiref, Django's runserver, cheroot, gevent's pywsgi: wsgi.input reads from the socket."""
    name = environ.get("SERVER_SOFTWARE") or "this server"
    reader = _reader(environ.get("wsgi.input"))
    if reader is None:
        kind = type(environ.get("wsgi.input")).__name__
        raise CannotTake(f"{name} keeps its sockets to itself (wsgi.input is a {kind}): use a server such as gunicorn")
    sock = reader.raw._sock
    # When a write fails, those of wsgiref's family leave out the access line and `close()` of the response, pywsgi logs a wrong
    # status, and cheroot tries again when its buffers are collected, which Python 3.13 reports.
    return _Found(name, sock, lambda: _buffered(reader, sock), is_talkative=True)


_SERVERS: Final[dict[str, Callable[[Environ], _Found]]] = {
    EMBEDDED: _embedded,
    "wsgi.websocket": _gevent_websocket,
    "werkzeug.socket": _werkzeug,
    "gunicorn.socket": _gunicorn,
    "gunicorn.sock": _gunicorn_pywsgi,
    "waitress.client_disconnected": _waitress,
    "uwsgi.version": _uwsgi,
}


def _with_reader(server: str, sock: Any, environ: Environ, is_talkative: bool = False) -> _Found:
    # A middleware may have replaced wsgi.input. Then there is nothing to ask for what was read ahead, which is empty anyhow
    # unless the client did not wait for the answer.
    reader = _reader(environ.get("wsgi.input"))
    return _Found(server, sock, lambda: b"" if reader is None else _buffered(reader, sock), is_talkative=is_talkative)


def _reader(stream: Any) -> Any:
    """Peel wsgi.input down to the buffered reader that reads the socket; None: there is none."""
    for _ in range(5):
        if hasattr(getattr(stream, "raw", None), "_sock"):
            return stream
        for name in ("rfile", "_rfile", "stream", "_stream"):
            inner = getattr(stream, name, None)
            if inner is not None:
                break
        else:
            # Django's LimitedStream keeps the bound method only
            inner = getattr(getattr(stream, "_read", None), "__self__", None)
        if inner is None or inner is stream:
            return None
        stream = inner
    return None


# --- what was read ahead


def _buffered(reader: Any, sock: Any) -> bytes:
    buffer = getattr(reader, "_read_buf", None)
    if buffer is not None:  # cheroot's is the one written in Python
        rest = bytes(buffer[reader._read_pos :])
        reader._reset_read_buf()
        return rest
    timeout = sock.gettimeout()
    sock.setblocking(False)
    try:
        # One read of a non-empty buffer never touches the socket; of an empty one it gives what is there, or nothing.
        return reader.read1(READ_AHEAD) or b""
    except OSError:
        return b""  # nothing is there (plain and TLS say it in different ways), or the client is gone: the stream will tell
    finally:
        sock.settimeout(timeout)


def _unread(unreader: Any) -> bytes:
    if unreader is None:
        return b""
    if hasattr(unreader, "take_buffered"):
        return bytes(unreader.take_buffered())
    rest: bytes = unreader.buf.getvalue()  # gunicorn before 27
    unreader.buf.seek(0)
    unreader.buf.truncate()
    return rest


def _begun_request(channel: Any) -> bytes:
    """Waitress takes whatever follows for the head of the next request."""
    request, channel.request = channel.request, None
    return b"" if request is None or request.completed else bytes(request.header_plus)
