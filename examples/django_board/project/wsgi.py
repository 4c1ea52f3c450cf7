"""What a web server is given: the pages, and the board's events below /socket.io/."""

import os

from sync_sio_django import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
application = get_wsgi_application()
