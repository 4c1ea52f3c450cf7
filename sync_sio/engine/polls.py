"""The requests of a session that polls: a GET that takes what waits, or waits itself, and a POST that brings packets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import PayloadTooLarge
from ..types import HeaderList
from ..wsgi.environ import Request
from ..wsgi.takeover import CannotTake, parking_of
from .headers import session_headers
from .polling import PollingTransport, Ticket
from .responses import PARKED, Answer, body_answer, reply_to, tell_no_takeover

if TYPE_CHECKING:
    from .server import EngineServer


def poll(server: EngineServer, request: Request, polling: PollingTransport, cors: HeaderList) -> Answer:
    reply = reply_to(server, request, session_headers(server, request, cors))
    got = polling.get(reply)
    if got is None:
        return Answer(400, [*cors, ("Content-Length", "0")])
    if not isinstance(got, Ticket):
        return body_answer(server, reply, got)
    parking = parking_of(request.environ)
    if parking is not None and polling.park(got, parking):
        return PARKED
    try:
        taken = server.take(request.environ)
    except CannotTake as error:
        tell_no_takeover(server, str(error))
        return body_answer(server, reply, polling.wait(got))
    polling.attach(got, taken.stream)
    return PARKED


def post(server: EngineServer, request: Request, polling: PollingTransport, cors: HeaderList) -> Answer:
    connection = polling.connection
    empty = [*cors, ("Content-Length", "0")]
    content_type = request.header("Content-Type") or ""
    if not polling.form.takes(content_type):
        connection.end("transport error", "invalid content")
        return Answer(400, empty)
    if not polling.begin_post():
        return Answer(400, empty)
    try:
        body = request.read_body(server.options.max_http_buffer_size)
        headers = session_headers(server, request, cors)
        polling.feed(body, content_type)
    except PayloadTooLarge as error:
        server.notices.warn("max_http_buffer_size", "%s: raise max_http_buffer_size if such messages are wanted", error)
        return Answer(413, empty)
    except ConnectionError:
        connection.end("transport error", "data request connection closed prematurely")
        return Answer(400, empty)
    finally:
        polling.end_post()
    return Answer(200, [*headers, ("Content-Type", "text/html"), ("Content-Length", "2")], b"ok")
