"""`manage.py runserver`, with Socket.IO whatever `wsgi.py` says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.core.management.commands.runserver import Command as Plain

from sync_sio.types import WSGIApp
from sync_sio_django.wsgi import with_server

if TYPE_CHECKING or not apps.is_installed("django.contrib.staticfiles"):
    Base = Plain
else:
    from django.contrib.staticfiles.management.commands.runserver import Command as Base


class Command(Base):
    """Django's own, or that of its static files where these are installed."""

    def get_handler(self, *args: Any, **options: Any) -> WSGIApp:  # type: ignore[override]  # any WSGI application is right
        """Return the project's application, in the server if it is not yet."""
        return with_server(super().get_handler(*args, **options))
