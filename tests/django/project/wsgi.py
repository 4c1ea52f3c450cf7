"""What servers are given; DJANGO_SETTINGS_MODULE is set by who starts them."""

from __future__ import annotations

from sync_sio_django import get_wsgi_application

application = get_wsgi_application()
