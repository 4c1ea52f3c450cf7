"""What the door answers with: status, headers, body; and the headers that users have a say in."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from ..types import HeaderList
from ..wsgi.environ import Request
from .polling import BODY_HEADERS

logger = logging.getLogger("sync_sio.engine")

_MSIE: Final = re.compile(r";MSIE|Trident/")


@dataclass(frozen=True, slots=True)
class Answer:
    """What the web server shall answer."""

    status: int
    headers: HeaderList
    body: bytes = b""


NO_STORE: Final = ("Cache-Control", "no-store")
SWITCHED: Final = Answer(101, [])
"""What the web server is told of a socket that it has not any more."""
PARKED: Final = Answer(200, [("Content-Length", "0")])


def text_answer(headers: HeaderList, body: bytes) -> Answer:
    return Answer(200, [*headers, BODY_HEADERS, ("Content-Length", str(len(body)))], body)


def for_old_browsers(request: Request) -> HeaderList:
    if _MSIE.search(request.header("User-Agent") or ""):
        return [("X-XSS-Protection", "0")]
    return []


def header_lines(headers: Mapping[str, Any]) -> HeaderList:
    lines: HeaderList = []
    for name, value in headers.items():
        for line in value if isinstance(value, list | tuple) else (value,):
            if any(character in f"{name}{line}" for character in "\r\n\0"):
                logger.warning("a header listener set %r to %r: CR, LF and NUL are not possible, so it is left out", name, line)
            else:
                lines.append((str(name), str(line)))
    return lines


_COOKIE: Final[Mapping[str, Any]] = {
    "name": "io",
    "path": "/",
    "http_only": True,
    "same_site": "lax",
    "secure": False,
    "max_age": None,
    "domain": None,
}


def cookie_value(sid: str, cookie: Mapping[str, Any]) -> str:
    settings = {**_COOKIE, **cookie}
    parts = [f"{settings['name']}={sid}"]
    if settings["max_age"] is not None:
        parts.append(f"Max-Age={int(settings['max_age'])}")
    if settings["domain"]:
        parts.append(f"Domain={settings['domain']}")
    if settings["path"]:
        parts.append(f"Path={settings['path']}")
    if settings["http_only"] is not False:
        parts.append("HttpOnly")
    if settings["secure"]:
        parts.append("Secure")
    if settings["same_site"]:
        parts.append(f"SameSite={str(settings['same_site']).capitalize()}")
    return "; ".join(parts)
