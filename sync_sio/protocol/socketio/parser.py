"""The default parser: `<type>[<attachments>-][<namespace>,][<ack id>][<json>]`, attachments in binary messages of their own."""

from __future__ import annotations

import re

from ...errors import ProtocolError
from ...types import JsonDefault
from ..json import OPTIONS, decode, dumps, encode_slowly, put_back
from .packet import ACK, CONNECT_ERROR, EVENT, RESERVED_EVENTS, Packet, PacketError, fits, is_event

__all__ = ["ROOTS", "Decoder", "JsonParser"]

MAX_ID_DIGITS = 18
"""JavaScript counts exactly up to 16 digits; nothing that counts from 0 gets here."""

_BINARY_OFFSET = 3                          # BINARY_EVENT 5, BINARY_ACK 6
_NOTHING: tuple[bytes, ...] = ()
_KINDS = tuple(b"%d" % kind for kind in range(5))
ROOTS = (("data", 0), ("data", 0), ("args", 1), ("args", 0), ("data", 0))       # what errors call the data: its name is no argument
_HEAD = re.compile(rb"([0-6])(?:([0-9]+)-)?(?:(/[^,]*)(?:,|\Z))?([0-9]*)")
_ZERO, _DASH = ord("0"), ord("-")


class JsonParser:
    """What every Socket.IO client speaks unless told otherwise. Immutable; any thread.

    Args:
        max_attachments: per packet received; 10 is what the JavaScript parsers take.
        default: asked for values that JSON has no form for, see `json.encode`.
        max_bytes: what the attachments of one received packet may have together.
    """

    __slots__ = ("default", "max_attachments", "max_bytes")

    def __init__(self, max_attachments: int = 10, default: JsonDefault | None = None, max_bytes: int = 10_000_000) -> None:
        self.max_attachments = max_attachments
        self.default = default
        self.max_bytes = max_bytes

    def encode(self, packet: Packet) -> tuple[bytes | None, tuple[bytes, ...]]:
        """Return the packet's text, without Engine.IO's `4`, and its attachments in order.

        Raises:
            TypeError: something in its data cannot be sent; the message names the path, such as `args[1]["when"]`.
        """
        if packet.data is None:
            return _head(packet), _NOTHING
        try:
            return _head(packet) + dumps(packet.data, None, OPTIONS), _NOTHING
        except TypeError:
            return self.encode_slowly(packet)

    def encode_slowly(self, packet: Packet) -> tuple[bytes, tuple[bytes, ...]]:
        """The same for what has attachments, or needs `default`, or cannot be sent."""
        kind = packet.type
        head = _head(packet)
        root, offset = ROOTS[kind]
        body, attachments = encode_slowly(packet.data, self.default, root, offset)
        if attachments:
            if kind != EVENT and kind != ACK:
                raise TypeError(f"{root}: bytes can be sent in events and acknowledgements only; encode them, as base64 for instance")
            head = b"%d%d-%b" % (kind + _BINARY_OFFSET, len(attachments), head[1:])
        return head + body, tuple(attachments)

    def decoder(self) -> Decoder:
        """Return a decoder for one connection."""
        return Decoder(self.max_attachments, self.max_bytes)

    def with_default(self, default: JsonDefault) -> JsonParser:
        """Return the same parser, with a `json_default`."""
        return JsonParser(self.max_attachments, default, self.max_bytes)


class Decoder:
    """Makes packets of one connection's messages. One thread at a time.

    After an error it has forgotten what was half there; the connection is to be closed.
    """

    __slots__ = ("_attachments", "_expected", "_max_attachments", "_max_bytes", "_packet", "_room")

    def __init__(self, max_attachments: int = 10, max_bytes: int = 10_000_000) -> None:
        self._max_attachments = max_attachments
        self._max_bytes = max_bytes
        self._packet: Packet | None = None
        self._attachments: list[bytes] | None = None
        self._expected = 0
        self._room = 0

    @property
    def is_waiting(self) -> bool:
        """Tell whether a packet waits for its attachments."""
        return self._packet is not None

    def reset(self) -> None:
        """Forget a packet that is half there."""
        self._packet = self._attachments = None

    def text(self, data: bytes) -> Packet | None:
        """Take a text message and return its packet, or None when attachments must come first.

        Raises:
            ProtocolError: it is no packet, or binary was due. Of any bytes, nothing else.
        """
        if self._packet is not None:
            self.reset()
            raise PacketError("got plaintext data when reconstructing a packet")
        # what nearly all messages are, `2["…`, `2<id>["…`, `3<id>[…` and `5<digit>-<id>["…` of the main namespace, without the grammar
        at = data.find(b"[")
        if at < 1:
            return self._general(data)
        kind = data[0] - _ZERO
        start, expected = 1, 0
        if kind > CONNECT_ERROR:
            expected = data[1] - _ZERO
            if at < 3 or data[2] != _DASH or not 0 < expected <= min(9, self._max_attachments):
                return self._general(data)
            kind -= _BINARY_OFFSET
            start = 3
        if at == start:
            number = None
        elif at <= MAX_ID_DIGITS + start and (digits := data[start:at]).isdigit():
            number = int(digits)
        else:
            return self._general(data)
        if kind != EVENT and kind != ACK:       # a tuple of globals would be made anew each time
            return self._general(data)
        value = decode(data[at:])
        if kind != ACK and not (value and type(value[0]) is str and value[0] not in RESERVED_EVENTS) and not is_event(value):
            raise PacketError("invalid payload")
        return self._found(Packet(kind, "/", value, number), expected)

    def binary(self, data: bytes) -> Packet | None:
        """Take an attachment and return the packet that it completes, or None when more are due.

        Raises:
            ProtocolError: none was due, they add up to too much, or a placeholder names one that there is not.
        """
        packet, attachments = self._packet, self._attachments
        if packet is None or attachments is None:
            raise PacketError("got binary data when not reconstructing a packet")
        self._room -= len(data)
        if self._room < 0:
            self.reset()
            raise PacketError(f"the attachments of one packet are over {self._max_bytes} bytes together")
        attachments.append(data if type(data) is bytes else bytes(data))
        if len(attachments) < self._expected:
            return None
        self.reset()
        try:
            packet.data = put_back(packet.data, attachments)
        except ProtocolError as error:
            raise PacketError(str(error)) from None
        return packet

    def _general(self, data: bytes) -> Packet | None:
        found = _HEAD.match(data)
        if found is None:
            raise PacketError(f"unknown packet type {data[:1].decode('latin-1')}")
        digit, count, namespace, number = found.groups()
        kind, expected = int(digit), 0
        if kind > CONNECT_ERROR:
            kind -= _BINARY_OFFSET
            expected = self._count(count)
        elif count is not None:
            raise PacketError("invalid payload")
        if len(number) > MAX_ID_DIGITS:
            raise PacketError("the acknowledgement id is too long")
        body = data[found.end() :]
        value = decode(body) if body else None
        if not fits(kind, value, bool(body)):
            raise PacketError("invalid payload")
        return self._found(Packet(kind, _name(namespace), value, int(number) if number and kind in (EVENT, ACK) else None), expected)

    def _found(self, packet: Packet, expected: int) -> Packet | None:
        """Return the packet, or keep it until its attachments are here."""
        if not expected:
            return packet
        self._packet, self._attachments, self._expected = packet, [], expected
        self._room = self._max_bytes
        return None

    def _count(self, digits: bytes | None) -> int:
        if digits is None or not digits.strip(b"0"):
            raise PacketError("Illegal attachments")
        digits = digits.lstrip(b"0")
        if len(digits) > 9 or int(digits) > self._max_attachments:
            raise PacketError("too many attachments")
        return int(digits)


def _head(packet: Packet) -> bytes:
    head = _KINDS[packet.type] if packet.namespace == "/" else b"%d%b," % (packet.type, packet.namespace.encode())
    return head if packet.id is None else b"%b%d" % (head, packet.id)


def _name(namespace: bytes | None) -> str:
    if namespace is None:
        return "/"
    try:
        return namespace.decode()
    except UnicodeDecodeError as error:
        raise PacketError("the namespace's name is not UTF-8") from error
