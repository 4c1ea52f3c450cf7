"""How polling bodies are written and read: in the fourth revision of the protocol, and in the third."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final, Protocol

from ..errors import ProtocolError
from ..protocol.engineio.payload import decode_payload
from ..protocol.engineio.payload3 import decode_bytes, decode_jsonp, decode_text, encode_bytes, encode_jsonp, encode_text
from ..protocol.parcel import Parcel
from .bodies import OCTETS, TEXT, Body
from .listener import Receiver

OCTET_STREAM: Final = "application/octet-stream"
_NO_DIGIT: Final = re.compile(r"[^0-9]")


class Form(Protocol):
    """One connection's way of polling."""

    @property
    def noop(self) -> Body:
        """Lets a GET go that has nothing to take."""
        ...

    @property
    def goodbye(self) -> Body:
        """Says that this is the end."""
        ...

    @property
    def closing(self) -> Body:
        """The same to a client that comes when it is closing already."""
        ...

    def body(self, parcels: Iterable[Parcel]) -> Body: ...

    def packets(self, body: bytes, content_type: str) -> Iterator[tuple[str, bytes]]:
        """Yield what a POST brings. Raises EnginePacketError."""
        ...

    def takes(self, content_type: str) -> bool:
        """Tell whether a POST may have this type."""
        ...


class Form4:
    """The fourth revision: text, packets joined by U+001E."""

    noop: Final = Body(b"6")
    goodbye: Final = Body(b"1")
    closing: Final = Body(b"6\x1e1")

    def body(self, parcels: Iterable[Parcel]) -> Body:
        return Body.of(parcels)

    def packets(self, body: bytes, content_type: str) -> Iterator[tuple[str, bytes]]:
        return decode_payload(body)

    def takes(self, content_type: str) -> bool:
        return content_type != OCTET_STREAM


FORM_4: Final = Form4()


class Form3:
    """The third revision.

    Args:
        takes_bytes: the client takes bodies of bytes; they are used where a message is binary.
        jsonp: what its parameter `j` says: answers are calls of JavaScript; None: they are not.
    """

    def __init__(self, takes_bytes: bool, jsonp: str | None = None) -> None:
        self._takes_bytes = takes_bytes and jsonp is None
        self._index = None if jsonp is None else _NO_DIGIT.sub("", jsonp)
        self.noop = self._text([(False, b"6")])
        self.goodbye = self._text([(False, b"1")])
        self.closing = self._text([(False, b"6"), (False, b"1")])

    def body(self, parcels: Iterable[Parcel]) -> Body:
        parcels = list(parcels)
        packets = [packet for parcel in parcels for packet in parcel.packets()]
        may_compress = any(parcel.may_compress for parcel in parcels)
        if self._takes_bytes and any(is_binary for is_binary, _ in packets):
            return Body(encode_bytes(packets), may_compress, OCTETS)
        return self._text(packets, may_compress)

    def _text(self, packets: Iterable[tuple[bool, bytes]], may_compress: bool = False) -> Body:
        data = encode_text(packets)
        return Body(data if self._index is None else encode_jsonp(data, self._index), may_compress, TEXT)

    def packets(self, body: bytes, content_type: str) -> Iterator[tuple[str, bytes]]:
        if content_type == OCTET_STREAM:
            return decode_bytes(body)
        return decode_text(body if self._index is None else decode_jsonp(body))

    def takes(self, content_type: str) -> bool:
        return True


class OldReceiver:
    """The ear of a client of the third revision: its binary messages begin with their type."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self.text = receiver.text
        self.texts = receiver.texts
        self.opened = receiver.opened
        self.closed = receiver.closed

    def binary(self, data: bytes) -> None:
        if data[:1] != b"\x04":
            raise ProtocolError("a binary packet that is no message")
        self._receiver.binary(bytes(data[1:]))
