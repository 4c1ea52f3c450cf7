"""The polling payloads of Engine.IO's third revision, which Socket.IO v2 clients speak.

As text, `<length>:<packet>` one after the other, lengths in UTF-16 code units, as JavaScript counts; a binary packet is `b4` and base64.
As bytes, for each packet 0 (text) or 1 (binary), the digits of its length as bytes 0 to 9, 255, and the packet: text as UTF-8, a binary
one with its type, 4, as a byte in front. Pollers that cannot do more get the text in a call of JavaScript (JSONP).
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable, Iterator
from json import dumps
from typing import Final
from urllib.parse import parse_qs

from .packet import EnginePacketError
from .payload import decode_base64, decode_packet

__all__ = ["BINARY_TYPE", "decode_bytes", "decode_jsonp", "decode_packet_3", "decode_text", "encode_bytes", "encode_jsonp", "encode_text"]

BINARY_TYPE: Final = b"\x04"
"""What a binary message begins with: its type, message."""
MAX_DIGITS: Final = 10
_SEPARATOR: Final = 255
_TEXT, _BINARY = 0, 1
_LINE_BREAK: Final = re.compile(r"(\\)?\\n")

Packet = tuple[bool, bytes]
"""Whether it is binary, and its bytes: text with its type as a digit, binary with its type as a byte."""


def encode_text(packets: Iterable[Packet]) -> bytes:
    """Return packets as one body of text."""
    body = bytearray()
    for is_binary, data in packets:
        packet = b"b4" + b64encode(data[1:]) if is_binary else data
        body += b"%d:%b" % (_units(packet), packet)
    return bytes(body) or b"0:"


def encode_bytes(packets: Iterable[Packet]) -> bytes:
    """Return packets as one body of bytes."""
    body = bytearray()
    for is_binary, data in packets:
        body.append(_BINARY if is_binary else _TEXT)
        body += bytes(int(digit) for digit in str(len(data)))
        body.append(_SEPARATOR)
        body += data
    return bytes(body)


def decode_text(body: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield each packet: its type, or `"b"` for a binary message, and its data; a binary message's with its type as a byte in front.

    Raises:
        EnginePacketError: at the first packet that is none (an empty body is one); those before it were yielded.
    """
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise EnginePacketError(f"text is not UTF-8: {error.reason}") from error
    if not text:
        raise EnginePacketError("empty payload")
    # what JavaScript counts: two for each character beyond the basic plane
    units = text.encode("utf-16-le") if not text.isascii() and max(text) > "\uffff" else None
    at, end = 0, len(text) if units is None else len(units) // 2
    while at < end:
        colon = text.find(":", at, at + MAX_DIGITS + 1) if units is None else _find_colon(units, at)
        digits = text[at:colon] if units is None else units[2 * at : 2 * colon].decode("utf-16-le", "replace")
        if colon < 0 or not (digits.isascii() and digits.isdigit()) or colon + 1 + int(digits) > end:
            raise EnginePacketError("a payload's length is none")
        at = colon + 1
        stop = at + int(digits)
        packet = text[at:stop] if units is None else units[2 * at : 2 * stop].decode("utf-16-le", "replace")
        at = stop
        if packet:                              # an empty payload is "0:"
            yield decode_packet_3(packet.encode())


def decode_bytes(body: bytes) -> Iterator[tuple[str, bytes]]:
    """The same of a body of bytes."""
    if not body:
        raise EnginePacketError("empty payload")
    at = 0
    while at < len(body):
        kind = body[at]
        stop = body.find(_SEPARATOR, at + 1, at + MAX_DIGITS + 2)
        digits = body[at + 1 : stop]
        if kind > _BINARY or stop < 0 or not digits or max(digits) > 9:
            raise EnginePacketError("a payload's length is none")
        size = int("".join(map(str, digits)))
        at = stop + 1
        if at + size > len(body):
            raise EnginePacketError("a payload is cut off")
        packet = body[at : at + size]
        at += size
        if kind == _TEXT:
            yield decode_packet_3(packet)
        elif packet[:1] == BINARY_TYPE:
            yield "b", packet
        else:
            raise EnginePacketError("a binary packet that is no message")


def encode_jsonp(body: bytes, index: str) -> bytes:
    """Return a text body as the JavaScript call that a page waits for under this number."""
    return f"___eio[{index}]({dumps(body.decode())});".encode()


def decode_jsonp(form: bytes) -> bytes:
    """Return the text body that a form's field `d` bears. Raises EnginePacketError."""
    try:
        fields = parse_qs(form.decode(), keep_blank_values=True, max_num_fields=8)
    except ValueError as error:
        raise EnginePacketError(f"no form: {error}") from error
    text = fields.get("d", [""])[-1]
    return _LINE_BREAK.sub(lambda found: found[0] if found[1] else "\n", text).replace("\\\\n", "\\n").encode("utf-8", "replace")


def decode_packet_3(packet: bytes) -> tuple[str, bytes]:
    """Return the type and the data of one text packet, as `decode_text` yields them. Raises EnginePacketError."""
    if packet[:2] == b"b4":
        return "b", BINARY_TYPE + decode_base64(packet[2:])
    if packet[:1] == b"b":
        raise EnginePacketError("a binary packet that is no message")
    return decode_packet(packet)


def _units(packet: bytes) -> int:
    if packet.isascii():
        return len(packet)
    text = packet.decode("utf-8", "surrogatepass")
    return len(text) + sum(character > "\uffff" for character in text)


def _find_colon(units: bytes, at: int) -> int:
    found = units.find(b":\0", 2 * at, 2 * (at + MAX_DIGITS + 1))
    return -1 if found < 0 or found % 2 else found // 2
