"""What the door answers with: status, headers, body; refusals; and the headers that users have a say in."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ..protocol import json
from ..protocol.http import accepts_encoding
from ..types import Environ, HeaderList
from ..wsgi.environ import Request
from .bodies import Body, Reply
from .requests import UNSUPPORTED_PROTOCOL, Refusal

if TYPE_CHECKING:
    from .server import EngineServer

logger = logging.getLogger("sync_sio.engine")

RETRY_AFTER: Final = "5"
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


def reply_to(server: EngineServer, request: Request, headers: HeaderList) -> Reply:
    """Return how a GET of a session is to be answered."""
    compression = server.compression
    encoding = None if compression is None else accepts_encoding(request.header("Accept-Encoding") or "")
    return Reply(headers, compression, encoding)


def body_answer(reply: Reply, body: Body) -> Answer:
    """Answer at once, on the web server's thread."""
    packing = reply.packing(body)
    if packing is None:
        return Answer(200, reply.lines(body, body.data, None), body.data)
    packing.finish()
    return Answer(200, reply.lines(body, packing.body, packing.encoding), packing.body)


def busy(cors: HeaderList) -> Answer:
    return Answer(503, [*cors, ("Retry-After", RETRY_AFTER), ("Content-Length", "0")])


@dataclass(frozen=True, slots=True)
class RequestError:
    """What `connection_error` listeners get."""

    code: int
    message: str
    context: Mapping[str, object]
    request: Environ


def refuse(server: EngineServer, request: Request, refusal: Refusal, cors: HeaderList) -> Answer:
    """Tell the client, the listeners, and of an old client the operator."""
    if refusal.code == UNSUPPORTED_PROTOCOL:
        server.notices.warn(
            f"EIO {request.header('User-Agent')}",
            "refused a client that speaks EIO=%s, an old Socket.IO version; its User-Agent is %r: update the client to 3.x or 4.x",
            request.query.get("EIO"),
            request.header("User-Agent"),
        )
    if server.events.has("connection_error"):
        error = RequestError(refusal.code, refusal.text, refusal.context, request.environ)
        for listener in server.events.take("connection_error"):
            try:
                listener(error)
            except Exception:
                logger.exception("a listener of 'connection_error' failed")
    body = json.encode({"code": refusal.code, "message": refusal.text})[0]
    return Answer(refusal.status, [*cors, ("Content-Type", "application/json"), ("Content-Length", str(len(body)))], body)


def tell_no_takeover(server: EngineServer, reason: str) -> None:
    server.notices.warn(
        "takeover",
        "no WebSocket is possible on this web server, so clients poll, and a poll that waits holds a thread: %s",
        reason,
    )


# -- headers -------------------------------------------------------------------------------------------------------------------


def session_headers(server: EngineServer, request: Request, cors: HeaderList, is_first: bool = False) -> HeaderList:
    """Return the headers of a session's response, with what the listeners made of them."""
    if not server.events.has("headers") and not (is_first and server.events.has("initial_headers")):
        return [*cors, NO_STORE, *for_old_browsers(request)]
    headers: dict[str, Any] = dict((*cors, NO_STORE, *for_old_browsers(request)))
    for event in ("initial_headers", "headers") if is_first else ("headers",):
        for listener in server.events.take(event):
            try:
                listener(headers, request.environ)
            except Exception:
                logger.exception("a listener of %r failed", event)
    return header_lines(headers)


def cookie_lines(server: EngineServer, request: Request, sid: str) -> HeaderList:
    cookie = server.options.cookie
    if cookie is None:
        return []
    if callable(cookie):
        cookie = cookie(request.environ)
    if isinstance(cookie, str):
        cookie = {"name": cookie}
    return [("Set-Cookie", cookie_value(sid, cookie))]


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
