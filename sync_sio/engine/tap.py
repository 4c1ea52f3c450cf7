"""What a connection's listeners see of its packets, and when nothing waits any more. Nobody listens: there is no tap, and no cost.

Listeners are users' code, so they run on the connection's strand. What comes in waits there like any event, and a client is not read
while too much does. What goes out must wait for nobody: it is remembered here, told in batches, and beyond a bound only counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ..protocol.engineio.packet import NAMES
from ..protocol.parcel import Parcel
from .events import Events, call_all

if TYPE_CHECKING:
    from .connection import Connection

TAPPED: Final = ("packet", "packet_create", "drain")
"""The events that need a tap."""
MAX_REMEMBERED: Final = 1024
MAX_REMEMBERED_BYTES: Final = 4_000_000
"""Parcels that may wait for listeners of "packet_create", and their size."""


@dataclass(frozen=True, slots=True)
class EnginePacket:
    """One Engine.IO packet, as listeners get it.

    Attributes:
        type: `"message"`, `"ping"`, `"pong"`, `"open"`, `"close"`, `"upgrade"` or `"noop"`.
        data: a message's content; str or, when it is binary, bytes. `""`: there is none.
    """

    type: str
    data: str | bytes = ""


def packet_of(kind: str, data: bytes) -> EnginePacket:
    """Return a packet for listeners. `kind`: Engine.IO's digit, or `"b"` for a binary message."""
    if kind == "b":
        return EnginePacket("message", bytes(data))
    return EnginePacket(NAMES[kind], bytes(data).decode("utf-8", "replace"))


class Tap:
    """What is to be told of one connection. Its lock guards all of it, and is held by whoever calls `sent` and `drained`."""

    __slots__ = ("_connection", "_events", "_has_drained", "_is_due", "_missed", "_sent", "_size")

    def __init__(self, connection: Connection, events: Events) -> None:
        self._connection = connection
        self._events = events
        self._sent: list[Parcel] = []
        self._size = 0
        self._missed = 0
        self._has_drained = False
        self._is_due = False
        """A task that tells it is on the strand."""

    def sent(self, parcel: Parcel) -> None:
        """A parcel was sent, or waits now."""
        if self._events.has("packet_create"):
            if len(self._sent) < MAX_REMEMBERED and self._size < MAX_REMEMBERED_BYTES:
                self._sent.append(parcel)
                self._size += parcel.size
            else:
                self._missed += 1
            self._have_told()
        if self._connection.outbox is None:
            self.drained()

    def drained(self) -> None:
        """Nothing waits any more."""
        if self._events.has("drain"):
            self._has_drained = True
            self._have_told()

    def received(self, kind: str, data: bytes) -> None:
        """A packet came (phase one, no lock): Engine.IO's digit, or `"b"`, and its data."""
        connection = self._connection
        if kind == "b" and connection.protocol == 3:
            data = data[1:]                     # its type, which a message of the fourth revision does not bear
        packet = packet_of(kind, data)
        connection.fire("packet", packet, size=len(data))
        if packet.type == "message" and not connection.home.is_plain:
            connection.fire("message", packet.data, size=len(data))

    def _have_told(self) -> None:
        """One task on the strand tells all that gathers until it runs."""
        if not self._is_due:
            self._is_due = True
            connection = self._connection
            strand = connection.strand
            if strand.put(_tell, self, None, connection.home.habits["packet_create"]):
                connection.driver.run(strand)

    def tell(self) -> None:
        """Call the listeners (in a turn)."""
        connection = self._connection
        with connection.lock:
            parcels, missed, has_drained = self._sent, self._missed, self._has_drained
            self._sent, self._size, self._missed, self._has_drained, self._is_due = [], 0, 0, False, False
        for packet in _packets(parcels):
            call_all(self._events.take("packet_create"), (packet,), connection.id)
        if missed:
            connection.home.notices.warn(
                "packet_create",
                "connection %s: the listeners of 'packet_create' are too slow, so %d packets were sent that they were not told of",
                connection.id,
                missed,
            )
        if has_drained:
            call_all(self._events.take("drain"), (), connection.id)


def _tell(tap: Tap, _: object) -> None:
    tap.tell()


def _packets(parcels: list[Parcel]) -> Iterator[EnginePacket]:
    for parcel in parcels:
        for is_binary, data in parcel.packets():
            yield packet_of("b", data) if is_binary else packet_of(chr(data[0]), data[1:])
