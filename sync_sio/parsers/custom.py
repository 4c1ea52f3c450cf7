"""A parser of somebody else's, with what it says checked: its mistakes are named where they are made, and go no further."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..protocol.socketio.packet import CONNECT_ERROR, Packet, PacketDecoder, PacketError, fits
from ..types import JsonDefault

__all__ = ["Checked", "check_parser"]


def check_parser(parser: Any, default: JsonDefault | None) -> None:
    """Raise for what cannot be `Server(parser=…)`.

    Raises:
        TypeError: it is no object with `encode` and `decoder`.
        ValueError: there is a `json_default`, and it has no `with_default` that would take it.
    """
    if isinstance(parser, type):
        raise TypeError(f"parser={parser!r} is a class: give an object of it, {parser.__name__}()")
    if not (callable(getattr(parser, "encode", None)) and callable(getattr(parser, "decoder", None))):
        raise TypeError(f"parser={parser!r}: an object with encode() and decoder() is wanted, or None for JSON")
    if default is not None and not callable(getattr(parser, "with_default", None)):
        raise ValueError(f"json_default={default!r}: parser={parser!r} has no with_default() that takes it, so it would never be asked")


class Checked:
    """Stands before a parser. Any thread, as far as the parser is concerned."""

    __slots__ = ("_encode", "_make_decoder")

    def __init__(self, parser: Any, default: JsonDefault | None) -> None:
        if default is not None:
            parser = parser.with_default(default)
        self._encode: Callable[[Packet], Any] = parser.encode
        self._make_decoder: Callable[[], PacketDecoder] = parser.decoder

    def encode(self, packet: Packet) -> tuple[bytes | None, tuple[bytes, ...]]:
        """Return what the parser does. Raises TypeError when that is not what an encoder returns, and what it raises."""
        result = self._encode(packet)
        if type(result) is tuple and len(result) == 2:
            text, attachments = result
            is_right = (type(text) is bytes or (text is None and attachments)) and type(attachments) in (tuple, list)
            if is_right and all(type(attachment) is bytes for attachment in attachments):
                return text, tuple(attachments)
        raise TypeError(f"the parser's encode() returned {result!r:.200}: (bytes or None, a tuple of bytes) is wanted, not both empty")

    def decoder(self) -> CheckedDecoder:
        return CheckedDecoder(self._make_decoder())


class CheckedDecoder:
    """Stands before a decoder: what it returns fits into its kind of packet, as with every parser."""

    __slots__ = ("_decoder",)

    def __init__(self, decoder: PacketDecoder) -> None:
        self._decoder = decoder

    def text(self, data: bytes) -> Packet | None:
        return _checked(self._decoder.text(data))

    def binary(self, data: bytes) -> Packet | None:
        return _checked(self._decoder.binary(data))


def _checked(packet: Packet | None) -> Packet | None:
    if packet is None:
        return None
    if not isinstance(packet, Packet):
        raise TypeError(f"the parser's decoder returned {packet!r:.200}: a Packet is wanted, or None")
    kind, number = packet.type, packet.id
    if type(kind) is not int or not 0 <= kind <= CONNECT_ERROR:
        raise PacketError(f"unknown packet type {kind!r:.100}")
    if not fits(kind, packet.data, packet.data is not None):
        raise PacketError("invalid payload")
    if type(packet.namespace) is not str or not (number is None or type(number) is int):
        raise PacketError("invalid namespace or packet id")
    return packet
