"""One event of a client, as Django sees it: it has a request, whose session is saved at its end."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

from django.conf import settings
from django.contrib.sessions.backends.base import SessionBase, UpdateError
from django.core.handlers.wsgi import WSGIRequest

if TYPE_CHECKING:
    from .socket import Socket

_log = logging.getLogger("sync_sio.django")


class Turn:
    """What is known during one event. It belongs to the thread that runs the event."""

    __slots__ = ("request", "socket")

    def __init__(self, socket: Socket) -> None:
        self.socket = socket
        self.request: WSGIRequest | None = None

    def save_session(self) -> None:
        """Save what the event has changed in the session, if it was asked for at all."""
        session: SessionBase | None = getattr(self.request, "session", None)
        if session is None or not session.modified:
            return
        key = self.request.COOKIES.get(settings.SESSION_COOKIE_NAME) if self.request is not None else None
        if session.session_key is None or session.session_key != key:
            _log.warning(
                "socket %s: an event changed a session that its browser has no cookie of, and that is lost: "
                "begin it in a page, as only pages can set cookies",
                self.socket.id,
            )
            return
        try:
            session.save()
        except UpdateError:
            _log.info("socket %s: the session ended while an event changed it, so the change is lost", self.socket.id)
            return
        if session.session_key != key:
            _log.warning(
                "socket %s: an event changed a session that is kept in its cookie, and that is lost: "
                "SESSION_ENGINE must name one that keeps it in the database, a cache or a file",
                self.socket.id,
            )


_current: Final[ContextVar[Turn | None]] = ContextVar("sync_sio_django_turn", default=None)


def turn_of(socket: Socket) -> Turn | None:
    """Return the event of this socket inside of which this code runs, if any."""
    turn = _current.get()
    return turn if turn is not None and turn.socket is socket else None


@contextmanager
def running(socket: Socket) -> Iterator[None]:
    """Let what runs inside be an event of this socket."""
    turn = Turn(socket)
    token = _current.set(turn)
    try:
        yield
    finally:
        _current.reset(token)
    turn.save_session()
