"""What `fetch_sockets` returns: a client as it was then, wherever it is connected, and what can be done with it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from ..adapters.base import ClientRecord
from ..errors import AckTimeout, Disconnected, ProtocolError
from ..protocol.socketio.packet import EVENT, Packet
from .acks import UNSET, Timeout
from .broadcast import PLAIN, BroadcastOperator, Deliverer, Flags, check_seconds
from .handlers import EventName, check_function
from .handshake import Handshake
from .rooms import Target

if TYPE_CHECKING:
    from .site import Site
    from .socket import Socket


@dataclass(frozen=True, slots=True, eq=False)
class RemoteSocket:
    """A client of this server or of another one.

    Attributes:
        id: the socket's.
        handshake: what the client said when it came.
        rooms: those that it was in, its own included.
        data: a copy of `socket.data`, as a client would receive it; changing it changes nothing there.
    """

    id: str
    handshake: Handshake
    rooms: frozenset[str]
    data: dict[str, Any]
    _home: Deliverer
    _flags: Flags = PLAIN

    def __repr__(self) -> str:
        return f"<RemoteSocket {self.id} in {self._home.name}>"

    def emit(self, event: EventName, *args: Any, ack: Callable[..., Any] | None = None) -> None:
        """Send an event to this client. Never blocks.

        Args:
            ack: called once as `ack(error, response)`: with the client's first argument, or with AckTimeout after 60 s or what
                `timeout()` says, or with Disconnected when the client is gone.
        """
        self._operator.emit(event, *args, ack=None if ack is None else partial(_tell_single, check_function(ack, "ack"), self.id))

    def call(self, event: EventName, *args: Any, timeout: Timeout = UNSET) -> Any:
        """Send an event and block for the answer: the client's first argument.

        Raises:
            AckTimeout: no answer within `timeout` (else what `timeout()` says, else 60) seconds.
            Disconnected: the client is gone.
        """
        responses = self._operator.call(event, *args, timeout=timeout)
        if not responses:
            raise _gone(self.id)
        return responses[0]

    def timeout(self, seconds: float) -> RemoteSocket:
        """Return the same with a time-out for acknowledgements."""
        return replace(self, _flags=replace(self._flags, timeout=check_seconds(seconds)))

    def join(self, rooms: str | Iterable[str]) -> None:
        """Have it join one room or several."""
        self._operator.sockets_join(rooms)

    def leave(self, rooms: str | Iterable[str]) -> None:
        """Have it leave one room or several."""
        self._operator.sockets_leave(rooms)

    def disconnect(self, close: bool = False) -> None:
        """Take it out of its namespace, or with `close` out of all, and close its connection."""
        self._operator.disconnect_sockets(close)

    @property
    def _operator(self) -> BroadcastOperator:
        return BroadcastOperator(self._home, Target(frozenset((self.id,))), self._flags)


def _tell_single(ack: Callable[..., Any], sid: str, error: AckTimeout | None, responses: list[Any]) -> None:
    if responses:
        ack(None, responses[0])
    else:
        ack(error or _gone(sid), None)


def _gone(sid: str) -> Disconnected:
    return Disconnected(f"socket {sid} is gone, or left before it had answered")


# -- as values ----------------------------------------------------------------------------------------------------------------


def here(socket: Socket) -> RemoteSocket:
    """Describe a client of this server. Raises TypeError when its data cannot be sent."""
    core = socket._core
    return RemoteSocket(socket.id, socket.handshake, frozenset(socket.rooms), copied(core.home.site, core.data, socket.id), core.home)


def record(socket: Socket) -> ClientRecord:
    """Describe a client of this server for another one. What of its data cannot be sent is logged, and left out."""
    core = socket._core
    try:
        data = copied(core.home.site, core.data, socket.id)
    except TypeError as error:
        core.home.site.logger.error("another server asked for the clients of %s: %s", core.home.name, error)
        data = {}
    handshake = socket.handshake
    said = {field.name: getattr(handshake, field.name) for field in fields(handshake)}
    return ClientRecord(socket.id, said, tuple(socket.rooms), data)


def there(record: ClientRecord, home: Deliverer) -> RemoteSocket:
    """Describe a client of another server, by what that one said."""
    return RemoteSocket(record.id, _handshake(record.handshake), frozenset(record.rooms), record.data, home)


def _handshake(said: dict[str, Any]) -> Handshake:
    return Handshake(
        headers=dict(said.get("headers") or {}),
        query=dict(said.get("query") or {}),
        auth=dict(said.get("auth") or {}),
        time=str(said.get("time", "")),
        issued=int(said.get("issued") or 0),
        url=str(said.get("url", "")),
        address=str(said.get("address", "")),
        xdomain=bool(said.get("xdomain")),
        secure=bool(said.get("secure")),
    )


def copied(site: Site, data: dict[str, Any] | None, sid: str) -> dict[str, Any]:
    """Return a socket's data as it would arrive elsewhere: through the parser and back, whichever that is."""
    if not data:
        return {}
    decoder = site.parser.decoder()
    packet: Packet | None = None
    try:
        text, attachments = site.parser.encode(Packet(EVENT, "/", ["data", data]))
        if text is not None:
            packet = decoder.text(text)
        for attachment in attachments:
            packet = decoder.binary(attachment)
    except (TypeError, ProtocolError) as error:
        raise TypeError(f"the data of socket {sid} cannot be sent, and fetch_sockets sends it: {error}") from error
    assert packet is not None
    copy: dict[str, Any] = packet.data[1]
    return copy
