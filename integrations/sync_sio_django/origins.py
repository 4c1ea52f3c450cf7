"""Which hosts are served, and which web pages may talk to the server: as Django's own settings say it for pages and forms."""

from __future__ import annotations

import logging
from collections.abc import Callable
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.http.request import HttpRequest, split_domain_port, validate_host
from django.utils.http import is_same_domain

from sync_sio import RequestRefused
from sync_sio.types import Environ


class _Request(HttpRequest):
    """What the settings want to know of a request: its host, and whether it is secure."""

    def __init__(self, environ: Environ) -> None:
        super().__init__()
        self.META = environ

    def _get_scheme(self) -> str:
        return str(self.META.get("wsgi.url_scheme", "http"))


_log = logging.getLogger("django.security.DisallowedHost")
_WHILE_DEBUGGING = (".localhost", "127.0.0.1", "[::1]")


def is_trusted(origin: str, environ: Environ) -> bool:
    """Tell whether a page of another origin than the request's own may talk to this server.

    It may if `CSRF_TRUSTED_ORIGINS` names it, or if its host is one of `ALLOWED_HOSTS`, `"*"` apart, which means that any name may
    lead here and not that any page may be trusted. A page that came over plain HTTP may not talk to a server that is asked over HTTPS.
    """
    try:
        parts = urlsplit(origin.lower())
        name = parts.hostname
    except ValueError:
        return False
    if parts.scheme not in ("http", "https") or not name:
        return False
    if any(_matches(parts.scheme, parts.netloc, trusted.lower()) for trusted in settings.CSRF_TRUSTED_ORIGINS):
        return True
    if parts.scheme == "http" and _Request(environ).is_secure():
        return False
    hosts = settings.ALLOWED_HOSTS
    if settings.DEBUG and not hosts:
        hosts = list(_WHILE_DEBUGGING)
    return validate_host(split_domain_port(parts.netloc)[0], [host for host in hosts if host != "*"])


def check_host(environ: Environ) -> None:
    """Raise RequestRefused for a request to a host that is not in `ALLOWED_HOSTS`; and log it as Django does."""
    try:
        _Request(environ).get_host()
    except DisallowedHost as error:
        _log.error("%s", error, extra={"status_code": 403})
        raise RequestRefused("this host is not in ALLOWED_HOSTS") from error


def allow_request(given: Callable[[Environ], object] | None) -> Callable[[Environ], object]:
    """Return the option `allow_request`: the host first, then what the settings say."""

    def allow(environ: Environ) -> object:
        check_host(environ)
        return None if given is None else given(environ)

    return allow


def _matches(scheme: str, netloc: str, trusted: str) -> bool:
    wanted_scheme, _, wanted = trusted.partition("://")
    if scheme != wanted_scheme:
        return False
    return is_same_domain(netloc, wanted[1:]) if wanted.startswith("*.") else netloc == wanted
