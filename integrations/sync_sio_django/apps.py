"""The Django app: finds events and checks the settings."""

from __future__ import annotations

from django.apps import AppConfig
from django.core.checks import register
from django.utils.module_loading import autodiscover_modules


class SyncSioConfig(AppConfig):
    """`"sync_sio_django"` in `INSTALLED_APPS`."""

    name = "sync_sio_django"
    verbose_name = "Socket.IO"

    def ready(self) -> None:
        """Import each app's `sockets.py`: models are there by now."""
        from .checks import check_deployment, check_order, check_settings

        register(check_settings, "sync_sio")
        register(check_order, "sync_sio")
        register(check_deployment, "sync_sio", deploy=True)
        autodiscover_modules("sockets")
