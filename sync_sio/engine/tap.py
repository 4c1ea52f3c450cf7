"""What a connection's listeners see of its packets, and when nothing waits any more. Nobody listens: there is no tap, and no cost.

Listeners are users' code, so they run on the connection's strand. What comes in waits there like any event, and a client is not read
while too much does. What goes out must wait for nobody: it is remembered here, told in batches, and beyond a bound only counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from ..protocol.engineio.packet import NAMES
from ..protocol.parcel import Parcel

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
    """What is to be told. The connection's lock guards it."""

    __slots__ = ("has_drained", "is_due", "missed", "sent", "size")

    def __init__(self) -> None:
        self.sent: list[Parcel] = []
        self.size = 0
        self.missed = 0
        self.has_drained = False
        self.is_due = False
        """A task that tells it is on the strand."""

    def remember(self, parcel: Parcel) -> None:
        if len(self.sent) < MAX_REMEMBERED and self.size < MAX_REMEMBERED_BYTES:
            self.sent.append(parcel)
            self.size += parcel.size
        else:
            self.missed += 1

    def take(self) -> tuple[Iterator[EnginePacket], int, bool]:
        """Return the packets that were sent, how many parcels had no room here, and whether nothing waits any more."""
        told = _packets(self.sent), self.missed, self.has_drained
        self.sent, self.size, self.missed, self.has_drained, self.is_due = [], 0, 0, False, False
        return told


def _packets(parcels: list[Parcel]) -> Iterator[EnginePacket]:
    for parcel in parcels:
        for is_binary, data in parcel.packets():
            yield packet_of("b", data) if is_binary else packet_of(chr(data[0]), data[1:])
