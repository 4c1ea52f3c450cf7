"""Take the client's connection over from the web server that called us.

`take` (1) finds the server's socket in the environ, (2) takes what the server has read ahead, (3) swaps the server's side for a
*sink*: from then on whatever the server does to its socket (writes, shuts down, polls for the next request, closes) never
reaches the client. So the application ends its call in the ordinary way, at once, through any middleware, and the worker
thread is free: `start_response("101 Switching Protocols", [])` for a WebSocket, `200 OK` with `Content-Length: 0` for a poll
that waits, and an empty body. What the client gets is sent on the stream.

How the swap is made depends on the kind of socket, not on the server:

- a plain socket, or a bare descriptor: ours is a duplicate, and the sink takes the server's number (`dup2`), so servers that
  remember the number (waitress, uWSGI in C) are served too;
- TLS of the standard library: the number is wired into OpenSSL, so the server's object becomes a husk instead;
- a gevent socket: its watchers end and its object gets the sink. Ours keeps the number, as libev's poll set knows it by that.

Source: `docs/` tells what each server does after the call; each is a test in `tests/wsgi/`.
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
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from ..drivers.base import Stream
from ..drivers.streams import PlainStream, TlsStream
from ..errors import SyncSioError
from ..types import Environ

__all__ = ["CannotTake", "Taken", "may_take", "take"]

EMBEDDED: Final = "sync_sio.connection"
"""Where our own threaded server puts the connection that it serves."""
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
    return _why_not(found)


def take(environ: Environ) -> Taken:
    """Take the connection of this request over. Call it on the server's own thread or greenlet, once.

    Raises:
        CannotTake: HTTP/2, a server without a Python socket, or no descriptors left. Nothing has changed then, and the
            request can still be answered in the ordinary way.
    """
    found = _find(environ)
    reason = _why_not(found)
    if reason is not None:
        raise CannotTake(reason)
    try:
        stream, leftover = _swap(found)
    except OSError as error:
        raise CannotTake(f"{found.server}: the socket cannot be taken over: {error}") from error
    return Taken(stream, leftover, found.handshaken, found.server)


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
    return _Found("sync_sio", connection, lambda: b"")


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
    return _with_reader("gunicorn's gevent_pywsgi", environ["gunicorn.sock"], environ)


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
    # Those of wsgiref's family leave the access line and `close()` of the response out when a write fails.
    is_talkative = name.startswith("WSGIServer/")
    return _Found(name, sock, lambda: _buffered(reader, sock), is_talkative=is_talkative)


_SERVERS: Final[dict[str, Callable[[Environ], _Found]]] = {
    EMBEDDED: _embedded,
    "wsgi.websocket": _gevent_websocket,
    "werkzeug.socket": _werkzeug,
    "gunicorn.socket": _gunicorn,
    "gunicorn.sock": _gunicorn_pywsgi,
    "waitress.client_disconnected": _waitress,
    "uwsgi.version": _uwsgi,
}


def _with_reader(server: str, sock: Any, environ: Environ) -> _Found:
    # A middleware may have replaced wsgi.input. Then there is nothing to ask for what was read ahead, which is empty anyhow
    # unless the client did not wait for the answer.
    reader = _reader(environ.get("wsgi.input"))
    return _Found(server, sock, lambda: b"" if reader is None else _buffered(reader, sock))


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


# --- the swap, by kind of socket


def _why_not(found: _Found) -> str | None:
    sock = found.socket
    if found.server == "sync_sio" or isinstance(sock, int):
        return None
    if _is_gevents(sock):
        return None if sock.fileno() >= 0 else f"{found.server}: the socket is closed"
    if not isinstance(sock, socket.socket):
        kind = f"{type(sock).__module__}.{type(sock).__name__}"
        return f"{found.server} has a socket of a kind that cannot be taken over: {kind}"
    if isinstance(sock, ssl.SSLSocket) and sock._sslobj is None:  # type: ignore[attr-defined]
        return f"{found.server}: TLS has ended on this connection"
    return None if sock.fileno() >= 0 else f"{found.server}: the socket is closed"


def _swap(found: _Found) -> tuple[Stream, bytes]:
    sock = found.socket
    if found.server == "sync_sio":
        given, leftover = sock.give_away()
        return _stream_of(given), leftover
    if isinstance(sock, int):
        return _swap_number(found, sock)
    if _is_gevents(sock):
        return _swap_gevent(found)
    if isinstance(sock, ssl.SSLSocket):
        return _swap_tls(found)
    return _swap_number(found, sock.fileno())


def _stream_of(sock: socket.socket) -> Stream:
    if isinstance(sock, ssl.SSLSocket):
        return TlsStream(sock._sslobj, sock)  # type: ignore[attr-defined]
    return PlainStream(_socket.socket(fileno=sock.detach()))


def _swap_number(found: _Found, number: int) -> tuple[Stream, bytes]:
    # Everything that can fail comes first.
    with _Sink(found) as sink:
        ours = _socket.socket(fileno=os.dup(number))
        leftover = found.read_ahead()
        os.dup2(sink.fileno(), number, inheritable=False)
    return PlainStream(ours), leftover


def _swap_tls(found: _Found) -> tuple[Stream, bytes]:
    sock = found.socket
    with _Sink(found) as sink:
        leftover = found.read_ahead()
        sslobj = sock._sslobj
        sock.__dict__["_sink"] = _socket.socket(fileno=sink.detach())
        sock.__class__ = _husk(type(sock))  # type: ignore[arg-type]
    # OpenSSL's object has only a weak reference to the socket and reads its timeout, so the stream keeps it.
    return TlsStream(sslobj, sock), leftover


def _swap_gevent(found: _Found) -> tuple[Stream, bytes]:
    gevents_socket = sys.modules["gevent._socket3"].socket
    sock = found.socket
    with _Sink(found) as sink:
        leftover = found.read_ahead()
        raw, sslobj = sock._sock, getattr(sock, "_sslobj", None)
        for watcher in (sock._read_event, sock._write_event):
            if watcher is not None:
                watcher.stop()
                watcher.close()
        timeout, io_refs = sock.timeout, sock._io_refs
        gevents_socket.__init__(sock, sink.family, sink.type, sink.proto, fileno=sink.detach())
        sock.timeout, sock._io_refs = timeout, io_refs
    if sslobj is None:
        return PlainStream(_socket.socket(fileno=raw.detach())), leftover
    sock._sslobj = None  # from here on it is a plain socket to the server
    return TlsStream(sslobj, raw), leftover


def _is_gevents(sock: object) -> bool:
    # gevent is not imported for this: where it is not, the socket is not its own
    module = sys.modules.get("gevent._socket3")
    return module is not None and isinstance(sock, module.socket)


# --- the sink


class _Sink:
    """A raw socket for the server to talk to: reads give the end. Writes fail, or are swallowed for a server that would tell.

    As a context it closes what has not been detached.
    """

    def __init__(self, found: _Found) -> None:
        # raw ones: never gevent's, even in a patched process
        self._near, far = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_STREAM)
        if not found.is_talkative:
            far.close()
            return
        far.shutdown(_socket.SHUT_WR)
        # The far end has to outlive the server's: what is written, a response's head, fits into the kernel's buffer.
        if isinstance(found.socket, int):
            _far_ends.keep(far)
        else:
            weakref.finalize(found.socket, far.close).atexit = False

    def __enter__(self) -> _socket.socket:
        return self._near

    def __exit__(self, *_: object) -> None:
        self._near.close()


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
            while far.recv(READ_AHEAD, _socket.MSG_DONTWAIT):
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
