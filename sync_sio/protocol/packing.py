"""The short way from events to parcels and from messages to events, for the default parser and the main namespace.

It is what nearly all packets take, and what comes out is the same as on the long one: `JsonParser.encode`, then `Parcel`; `Decoder.text`.
"""

from __future__ import annotations

from typing import Any, Final

from .json import OPTIONS, dumps, loads
from .parcel import PACKET_OVERHEAD, TEXT_HEADS, Parcel, TextParcel, long_text_head, new_text_parcel
from .socketio.packet import RESERVED_EVENTS
from .socketio.parser import MAX_ID_DIGITS

__all__ = ["in_digits", "pack", "pack_bytes", "unpack"]

_EVENT: Final = ord("2")
_FAR: Final = MAX_ID_DIGITS + 1

_KINDS: Final = tuple(b"%d" % kind for kind in range(5))


def pack(kind: int, namespace: str, data: list[Any], number: bytes) -> TextParcel | None:
    """Return the parcel of an EVENT or ACK. None: it has attachments or something else that the long way must see, or cannot be sent.

    Args:
        number: of the acknowledgement, in digits; empty: there is none.
    """
    try:
        body = dumps(data, None, OPTIONS)
    except TypeError:
        return None
    head = _KINDS[kind] if namespace == "/" else b"%d%b," % (kind, namespace.encode())
    if number:
        head += number
    size = len(head) + len(body)
    before = TEXT_HEADS[size] if size < 125 else long_text_head(size)
    parcel = new_text_parcel()
    parcel.frames = b"".join((before, head, body))
    parcel.start = len(before)
    parcel.size = size + PACKET_OVERHEAD
    parcel.others = None
    return parcel


def pack_bytes(namespace: str, data: bytes, number: bytes) -> Parcel:
    """Return the parcel of an ACK with bytes and nothing else."""
    where = b"" if namespace == "/" else b"%b," % namespace.encode()
    return Parcel(b'61-%b%b[{"_placeholder":true,"num":0}]' % (where, number), (data,))


def in_digits(number: int | None) -> bytes:
    """Return an acknowledgement's number as `pack` and `unpack` have it."""
    return b"" if number is None else b"%d" % number


def unpack(data: bytes, start: int = 0) -> tuple[list[Any], bytes] | None:
    """Return `[name, *args]` and the acknowledgement's number of a message, `data[start:]`, that is `2["…` or `2<number>["…`.

    The number stays in digits, as it goes back like that; it is empty where no acknowledgement is asked for.
    None: it is anything else, or is wrong, and a decoder must say how.
    """
    try:
        if data[start] != _EVENT:
            return None
        start += 1
        at = data.find(b"[", start, start + _FAR)
        number = b""
        if at != start:
            number = data[start:at]
            if at < 0 or not number.isdigit() or (number < b"1" and number != b"0"):      # no 007: it is answered as 7
                return None
        value = loads(data[at:])
        name = value[0]
    except (ValueError, IndexError):
        return None
    return (value, number) if type(name) is str and name not in RESERVED_EVENTS else None
