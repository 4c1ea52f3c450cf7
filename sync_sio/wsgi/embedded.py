"""A web server for one application: behind `io.listen()` and `io.start()`, so that a small project needs no other.

It is our own, on both runtimes, and runs on a driver of its own: the application works in turns, and a page that blocks takes
nothing from the handlers of events. Its connections can be taken over like any other server's.
"""

from __future__ import annotations

import signal
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import Final, Literal

from ..drivers.choose import choose
from ..drivers.locks import get_ident
from ..types import WSGIApp
from .arrivals import Arrivals, open_listener
from .service import Service

__all__ = ["EmbeddedServer"]

BACKLOG: Final = 2048
STOP_TIMEOUT: Final = 0.6
"""Seconds that requests in progress get when the server stops."""
MAX_TURNS: Final = 10_000
"""Requests whose applications may block at the same time."""


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
        self._app = app
        self._runtime: Literal["threads", "gevent"] = runtime
        self._tls = None if certfile is None else _tls(certfile, keyfile)
        self._is_started = False
        self._is_stopping = False
        self._thread = 0
        """That of the hub, on gevent."""
        self._service: Service | None = None
        self._arrivals: Arrivals | None = None
        self._end: Callable[[], object] = _nothing
        """Tells whoever waits in `serve_forever`."""

    @property
    def url(self) -> str:
        """Where a browser on this machine finds it, without a slash at the end."""
        host = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)
        return f"{'https' if self._tls is not None else 'http'}://{f'[{host}]' if ':' in host else host}:{self.port}"

    def start(self) -> None:
        """Serve in the background. With gevent that is the hub: it serves while its greenlets wait.

        Raises:
            OSError: the port is in use, or the address is not this machine's.
        """
        if self._is_started:
            raise RuntimeError("this server has been started before: make another one")
        self._is_started = True
        listener = open_listener(self.host, self.port, self._backlog)
        self.port = int(listener.getsockname()[1])
        self._thread = get_ident()
        driver = choose(self._runtime, None, MAX_TURNS)
        environ = {
            "SERVER_NAME": self.host or "127.0.0.1",
            "SERVER_PORT": str(self.port),
            "SERVER_SOFTWARE": "sync_sio" if self._runtime == "threads" else "sync_sio (gevent)",
            "GATEWAY_INTERFACE": "CGI/1.1",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http" if self._tls is None else "https",
            "wsgi.input_terminated": True,
            "wsgi.multithread": self._runtime == "threads",
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }
        self._service = Service(self._app, environ, driver, self._tls)
        self._arrivals = Arrivals(listener, self._service)
        driver.watch(self._arrivals)

    def serve_forever(self) -> None:
        """Serve until `stop` is called, or, in the main thread, until SIGINT (Ctrl-C) or SIGTERM comes. Starts if that has not happened."""
        is_main = threading.current_thread() is threading.main_thread()
        with self._ending(is_main) as wait:
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
        self._is_stopping = True
        service = self._service
        if service is None:
            return
        driver = service.driver
        if self._runtime == "gevent" and (get_ident() != self._thread or not driver.may_wait()):
            driver.spawn(self._stop, service)
        else:
            self._stop(service)

    def _stop(self, service: Service) -> None:
        arrivals, self._arrivals = self._arrivals, None
        if arrivals is not None:
            driver, connections = service.driver, service.connections
            arrivals.close()
            deadline = driver.now() + STOP_TIMEOUT
            for connection in list(connections):
                connection.end()
            while driver.now() < deadline and not all(connection.is_parked for connection in list(connections)):
                driver.sleep(0.01)
            for connection in list(connections):
                connection.abort()
            driver.stop(STOP_TIMEOUT / 4)
        self._end()

    def _ending(self, on_signals: bool) -> AbstractContextManager[Callable[[], object]]:
        """Get ready for the end, by `stop` or by a signal; the context is the function that waits for it."""
        return self._ending_of_threads(on_signals) if self._runtime == "threads" else self._ending_of_gevent(on_signals)

    @contextmanager
    def _ending_of_threads(self, on_signals: bool) -> Iterator[Callable[[], object]]:
        waiting, end = socket.socketpair()

        def tell() -> None:
            with suppress(OSError):         # it is full of signals, or nobody waits any more
                end.send(b"x")

        with waiting, end, _signals_to(end) if on_signals else nullcontext():
            self._end = tell
            try:
                yield lambda: self._is_stopping or waiting.recv(1)
            finally:
                self._end = _nothing

    @contextmanager
    def _ending_of_gevent(self, on_signals: bool) -> Iterator[Callable[[], object]]:
        import gevent
        from gevent.event import Event

        end = Event()
        self._end = end.set
        watchers = [gevent.signal_handler(number, end.set) for number in ((signal.SIGINT, signal.SIGTERM) if on_signals else ())]
        try:
            yield lambda: self._is_stopping or end.wait()
        finally:
            self._end = _nothing
            for watcher in watchers:
                watcher.cancel()

    def __enter__(self) -> EmbeddedServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _tls(certfile: str, keyfile: str | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certfile, keyfile)
    context.set_alpn_protocols(["http/1.1"])
    return context


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


def _nothing() -> None: ...
