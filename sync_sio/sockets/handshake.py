"""What a client said when it came: `socket.handshake`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any
from urllib.parse import quote

from ..protocol.http import parse_query
from ..types import Environ

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(frozen=True, slots=True)
class Handshake:
    """The first HTTP request of a connection, and the `auth` of one namespace.

    Attributes:
        headers: by lower-case name.
        query: of the URL; of a key that comes several times the last value.
        auth: what the client gave as `auth`; `{}` if nothing.
        time: when, as JavaScript's `Date` says it, in UTC.
        issued: when, in milliseconds since 1970.
        url: path and query.
        address: of the client, or what a trusted proxy says that it is.
        xdomain: whether the request named an origin.
        secure: whether it came over TLS.
    """

    headers: dict[str, str]
    query: dict[str, str]
    auth: dict[str, Any]
    time: str
    issued: int
    url: str
    address: str
    xdomain: bool
    secure: bool


def make_handshake(environ: Environ, auth: dict[str, Any] | None, opened_at: float, address: str) -> Handshake:
    """Return what `environ` says; `opened_at` in seconds since the epoch."""
    headers = _headers(environ)
    return Handshake(
        headers=headers,
        query=parse_query(environ.get("QUERY_STRING", "")),
        auth={} if auth is None else auth,
        time=_javascript_time(opened_at),
        issued=int(opened_at * 1000),
        url=_url(environ),
        address=address,
        xdomain="origin" in headers,
        secure=environ.get("wsgi.url_scheme") == "https",
    )


def _headers(environ: Environ) -> dict[str, str]:
    headers = {name[5:].replace("_", "-").lower(): value for name, value in environ.items() if name.startswith("HTTP_")}
    for name in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        if environ.get(name):
            headers[name.replace("_", "-").lower()] = environ[name]
    return headers


def _url(environ: Environ) -> str:
    for name in ("RAW_URI", "REQUEST_URI"):
        if environ.get(name, "").startswith("/"):
            return str(environ[name])
    path = quote((environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")).encode("latin-1", "replace"), safe="/:@!$&'()*+,;=~")
    query = environ.get("QUERY_STRING", "")
    return f"{path}?{query}" if query else path


def _javascript_time(seconds: float) -> str:
    # not strftime: its names of days and months depend on the locale
    at = datetime.fromtimestamp(seconds, timezone.utc)
    day, month = _DAYS[at.weekday()], _MONTHS[at.month - 1]
    return f"{day} {month} {at.day:02} {at.year} {at:%H:%M:%S} GMT+0000 (Coordinated Universal Time)"
