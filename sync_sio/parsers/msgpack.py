"""npm's `socket.io-msgpack-parser` 3.x: each packet is one binary message, a map of type, data, nsp and id, bytes where they stand.

`Server(parser=sync_sio.parsers.msgpack)`: the module is a parser itself. What can be sent is what JSON can send, with the same
results for the client, but for lone surrogates: UTF-8 has no form for them, so they become U+FFFD, as in JavaScript.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any, Final

from ..protocol.json.writer import CannotSend
from ..protocol.socketio.packet import Packet, PacketError, fits
from ..protocol.socketio.parser import ROOTS
from ..types import JsonDefault
from .flatten import Flattener

try:
    import msgspec
except ImportError as error:
    raise ImportError("sync_sio.parsers.msgpack needs msgspec: pip install sync-sio[msgpack]") from error

__all__ = ["Decoder", "MsgpackParser", "decoder", "encode", "with_default"]

_TOO_DEEP: Final = "nested too deeply, or it contains itself, or a default never ends"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=timezone.utc)
_JAVASCRIPT: Final = 0
"""The extension type of what only JavaScript has: `undefined` (fixext 1), Date (fixext 8), ArrayBuffer (ext 8, 16, 32)."""
_DOUBTFUL: Final = (b"\xc7\x01\x00", b"\xc7\x08\x00")
"""How an ArrayBuffer of 1 or 8 bytes begins. Without one of these in a message, nothing is doubtful."""


class _Wire(msgspec.Struct):
    """A packet on the wire. What it has besides, as the clients' `options`, is ignored."""

    type: int
    nsp: str
    data: Any = None
    id: Any = None


class MsgpackParser:
    """Immutable; any thread.

    Args:
        default: asked for values that JSON has no form for, as `json_default`.
    """

    __slots__ = ("default",)

    def __init__(self, default: JsonDefault | None = None) -> None:
        self.default = default

    def encode(self, packet: Packet) -> tuple[bytes | None, tuple[bytes, ...]]:
        """Return no text, and the packet as one binary message.

        Raises:
            TypeError: something in its data cannot be sent; the message names the path, such as `args[1]["when"]`.
        """
        message: dict[str, Any] = {"type": packet.type, "nsp": packet.namespace}
        if packet.data is not None:
            message["data"] = self._flat(packet, Flattener(self.default))
        if packet.id is not None:
            message["id"] = packet.id
        try:
            return None, (msgspec.msgpack.encode(message),)
        except UnicodeEncodeError:
            message["data"] = self._flat(packet, Flattener(self.default, mends_text=True))
            return None, (msgspec.msgpack.encode(message),)

    def decoder(self) -> Decoder:
        """Return a decoder for one connection."""
        return Decoder()

    def with_default(self, default: JsonDefault) -> MsgpackParser:
        """Return the same parser, with a `json_default`."""
        return MsgpackParser(default)

    def _flat(self, packet: Packet, flattener: Flattener) -> Any:
        root, offset = ROOTS[packet.type]
        try:
            return flattener.flat(packet.data)
        except RecursionError as error:
            raise TypeError(f"{flattener.where(root, offset, 4)}…: {_TOO_DEEP}") from error
        except CannotSend as error:
            raise TypeError(f"{flattener.where(root, offset)}: {error}") from error.__cause__


class Decoder:
    """Makes a packet of each binary message. It keeps nothing between them."""

    __slots__ = ()

    def text(self, data: bytes) -> Packet | None:
        """Raise ProtocolError: there are no text messages."""
        raise PacketError("got a text message: this server speaks msgpack, give the client socket.io-msgpack-parser as its parser")

    def binary(self, data: bytes) -> Packet:
        """Return a message's packet.

        Raises:
            ProtocolError: it is none. Of any bytes, nothing else.
        """
        try:
            is_doubtful = _DOUBTFUL[0] in data or _DOUBTFUL[1] in data
            wire = _decode_exactly(data) if is_doubtful else _usual.decode(data)
        except (ValueError, TypeError, RecursionError) as error:     # msgspec's errors are ValueErrors; TypeError: a map as a key
            raise PacketError(f"invalid msgpack: {error}") from error
        kind, data_of = wire.type, wire.data
        if not 0 <= kind <= 4:
            raise PacketError(f"unknown packet type {kind}")
        if wire.id is not None and type(wire.id) is not int:
            raise PacketError("invalid packet id")
        # nil is as good as nothing: python-socketio's client writes it
        if not wire.nsp.startswith("/") or not fits(kind, data_of, data_of is not None):
            raise PacketError("invalid payload")
        return Packet(kind, wire.nsp, data_of, wire.id)


def extension(code: int, data: memoryview) -> Any:
    """Return what notepack.io 2.x means by an extension, where the sizes alone decide."""
    size = len(data)
    if code == _JAVASCRIPT:
        if size == 1:
            return None
        if size == 8:
            return _date(data)
        return bytes(data)
    return [code, bytes(data)]      # what npm's parser makes of it


def _date(data: memoryview) -> datetime:
    high, low = int.from_bytes(data[:4], "big", signed=True), int.from_bytes(data[4:], "big")
    try:
        return _EPOCH + timedelta(milliseconds=(high << 32) + low)
    except OverflowError:
        raise ValueError("a date outside the years 1 to 9999") from None


def _decode_exactly(message: bytes) -> _Wire:
    """The same where an ArrayBuffer may look like a date or like `undefined`: the headers decide."""
    headers = _extension_headers(message)

    def counted(code: int, data: memoryview) -> Any:
        is_fixed = next(headers, False)
        return extension(code, data) if is_fixed or code != _JAVASCRIPT else bytes(data)

    # not as _Wire at once: what a struct leaves out is skipped, and its extensions would not be asked for
    return msgspec.convert(msgspec.msgpack.decode(message, ext_hook=counted), _Wire)


def _extension_headers(message: bytes) -> Iterator[bool]:
    """Yield for each extension but timestamps, in order, whether its header is that of a fixed size.

    Values stand one behind the other, containers before what they contain: so one flat pass finds them all.
    """
    at = 0
    while at < len(message):
        head = message[at]
        at += 1
        if 0xA0 <= head <= 0xBF:                                    # fixstr
            at += head & 0x1F
        elif 0xC4 <= head <= 0xC6 or 0xD9 <= head <= 0xDB:          # bin, str: 1, 2, 4 bytes of size
            width = 1 << (head - (0xC4 if head <= 0xC6 else 0xD9))
            at += width + int.from_bytes(message[at : at + width], "big")
        elif 0xC7 <= head <= 0xC9:                                  # ext, the same
            width = 1 << (head - 0xC7)
            if message[at + width] != 0xFF:
                yield False
            at += width + 1 + int.from_bytes(message[at : at + width], "big")
        elif 0xD4 <= head <= 0xD8:                                  # fixext of 1, 2, 4, 8, 16 bytes
            if message[at] != 0xFF:
                yield True
            at += 1 + (1 << (head - 0xD4))
        else:
            at += _WIDTHS.get(head, 0)


_WIDTHS: Final = {
    **dict(zip(range(0xCA, 0xD4), (4, 8, 1, 2, 4, 8, 1, 2, 4, 8), strict=True)),       # float, uint, int
    **dict(zip(range(0xDC, 0xE0), (2, 4, 2, 4), strict=True)),                         # sizes of arrays and maps
}


_usual: Final = msgspec.msgpack.Decoder(_Wire, ext_hook=extension)
_parser: Final = MsgpackParser()
encode = _parser.encode
decoder = _parser.decoder
with_default = _parser.with_default
