"""The acceptance application behind Django, for `runserver`: settings and WSGI application in one file."""

from __future__ import annotations

SECRET_KEY = "not a secret: a test's"
DEBUG = True
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "django_site"
INSTALLED_APPS: list[str] = []
DATABASES: dict[str, object] = {}
WSGI_APPLICATION = "django_site.application"
urlpatterns: list[object] = []


def __getattr__(name: str) -> object:
    # Made on first use: settings are read long before the application may be.
    if name == "application":
        from app import application

        return application
    raise AttributeError(name)
