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
from .commands import commands
from .control import Control
from .facade import ServerFacade
from .options import Options
from .refusals import REJECTED, ack_of, refusal_of, refused_if_page
from .table import OWN, Found, Table
from .targets import ANY, namespace_name
from .turn import Aside, Turn, turn_of

if TYPE_CHECKING:
    from .extension import SocketIO

logger = logging.getLogger("sync_sio.flask")

_ROUTED: Final = "sync_sio_flask.routed"
"""The event that those become which have a handler, but not one of their own name: with a `Found`, which no client can send."""

FAILURES: Final = "sync_sio_flask.failures"
"""A list in the environ of a test's client: what its handlers have raised and the server has made an answer of."""

_UNNAMED: Final = (*OWN, ANY, "error")
"""For which `io` has handlers of another kind, or none."""

_MOUNTS: Final = "sync_sio"
"""Where in `app.extensions` an application's mounts are."""

_WAITING: Final = "sync_sio_waiting"
"""What is to be registered with the first of them."""

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

    Namespaces are opened as handlers for them are registered, and each event that is named gets a handler of `io`, which asks the table
    when it comes. For those that are not named, as of `"*"`, a packet middleware asks. What nobody has registered here is left to `io`.
    """

    def __init__(self, socketio: SocketIO, app: Flask, options: Options) -> None:
        self.socketio = socketio
        self.app = app
        self.options = options
        self.table = Table(socketio.table)
        for change in app.extensions.pop(_WAITING, ()):
            change(self.table)
        self._control = Control(self, app.wsgi_app)
        self.io = Server(self._control, **options.server)
        self.facade = ServerFacade(self)
        self._opened: set[str] = set()
        self._heard: set[tuple[str, str]] = set()
        self._is_open_to_all = False
        self._warned: set[str] = set()
        self.io.around(self._around)
        self.io.on_error(self._note_error)
        self.open("/")
        for name in options.namespaces:
            if name != ANY:
                self.open(namespace_name(name))
        self.refresh()
        if ANY in options.namespaces:
            self._is_open_to_all = True         # those that are opened from now on are children of this one
            self._hook(self.io.of(re.compile("")))
        app.extensions.setdefault(_MOUNTS, []).append(self)
        app.cli.add_command(commands)
        app.wsgi_app = self.io  # type: ignore[method-assign]  # how Flask's documentation says to do it

    def __repr__(self) -> str:
        return f"<sync_sio of {self.app!r}>"

    @property
    def is_managing_sessions(self) -> bool:
        return self.socketio.manage_session

    def home(self, namespace: str | None) -> Namespace | None:
        """Return a namespace that is there; None: nobody can be in it, here or, as nothing links the servers, elsewhere.

        Asking `io.of` would make it, and clients could connect to whatever somebody once tried to emit to.
        """
        name = namespace_name(namespace)
        is_there = name in self._opened or self.io.adapter is not None or name in self.io.namespaces
        return self.io.of(name) if is_there else None

    def homes(self) -> list[Namespace]:
        """Return the namespaces that are open."""
        return [self.io.of(name) for name in sorted(self._opened)]

    def native_handlers(self, home: Namespace) -> list[tuple[str, Callable[..., Any]]]:
        """Return events and functions that were registered with `io` itself."""
        found = [(str(event or kind), fn) for kind, event, fn in home.registered()]
        return [(event, fn) for event, fn in found if getattr(fn, "__module__", "") != __name__]

    def refresh(self) -> None:
        """Something was registered: open its namespace, and listen for it."""
        for target in self.table.objects.values():
            target.attach(self.socketio)
        for name in self.table.namespaces:
            self.open(name)
        for name, event in self.table.events - self._heard:
            if name in self._opened and event not in _UNNAMED:
                self._heard.add((name, event))
                self.io.of(name).event(event, self._handler_of(event), concurrent=self.options.async_handlers)

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
        home.event(_ROUTED, self._run_routed)
        home.event("disconnecting", self._leave)

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
        try:
            if found.target is not None:
                return refused_if_page(found.fn("connect", socket.id, *found.args))
            return refused_if_page(call_with_or_without(found.fn, auth))
        except (ConnectRefused, HTTPException):
            raise
        except Exception as error:
            handler = self.table.error_handler(socket.namespace.name)
            if handler is None:
                raise
            handler(error)
            return False                        # whoever could not be checked does not come in

    def _welcome(self, socket: Socket) -> None:
        namespace = socket.namespace.name

        def route(packet: list[Any]) -> None:
            event = packet[0]
            if (namespace, event) not in self._heard:
                found = self.table.find(namespace, event, tuple(packet[1:]))
                if found is not None:
                    packet[:] = [_ROUTED, found]

        socket.use(route)

    # -- an event, and the end -----------------------------------------------------------------------------------------------

    def _handler_of(self, event: str) -> Callable[..., Any]:
        def handle(socket: Socket, *args: Any) -> Any:
            found = self.table.find(socket.namespace.name, event, args)
            return None if found is None else self._run(socket, found)

        return handle

    def _run_routed(self, socket: Socket, found: Any) -> Any:
        # a client may send an event of this name
        return self._run(socket, found) if isinstance(found, Found) else None

    def _run(self, socket: Socket, found: Found) -> Any:
        given = found.args if found.target is None else (found.message, socket.id, *found.args)
        _say_event(found)
        try:
            return self._perform(socket, found.fn, *given)
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
            self._perform(socket, found.fn, "disconnect", socket.id, reason)
        else:
            self._perform(socket, call_with_or_without, found.fn, reason)

    def _perform(self, socket: Socket, fn: Callable[..., Any], *args: Any) -> Any:
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


def mount_in(app: Flask, socketio: SocketIO) -> Mount | None:
    """Return what a `SocketIO` has put in front of an application, the last of several; None: nothing."""
    mounts: list[Mount] = app.extensions.get(_MOUNTS, [])
    return next((mount for mount in reversed(mounts) if mount.socketio is socketio), None)


def let_in(app: Flask, change: Callable[[Table], None]) -> None:
    """Register with an application: with the server that is in front of it, or will be."""
    mounts: list[Mount] = app.extensions.get(_MOUNTS, [])
    if not mounts:
        app.extensions.setdefault(_WAITING, []).append(change)
        return
    change(mounts[-1].table)
    mounts[-1].refresh()


def _say_event(found: Found) -> None:
    request.event = {"message": found.message, "args": found.args}  # type: ignore[attr-defined]

