"""What the door answers with: status, headers, body, and how it refuses."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

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


@dataclass(frozen=True, slots=True)
class Answer:
    """What the web server shall answer."""

    status: int
    headers: HeaderList
    body: bytes = b""


SWITCHED: Final = Answer(101, [])
"""What the web server is told of a socket that it has not any more."""
PARKED: Final = Answer(200, [("Content-Length", "0")])


def reply_to(server: EngineServer, request: Request, headers: HeaderList) -> Reply:
    """Return how a GET of a session is to be answered."""
    compression = server.compression
    encoding = None if compression is None else accepts_encoding(request.header("Accept-Encoding") or "")
    return Reply(headers, compression, encoding)


def body_answer(server: EngineServer, reply: Reply, body: Body) -> Answer:
    """Answer at once, on the web server's thread; where that is a greenlet, others have their turn between the slices of a large body."""
    packing = reply.packing(body)
    if packing is None:
        return Answer(200, reply.lines(body, body.data, None), body.data)
    while not packing.step():
        server.driver.sleep(0)
    return Answer(200, reply.lines(body, packing.body, packing.encoding), packing.body)


def busy(server: EngineServer, cors: HeaderList) -> Answer:
    for probe in server.probes:
        probe.request_refused(503)
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
            "refused a client that speaks EIO=%s, an old Socket.IO version; its User-Agent is %r: update the client to 3.x or 4.x, or "
            "set allow_eio3=True",
            request.query.get("EIO"),
            request.header("User-Agent"),
        )
    for probe in server.probes:
        probe.request_refused(refusal.code)
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
