"""Which request is legal now: the checks in the order that Node's server makes them, each with its error code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from ..config import EngineOptions
from ..wsgi.environ import Request
from .connection import Connection

TRANSPORT_UNKNOWN: Final = 0
SESSION_UNKNOWN: Final = 1
BAD_METHOD: Final = 2
BAD_REQUEST: Final = 3
FORBIDDEN: Final = 4
UNSUPPORTED_PROTOCOL: Final = 5

MESSAGES: Final = {
    TRANSPORT_UNKNOWN: "Transport unknown",
    SESSION_UNKNOWN: "Session ID unknown",
    BAD_METHOD: "Bad handshake method",
    BAD_REQUEST: "Bad request",
    FORBIDDEN: "Forbidden",
    UNSUPPORTED_PROTOCOL: "Unsupported protocol version",
}
PROTOCOL: Final = "4"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is refused. What `connection_error` listeners get, with the request."""

    code: int
    context: Mapping[str, object] = field(default_factory=dict)
    message: str = ""

    @property
    def text(self) -> str:
        return self.message or MESSAGES[self.code]

    @property
    def status(self) -> int:
        return 403 if self.code == FORBIDDEN else 400


def bad_request(name: str, **more: object) -> Refusal:
    return Refusal(BAD_REQUEST, {"name": name, **more})


def check_transport(request: Request, options: EngineOptions) -> Refusal | None:
    """Every request: is its transport one that we speak?"""
    transport = request.query.get("transport", "")
    if transport not in options.transports:
        return Refusal(TRANSPORT_UNKNOWN, {"transport": transport})
    return None


def check_session(request: Request, connection: Connection | None) -> Refusal | None:
    """A request with a session id: do they belong together?"""
    if connection is None:
        return Refusal(SESSION_UNKNOWN, {"sid": request.query["sid"]})
    if (request.query.get("EIO") == PROTOCOL) != (connection.protocol == 4):
        return bad_request("PROTOCOL_MISMATCH", protocol=request.query.get("EIO"))
    transport = request.query["transport"]
    if request.is_upgrade:
        if transport != "websocket":
            return bad_request("TRANSPORT_MISMATCH", transport=transport)
    elif transport != connection.transport.name:
        return bad_request("TRANSPORT_MISMATCH", transport=transport, previous_transport=connection.transport.name)
    return None


def check_handshake(request: Request) -> Refusal | None:
    """A request that wants a session, up to the question whether the application allows it."""
    if request.method != "GET":
        return Refusal(BAD_METHOD, {"method": request.method})
    if (request.query["transport"] == "websocket") != request.is_upgrade:
        return bad_request("TRANSPORT_HANDSHAKE_ERROR")
    return None


def check_protocol(request: Request, options: EngineOptions) -> Refusal | None:
    """A request that the application allows: does it speak a revision that we do? Whatever is not the fourth is taken for the third."""
    if request.query.get("EIO") != PROTOCOL and not options.allow_eio3:
        return Refusal(UNSUPPORTED_PROTOCOL, {"protocol": 3})
    return None
