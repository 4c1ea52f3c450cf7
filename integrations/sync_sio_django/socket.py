"""A client, with what Django knows of it."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Any

from django.contrib.sessions.backends.base import SessionBase
from django.core.exceptions import ImproperlyConfigured
from django.core.handlers.wsgi import WSGIRequest
from django.utils.functional import SimpleLazyObject

import sync_sio

from .requests import make_request
from .turn import turn_of

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser
    from django.contrib.auth.models import AnonymousUser


class Socket(sync_sio.Socket):
    """A client in a namespace. What is Django's is worked out when it is asked for, and costs nothing before."""

    __slots__ = ()

    @property
    def user(self) -> AbstractBaseUser | AnonymousUser:
        """Who it is, by the session of the handshake's cookie: as `request.user` in a view.

        Read from the database when it is first asked for, and kept as long as the client is connected: `refresh_user` reads it anew.
        It may be set, by middleware that knows users by other means than sessions.

        Raises:
            ImproperlyConfigured: `MIDDLEWARE` has none of Django's for users.
        """
        user: AbstractBaseUser | AnonymousUser | None = self.__dict__.get("_user")
        return self.refresh_user() if user is None else user

    @user.setter
    def user(self, user: AbstractBaseUser | AnonymousUser) -> None:
        self.__dict__["_user"] = user
        turn = turn_of(self)
        if turn is not None and turn.request is not None:
            turn.request.user = user

    def refresh_user(self) -> AbstractBaseUser | AnonymousUser:
        """Read the user anew, and return it: anonymous, if the session has ended or the user was deactivated meanwhile."""
        request = self._make_request()
        user: Any = getattr(request, "user", None)
        if user is None:
            raise ImproperlyConfigured(
                "socket.user needs django.contrib.auth.middleware.AuthenticationMiddleware in MIDDLEWARE, behind SessionMiddleware"
            )
        if isinstance(user, SimpleLazyObject):
            bool(user.is_authenticated)     # now it is read; what is kept is the user alone, without the request
            user = copy(user)
        self.user = user
        return user  # type: ignore[no-any-return]

    @property
    def session(self) -> SessionBase:
        """The browser's session: as `request.session` in a view. Read anew in each event, and saved after it if it was changed.

        Outside of this client's events it is another one each time, and not saved by itself.

        Raises:
            ImproperlyConfigured: `MIDDLEWARE` has no session's.
        """
        session: SessionBase | None = getattr(self.http_request, "session", None)
        if session is None:
            raise ImproperlyConfigured("socket.session needs django.contrib.sessions.middleware.SessionMiddleware in MIDDLEWARE")
        return session

    @property
    def http_request(self) -> WSGIRequest:
        """The handshake's request as Django sees it, after the middleware for sessions and users. One for each event."""
        turn = turn_of(self)
        if turn is not None and turn.request is not None:
            return turn.request
        request = self._make_request()
        user = self.__dict__.get("_user")
        if user is not None:
            request.user = user
        if turn is not None:
            turn.request = request
        return request

    def _make_request(self) -> WSGIRequest:
        # not `self.request`, which would be kept: it is ten times as large as what a client occupies without it
        return make_request(self.conn.peek_request(), self.namespace.server.middleware)
