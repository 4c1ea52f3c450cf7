"""The WSGI application of a Django project with Socket.IO in it."""

from __future__ import annotations

import django
from django.core.exceptions import ImproperlyConfigured
from django.core.handlers.wsgi import WSGIHandler
from django.core.servers.basehttp import get_internal_wsgi_application

from sync_sio.types import WSGIApp

from .server import Server, get_server


def get_wsgi_application() -> Server:
    """Return the WSGI application of the project, in place of the function of this name in `django.core.wsgi`.

    It is the server itself: requests below its path are for it, all others for Django.

    Raises:
        ImproperlyConfigured: `SYNC_SIO` has a mistake; the message says which.
    """
    django.setup(set_prefix=False)
    server = get_server()
    refuse_problems(server)
    server.attach(WSGIHandler())
    return server


def get_internal_application() -> WSGIApp:
    """Return what `WSGI_APPLICATION` names, with the server around it if it has none: for `runserver` and tests."""
    return with_server(get_internal_wsgi_application())


def with_server(application: WSGIApp) -> WSGIApp:
    """Return a project's application, inside of the server if it is not yet."""
    server = get_server()
    refuse_problems(server)
    if server.engine.wsgi_app is None:
        return server.attach(application)
    return application


def refuse_problems(server: Server) -> None:
    if server.problems:
        raise ImproperlyConfigured("; ".join(f"{problem.message} ({problem.hint})" for problem in server.problems))
