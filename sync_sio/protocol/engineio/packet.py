"""Engine.IO v4 packets: a digit, and what it is followed by."""

from __future__ import annotations

from collections.abc import Iterable

from ...errors import ProtocolError
from .. import json

__all__ = ["CLOSE", "MESSAGE", "NAMES", "NOOP", "OPEN", "PING", "PONG", "TYPES", "UPGRADE", "EnginePacketError", "open_packet"]

OPEN, CLOSE, PING, PONG, MESSAGE, UPGRADE, NOOP = b"0", b"1", b"2", b"3", b"4", b"5", b"6"

NAMES = {"0": "open", "1": "close", "2": "ping", "3": "pong", "4": "message", "5": "upgrade", "6": "noop"}
"""What the digits mean."""

TYPES = {name: digit for digit, name in NAMES.items()}


class EnginePacketError(ProtocolError):
    """A peer sent what is no Engine.IO packet."""


def open_packet(
    sid: str, upgrades: Iterable[str], ping_interval: float, ping_timeout: float, max_payload: int
) -> bytes:
    """Return the handshake packet.

    Args:
        upgrades: names of the transports that the client may switch to.
        ping_interval: seconds; milliseconds on the wire, as the next.
        ping_timeout: seconds.
        max_payload: bytes that one polling request or one WebSocket message may have.
    """
    body, _ = json.encode(
        {
            "sid": sid,
            "upgrades": list(upgrades),
            "pingInterval": round(ping_interval * 1000),
            "pingTimeout": round(ping_timeout * 1000),
            "maxPayload": max_payload,
        }
    )
    return OPEN + body
