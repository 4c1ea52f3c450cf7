"""The acceptance application behind Flask, for `flask run`."""

from __future__ import annotations

import app
from flask import Flask

site = Flask(__name__)


@site.get("/flask")
def page() -> str:
    return "flask"


def outer(environ, start_response):  # type: ignore[no-untyped-def]
    """Let Flask answer its own page, and the acceptance pages the others."""
    return flask_app(environ, start_response) if environ["PATH_INFO"] == "/flask" else app.pages(environ, start_response)


flask_app = site.wsgi_app
site.wsgi_app = app.io.attach(outer)  # type: ignore[method-assign]
