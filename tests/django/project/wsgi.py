"""What servers are given."""

from __future__ import annotations

import os

from sync_sio_django import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.django.project.settings")
application = get_wsgi_application()
