"""The bodies of HTTP long-polling: packets joined by U+001E, binary ones as base64."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterable, Iterator

from .packet import EnginePacketError

__all__ = ["SEPARATOR", "decode_packet", "decode_payload", "encode_payload"]

SEPARATOR = b"\x1e"

_TYPES = {ord(digit): digit for digit in "0123456"}
_BINARY = ord("b")
_URL_SAFE = bytes.maketrans(b"-_", b"+/")
_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_NOT_BASE64 = bytes(code for code in range(256) if code not in _ALPHABET)


def decode_payload(body: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield each packet: its type (`"0"` to `"6"`, or `"b"` for a binary message) and its data, one by one.

    Text is checked to be UTF-8. Nothing is kept of a body of many packets, so a caller may stop at any time.

    Raises:
        EnginePacketError: at the first packet that is none (the empty body is one); those before it were yielded.
    """
    at = 0
    while True:
        stop = body.find(SEPARATOR, at)
        yield decode_packet(body[at:] if stop < 0 else body[at:stop])
        if stop < 0:
            return
        at = stop + 1


def decode_packet(packet: bytes) -> tuple[str, bytes]:
    """Return the type and the data of one text packet, as `decode_payload` yields them.

    Raises:
        EnginePacketError: it is none.
    """
    if not packet:
        raise EnginePacketError("empty packet")
    kind = _TYPES.get(packet[0])
    if kind is not None:
        _check_text(packet)
        return kind, packet[1:]
    if packet[0] == _BINARY:
        return "b", decode_base64(packet[1:])
    raise EnginePacketError(f"unknown packet type {packet[:1]!r}")


def encode_payload(packets: Iterable[bytes]) -> bytes:
    """Return packets, or payloads of several, as one body."""
    return SEPARATOR.join(packets)


def decode_base64(text: bytes) -> bytes:
    """Return the bytes of a binary packet, which is `b` and this; clients may send one as a WebSocket text message too.

    Never an error, as in Node: both alphabets are known, garbage and padding ignored, a lone last character dropped.
    """
    try:
        return b64decode(text, validate=True)
    except ValueError:
        text = text.partition(b"=")[0].translate(_URL_SAFE).translate(None, _NOT_BASE64)
        text = text[: len(text) - (len(text) % 4 == 1)]
        return b64decode(text + b"=" * (-len(text) % 4))


def _check_text(packet: bytes) -> None:
    if not packet.isascii():
        try:
            packet.decode()
        except UnicodeDecodeError as error:
            raise EnginePacketError(f"text is not UTF-8: {error.reason}") from error
