"""The server of a Django project: made from its settings, once."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from functools import wraps
from inspect import iscoroutinefunction
from typing import Any, Final

from django.core.handlers.wsgi import get_script_name
from django.urls import set_script_prefix

import sync_sio
from sync_sio.types import Environ, StartResponse, WSGIApp

from . import databases, origins, turn
from .options import Problem, read
from .socket import Socket

__all__ = ["Server", "get_server"]


MAX_HANDLERS: Final = 16
"""Handlers that run at once on threads, if the settings do not say it. Each may hold a database connection; and 500 events a second that
open one in SQLite each kept all of 64 threads busy with the GIL, so that a page took half a second, and with 16 of them 3 ms."""


class Server(sync_sio.Server):
    """A Socket.IO server inside of Django: users, sessions and database connections are there in each event, and are given back.

    Args:
        wsgi_app: what gets the requests outside `path`.
        middleware: dotted paths of what each `socket.http_request` goes through; None: what `MIDDLEWARE` has for sessions and users.
        options: those of `sync_sio.Server`. Without `cors_allowed_origins`, `ALLOWED_HOSTS` and `CSRF_TRUSTED_ORIGINS` say it; without
            `max_handlers`, threads run 16 at once.

    Attributes:
        problems: what was wrong in the settings that it was made from; empty is good.
    """

    socket_class = Socket

    def __init__(self, wsgi_app: WSGIApp | None = None, *, middleware: tuple[str, ...] | None = None, **options: Any) -> None:
        if options.get("cors_allowed_origins") is None:
            options["cors_allowed_origins"] = origins.is_trusted
        given = options.get("allow_request")
        options["allow_request"] = origins.allow_request(None if given is None else _with_databases(given))
        if options.get("max_handlers") is None and not _will_be_greenlets(options.get("runtime")):
            options["max_handlers"] = MAX_HANDLERS
        super().__init__(wsgi_app, **options)
        self.middleware = middleware
        self.problems: tuple[Problem, ...] = ()
        self._prefix = "/"
        self.around(self._surround)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """The WSGI application."""
        self._prefix = get_script_name(environ)     # where we are mounted: `reverse` must know it in events, too
        return super().__call__(environ, start_response)

    def spawn(self, fn: Callable[..., Any], *args: Any) -> None:
        """The same as `sync_sio.Server.spawn`; database connections are closed when the function returns."""
        super().spawn(fn if not callable(fn) or iscoroutinefunction(fn) else _with_databases(fn, ends=True), *args)

    @contextmanager
    def _surround(self, socket: Socket | None, event: object, args: list[Any]) -> Iterator[None]:
        set_script_prefix(self._prefix)
        is_crowd = self.engine.is_started and self.engine.driver.name == "gevent"
        with databases.borrowed(is_crowd), nullcontext() if socket is None else turn.running(socket):
            yield


def _with_databases(fn: Callable[..., Any], ends: bool = False) -> Callable[..., Any]:
    @wraps(fn)
    def call(*args: Any) -> Any:
        try:
            with databases.borrowed(False):
                return fn(*args)
        finally:
            if ends:
                databases.close_all()

    return call


def _will_be_greenlets(runtime: object) -> bool:
    monkey = sys.modules.get("gevent.monkey")
    return runtime == "gevent" or (monkey is not None and monkey.is_module_patched("threading"))


_lock = threading.Lock()
_servers: list[Server] = []


def get_server() -> Server:
    """Return the server of `settings.SYNC_SIO`, made when it is first asked for. Any thread.

    What is wrong in the settings is in its `problems`, and it has the defaults instead: `manage.py check` shall be able to say it.
    """
    with _lock:
        if not _servers:
            options = read()
            server = Server(middleware=options.middleware, **options.server)
            server.problems = options.problems
            _servers.append(server)
        return _servers[0]
