"""What servers say to each other on their channels for requests: frames, as bytes and as values. Pure."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Final, NamedTuple

__all__ = ["CREDIT", "DATA", "END", "GONE", "HERE", "KNOCK", "MAX_DATA", "OPEN", "PULSE", "WINDOW", "WIRE", "Frame", "Place"]

WIRE: Final = 1
"""The form of all this, as a number, which is in the names of channels: servers that say it otherwise do not hear each other."""

KNOCK, HERE, OPEN, DATA, CREDIT, END, GONE, PULSE = range(8)
"""KNOCK asks whether a server is there, and HERE says so. OPEN begins a tunnel, with the first of its bytes; DATA are more of them,
CREDIT that so many have been passed on, END that none follow, and GONE that there is no such tunnel. PULSE tells of all tunnels to
one server how far they are."""

MAX_DATA: Final = 64 * 1024
"""Bytes that one frame carries."""
WINDOW: Final = 64 * 1024
"""Bytes of one direction of a tunnel that may be under way, or wait for whom they are for."""

_HEAD: Final = struct.Struct("!6sBQQ")
_OPENERS: Final = 0x80
"""In the byte of the kind: whoever speaks has opened the tunnel."""
_SIZE: Final = struct.Struct("!I")
_PLACE: Final = struct.Struct("!BQQ")


class Place(NamedTuple):
    """How far a tunnel is, as who says so sees it.

    Attributes:
        is_opener: who speaks has opened it.
        number: which it is of those that the opener has opened.
        said: frames that were said in it.
    """

    is_opener: bool
    number: int
    said: int


class Frame(NamedTuple):
    """One frame.

    Attributes:
        server: the id of who speaks.
        is_opener, number: which tunnel this is about, see `Place`.
        said: frames that the speaker has said before in this tunnel.
    """

    server: str
    kind: int
    is_opener: bool = True
    number: int = 0
    said: int = 0
    data: bytes = b""

    def encode(self) -> bytes:
        kind = self.kind | (_OPENERS if self.is_opener else 0)
        return _HEAD.pack(self.server.encode(), kind, self.number, self.said) + self.data

    @classmethod
    def decode(cls, data: bytes) -> Frame:
        """Return what was said. Raises ValueError for what is no frame."""
        if len(data) < _HEAD.size:
            raise ValueError("a frame that is too short")
        server, kind, number, said = _HEAD.unpack_from(data)
        if kind & ~_OPENERS > PULSE or len(data) > _HEAD.size + MAX_DATA:
            raise ValueError(f"a frame of kind {kind} with {len(data)} bytes")
        return cls(server.decode("ascii"), kind & ~_OPENERS, bool(kind & _OPENERS), number, said, data[_HEAD.size :])


def encode_credit(size: int) -> bytes:
    return _SIZE.pack(size)


def decode_credit(data: bytes) -> int:
    """Raises ValueError for what is none."""
    if len(data) != _SIZE.size:
        raise ValueError("a CREDIT without its number")
    size: int = _SIZE.unpack(data)[0]
    return size


def encode_places(places: Iterable[Place]) -> list[bytes]:
    """Return the data of as many frames as it takes."""
    data = b"".join(_PLACE.pack(*place) for place in places)
    size = MAX_DATA // _PLACE.size * _PLACE.size
    return [data[at : at + size] for at in range(0, len(data), size)]


def decode_places(data: bytes) -> list[Place]:
    """Raises ValueError for what is none."""
    if len(data) % _PLACE.size:
        raise ValueError("a PULSE that is cut off")
    return [Place(bool(is_opener), number, said) for is_opener, number, said in _PLACE.iter_unpack(data)]
