"""`socket.http_request`: the handshake's request, after it has gone through the project's own middleware."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.core.exceptions import MiddlewareNotUsed
from django.core.handlers.wsgi import WSGIRequest
from django.core.signals import setting_changed
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.module_loading import import_string

from sync_sio.types import Environ

GetResponse = Callable[[HttpRequest], HttpResponseBase]


def make_request(environ: Environ, middleware: tuple[str, ...] | None) -> WSGIRequest:
    """Make a Django request of a handshake's environ, a copy of which is changed, and send it through middleware.

    Args:
        middleware: dotted paths; None: what `MIDDLEWARE` has of Django's for sessions and users, and of kinds of these.
    """
    request = WSGIRequest(dict(environ))
    _chain(tuple(settings.MIDDLEWARE) if middleware is None else middleware, middleware is None)(request)
    return request


@lru_cache(maxsize=8)
def _chain(paths: tuple[str, ...], is_chosen: bool) -> GetResponse:
    """Build what a request goes through; its end is an empty response, as there is no view."""
    # not before it is needed: they import models, and this package is there before any model is
    from django.contrib.auth.middleware import AuthenticationMiddleware, RemoteUserMiddleware
    from django.contrib.sessions.middleware import SessionMiddleware

    wanted = (SessionMiddleware, AuthenticationMiddleware, RemoteUserMiddleware)
    handler: GetResponse = _answer
    for path in reversed(paths):
        made: Any = import_string(path)
        if is_chosen and not (isinstance(made, type) and issubclass(made, wanted)):
            continue
        try:
            handler = made(handler)
        except MiddlewareNotUsed:
            continue
    return handler


@receiver(setting_changed)
def _forget(**kwargs: Any) -> None:
    """A test overrides settings, which middleware reads when it is made."""
    _chain.cache_clear()


def _answer(request: HttpRequest) -> HttpResponse:
    return HttpResponse()
