"""Socket.IO v5 packets as values, and what a parser is."""

from __future__ import annotations

from typing import Any, Protocol

from ...errors import ProtocolError

__all__ = [
    "ACK",
    "CONNECT",
    "CONNECT_ERROR",
    "DISCONNECT",
    "EVENT",
    "RESERVED_EVENTS",
    "Packet",
    "PacketDecoder",
    "PacketError",
    "PacketParser",
    "fits",
    "is_event",
]

CONNECT, DISCONNECT, EVENT, ACK, CONNECT_ERROR = range(5)

RESERVED_EVENTS = frozenset({"connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"})
"""Names that no peer may send."""


class PacketError(ProtocolError):
    """A peer sent what is no Socket.IO packet, or one out of order."""


class Packet:
    """One Socket.IO packet. Those with attachments are EVENT and ACK too: how bytes travel is the parser's affair.

    Attributes:
        type: CONNECT, DISCONNECT, EVENT, ACK or CONNECT_ERROR.
        namespace: its name, with the slash.
        data: CONNECT: dict or None. EVENT: `[name, *args]`. ACK: `[*args]`. CONNECT_ERROR: dict or str. DISCONNECT: None.
        id: of the acknowledgement that is asked for (EVENT) or given (ACK); else None.
    """

    __slots__ = ("data", "id", "namespace", "type")

    def __init__(self, type: int, namespace: str = "/", data: Any = None, id: int | None = None) -> None:
        self.type = type
        self.namespace = namespace
        self.data = data
        self.id = id

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Packet):
            return NotImplemented
        return (self.type, self.namespace, self.data, self.id) == (other.type, other.namespace, other.data, other.id)

    def __repr__(self) -> str:
        return f"Packet({self.type}, {self.namespace!r}, {self.data!r}, {self.id!r})"


def is_event(value: object) -> bool:
    """Tell whether a peer may send this as an EVENT's data."""
    if type(value) is not list or not value:
        return False
    name = value[0]
    return name not in RESERVED_EVENTS if type(name) is str else type(name) is int or type(name) is float


def fits(kind: int, value: object, has_body: bool) -> bool:
    """Tell whether a peer may send this as the data of a packet of that kind; `has_body`: whether there was any."""
    if kind == EVENT:
        return is_event(value)
    if kind == ACK:
        return type(value) is list
    if kind == CONNECT:
        return not has_body or type(value) is dict
    if kind == DISCONNECT:
        return not has_body
    return type(value) is str or type(value) is dict        # CONNECT_ERROR


class PacketDecoder(Protocol):
    """One per connection: gets its messages in order."""

    def text(self, data: bytes) -> Packet | None:
        """Take a text message (UTF-8, without Engine.IO's `4`) and return a packet if it completes one.

        Raises:
            ProtocolError: it is none.
        """
        ...

    def binary(self, data: bytes) -> Packet | None:
        """The same for a binary message."""
        ...


class PacketParser(Protocol):
    """One per server, shared by all connections and threads."""

    def encode(self, packet: Packet) -> tuple[bytes | None, tuple[bytes, ...]]:
        """Return the text (without Engine.IO's `4`; None: there is none) and the binary messages after it.

        Raises:
            TypeError: something in its data cannot be sent; the message names the path.
        """
        ...

    def decoder(self) -> PacketDecoder: ...
