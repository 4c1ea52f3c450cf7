"""How packets become bytes: what a parser of your own needs, and those that come along.

`Server(parser=None)` is `JsonParser`, what every client speaks. `sync_sio.parsers.msgpack` is npm's `socket.io-msgpack-parser`; it is
imported, and msgspec with it, when it is first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ..protocol.socketio.packet import (
    ACK,
    CONNECT,
    CONNECT_ERROR,
    DISCONNECT,
    EVENT,
    Packet,
    PacketDecoder,
    PacketError,
    PacketParser,
)
from ..protocol.socketio.parser import JsonParser

if TYPE_CHECKING:
    from . import msgpack as msgpack

__all__ = [
    "ACK",
    "CONNECT",
    "CONNECT_ERROR",
    "DISCONNECT",
    "EVENT",
    "JsonParser",
    "Packet",
    "PacketDecoder",
    "PacketError",
    "PacketParser",
]


def __getattr__(name: str) -> Any:
    if name == "msgpack":
        return import_module(".msgpack", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
