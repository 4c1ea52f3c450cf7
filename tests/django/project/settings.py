"""A small project with users, sessions and notes in SQLite: for the tests here, and for those of real servers in tests/live."""

from __future__ import annotations

import json
import os

SECRET_KEY = "not a secret: a test's"
DEBUG = os.environ.get("PROJECT_DEBUG") == "1"
ALLOWED_HOSTS = ["localhost", "127.0.0.1", ".example.com"]
CSRF_TRUSTED_ORIGINS = ["https://trusted.example.org", "https://*.partner.example.org"]
INSTALLED_APPS = [
    "sync_sio_django",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "tests.django.project.notes",
    *json.loads(os.environ.get("PROJECT_APPS", "[]")),
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
ROOT_URLCONF = "tests.django.project.urls"
WSGI_APPLICATION = "tests.django.project.wsgi.application"
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("PROJECT_DATABASE", ":memory:"),
        "CONN_MAX_AGE": json.loads(os.environ.get("PROJECT_CONN_MAX_AGE", "0")),
        "OPTIONS": {"timeout": 20, "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"},
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
STATIC_URL = "static/"
USE_TZ = True
SYNC_SIO = {"ping_interval": 25, **json.loads(os.environ.get("PROJECT_SYNC_SIO", "{}"))}
if "PROJECT_DATABASE" not in os.environ:
    # inside the process of the tests, logging is pytest's
    LOGGING_CONFIG = None
