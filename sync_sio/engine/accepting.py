"""A WebSocket comes in: as a session of its own, or beside one that polls and may switch to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..protocol.parcel import Parcel
from ..protocol.websocket import handshake
from ..protocol.websocket.deflate import Deflate, negotiate
from ..types import HeaderList
from ..wsgi.environ import Request
from ..wsgi.takeover import CannotTake, Taken, is_ours
from .connection import Connection
from .headers import session_headers
from .polling import PollingTransport
from .requests import Refusal, bad_request
from .responses import SWITCHED, Answer, refuse, tell_no_takeover
from .simple_websocket import SimpleWebSocketTransport, accept
from .upgrade import Upgrade
from .websocket import WebSocketTransport

if TYPE_CHECKING:
    from .server import EngineServer


def check_upgrade(request: Request) -> Refusal | None:
    """A request that may want a WebSocket: does it ask in the right way?"""
    reason = handshake.check(request.environ) if request.is_upgrade and not _is_shaken(request) else None
    return None if reason is None else bad_request("TRANSPORT_HANDSHAKE_ERROR", message=reason)


def open_websocket(
    server: EngineServer, request: Request, connection: Connection, parcels: list[Parcel], cors: HeaderList
) -> Answer:
    """Answer a handshake whose session begins on a WebSocket, with `parcels` as its first packets."""
    websocket = _accept(server, request, connection, session_headers(server, request, cors, is_first=True))
    if isinstance(websocket, Refusal):
        connection.discard()
        return refuse(server, request, websocket, cors)
    with connection.lock:
        connection.switch_to(websocket, websocket.direct)
        websocket.open(parcels)
    server.opened(connection)
    websocket.serve()
    return SWITCHED


def upgrade(server: EngineServer, request: Request, connection: Connection, cors: HeaderList) -> Answer:
    """Answer a handshake whose session polls: the WebSocket becomes its candidate."""
    refusal = check_upgrade(request)
    if refusal is not None:
        return refuse(server, request, refusal, cors)
    websocket = _accept(server, request, connection, session_headers(server, request, cors))
    if isinstance(websocket, Refusal):
        return refuse(server, request, websocket, cors)
    with connection.lock:
        websocket.send_handshake()
    polling = connection.transport
    is_on = isinstance(polling, PollingTransport) and Upgrade(connection, polling, websocket).begin()
    websocket.serve(is_on)
    return SWITCHED


def _accept(
    server: EngineServer, request: Request, connection: Connection, headers: HeaderList
) -> WebSocketTransport | SimpleWebSocketTransport | Refusal:
    """Take the client's socket, by ourselves or with simple-websocket."""
    try:
        # our own server, and what another worker has passed on, are unknown to the library
        if server.options.ws_engine == "simple-websocket" and not is_ours(request.environ):
            return SimpleWebSocketTransport(connection, accept(request.environ, server.options.max_http_buffer_size))
        taken = server.take(request.environ)
    except RuntimeError as error:
        server.notices.warn("simple-websocket", 'no WebSocket is possible with ws_engine="simple-websocket", so clients poll: %s', error)
        return bad_request("TRANSPORT_HANDSHAKE_ERROR", message=str(error))
    except CannotTake as error:
        tell_no_takeover(server, str(error))
        return bad_request("TRANSPORT_HANDSHAKE_ERROR", message=str(error))
    deflate, extension = _agree_on_deflate(server, request, taken)
    head = b"" if taken.handshaken else handshake.response_head(request.environ, headers + extension)
    return WebSocketTransport(connection, taken.stream, taken.leftover, deflate, head)


def _agree_on_deflate(server: EngineServer, request: Request, taken: Taken) -> tuple[Deflate | None, HeaderList]:
    """Agree on permessage-deflate if both sides want it; a handshake that was made for us has said no."""
    options = server.deflate_options
    deflate = None
    if options is not None and not taken.handshaken:
        deflate = negotiate(request.header("Sec-WebSocket-Extensions") or "", options)
    return deflate, [] if deflate is None else [("Sec-WebSocket-Extensions", deflate.response)]


def _is_shaken(request: Request) -> bool:
    """gevent-websocket's handler has answered 101 before the application is asked."""
    return request.environ.get("wsgi.websocket") is not None
