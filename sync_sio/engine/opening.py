"""A request that wants a session: may it have one, under which id, and what is it told first?"""

from __future__ import annotations

import logging
import re
from base64 import urlsafe_b64encode
from os import urandom
from typing import TYPE_CHECKING, Final

from ..errors import RequestRefused
from ..protocol.engineio.packet import open_packet
from ..protocol.parcel import Parcel
from ..types import HeaderList
from ..wsgi.environ import Request, compact
from ..wsgi.takeover import may_take
from .accepting import check_upgrade, open_websocket
from .connection import Connection
from .forms import Form3, OldReceiver
from .headers import cookie_lines, session_headers
from .old_connection import OldConnection
from .polling import PollingTransport
from .requests import FORBIDDEN, PROTOCOL, Refusal, bad_request, check_handshake, check_protocol
from .responses import Answer, body_answer, busy, refuse, reply_to, tell_no_takeover

if TYPE_CHECKING:
    from .server import EngineServer

logger = logging.getLogger("sync_sio.engine")

_SID: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")


def open_session(server: EngineServer, request: Request, cors: HeaderList) -> Answer:
    connection = begin_session(server, request)
    if connection is None:
        return busy(server, cors)
    if isinstance(connection, Refusal):
        return refuse(server, request, connection, cors)
    try:
        if request.is_upgrade:
            return open_websocket(server, request, connection, _first_parcels(server, connection, []), cors)
        return _open_polling(server, request, connection, cors)
    except Exception:
        connection.discard()                # if it has not begun: nobody knows of it, and no heartbeat would find it
        raise


def begin_session(server: EngineServer, request: Request) -> Connection | Refusal | None:
    """Judge a request that wants a session, and register the connection, which has to be opened. None: there is no room for more."""
    refusal = (
        check_handshake(request) or _ask_application(server, request) or check_protocol(request, server.options) or check_upgrade(request)
    )
    if refusal is not None:
        return refusal
    sid = _new_id(server, request)
    if isinstance(sid, Refusal):
        return sid
    environ, scheme = request.environ, request.scheme
    if environ.get("wsgi.url_scheme") != scheme:
        # what a trusted proxy states is what the application shall see, as with any other proxy middleware
        environ = {**environ, "wsgi.url_scheme": scheme}
    connection: Connection
    if request.query.get("EIO") == PROTOCOL:
        connection = Connection(server, sid, compact(environ), request.remote_address)
        connection.transport = PollingTransport(connection)
        connection.receiver = server.receiver(connection)
    else:
        connection = OldConnection(server, sid, compact(environ), request.remote_address)
        connection.takes_bytes = not request.query.get("b64") and "j" not in request.query
        connection.transport = PollingTransport(connection, Form3(connection.takes_bytes, request.query.get("j")))
        connection.receiver = OldReceiver(server.receiver(connection))
    if server.register(connection):
        return connection
    connection.discard()
    if not server.is_closed and sid in server.connections and server.generate_id is not None:
        logger.warning("generate_id returned %r, which is taken: ids must be unique", sid)
        return bad_request("ID_GENERATION_ERROR")
    if not server.is_closed:
        server.notices.warn("max_connections", "max_connections=%d are there: refusing more", server.options.max_connections)
    return None


def _open_polling(server: EngineServer, request: Request, connection: Connection, cors: HeaderList) -> Answer:
    options = server.options
    upgrades = []
    if options.allow_upgrades and "websocket" in options.transports:
        reason = may_take(request.environ)
        if reason is None:
            upgrades = ["websocket"]
        else:
            tell_no_takeover(server, reason)
    assert isinstance(connection.transport, PollingTransport)
    form = connection.transport.form
    parcels = _first_parcels(server, connection, upgrades)
    headers = [*session_headers(server, request, cors, is_first=True), *cookie_lines(server, request, connection.id)]
    server.opened(connection)
    return body_answer(server, reply_to(server, request, headers), form.body(parcels))


def _first_parcels(server: EngineServer, connection: Connection, upgrades: list[str]) -> list[Parcel]:
    options = server.options
    handshake = open_packet(
        connection.id, upgrades, options.ping_interval, options.ping_timeout, options.max_http_buffer_size
    )
    parcels = [Parcel.control(handshake)]
    initial = options.initial_packet
    if initial is not None:
        parcel = Parcel(initial.encode()) if isinstance(initial, str) else Parcel(None, (initial,))
        parcels.append(connection.form_of(parcel) if isinstance(connection, OldConnection) else parcel)
    return parcels


def _ask_application(server: EngineServer, request: Request) -> Refusal | None:
    allow = server.options.allow_request
    if allow is None:
        return None
    try:
        is_allowed = allow(request.environ)
    except RequestRefused as error:
        return Refusal(FORBIDDEN, {"message": error.message}, error.message)
    except Exception:
        logger.exception("allow_request failed, so the request is refused")
        is_allowed = False
    return Refusal(FORBIDDEN, {"message": "Forbidden"}) if is_allowed is False else None


def _new_id(server: EngineServer, request: Request) -> str | Refusal:
    generate = server.generate_id
    if generate is None:
        sid = urlsafe_b64encode(urandom(15)).decode()
        return sid if server.routing is None else server.routing.session_id(sid)
    try:
        generated: object = generate(request.environ)
    except Exception:
        logger.exception("generate_id failed, so the request is refused")
        return bad_request("ID_GENERATION_ERROR")
    if not isinstance(generated, str) or not _SID.fullmatch(generated):
        logger.warning("generate_id returned %r: a str of 1 to 128 letters, digits, '-' and '_' is wanted", generated)
        return bad_request("ID_GENERATION_ERROR")
    return generated
