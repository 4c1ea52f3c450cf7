"""gzip and deflate for response bodies."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["SLICE", "HttpCompression", "Packing", "encode"]

FILE_LEVEL: Final = 6
_WBITS: Final = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}

SLICE: Final = 64 * 1024
"""Bytes that are compressed in one step: 0.3 ms."""
_LEVEL: Final = 1
_WINDOW: Final = {"gzip": 16 + 13, "deflate": 13}
_MEM_LEVEL: Final = 6
"""What answers are packed with, as they are made once and sent once. Measured on JSON events: level 1 leaves 26 % in 5 µs a KiB, level 6
leaves 21 % in 17; and a window of 8 KiB begins in 5 µs, zlib's own of 32 KiB in 45, which is all that a small body takes."""


@dataclass(frozen=True, slots=True)
class HttpCompression:
    """How polling answers are compressed.

    Attributes:
        threshold: bytes from which on a body is.
    """

    threshold: int = 1024

    def __post_init__(self) -> None:
        if isinstance(self.threshold, bool) or not isinstance(self.threshold, int):
            raise TypeError(f"http_compression: threshold is {self.threshold!r}; it is a number of bytes")
        if self.threshold < 0:
            raise ValueError(f"http_compression: threshold is {self.threshold}; it is 0 bytes or more")

    @classmethod
    def of(cls, option: bool | Mapping[str, Any]) -> HttpCompression | None:
        """Return what `Server(http_compression=…)` means; None: no compression.

        Raises:
            TypeError, ValueError: an unknown or impossible option; the message names it and what is allowed.
        """
        if option is True or option is False:
            return cls() if option else None
        if not isinstance(option, Mapping):
            raise TypeError(f"http_compression is {option!r}; it may be True, False or a dict")
        unknown = [str(name) for name in option if name not in cls.__slots__]
        if unknown:
            raise TypeError(f"http_compression: unknown {', '.join(unknown)}; there is {', '.join(cls.__slots__)}")
        return cls(**option)


class Packing:
    """A body on its way to "gzip" or "deflate" (which HTTP means to have zlib's wrapping), slice by slice: who must not hold up others
    does something else in between.
    """

    __slots__ = ("_left", "_packer", "_pieces", "body", "encoding")

    def __init__(self, body: bytes, encoding: str) -> None:
        self.body = body
        self.encoding: str | None = encoding
        self._left = memoryview(body)
        self._packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _WINDOW[encoding], _MEM_LEVEL)
        self._pieces: list[bytes] = []

    def step(self) -> bool:
        """Compress a slice. True: that was the last; `body` is what to send, and `encoding` None if it has not become smaller."""
        self._pieces.append(self._packer.compress(self._left[:SLICE]))
        self._left = self._left[SLICE:]
        if self._left:
            return False
        packed = b"".join((*self._pieces, self._packer.flush()))
        if len(packed) < len(self.body):
            self.body = packed
        else:
            self.encoding = None
        return True

    def finish(self) -> None:
        """Compress all that is left."""
        while not self.step():
            pass


def encode(body: bytes, encoding: str) -> bytes:
    """Return the body in "gzip" or "deflate", as small as is worth it for what is made once and sent often."""
    packer = zlib.compressobj(FILE_LEVEL, zlib.DEFLATED, _WBITS[encoding])
    return packer.compress(body) + packer.flush()
