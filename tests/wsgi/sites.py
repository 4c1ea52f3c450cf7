"""The echo application as a Flask and as a Django site, for `flask run` and `manage.py runserver`."""

from __future__ import annotations

import os
from typing import Any

from tests.wsgi.echo_app import application as application

SECRET_KEY = "for tests"
DEBUG = False
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = __name__
WSGI_APPLICATION = f"{__name__}.application"
urlpatterns: list[Any] = []

if os.environ.get("SITE") == "flask":
    from flask import Flask

    site = Flask(__name__)
    site.wsgi_app = application  # type: ignore[method-assign]
