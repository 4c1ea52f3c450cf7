"""gzip and deflate for response bodies."""

from __future__ import annotations

import zlib
from typing import Final, Literal

from ..protocol.http import accepts_encoding

__all__ = ["Encoding", "compress", "encode"]

Encoding = Literal["gzip", "deflate"]

LEVEL: Final = 6
_WBITS: Final = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}


def compress(body: bytes, accept_encoding: str, threshold: int) -> tuple[bytes, str | None]:
    """Return the body as the client likes it best, and the Content-Encoding; None: as it is.

    Args:
        accept_encoding: the header's value, `""` when there is none.
        threshold: bytes below which nothing is compressed.
    """
    encoding = accepts_encoding(accept_encoding) if accept_encoding and len(body) >= threshold else None
    if encoding is None:
        return body, None
    smaller = encode(body, encoding)
    return (smaller, encoding) if len(smaller) < len(body) else (body, None)


def encode(body: bytes, encoding: str) -> bytes:
    """Return the body in "gzip" or "deflate" (which HTTP means to have zlib's wrapping)."""
    packer = zlib.compressobj(LEVEL, zlib.DEFLATED, _WBITS[encoding])
    return packer.compress(body) + packer.flush()
