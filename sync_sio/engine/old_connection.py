"""A client of the third revision of Engine.IO: it pings, we answer; and binary messages begin with their type."""

from __future__ import annotations

from typing import ClassVar

from ..protocol.engineio.payload3 import decode_packet_3
from ..protocol.parcel import Parcel
from .connection import Connection
from .state import WhenFull


class OldConnection(Connection):
    """The same as `Connection`, for Socket.IO v2 clients."""

    __slots__ = ("takes_bytes",)

    protocol: ClassVar[int] = 3
    decode_packet = staticmethod(decode_packet_3)

    takes_bytes: bool
    """Whether it takes binary messages as bytes; else they are text, on a WebSocket, too."""

    def send_parcel(self, parcel: Parcel, when_full: WhenFull) -> bool:
        return super().send_parcel(self.form_of(parcel), when_full)

    def form_of(self, parcel: Parcel) -> Parcel:
        """Return the parcel as this client takes it."""
        return parcel.for_revision_3 if self.takes_bytes else parcel.as_text

    def receive(self, kind: str, data: bytes) -> None:
        if kind == "2":
            self.home.pinged(self)
            self.send_parcel(Parcel.control(b"3" + data), WhenFull.CLOSE)
        elif kind == "3":
            self.end("transport error", "invalid heartbeat direction")
        else:
            super().receive(kind, data)
