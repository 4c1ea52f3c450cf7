"""System checks: `manage.py check` names what is wrong with the settings.

E001 `SYNC_SIO` is no dict. E002 an unknown option. E003 an impossible value. E004 a dotted path that leads nowhere. W001 `runserver` is
another app's. W002 `WSGI_APPLICATION` has no Socket.IO in it. W003 every web page may use the visitors' cookies.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig, apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning
from django.core.exceptions import ImproperlyConfigured
from django.core.servers.basehttp import get_internal_wsgi_application

from .options import read
from .server import get_server

_RUNSERVER = ("django.contrib.staticfiles", "daphne")


def check_settings(app_configs: Sequence[AppConfig] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """Tell of each mistake in `SYNC_SIO`."""
    return [Error(problem.message, hint=problem.hint, id=f"sync_sio.{problem.number}") for problem in read().problems]


def check_order(app_configs: Sequence[AppConfig] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """Tell if another app's `runserver` is found before ours."""
    names = [config.name for config in apps.get_app_configs()]
    before = [name for name in names[: names.index("sync_sio_django")] if name in _RUNSERVER]
    if not before:
        return []
    message = f"INSTALLED_APPS has {before[0]!r} before 'sync_sio_django', so runserver is that one's"
    hint = "put 'sync_sio_django' first: its runserver serves static files as well, and Socket.IO whatever wsgi.py says"
    return [Warning(message, hint=hint, id="sync_sio.W001")]


def check_deployment(app_configs: Sequence[AppConfig] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """Tell what would be missing, or too open, where the project is served."""
    found: list[CheckMessage] = []
    if settings.WSGI_APPLICATION is not None and not _has_server():
        message = f"WSGI_APPLICATION = {settings.WSGI_APPLICATION!r} serves no Socket.IO"
        hint = "in that module, write `from sync_sio_django import get_wsgi_application` instead of Django's"
        found.append(Warning(message, hint=hint, id="sync_sio.W002"))
    allowed = read().server.get("cors_allowed_origins")
    if allowed is False:
        message = "SYNC_SIO['cors_allowed_origins'] is False: every web page may connect with its visitors' cookies"
        hint = "leave it out: ALLOWED_HOSTS and CSRF_TRUSTED_ORIGINS say who may"
        found.append(Warning(message, hint=hint, id="sync_sio.W003"))
    return found


def _has_server() -> bool:
    try:
        get_internal_wsgi_application()
    except (ImproperlyConfigured, ImportError):
        return False
    return get_server().engine.wsgi_app is not None
