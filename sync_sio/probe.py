"""What the floors tell a tool: the admin UI, metrics.

The engine server and the site of all namespaces have the tools in a tuple, `probes`. It is empty when nobody asks, which costs one look.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from .engine.connection import Connection
    from .protocol.parcel import Parcel
    from .protocol.socketio.packet import Packet
    from .sockets.namespace import Namespace
    from .sockets.socket import Socket


class Probe(Protocol):
    """What a tool may hear of. It inherits from this and writes the methods that it wants: the others do nothing.

    Called where it happens, with no lock held: in phase one, on the thread that emits, in a turn; several at once. So a probe
    notes into something bounded and returns: it may not block, raise, or run users' code.
    """

    # the bodies say for type checkers that whoever inherits may leave a method out

    # -- the engine

    def connection_opened(self, connection: Connection) -> None:
        """A client is there. What follows is told of those that were there before, too."""
        return None

    def connection_closed(self, connection: Connection, reason: str) -> None:
        """It has gone."""
        return None

    def transport_changed(self, connection: Connection) -> None:
        """It has been upgraded, and is on `connection.transport` now."""
        return None

    def message_received(self, connection: Connection, size: int) -> None:
        """A message of `size` bytes came: a packet's text, or an attachment."""
        return None

    def request_refused(self, code: int) -> None:
        """A request was refused, with the protocol's error code (0 to 5), or with 503: there is no room, or the server is closed."""
        return None

    # -- the sockets

    def socket_connected(self, socket: Socket) -> None:
        """It is connected, and its client knows; handlers have not run."""
        return None

    def socket_refused(self, namespace: str) -> None:
        """A client is not let into a namespace, which may be one that is not there."""
        return None

    def socket_left(self, socket: Socket, reason: str, rooms: Collection[str]) -> None:
        """A connected socket has left, and with that these rooms, its own included; handlers have not run."""
        return None

    def room_joined(self, home: Namespace, room: str, sid: str) -> None:
        """A socket that broadcasts reach is in this room from now on. Its own, `room == sid`, is the first."""
        return None

    def room_left(self, home: Namespace, room: str, sid: str) -> None:
        """It has left this room and stays; or it was never connected, and leaves."""
        return None

    def event_received(self, socket: Socket, data: list[Any], size: int) -> None:
        """An event came, `[name, *args]`, of `size` bytes. The list is the handlers', who may change it."""
        return None

    def event_sent(self, sockets: Sequence[Socket], packet: Packet, parcel: Parcel) -> None:
        """An event goes to each of these, who may be nobody. Its arguments are the emitter's, who may change them."""
        return None

    def ack_sent(self, home: Namespace, parcel: Parcel) -> None:
        """An acknowledgement goes to a client."""
        return None

    def ack_missed(self, asked: Literal["client", "many"]) -> None:
        """The time is over, and not all that was asked has come: of one client; of a broadcast, or of other servers."""
        return None

    # -- the process

    def reset(self) -> None:
        """This is the child of a fork: the clients stay with the parent."""
        return None
