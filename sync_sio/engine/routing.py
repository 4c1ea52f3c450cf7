"""A request whose session is another server's: it is passed on, with the client's connection, and answered there.

To a worker of this machine the descriptor goes over the bus, and this worker's web server keeps a stand-in. The owner serves the
connection as our embedded server would: the request is asked of its own door, may be parked, upgraded, or taken over, and the
connection ends with the answer, as the client's next request on it might be for somebody else. Where the descriptor cannot be passed (TLS
is in this process, or the web server keeps its sockets to itself), the owner gets one end of a pair, and the bytes go through this worker.
To a server elsewhere they go through a `Carrier`, which gives that one an end of a pair, too.

What another server is told of a request are the strings of its environ; objects that middleware has put there stay here.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from ..drivers.base import Habit, Stream
from ..drivers.keeping import PlainSocket
from ..errors import PayloadTooLarge
from ..protocol import json
from ..types import Environ, HeaderList, StartResponse
from ..workers.bus import READY_TIMEOUT, Bus
from ..workers.carrier import Carrier
from ..workers.meeting import ID_LENGTH, CannotMeet, Meeting, new_id
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


HandOver = Callable[[bytes, Stream], bool]
"""Gives a request, and the connection that it came on, to its session's owner. False: nobody is there any more."""


class Routing:
    """What one engine server has to do with others.

    Args:
        environ: a request of a web server that has several workers: find them. None: there are none.

    Attributes:
        id: this server's, with which the ids of its sessions begin.
        bus: to the workers of this machine.
        is_ready: others can pass requests to this server, or have had the time to be able to.

    Raises:
        CannotMeet: there is no way to the other workers. The message says why.
    """

    def __init__(self, server: EngineServer, environ: Environ | None = None) -> None:
        self._server = server
        self._connections: set[HttpConnection] = set()
        self._habits: dict[str, Habit] = {}
        self._is_looking = False
        self._carrier: Carrier | None = None
        self.is_ready = False
        self.bus: Bus | None = None
        if environ is not None:
            meeting = Meeting(f"{WIRE} {program_of(environ)} {server.purpose}")
            self.bus = Bus(meeting, server.driver, self._arrived, server.notices.warn)
        self.id = new_id() if self.bus is None else self.bus.id

    def go_far(self, carrier: Carrier) -> None:
        """Reach servers elsewhere, too, and be reached by them."""
        self._carrier = carrier
        carrier.start(self.id, self._arrived)

    def wait_until_ready(self) -> None:
        """Block until sessions of this server can be found by others, for a moment at most."""
        if self.bus is not None:
            self.bus.wait_until_ready()
        if self._carrier is not None:
            self._carrier.wait_until_ready(READY_TIMEOUT)
        self.is_ready = True

    def session_id(self, random: str) -> str:
        """Return an id that says whose the session is, of the same length."""
        return self.id + random[ID_LENGTH:]

    def close(self) -> None:
        """Leave the other workers; what reaches further is not ours."""
        if self.bus is not None:
            self.bus.close()

    def abandon(self) -> None:
        """This is the child of a fork."""
        if self.bus is not None:
            self.bus.abandon()

    def audit(self, found: list[str]) -> list[str]:
        """Return what the driver has found without what stays while the server does, and with the requests that are not answered."""
        passed = [f"passed on to us: {connection!r}" for connection in list(self._connections)]
        ours = ("watched: <bus", "a timer: Bus.", "a timer: Routing.", "a timer: Routes.")
        return passed + [what for what in found if not what.startswith(ours)]

    # -- to the owner --------------------------------------------------------------------------------------------------------

    def pass_on(self, request: Request, cors: HeaderList) -> Answer | None:
        """Have a session's owner answer this request. None: there is nobody whose it could be."""
        server = self._server
        asked: list[str] = request.environ.get(ASKED) or []
        hand_over = self._way_to_owner(request.query["sid"], asked)
        if hand_over is None:
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
            return self._relay(hand_over, _described(request, [*asked, self.id], body), cors)
        if not hand_over(_described(request, [*asked, self.id], body, taken.leftover, taken.handshaken), taken.stream):
            taken.stream.close()            # its owner has died just now: the client finds its connection closed, and comes back
        return SWITCHED if request.is_upgrade else PARKED

    def _way_to_owner(self, sid: str, asked: list[str]) -> HandOver | None:
        """Return how to reach who has made the id; where users make ids, the workers of this machine are asked one after the other."""
        bus, carrier = self.bus, self._carrier
        if self._server.generate_id is not None:
            others = [] if bus is None else sorted(bus.workers)
            worker = next((worker for worker in others if worker not in asked), None)
            return None if worker is None else partial(self._to_worker, worker)
        owner = sid[:ID_LENGTH]
        if owner == self.id or owner in asked:
            return None
        if bus is not None and bus.has(owner):
            return partial(self._to_worker, owner)
        return partial(carrier.hand_over, owner) if carrier is not None and carrier.has(owner) else None

    def _to_worker(self, worker: str, payload: bytes, stream: Stream) -> bool:
        """Give the descriptor to a worker of this machine; where TLS would stay behind, that of a pair's other end."""
        assert self.bus is not None
        if not stream.is_tls:
            return self.bus.hand_over(worker, payload, stream)
        near, far = pair()
        is_sent = self.bus.hand_over(worker, payload, far)
        if is_sent:
            Pump(self._server.driver, near, stream).start()
        else:
            near.close()
            far.close()
        return is_sent

    def _relay(self, hand_over: HandOver, payload: bytes, cors: HeaderList) -> Answer:
        """Wait for the owner's answer, and give it in our name."""
        near, far = pair()
        relay = Relay(self._server.driver, near)
        if not hand_over(payload, far):
            far.close()
            relay.close()
            return busy(self._server, cors)
        answer = relay.wait(self._server.options.ping_interval + self._server.options.ping_timeout)
        return busy(self._server, cors) if answer is None else Answer(*answer)

    # -- from another server -------------------------------------------------------------------------------------------------

    def _arrived(self, payload: bytes, number: int) -> None:
        """A request is passed to us, or the beginning of one, with its connection (phase one)."""
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
