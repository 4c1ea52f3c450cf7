"""The bodies of HTTP long-polling: packets joined by U+001E, binary ones as base64."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterable, Iterator

from .packet import EnginePacketError

__all__ = ["SEPARATOR", "decode_payload", "encode_payload"]

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
        packet = body[at:] if stop < 0 else body[at:stop]
        if not packet:
            raise EnginePacketError("empty packet")
        kind = _TYPES.get(packet[0])
        if kind is not None:
            _check_text(packet)
            yield kind, packet[1:]
        elif packet[0] == _BINARY:
            yield "b", _decode_base64(packet[1:])
        else:
            raise EnginePacketError(f"unknown packet type {packet[:1]!r}")
        if stop < 0:
            return
        at = stop + 1


def encode_payload(packets: Iterable[bytes]) -> bytes:
    """Return packets, or payloads of several, as one body."""
    return SEPARATOR.join(packets)


def _check_text(packet: bytes) -> None:
    if not packet.isascii():
        try:
            packet.decode()
        except UnicodeDecodeError as error:
            raise EnginePacketError(f"text is not UTF-8: {error.reason}") from error


def _decode_base64(text: bytes) -> bytes:
    try:
        return b64decode(text, validate=True)
    except ValueError:
        # as Node's Buffer: both alphabets, garbage and padding ignored, a lone last character dropped, never an error
        text = text.partition(b"=")[0].translate(_URL_SAFE).translate(None, _NOT_BASE64)
        text = text[: len(text) - (len(text) % 4 == 1)]
        return b64decode(text + b"=" * (-len(text) % 4))
