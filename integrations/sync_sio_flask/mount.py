"""One application's server: what was registered with `SocketIO` becomes handlers of `io`, which run in Flask's contexts."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Final

from flask import Flask, got_request_exception, request
from werkzeug.exceptions import HTTPException

from sync_sio import ConnectRefused, Namespace, Server, Socket

from .arguments import call_with_or_without
from .facade import ServerFacade
from .options import Options
from .refusals import REJECTED, ack_of, refusal_of, refused_if_page
from .table import ANY, OWN, Found, Table
from .turn import Aside, Turn, turn_of

if TYPE_CHECKING:
    from .extension import SocketIO

logger = logging.getLogger("sync_sio.flask")

_ROUTED: Final = "sync_sio_flask.routed"
"""The event that all others become for which there is a handler: with a `Found`, which no client can send."""

FAILURES: Final = "sync_sio_flask.failures"
"""A list in the environ of a test's client: what its handlers have raised and the server has made an answer of."""

_REASONS: Final = {
    "server namespace disconnect": "server disconnect",
    "server shutting down": "server disconnect",
    "forced server close": "server disconnect",
    "client namespace disconnect": "client disconnect",
    "ping timeout": "ping timeout",
    "transport close": "transport close",
}


class Mount:
    """What `init_app` makes: the server in front of an application.

    Namespaces are opened as handlers for them are registered. In each, events take one way: a packet middleware looks for a handler in
    the table, so that later registrations, `"*"` and objects need no more than functions do; what nobody has registered here goes on
    to the handlers of `io`.
    """

    def __init__(self, socketio: SocketIO, app: Flask, options: Options) -> None:
        self.socketio = socketio
        self.app = app
        self.options = options
        self.table = Table(socketio.table)
        self.io = Server(app.wsgi_app, **options.server)
        self.facade = ServerFacade(self)
        self._opened: set[str] = set()
        self._is_open_to_all = False
        self._warned: set[str] = set()
        self.io.around(self._around)
        self.io.on_error(self._note_error)
        self.open("/")
        for name in options.namespaces:
            if name != ANY:
                self.open(name)
        self.refresh()
        if ANY in options.namespaces:
            self._is_open_to_all = True         # those that are opened from now on are children of this one
            self._hook(self.io.of(re.compile("")))
        app.wsgi_app = self.io  # type: ignore[method-assign]  # how Flask's documentation says to do it

    def __repr__(self) -> str:
        return f"<sync_sio of {self.app!r}>"

    @property
    def is_managing_sessions(self) -> bool:
        return self.socketio.manage_session

    def homes(self) -> list[Namespace]:
        """Return the namespaces that are open."""
        return [self.io.of(name) for name in sorted(self._opened)]

    def refresh(self) -> None:
        """Something was registered: open its namespace."""
        for name in self.table.namespaces:
            self.open(name)
        if self.options.async_handlers:
            for name, event in self.table.events:
                if name in self._opened:
                    self._make_concurrent(name, event)

    def open(self, name: str) -> None:
        """Let clients connect to a namespace. Idempotent."""
        if name not in self._opened:
            self._opened.add(name)
            home = self.io.of(name)
            if not self._is_open_to_all:
                self._hook(home)

    def _hook(self, home: Any) -> None:
        if self.options.always_connect:
            home.on("connection", self._connect_late)
        else:
            home.use(self._connect, admitted=True)
        home.on("connection", self._welcome)
        home.event(_ROUTED, self._run)
        home.event("disconnecting", self._leave)

    def _make_concurrent(self, name: str, event: str) -> None:
        home = self.io.of(name)
        if event not in (*OWN, ANY, "error") and _never_called not in home.listeners(event):
            home.event(event, _never_called, concurrent=True)

    def warn_once(self, message: str) -> None:
        if message not in self._warned:
            self._warned.add(message)
            logger.warning(message)

    # -- around all of it --------------------------------------------------------------------------------------------------

    def _around(self, socket: Socket | None, event: Any, args: list[Any]) -> AbstractContextManager[None]:
        return Aside(self.app) if socket is None else Turn(self, socket, event, args)

    def _note_error(self, error: BaseException, socket: Socket | None, event: Any, args: list[Any]) -> None:
        turn = turn_of.get()
        if turn is not None:
            turn.error = error
        if isinstance(error, Exception) and not isinstance(error, HTTPException):
            got_request_exception.send(self.app, _async_wrapper=None, exception=error)

    # -- a client comes ----------------------------------------------------------------------------------------------------

    def _connect(self, socket: Socket) -> None:
        """Run `connect` (an admitted middleware): it may emit to everybody, itself included, and may still refuse."""
        try:
            if self._ask(socket) is False:
                raise ConnectRefused(REJECTED)
        except Exception as error:
            socket.request.get(FAILURES, []).append(error)
            if isinstance(error, HTTPException):
                raise refusal_of(error) from error
            if not isinstance(error, ConnectRefused):
                self._note_error(error, socket, "connect", [])
            raise

    def _connect_late(self, socket: Socket) -> None:
        """The same with `always_connect`: the client was told that it is connected, so who is refused is disconnected."""
        try:
            is_refused = self._ask(socket) is False
        except (ConnectRefused, HTTPException):
            is_refused = True
        if is_refused:
            socket.disconnect()

    def _ask(self, socket: Socket) -> Any:
        auth = socket.handshake.auth or None
        found = self.table.find(socket.namespace.name, "connect", (socket.request, auth))
        if found is None:
            return None
        if found.target is not None:
            return self._perform(found, socket, found.fn, "connect", socket.id, *found.args)
        return self._perform(found, socket, call_with_or_without, found.fn, auth)

    def _welcome(self, socket: Socket) -> None:
        namespace = socket.namespace.name

        def route(packet: list[Any]) -> None:
            found = self.table.find(namespace, packet[0], tuple(packet[1:]))
            if found is not None:
                packet[:] = [_ROUTED, found]

        socket.use(route)

    # -- an event, and the end -----------------------------------------------------------------------------------------------

    def _run(self, socket: Socket, found: Any) -> Any:
        if not isinstance(found, Found):
            return None                         # a client has sent an event of this name
        given = found.args if found.target is None else (found.message, socket.id, *found.args)
        _say_event(found)
        try:
            return self._perform(found, socket, found.fn, *given)
        except HTTPException as error:
            logger.info("socket %s: the handler of %r said %s", socket.id, found.message, error)
            socket.request.get(FAILURES, []).append(error)
            self._note_error(error, socket, found.message, [])
            return ack_of(error)

    def _leave(self, socket: Socket, reason: str) -> None:
        reason = _REASONS.get(reason, "transport error")
        found = self.table.find(socket.namespace.name, "disconnect", (reason,))
        if found is None:
            return
        _say_event(found)
        if found.target is not None:
            self._perform(found, socket, found.fn, "disconnect", socket.id, reason)
        else:
            self._perform(found, socket, call_with_or_without, found.fn, reason)

    def _perform(self, found: Found, socket: Socket, fn: Callable[..., Any], *args: Any) -> Any:
        """Call a handler. What its error handler returns is its result then."""
        try:
            return refused_if_page(fn(*args))
        except ConnectRefused:
            raise
        except Exception as error:
            handler = self.table.error_handler(socket.namespace.name)
            if handler is None:
                raise
            return handler(error)


def _say_event(found: Found) -> None:
    request.event = {"message": found.message, "args": found.args}  # type: ignore[attr-defined]


def _never_called(socket: Socket, *args: Any) -> None:
    """Tells the server that an event is concurrent; the middleware has given the event another name by then."""
