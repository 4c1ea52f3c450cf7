"""Flask's contexts for what handlers do: each event has an app context, a request and a `g` of its own."""

from __future__ import annotations

import sys
from contextvars import ContextVar, Token
from io import BytesIO
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

from flask import Flask, has_request_context, request
from flask.ctx import AppContext, RequestContext
from flask.sessions import SecureCookieSessionInterface, SessionMixin

from sync_sio import Socket

if TYPE_CHECKING:
    from .mount import Mount

turn_of: Final[ContextVar[Turn | None]] = ContextVar("sync_sio_flask.turn", default=None)
"""What runs here for a client."""

def current_turn() -> Turn | None:
    """Return what runs here for a client; also where its request context was carried to, by `copy_current_request_context`."""
    turn = turn_of.get()
    if turn is None and has_request_context():
        return getattr(request, "sync_sio_turn", None)
    return turn


SESSION: Final = "saved_session"
"""Where in a connection's environ its own session is kept."""

SHOWN: Final = "sync_sio_flask.shown"
"""In the environ of a test's client: the one that handlers see, without what only makes it a WebSocket."""

_MESSAGES: Final = {"middleware": "connect", "connection": "connect", "disconnecting": "disconnect"}


class ConnectionSession(dict[str, Any], SessionMixin):
    """A copy of the user's session that belongs to one connection, for as long as it lives."""


class Turn:
    """The context manager around one event, one connect, or one end of a client (`io.around`).

    Attributes:
        socket: whose it is.
        error: what a handler has raised that nobody handled: functions of `teardown_request` are given it.
    """

    __slots__ = ("_context", "_token", "error", "mount", "socket")

    def __init__(self, mount: Mount, socket: Socket, event: Any, args: list[Any]) -> None:
        self.mount = mount
        self.socket = socket
        self.error: BaseException | None = None
        said = socket.request
        environ = {**said.get(SHOWN, said), "wsgi.errors": sys.stderr, "wsgi.input": BytesIO()}
        self._context: RequestContext = mount.app.request_context(environ)
        given = (said, socket.handshake.auth or None) if event in ("middleware", "connection") else tuple(args)
        own: Any = self._context.request
        own.sync_sio_turn = self
        own.sid = socket.id
        own.namespace = socket.namespace.name
        own.event = {"message": _MESSAGES.get(event, event), "args": given}

    def __enter__(self) -> None:
        environ = self.socket.request
        is_ours = self.mount.is_managing_sessions
        saved = environ.get(SESSION) if is_ours else None
        if saved is not None:
            _set_session(self._context, saved)
        self._context.push()
        unrouted = self._context.request.routing_exception
        if unrouted is not None:                # no page is at the server's path: what says so keeps frames, and they keep the context
            unrouted.__traceback__ = unrouted.__cause__ = unrouted.__context__ = None
        self._token: Token[Turn | None] = turn_of.set(self)
        if is_ours and saved is None:
            # events of one connection's namespaces may run at the same time: the first makes it
            _set_session(self._context, environ.setdefault(SESSION, ConnectionSession(self._context.session)))

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        turn_of.reset(self._token)
        self.error = self.error or error
        context = self._context
        del self._context                       # its request knows us: a cycle for each event would be work for the collector
        try:
            if not self.mount.is_managing_sessions:
                _save(self.mount, context.session)
        finally:
            context.pop(self.error)


class Aside:
    """The same for what runs for no client: an app context."""

    __slots__ = ("_context",)

    def __init__(self, app: Flask) -> None:
        self._context: AppContext = app.app_context()

    def __enter__(self) -> None:
        self._context.push()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._context.pop(error)


def _set_session(context: RequestContext, session: SessionMixin) -> None:
    # an attribute before Flask 3.1.3, a property over one since
    setattr(context, "_session" if hasattr(context, "_session") else "session", session)


def _save(mount: Mount, session: SessionMixin) -> None:
    """Save the session as after a request. One that lives in a cookie cannot be: there is no response that would set it."""
    app = mount.app
    interface = app.session_interface
    if interface.is_null_session(session):
        return
    if not isinstance(interface, SecureCookieSessionInterface):
        interface.save_session(app, session, app.response_class())
    elif session.modified:
        mount.warn_once(
            "a handler has changed the session, which this application keeps in a cookie, and an event has no response to set one: "
            "the change is lost. Use manage_session=True, or sessions that are kept on the server, such as Flask-Session's"
        )
