"""A parcel: one packet as connections carry it, made once and shared by all that it is sent to."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast

from .engineio.payload import SEPARATOR
from .engineio.payload3 import BINARY_TYPE
from .websocket.frames import TEXT_FRAME, binary_head, frame_head, text_frame

__all__ = ["PACKET_OVERHEAD", "TEXT_HEADS", "Batch", "Parcel", "TextParcel", "long_text_head", "new_text_parcel"]

PACKET_OVERHEAD = 16
"""Bytes that an outbox counts for each packet beside its content, so that a million empty ones are not free."""

TEXT_HEADS = tuple(bytes((0x81, size + 1)) + b"4" for size in range(125))
"""What goes before a text of each length up to 124: the frame's head and Engine.IO's message type."""


def long_text_head(size: int) -> bytes:
    """Return the same for a longer one."""
    return frame_head(TEXT_FRAME, size + 1) + b"4"


class Parcel:
    """A Socket.IO packet, text and attachments never separated, or an Engine.IO packet (`control`).

    Immutable once made; any thread. What is derived is made on first use: two threads that race make the same twice.

    Attributes:
        text: the packet's text without Engine.IO's `4`; None: attachments only.
        attachments: what follows it, each in a message of its own.
        size: the bytes that it counts for in an outbox.
        may_compress: whether a connection that compresses may compress this one.
    """

    __slots__ = ("_frames", "_text", "attachments", "may_compress", "others", "size")

    def __init__(self, text: bytes | None, attachments: tuple[bytes, ...] = (), may_compress: bool = True) -> None:
        self._text = text
        self.attachments = attachments
        self.may_compress = may_compress
        self._frames: bytes | None = None
        self.others: _Others | None = None
        self.size = PACKET_OVERHEAD + (0 if text is None else len(text))
        for attachment in attachments:
            self.size += PACKET_OVERHEAD + len(attachment)

    @classmethod
    def control(cls, packet: bytes) -> Parcel:
        """Return a parcel of one text packet of Engine.IO as it is: `b"2"`, `b"3probe"`, `b'0{…}'`."""
        parcel = cls(None, (), may_compress=False)
        parcel.size += len(packet)
        parcel._frames = text_frame(packet)
        parcel._forms().payload = packet
        return parcel

    @property
    def text(self) -> bytes | None:
        return self._text

    @property
    def frames(self) -> bytes:
        """The unmasked WebSocket frames of it, uncompressed: the text's, then one per attachment."""
        frames = self._frames
        if frames is None:
            text = self._text
            pieces = [] if text is None else [TEXT_HEADS[len(text)] if len(text) < 125 else long_text_head(len(text)), text]
            for attachment in self.attachments:
                pieces += binary_head(len(attachment)), attachment
            frames = self._frames = b"".join(pieces)
        return frames

    def deflated(self, kind: object, frame: Callable[[bool, bytes], bytes]) -> bytes:
        """The WebSocket frames of it, each made by `frame(is_binary, payload)`.

        Args:
            kind: what makes the same frames has the same kind, and the frames are shared; None: they are made for this one.
        """
        made = None if self.others is None else self.others.deflated
        if made is not None and made[0] == kind:
            return made[1]
        frames = b"".join([frame(is_binary, payload) for is_binary, payload in self.packets()])
        if kind is not None:
            self._forms().deflated = (kind, frames)
        return frames

    @property
    def payload(self) -> bytes:
        """The same as Engine.IO polling packets, joined by U+001E, attachments as base64."""
        forms = self._forms()
        payload = forms.payload
        if payload is None:
            packets = [] if self.text is None else [b"4" + self.text]
            packets += [b"b" + b64encode(attachment) for attachment in self.attachments]
            payload = forms.payload = SEPARATOR.join(packets)
        return payload

    @property
    def for_revision_3(self) -> Parcel:
        """The same for clients of Engine.IO's third revision, whose binary messages begin with their type; shared by them."""
        if not self.attachments:
            return self
        forms = self._forms()
        old = forms.old
        if old is None:
            old = forms.old = _OldParcel(self.text, tuple(BINARY_TYPE + each for each in self.attachments), self.may_compress)
        return old

    @property
    def as_text(self) -> Parcel:
        """The same for those of them that take no bytes: binary messages as base64 in text; shared by them."""
        return self.for_revision_3.as_text if self.attachments else self

    def packets(self) -> Iterator[tuple[bool, bytes]]:
        """Yield what goes into each WebSocket message, and whether it is a binary one: for those that frame by themselves."""
        if self.text is not None:
            yield False, b"4" + self.text
        elif not self.attachments:
            yield False, self.payload
        for attachment in self.attachments:
            yield True, attachment

    def _forms(self) -> _Others:
        forms = self.others
        if forms is None:
            forms = self.others = _Others()
        return forms

    def __repr__(self) -> str:
        return f"Parcel({self.text if self.text is not None else self.payload!r}, {len(self.attachments)} attachments)"


class _Others:
    """The forms of one parcel that a plain WebSocket does not ask for."""

    __slots__ = ("deflated", "old", "payload")

    def __init__(self) -> None:
        self.deflated: tuple[object, bytes] | None = None
        self.old: Parcel | None = None
        self.payload: bytes | None = None


class TextParcel(Parcel):
    """A text without attachments, as nearly all are: its frame is made at once, the text by itself when somebody asks.

    `packing.pack` makes it, and sets `frames`, `start` (of the text in them), `size` and `others`: a constructor would cost more than
    all the rest.
    """

    __slots__ = ("frames", "start")

    attachments = ()
    may_compress = True
    frames: bytes
    start: int

    if not TYPE_CHECKING:
        __init__ = object.__init__

    @property
    def text(self) -> bytes:
        return self.frames[self.start :]


new_text_parcel: Callable[[], TextParcel] = cast(Any, TextParcel)
"""Make an empty one."""


class _OldParcel(Parcel):
    """One for the third revision already."""

    __slots__ = ("_text_only",)

    def __init__(self, text: bytes | None, attachments: tuple[bytes, ...], may_compress: bool) -> None:
        super().__init__(text, attachments, may_compress)
        self._text_only: Parcel | None = None

    @property
    def for_revision_3(self) -> Parcel:
        return self

    @property
    def as_text(self) -> Parcel:
        if self._text_only is None:
            text = [] if self.text is None else [Parcel(self.text, (), self.may_compress)]
            binary = [Parcel.control(b"b4" + b64encode(memoryview(each)[1:])) for each in self.attachments]
            self._text_only = Batch([*text, *binary])
        return self._text_only


class Batch(Parcel):
    """Several parcels that no outbox separates: they go out in one write, and in one polling payload."""

    __slots__ = ("_parcels",)

    def __init__(self, parcels: Sequence[Parcel]) -> None:
        super().__init__(None)
        self._parcels = parcels
        self.size = sum(parcel.size for parcel in parcels)
        self.may_compress = any(parcel.may_compress for parcel in parcels)

    @property
    def frames(self) -> bytes:
        return b"".join([parcel.frames for parcel in self._parcels])

    @property
    def payload(self) -> bytes:
        return SEPARATOR.join([parcel.payload for parcel in self._parcels])

    def packets(self) -> Iterator[tuple[bool, bytes]]:
        for parcel in self._parcels:
            yield from parcel.packets()

    def __repr__(self) -> str:
        return f"Batch({self._parcels!r})"
