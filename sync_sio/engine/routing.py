"""A request whose session is another worker's: it is passed on, with the client's connection, and answered there.

The descriptor goes over the bus, and this worker's web server keeps a stand-in. The owner serves the connection as our embedded server
would: the request is asked of its own door, may be parked, upgraded, or taken over, and the connection ends with the answer, as the
client's next request on it might be for somebody else. Where the descriptor cannot be passed (TLS is in this process, or the
web server keeps its sockets to itself), the owner gets one end of a pair, and the bytes go through this worker.

What another worker is told of a request are the strings of its environ; objects that middleware has put there stay here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ..drivers.base import Habit
from ..drivers.keeping import PlainSocket
from ..errors import PayloadTooLarge
from ..protocol import json
from ..types import Environ, HeaderList, StartResponse
from ..workers.bus import Bus
from ..workers.meeting import CannotMeet, Meeting
from ..wsgi.environ import Request
from ..wsgi.hosting import program_of
from ..wsgi.relay import Pump, Relay, pair
from ..wsgi.service import Service
from ..wsgi.serving import HttpConnection
from ..wsgi.takeover import ASKED, HANDSHAKEN, CannotTake
from .requests import bad_request
from .responses import PARKED, SWITCHED, Answer, busy, refuse, tell_no_takeover

if TYPE_CHECKING:
    from .server import EngineServer

WIRE: Final = 1
"""What workers say to each other, as a number: those of another release may say it otherwise."""
LOOK: Final = 5.0
"""Seconds between two looks whether a client is too slow to take its answer."""
_PLAIN: Final = (str, bool, int, type(None))
_NOT_SENT: Final = frozenset({"HTTP_TRANSFER_ENCODING", "CONTENT_LENGTH", "wsgi.input_terminated"})
_HEAD: Final = "{method} / HTTP/1.1\r\nHost: passed\r\nContent-Length: {length}\r\n\r\n"


class Routing:
    """What one engine server has to do with other workers.

    Args:
        environ: the first request.

    Raises:
        CannotMeet: there is no way to the others. The message says why.
    """

    def __init__(self, server: EngineServer, environ: Environ) -> None:
        self._server = server
        self._connections: set[HttpConnection] = set()
        self._habits: dict[str, Habit] = {}
        self._is_looking = False
        self.bus = Bus(Meeting(f"{WIRE} {program_of(environ)} {server.purpose}"), server.driver, self._arrived)

    def session_id(self, random: str) -> str:
        """Return an id that says whose the session is, of the same length."""
        return self.bus.id + random[len(self.bus.id) :]

    def audit(self, found: list[str]) -> list[str]:
        """Return what the driver has found without what stays while the server does, and with the requests that are not answered."""
        passed = [f"passed on to us: {connection!r}" for connection in list(self._connections)]
        return passed + [what for what in found if not what.startswith(("watched: <bus", "a timer: Bus.", "a timer: Routing."))]

    # -- to the owner --------------------------------------------------------------------------------------------------------

    def pass_on(self, request: Request, cors: HeaderList) -> Answer | None:
        """Have a session's owner answer this request. None: there is nobody whose it could be."""
        server = self._server
        asked: list[str] = request.environ.get(ASKED) or []
        worker = self._owner(request.query["sid"], asked)
        if worker is None:
            return None
        try:
            body = b"" if request.is_upgrade else request.read_body(server.options.max_http_buffer_size)
        except PayloadTooLarge as error:
            server.notices.warn("max_http_buffer_size", "%s: raise max_http_buffer_size if such messages are wanted", error)
            return Answer(413, [*cors, ("Content-Length", "0")])
        except ConnectionError:
            return Answer(400, [*cors, ("Content-Length", "0")])
        try:
            taken = server.take(request.environ)
        except CannotTake as error:
            tell_no_takeover(server, str(error))
            if request.is_upgrade:
                return refuse(server, request, bad_request("TRANSPORT_HANDSHAKE_ERROR", message=str(error)), cors)
            return self._relay(worker, request, asked, body, cors)
        data = _described(request, [*asked, self.bus.id], body, taken.leftover, taken.handshaken)
        if taken.stream.is_tls:
            near, far = pair()
            is_sent = self.bus.hand_over(worker, data, far)
            if is_sent:
                Pump(server.driver, near, taken.stream).start()
            else:
                near.close()
                far.close()
                taken.stream.close()
        elif not (is_sent := self.bus.hand_over(worker, data, taken.stream)):
            taken.stream.close()            # its owner has died just now: the client finds its connection closed, and comes back
        return SWITCHED if request.is_upgrade else PARKED

    def _owner(self, sid: str, asked: list[str]) -> str | None:
        """Return whom to ask: who has made the id; where users make ids, one after the other."""
        if self._server.generate_id is None:
            owner = self.bus.owner(sid)
            return None if owner in asked else owner
        return next((worker for worker in sorted(self.bus.workers) if worker not in asked), None)

    def _relay(self, worker: str, request: Request, asked: list[str], body: bytes, cors: HeaderList) -> Answer:
        """Wait for the owner's answer, and give it in our name."""
        near, far = pair()
        relay = Relay(self._server.driver, near)
        if not self.bus.hand_over(worker, _described(request, [*asked, self.bus.id], body), far):
            far.close()
            relay.close()
            return busy(self._server, cors)
        answer = relay.wait()
        return busy(self._server, cors) if answer is None else Answer(*answer)

    # -- from another worker -------------------------------------------------------------------------------------------------

    def _arrived(self, payload: bytes, number: int) -> None:
        """A request is passed to us (phase one)."""
        described, _, rest = payload.partition(b"\n")
        environ, length = json.decode(described)
        environ["wsgi.input_terminated"] = True
        sock = PlainSocket(fileno=number)
        try:
            connection = HttpConnection(sock, None, self._service(environ))
        except OSError:                     # it has gone already, on some platforms
            sock.close()
            return
        self._connections.add(connection)
        if not self._is_looking:
            self._is_looking = True
            self._server.driver.later(LOOK, self._look)
        head = _HEAD.format(method=environ["REQUEST_METHOD"], length=length)
        connection.begin_with(head.encode("latin-1") + rest)

    def _service(self, passed: Environ) -> Service:
        handle = self._server._door.handle

        def ask(environ: Environ, start_response: StartResponse) -> Any:
            return handle({**environ, **passed}, start_response)

        return Service(ask, {}, self._server.driver, None, self._connections, self._habits)

    def _look(self) -> None:
        now = self._server.driver.now()
        for connection in list(self._connections):
            connection.look(now)
        self._is_looking = bool(self._connections)
        if self._is_looking:
            self._server.driver.later(LOOK, self._look)


def _described(request: Request, asked: list[str], body: bytes, leftover: bytes = b"", is_handshaken: bool = False) -> bytes:
    environ: dict[str, Any] = {
        key: value for key, value in request.environ.items() if type(value) in _PLAIN and key not in _NOT_SENT
    }
    environ["CONTENT_LENGTH"] = str(len(body))
    environ[ASKED] = asked
    if is_handshaken:
        environ[HANDSHAKEN] = True
    text, _ = json.encode([environ, len(body)])
    return b"".join((text, b"\n", body, leftover))


__all__ = ["CannotMeet", "Routing"]
