"""The headers of a session's responses, which users' listeners have a say in, and the cookie."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, MutableMapping
from typing import TYPE_CHECKING, Any, Final

from ..protocol.cookie import Cookie
from ..types import HeaderList
from ..wsgi.environ import Request

if TYPE_CHECKING:
    from .server import EngineServer

logger = logging.getLogger("sync_sio.engine")

NO_STORE: Final = ("Cache-Control", "no-store")
_MSIE: Final = re.compile(r";MSIE|Trident/")
_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_OURS: Final = frozenset(
    {"content-length", "content-type", "content-encoding", "transfer-encoding", "connection", "keep-alive", "upgrade", "trailer", "te",
     "sec-websocket-accept", "sec-websocket-extensions", "sec-websocket-protocol"}
)  # fmt: skip
"""Without the right ones of these no client would find the end of a response, or understand it."""


class ResponseHeaders(MutableMapping[str, Any]):
    """What header listeners change. Names in any case; a value is a str, or a list of them for several lines."""

    def __init__(self, lines: HeaderList) -> None:
        self._items: dict[str, tuple[str, Any]] = {name.lower(): (name, value) for name, value in lines}

    def __getitem__(self, name: str) -> Any:
        return self._items[name.lower()][1]

    def __setitem__(self, name: str, value: Any) -> None:
        self._items[name.lower()] = (name, value)

    def __delitem__(self, name: str) -> None:
        del self._items[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self._items.values())

    def __len__(self) -> int:
        return len(self._items)

    def __repr__(self) -> str:
        return repr(dict(self))

    def lines(self) -> HeaderList:
        """Return what can be sent; of the rest the log says why not."""
        lines: HeaderList = []
        for key, (name, value) in self._items.items():
            for line in value if isinstance(value, list | tuple) else (value,):
                reason = _why_not(key, str(line))
                if reason is None:
                    lines.append((name, str(line)))
                else:
                    logger.warning("a header listener set %r to %r: %s, so it is left out", name, line, reason)
        return lines


def session_headers(server: EngineServer, request: Request, cors: HeaderList, is_first: bool = False) -> HeaderList:
    """Return the headers of a session's response, with what the listeners made of them."""
    lines = [*cors, NO_STORE]
    if _MSIE.search(request.header("User-Agent") or ""):
        lines.append(("X-XSS-Protection", "0"))
    events = server.events
    if not events.has("headers") and not (is_first and events.has("initial_headers")):
        return lines
    headers = ResponseHeaders(lines)
    for event in ("initial_headers", "headers") if is_first else ("headers",):
        for listener in events.take(event):
            try:
                listener(headers, request.environ)
            except Exception:
                logger.exception("a listener of %r failed", event)
    return headers.lines()


def cookie_lines(server: EngineServer, request: Request, sid: str) -> HeaderList:
    """Return the Set-Cookie line for a new session, if there is to be one."""
    cookie = server.cookie
    if cookie is None and callable(server.options.cookie):
        try:
            cookie = Cookie.of(server.options.cookie(request.environ))
        except Exception:
            logger.exception("the function that is the option cookie failed, so no cookie is set")
    return [] if cookie is None else [("Set-Cookie", cookie.line(sid))]


def _why_not(key: str, value: str) -> str | None:
    if not _NAME.fullmatch(key):
        return "that is no header's name"
    if key in _OURS:
        return "that header is the server's own"
    if not _VALUE.fullmatch(value):
        return "CR, LF, other control characters and what is not Latin-1 are not possible"
    return None
