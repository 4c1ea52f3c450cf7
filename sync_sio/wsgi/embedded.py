"""A web server for one application: behind `io.listen()` and `io.start()`, so that a small project needs no other.

Our own, with the standard library's means: a thread per TCP connection until the connection is taken over or ends, or a greenlet
on gevent's hub. (gevent's pywsgi costs twice as much for each request.)
"""

from __future__ import annotations

import _socket
import errno
import logging
import selectors
import signal
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import Any, Final, Literal, Protocol

from ..drivers.locks import get_ident
from ..types import Environ, WSGIApp
from .serving import HttpConnection

__all__ = ["EmbeddedServer"]

logger = logging.getLogger("sync_sio.wsgi")

BACKLOG: Final = 2048
STOP_TIMEOUT: Final = 0.6
"""Seconds that requests in progress get when the server stops."""
DISCARD: Final = 64 * 1024
PAUSE: Final = 0.05
"""Seconds until connections are accepted again when no descriptor or thread could be had."""

_Files = tuple[str, str | None]
"""Certificate and key."""


class EmbeddedServer:
    """An HTTP/1.1 server. Nothing is opened before `start` or `serve_forever`.

    Args:
        app: the WSGI application.
        host: the address to listen on; `""`, `"0.0.0.0"` and `"::"` mean all.
        port: 0 chooses a free one.
        runtime: `"threads"`, or `"gevent"`, which needs gevent, patched or not, and serves on the hub of whoever starts it.
        certfile: a PEM file with the certificate chain: HTTPS. It may hold the key too.
        keyfile: the PEM file with the key.
        backlog: connections that may wait to be accepted.

    Also a context manager: started inside, stopped behind.
    """

    def __init__(
        self,
        app: WSGIApp,
        host: str = "127.0.0.1",
        port: int = 0,
        runtime: Literal["threads", "gevent"] = "threads",
        certfile: str | None = None,
        keyfile: str | None = None,
        backlog: int = BACKLOG,
    ) -> None:
        self.host = host
        self.port = port
        """The real one, once started."""
        self._backlog = backlog
        self._is_tls = certfile is not None
        files = None if certfile is None else (certfile, keyfile)
        self._flavour: _Flavour = _Threads(app, files) if runtime == "threads" else _Gevent(app, files)
        self._is_started = False

    @property
    def url(self) -> str:
        """Where a browser on this machine finds it, without a slash at the end."""
        host = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)
        return f"{'https' if self._is_tls else 'http'}://{f'[{host}]' if ':' in host else host}:{self.port}"

    def start(self) -> None:
        """Serve in the background. With gevent that is the hub: it serves while its greenlets wait.

        Raises:
            OSError: the port is in use, or the address is not this machine's.
        """
        if self._is_started:
            raise RuntimeError("this server has been started before: make another one")
        self._is_started = True
        self.port = self._flavour.start(self.host, self.port, self._backlog)

    def serve_forever(self) -> None:
        """Serve until `stop` is called, or, in the main thread, until SIGINT (Ctrl-C) or SIGTERM comes. Starts if that has not happened."""
        is_main = threading.current_thread() is threading.main_thread()
        with self._flavour.ending(is_main) as wait:
            try:
                if not self._is_started:
                    self.start()
                wait()
            finally:
                self.stop()

    def stop(self) -> None:
        """Accept nothing more, let requests in progress end, close what is left, within a second. Any thread, idempotent.

        Connections that were taken over are not the server's any more.
        """
        self._flavour.stop()

    def __enter__(self) -> EmbeddedServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class _Flavour(Protocol):
    def start(self, host: str, port: int, backlog: int) -> int: ...

    def ending(self, on_signals: bool) -> AbstractContextManager[Callable[[], object]]:
        """Get ready for the end, by `stop` or by a signal; the context is the function that waits for it."""
        ...

    def stop(self) -> None: ...


def _tls(module: Any, files: _Files | None) -> Any:
    """Return the server's TLS settings. `module`: `ssl`, or gevent's."""
    if files is None:
        return None
    # not create_default_context(): gevent's is the standard library's, and its sockets would block the hub
    context = module.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*files)
    context.set_alpn_protocols(["http/1.1"])
    return context


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


# --- threads


def _base_environ(host: str, port: int, is_tls: bool, is_threaded: bool) -> Environ:
    """Return what is the same for every request."""
    return {
        "SERVER_NAME": host or "127.0.0.1",
        "SERVER_PORT": str(port),
        "SERVER_SOFTWARE": "sync_sio" if is_threaded else "sync_sio (gevent)",
        "GATEWAY_INTERFACE": "CGI/1.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "https" if is_tls else "http",
        "wsgi.input_terminated": True,
        "wsgi.multithread": is_threaded,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }


def _end_all(connections: set[HttpConnection], sleep: Callable[[float], object]) -> None:
    """Let requests in progress end, and end what is left then."""
    deadline = time.monotonic() + STOP_TIMEOUT
    for connection in list(connections):
        connection.is_ending = True
        if connection.is_idle:
            connection.abort()
    while connections and time.monotonic() < deadline:
        sleep(0.01)
    for connection in list(connections):
        connection.abort()


class _Threads:
    """Accepts on one thread, serves each connection on a thread of its own. All are daemons."""

    def __init__(self, app: WSGIApp, files: _Files | None) -> None:
        self._app = app
        self._tls: ssl.SSLContext | None = _tls(ssl, files)
        self._listener: socket.socket | None = None
        self._acceptor: threading.Thread | None = None
        self._bell: tuple[socket.socket, socket.socket] | None = None
        self._environ: Environ = {}
        self._connections: set[HttpConnection] = set()
        self._is_stopping = False
        self._end: socket.socket | None = None
        """While somebody waits for the end: a byte here tells it."""

    def start(self, host: str, port: int, backlog: int) -> int:
        listener = socket.create_server(
            (host, port), family=_family(host), backlog=backlog, dualstack_ipv6=host == "::" and socket.has_dualstack_ipv6()
        )
        listener.setblocking(False)
        self._listener = listener
        self._bell = socket.socketpair()
        bound = int(listener.getsockname()[1])
        self._environ = _base_environ(host, bound, self._tls is not None, is_threaded=True)
        self._acceptor = threading.Thread(target=self._accept_all, name="sync_sio-accept", daemon=True)
        self._acceptor.start()
        return bound

    @contextmanager
    def ending(self, on_signals: bool) -> Iterator[Callable[[], object]]:
        waiting, self._end = socket.socketpair()
        with waiting, self._end, _signals_to(self._end) if on_signals else nullcontext():
            try:
                yield lambda: self._is_stopping or waiting.recv(1)
            finally:
                self._end = None

    def stop(self) -> None:
        self._is_stopping = True
        if self._bell is not None:
            with suppress(OSError):
                self._bell[1].send(b"x")
        if self._acceptor is not None and self._acceptor is not threading.current_thread():
            self._acceptor.join(STOP_TIMEOUT)
        _end_all(self._connections, time.sleep)
        end = self._end
        if end is not None:
            with suppress(OSError):  # it is full of signals, or nobody waits any more
                end.send(b"x")

    def _accept_all(self) -> None:
        assert self._listener is not None and self._bell is not None
        with selectors.DefaultSelector() as selector, self._listener, self._bell[0], self._bell[1]:
            selector.register(self._listener, selectors.EVENT_READ)
            selector.register(self._bell[0], selectors.EVENT_READ)
            while True:
                selector.select()
                if self._is_stopping:
                    return
                self._accept_some(self._listener)

    def _accept_some(self, listener: socket.socket) -> None:
        try:
            while not self._is_stopping:
                sock, address = listener.accept()
                # what accept gives is blocking or not as the platform likes
                sock.setblocking(True)
                connection = HttpConnection(sock, address, self._app, self._environ, self._tls)
                self._connections.add(connection)
                try:
                    threading.Thread(target=self._serve, args=(connection,), name="sync_sio-http", daemon=True).start()
                except RuntimeError as error:
                    self._connections.discard(connection)
                    sock.close()
                    logger.warning("a connection was turned away, as no thread could be started for it: %s", error)
                    time.sleep(PAUSE)
        except (BlockingIOError, ConnectionAbortedError):
            pass
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                logger.warning("connections have to wait, as no descriptor is free for them: %s; see `ulimit -n`", error)
            time.sleep(PAUSE)

    def _serve(self, connection: HttpConnection) -> None:
        try:
            connection.serve()
        finally:
            self._connections.discard(connection)


@contextmanager
def _signals_to(end: socket.socket) -> Iterator[None]:
    """Send a byte there for each SIGINT and SIGTERM.

    The C part of the handler does it. Waiting for a lock that a handler releases would be simpler, but a signal that comes between
    the interpreter's last look at signals and that wait would not be seen until the next one.
    """
    end.setblocking(False)
    before = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGINT, signal.SIGTERM)}
    wakeup = signal.set_wakeup_fd(end.fileno(), warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(wakeup)
        for number, handler in before.items():
            signal.signal(number, handler)


# --- gevent


class _Gevent:
    """A greenlet for each connection, on the hub of the thread that starts it."""

    def __init__(self, app: WSGIApp, files: _Files | None) -> None:
        import gevent.ssl
        from gevent.event import Event

        self._app = app
        self._tls = _tls(gevent.ssl, files)
        self._server: Any = None
        self._thread = 0
        self._loop: Any = None
        self._connections: set[HttpConnection] = set()
        self._end = Event()

    def start(self, host: str, port: int, backlog: int) -> int:
        import gevent
        from gevent.server import StreamServer

        self._thread, self._loop = get_ident(), gevent.get_hub().loop
        server = StreamServer((host, port), self._serve, backlog=backlog)
        server.start()
        self._server = server
        bound = int(server.server_port or 0)
        self._environ = _base_environ(host, bound, self._tls is not None, is_threaded=False)
        self._make = _gevent_connection()
        return bound

    def _serve(self, sock: Any, address: tuple[Any, ...]) -> None:
        connection = self._make(sock, address, self._app, self._environ, self._tls)
        self._connections.add(connection)
        try:
            connection.serve()
        finally:
            self._connections.discard(connection)

    @contextmanager
    def ending(self, on_signals: bool) -> Iterator[Callable[[], object]]:
        import gevent

        numbers = (signal.SIGINT, signal.SIGTERM) if on_signals else ()
        watchers = [gevent.signal_handler(number, self._end.set) for number in numbers]
        try:
            yield self._end.wait
        finally:
            for watcher in watchers:
                watcher.cancel()

    def stop(self) -> None:
        if self._server is None:
            return
        if get_ident() == self._thread:
            self._stop()
        else:
            import gevent

            self._loop.run_callback_threadsafe(gevent.spawn, self._stop)

    def _stop(self) -> None:
        import gevent

        server, self._server = self._server, None
        if server is not None:
            server.stop()
            _end_all(self._connections, gevent.sleep)
        self._end.set()


def _gevent_connection() -> type[HttpConnection]:
    from gevent import socket as gevents

    class GeventConnection(HttpConnection):
        """gevent's sockets are no subclass of the standard library's: what is done past their methods is done to the one inside."""

        def _shut(self, sock: Any, how: int) -> None:
            _socket.socket.shutdown(sock._sock, how)

        def _listen(self, sock: Any, timeout: float) -> bytes:
            gevents.wait_read(sock.fileno(), timeout, TimeoutError())
            return _socket.socket.recv(sock._sock, DISCARD)

    return GeventConnection
