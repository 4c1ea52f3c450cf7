"""The WSGI door of the engine: a request comes in, is judged, and becomes a session, a poll, a POST or a WebSocket.

User functions that decide about requests run here, on the web server's thread: `allow_request`, `generate_id`, origins, cookies,
header listeners. This is one of the walls: what they raise is logged once and answered.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from secrets import token_urlsafe
from typing import TYPE_CHECKING, Any, Final

from ..errors import PayloadTooLarge, RequestRefused
from ..protocol import json
from ..protocol.engineio.packet import open_packet
from ..protocol.engineio.payload import encode_payload
from ..protocol.http import reason_phrase
from ..protocol.parcel import Parcel
from ..protocol.websocket import handshake
from ..protocol.websocket.deflate import Deflate, negotiate
from ..types import Environ, HeaderList, StartResponse
from ..wsgi.environ import Request, compact
from ..wsgi.takeover import CannotTake, Taken, hurry, may_take
from .connection import Connection
from .outbox import Outbox
from .polling import PollingTransport, Ticket
from .requests import (
    FORBIDDEN,
    Refusal,
    bad_request,
    check_handshake,
    check_protocol,
    check_session,
    check_transport,
)
from .responses import NO_STORE, PARKED, SWITCHED, Answer, cookie_value, for_old_browsers, header_lines, text_answer
from .simple_websocket import SimpleWebSocketTransport, accept
from .state import CLOSED
from .upgrade import Upgrade
from .websocket import WebSocketTransport

if TYPE_CHECKING:
    from .server import EngineServer

logger = logging.getLogger("sync_sio.engine")

RETRY_AFTER: Final = "5"
_SID: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")
_HEADER_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


@dataclass(frozen=True, slots=True)
class RequestError:
    """What `connection_error` listeners get."""

    code: int
    message: str
    context: Mapping[str, object]
    request: Environ


class Door:
    """Answers the requests of one engine server. Holds no state of its own; any number of threads at once."""

    def __init__(self, server: EngineServer) -> None:
        self._server = server

    def handle(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        request = Request(environ, self._server.options.trusted_proxies)
        try:
            answer = self._answer(request)
        except (StopIteration, ConnectionResetError):
            raise                           # a blocking WebSocket's end, as this web server wants it
        except Exception:
            logger.exception("a request failed: %s %s", request.method, request.path)
            answer = Answer(500, [("Content-Length", "0")])
        start_response(f"{answer.status} {reason_phrase(answer.status)}", answer.headers)
        return [answer.body] if answer.body and request.method != "HEAD" else []

    def _answer(self, request: Request) -> Answer:
        server = self._server
        if server.is_closed:
            return self._busy([])
        server.start(request.environ)
        if not request.is_upgrade:
            hurry(request.environ)
        cors: HeaderList = []
        if request.origin is not None and not _HEADER_VALUE.fullmatch(request.origin):
            return self._refuse(request, bad_request("INVALID_ORIGIN"), cors)
        if not server.origins.may(request.origin, request.environ, request.host, request.stated_scheme):
            server.notices.warn(
                f"origin {request.origin}",
                "refused the origin %r, as this server is %r: if it is yours, add it to cors_allowed_origins",
                request.origin,
                request.host,
            )
            return self._refuse(request, Refusal(FORBIDDEN, {"origin": request.origin, "host": request.host}), cors)
        cors = server.origins.headers(request.origin, request.environ)
        if request.method == "OPTIONS" and cors:
            asked = request.header("Access-Control-Request-Headers")
            return Answer(204, [*server.origins.preflight(request.origin, asked, request.environ), ("Content-Length", "0")])
        refusal = check_transport(request, server.options)
        if refusal is not None:
            return self._refuse(request, refusal, cors)
        if request.query.get("sid"):
            return self._session(request, cors)
        return self._handshake(request, cors)

    # -- a new session -----------------------------------------------------------------------------------------------------

    def _handshake(self, request: Request, cors: HeaderList) -> Answer:
        server = self._server
        refusal = check_handshake(request) or self._ask_application(request) or check_protocol(request)
        if refusal is not None:
            return self._refuse(request, refusal, cors)
        is_websocket = request.is_upgrade
        reason = handshake.check(request.environ) if is_websocket and not _is_shaken(request) else None
        if reason is not None:
            return self._refuse(request, bad_request("TRANSPORT_HANDSHAKE_ERROR", message=reason), cors)
        sid = self._new_id(request)
        if isinstance(sid, Refusal):
            return self._refuse(request, sid, cors)
        # what a trusted proxy states is what the application shall see, as with any other proxy middleware
        environ = {**request.environ, "wsgi.url_scheme": request.scheme}
        connection = Connection(server, sid, compact(environ), request.remote_address)
        connection.transport = PollingTransport(connection)
        connection.receiver = server.receiver(connection)
        if not server.register(connection):
            if server.is_closed:
                return self._busy(cors)
            if sid in server.connections and server.generate_id is not None:
                logger.warning("generate_id returned %r, which is taken: ids must be unique", sid)
                return self._refuse(request, bad_request("ID_GENERATION_ERROR"), cors)
            server.notices.warn("max_connections", "max_connections=%d are there: refusing more", server.options.max_connections)
            return self._busy(cors)
        if is_websocket:
            return self._open_websocket(request, connection, cors)
        return self._open_polling(request, connection, cors)

    def _open_polling(self, request: Request, connection: Connection, cors: HeaderList) -> Answer:
        server = self._server
        options = server.options
        upgrades = []
        if options.allow_upgrades and "websocket" in options.transports:
            reason = may_take(request.environ)
            if reason is None:
                upgrades = ["websocket"]
            else:
                self._tell_no_takeover(reason)
        parcels = self._opening(connection, upgrades)
        headers = [*self._headers(request, cors, is_first=True), *self._cookie(request, connection)]
        server.opened(connection)
        return text_answer(headers, encode_payload(parcel.payload for parcel in parcels))

    def _open_websocket(self, request: Request, connection: Connection, cors: HeaderList) -> Answer:
        server = self._server
        if server.options.ws_engine == "simple-websocket":
            return self._open_simple(request, connection, cors)
        headers = self._headers(request, cors, is_first=True)
        try:
            taken = server.take(request.environ)
        except CannotTake as error:
            server.forget(connection)
            self._tell_no_takeover(str(error))
            return self._refuse(request, bad_request("TRANSPORT_HANDSHAKE_ERROR", message=str(error)), cors)
        deflate, extension = self._deflate(request, taken)
        websocket = WebSocketTransport(connection, taken.stream, taken.leftover, deflate)
        first = b"" if taken.handshaken else handshake.response_head(request.environ, headers + extension)
        frames = b"".join([parcel.frames for parcel in self._opening(connection, [])])
        with connection.lock:
            connection.transport = connection.direct = websocket
            websocket.send_raw(first + frames)
        server.opened(connection)
        websocket.start()
        if connection.state is CLOSED:
            websocket.finish()              # it ended while it was on its way to this transport
        if server.is_closed:
            server.driver.discard(websocket)        # the loop may have ended: nobody else would
        return SWITCHED

    def _open_simple(self, request: Request, connection: Connection, cors: HeaderList) -> Answer:
        try:
            transport = self._simple(request, connection)
        except RuntimeError as error:
            self._server.forget(connection)
            return self._refuse(request, bad_request("TRANSPORT_HANDSHAKE_ERROR", message=str(error)), cors)
        with connection.lock:
            connection.transport = transport
            connection.outbox = Outbox()
            for parcel in self._opening(connection, []):
                connection.outbox.append(parcel)
        self._server.opened(connection)
        return self._stay(transport)

    def _simple(self, request: Request, connection: Connection) -> SimpleWebSocketTransport:
        return SimpleWebSocketTransport(connection, accept(request.environ, self._server.options.max_http_buffer_size))

    def _stay(self, transport: SimpleWebSocketTransport) -> Answer:
        """Read on the web server's thread until the WebSocket is over."""
        self._server.driver.spawn(transport.write)
        transport.read()
        transport.end_of_call()
        return SWITCHED

    def _opening(self, connection: Connection, upgrades: list[str]) -> list[Parcel]:
        options = self._server.options
        parcels = [
            Parcel.control(
                open_packet(connection.id, upgrades, options.ping_interval, options.ping_timeout, options.max_http_buffer_size)
            )
        ]
        initial = options.initial_packet
        if initial is not None:
            parcels.append(Parcel(initial.encode()) if isinstance(initial, str) else Parcel(None, (initial,)))
        return parcels

    def _ask_application(self, request: Request) -> Refusal | None:
        allow = self._server.options.allow_request
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

    def _new_id(self, request: Request) -> str | Refusal:
        generate = self._server.generate_id
        if generate is None:
            return token_urlsafe(15)
        try:
            sid: object = generate(request.environ)
        except Exception:
            logger.exception("generate_id failed, so the request is refused")
            return bad_request("ID_GENERATION_ERROR")
        if not isinstance(sid, str) or not _SID.fullmatch(sid):
            logger.warning("generate_id returned %r: a str of 1 to 128 letters, digits, '-' and '_' is wanted", sid)
            return bad_request("ID_GENERATION_ERROR")
        return sid

    # -- an existing session -----------------------------------------------------------------------------------------------

    def _session(self, request: Request, cors: HeaderList) -> Answer:
        connection = self._server.connections.get(request.query["sid"])
        refusal = check_session(request, connection)
        if refusal is not None:
            return self._refuse(request, refusal, cors)
        assert connection is not None
        if request.is_upgrade:
            return self._upgrade(request, connection, cors)
        polling = connection.transport
        if not isinstance(polling, PollingTransport):
            # upgraded since the check
            return self._refuse(request, bad_request("TRANSPORT_MISMATCH"), cors)
        if request.method == "GET":
            return self._poll(request, polling, cors)
        if request.method == "POST":
            return self._post(request, polling, cors)
        return Answer(500, [*cors, ("Content-Length", "0")])

    def _poll(self, request: Request, polling: PollingTransport, cors: HeaderList) -> Answer:
        headers = self._headers(request, cors)
        got = polling.get(headers)
        if got is None:
            return Answer(400, [*cors, ("Content-Length", "0")])
        if not isinstance(got, Ticket):
            return text_answer(headers, got)
        try:
            taken = self._server.take(request.environ)
        except CannotTake as error:
            self._tell_no_takeover(str(error))
            return text_answer(headers, polling.wait(got))
        polling.attach(got, taken.stream)
        return PARKED

    def _post(self, request: Request, polling: PollingTransport, cors: HeaderList) -> Answer:
        connection = polling.connection
        empty = [*cors, ("Content-Length", "0")]
        if request.header("Content-Type") == "application/octet-stream":
            connection.end("transport error", "invalid content")
            return Answer(400, empty)
        if not polling.begin_post():
            return Answer(400, empty)
        try:
            body = request.read_body(self._server.options.max_http_buffer_size)
            headers = self._headers(request, cors)
            polling.feed(body)
        except PayloadTooLarge as error:
            self._server.notices.warn("max_http_buffer_size", "%s: raise max_http_buffer_size if such messages are wanted", error)
            return Answer(413, empty)
        except ConnectionError:
            connection.end("transport error", "data request connection closed prematurely")
            return Answer(400, empty)
        finally:
            polling.end_post()
        return Answer(200, [*headers, ("Content-Type", "text/html"), ("Content-Length", "2")], b"ok")

    def _upgrade(self, request: Request, connection: Connection, cors: HeaderList) -> Answer:
        server = self._server
        reason = None if _is_shaken(request) else handshake.check(request.environ)
        if reason is not None:
            return self._refuse(request, bad_request("TRANSPORT_HANDSHAKE_ERROR", message=reason), cors)
        if server.options.ws_engine == "simple-websocket":
            return self._upgrade_simple(request, connection, cors)
        headers = self._headers(request, cors)
        try:
            taken = server.take(request.environ)
        except CannotTake as error:
            self._tell_no_takeover(str(error))
            return self._refuse(request, bad_request("TRANSPORT_HANDSHAKE_ERROR", message=str(error)), cors)
        deflate, extension = self._deflate(request, taken)
        websocket = WebSocketTransport(connection, taken.stream, taken.leftover, deflate)
        polling = connection.transport
        if not taken.handshaken:
            with connection.lock:
                websocket.send_handshake(handshake.response_head(request.environ, headers + extension))
        is_on = isinstance(polling, PollingTransport) and Upgrade(connection, polling, websocket).begin()
        websocket.start()
        if not is_on:
            websocket.finish()
        if server.is_closed:
            server.driver.discard(websocket)        # the loop may have ended: nobody else would
        return SWITCHED

    def _upgrade_simple(self, request: Request, connection: Connection, cors: HeaderList) -> Answer:
        try:
            transport = self._simple(request, connection)
        except RuntimeError as error:
            return self._refuse(request, bad_request("TRANSPORT_HANDSHAKE_ERROR", message=str(error)), cors)
        polling = connection.transport
        if not isinstance(polling, PollingTransport) or not Upgrade(connection, polling, transport).begin():
            transport.finish()
        return self._stay(transport)

    def _deflate(self, request: Request, taken: Taken) -> tuple[Deflate | None, HeaderList]:
        """Agree on permessage-deflate if both sides want it; a handshake that was made for us has said no."""
        options = self._server.deflate_options
        deflate = None
        if options is not None and not taken.handshaken:
            deflate = negotiate(request.header("Sec-WebSocket-Extensions") or "", options)
        return deflate, [] if deflate is None else [("Sec-WebSocket-Extensions", deflate.response)]

    # -- headers and refusals --------------------------------------------------------------------------------------------------

    def _headers(self, request: Request, cors: HeaderList, is_first: bool = False) -> HeaderList:
        """Return the headers of a session's response, with what the listeners made of them."""
        server = self._server
        if not server.events.has("headers") and not (is_first and server.events.has("initial_headers")):
            return [*cors, NO_STORE, *for_old_browsers(request)]
        headers: dict[str, Any] = {}
        for name, value in (*cors, NO_STORE, *for_old_browsers(request)):
            headers[name] = value
        for event in ("initial_headers", "headers") if is_first else ("headers",):
            for listener in server.events.take(event):
                try:
                    listener(headers, request.environ)
                except Exception:
                    logger.exception("a listener of %r failed", event)
        return header_lines(headers)

    def _cookie(self, request: Request, connection: Connection) -> HeaderList:
        cookie = self._server.options.cookie
        if cookie is None:
            return []
        if callable(cookie):
            cookie = cookie(request.environ)
        if isinstance(cookie, str):
            cookie = {"name": cookie}
        return [("Set-Cookie", cookie_value(connection.id, cookie))]

    def _refuse(self, request: Request, refusal: Refusal, cors: HeaderList) -> Answer:
        server = self._server
        if refusal.code == 5:
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

    def _busy(self, cors: HeaderList) -> Answer:
        return Answer(503, [*cors, ("Retry-After", RETRY_AFTER), ("Content-Length", "0")])

    def _tell_no_takeover(self, reason: str) -> None:
        self._server.notices.warn(
            "takeover",
            "no WebSocket is possible on this web server, so clients poll, and a poll that waits holds a thread: %s",
            reason,
        )


def _is_shaken(request: Request) -> bool:
    """gevent-websocket's handler has answered 101 before the application is asked."""
    return request.environ.get("wsgi.websocket") is not None
