"""The WSGI door of the engine: a request comes in, is judged, and goes to whoever answers it: `opening`, `polls` or `accepting`.

User functions that decide about requests run here, on the web server's thread: `allow_request`, `generate_id`, origins, cookies,
header listeners. This is one of the walls: what they raise is logged once and answered.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from ..protocol.http import reason_phrase
from ..types import Environ, HeaderList, StartResponse
from ..wsgi.environ import Request
from ..wsgi.takeover import hurry
from .accepting import upgrade
from .opening import open_session
from .polling import PollingTransport
from .polls import poll, post
from .requests import FORBIDDEN, Refusal, bad_request, check_session, check_transport
from .responses import Answer, busy, refuse
from .surroundings import look_around

if TYPE_CHECKING:
    from .server import EngineServer

logger = logging.getLogger("sync_sio.engine")

_HEADER_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


class Door:
    """Answers the requests of one engine server. Holds no state of its own; any number of threads at once."""

    def __init__(self, server: EngineServer) -> None:
        self._server = server

    def handle(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        request = Request(environ, self._server.options.trusted_proxies)
        cors: HeaderList = []
        try:
            cors += self._server.origins.headers(request.origin, environ)
            answer = self._answer(request, start_response, cors)
        except (StopIteration, ConnectionResetError):
            raise                           # a blocking WebSocket's end, as this web server wants it
        except Exception:
            logger.exception("a request failed: %s %s", request.method, request.path)
            answer = Answer(500, [*cors, ("Content-Length", "0")])
        start_response(f"{answer.status} {reason_phrase(answer.status)}", answer.headers)
        return [answer.body] if answer.body and request.method != "HEAD" else []

    def _answer(self, request: Request, start_response: StartResponse, cors: HeaderList) -> Answer:
        server = self._server
        if server.is_closed:
            return busy(server, cors)
        server.start(request.environ)
        if server.routing is not None and not server.routing.is_ready:
            server.routing.wait_until_ready()
        if not server.has_looked_around:
            server.has_looked_around = True
            look_around(server, request.environ, start_response)
        if not request.is_upgrade:
            hurry(request.environ)
        refusal = self._judge_origin(request)
        if refusal is not None:
            return refuse(server, request, refusal, cors)
        if request.method == "OPTIONS" and cors:
            asked = request.header("Access-Control-Request-Headers")
            return Answer(204, [*server.origins.preflight(request.origin, asked, request.environ), ("Content-Length", "0")])
        refusal = check_transport(request, server.options)
        if refusal is not None:
            return refuse(server, request, refusal, cors)
        if request.query.get("sid"):
            return self._of_session(request, cors)
        return open_session(server, request, cors)

    def _judge_origin(self, request: Request) -> Refusal | None:
        server, origin = self._server, request.origin
        if not origin:
            return None                     # no page's
        if not _HEADER_VALUE.fullmatch(origin):
            return bad_request("INVALID_ORIGIN")
        if server.origins.may(origin, request.environ, request.host, request.stated_scheme):
            return None
        server.notices.warn(
            f"origin {origin}",
            "refused the origin %r, as this server is %r: if it is yours, add it to cors_allowed_origins",
            origin,
            request.host,
        )
        return Refusal(FORBIDDEN, {"origin": origin, "host": request.host})

    def _of_session(self, request: Request, cors: HeaderList) -> Answer:
        server = self._server
        connection = server.connections.get(request.query["sid"])
        if connection is None and server.routing is not None:
            answer = server.routing.pass_on(request, cors)
            if answer is not None:
                return answer
        refusal = check_session(request, connection)
        if refusal is not None:
            return refuse(server, request, refusal, cors)
        assert connection is not None
        if request.is_upgrade:
            return upgrade(server, request, connection, cors)
        polling = connection.transport
        if not isinstance(polling, PollingTransport):
            # upgraded since the check
            return refuse(server, request, bad_request("TRANSPORT_MISMATCH"), cors)
        if request.method == "GET":
            return poll(server, request, polling, cors)
        if request.method == "POST":
            return post(server, request, polling, cors)
        return Answer(500, [*cors, ("Content-Length", "0")])
