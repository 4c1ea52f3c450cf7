"""The listening socket of our own server: who comes, who is there, and whose time is over."""

from __future__ import annotations

import _socket
import errno
import logging
import socket
from typing import Any, Final

from ..drivers.base import Waiter
from ..drivers.keeping import PlainSocket
from . import serving
from .service import Service, TlsSocket
from .serving import HttpConnection

__all__ = ["Arrivals", "open_listener"]

logger = logging.getLogger("sync_sio.wsgi")

AT_ONCE: Final = 32
"""Connections that are accepted before others have their turn."""
PAUSE: Final = 0.05
"""Seconds until connections are accepted again when no descriptor could be had."""


def open_listener(host: str, port: int, backlog: int) -> PlainSocket:
    """Raises OSError when the port is in use, or the address is not this machine's."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.create_server(
        (host, port), family=family, backlog=backlog, dualstack_ipv6=host == "::" and socket.has_dualstack_ipv6()
    )
    listener = PlainSocket(family, socket.SOCK_STREAM, 0, fileno=made.detach())     # where gevent has patched, that one was gevent's
    listener.setblocking(False)
    return listener


class Arrivals:
    """Accepts connections: a `base.Watched`. All of it but `close` is phase one."""

    def __init__(self, listener: PlainSocket, service: Service) -> None:
        self.fd = listener.fileno()
        self._listener = listener
        self._service = service
        self._kind = PlainSocket if service.tls is None else TlsSocket
        self._driver = service.driver
        self._closed: Waiter = service.driver.waiter()
        self._is_looking = False
        self._is_closing = False

    def on_readable(self) -> None:
        try:
            for _ in range(AT_ONCE):
                if self._is_closing:
                    return
                number, address = self._listener._accept()  # type: ignore[attr-defined]
                self._begin(number, address)
        except (BlockingIOError, ConnectionAbortedError, InterruptedError):
            pass
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                logger.warning("connections have to wait, as no descriptor is free for them: %s; see `ulimit -n`", error)
            self._driver.set_interest(self, False, False)
            self._driver.later(PAUSE, self._driver.set_interest, self, True, False)

    def on_writable(self) -> None: ...

    def on_discarded(self) -> None:
        self._listener.close()
        self._closed.set()

    def close(self) -> None:
        """Accept nothing more; blocks until the port is free."""
        self._is_closing = True
        self._driver.discard(self)
        self._closed.wait(1.0)

    def _begin(self, number: int, address: Any) -> None:
        sock = self._kind(self._listener.family, _socket.SOCK_STREAM, 0, fileno=number)
        try:
            connection = HttpConnection(sock, address, self._service)
        except OSError:                     # it has gone already, on some platforms
            sock.close()
            return
        self._service.connections.add(connection)
        if not self._is_looking:
            self._is_looking = True
            self._look_later()
        connection.begin()

    def _look_later(self) -> None:
        self._driver.later(min(serving.IDLE_TIMEOUT, serving.HEAD_TIMEOUT) / 4, self._look)

    def _look(self) -> None:
        """See whose time is over. While nobody is there, nothing is armed."""
        now = self._driver.now()
        for connection in list(self._service.connections):
            connection.look(now)
        if self._service.connections and not self._is_closing:
            self._look_later()
        else:
            self._is_looking = False
