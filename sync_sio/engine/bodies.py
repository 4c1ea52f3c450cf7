"""The body of a polling answer: what it says, whether it is compressed, and the headers that tell."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

from ..protocol.engineio.payload import encode_payload
from ..protocol.http import with_vary
from ..protocol.parcel import Parcel
from ..types import HeaderList
from ..wsgi.compression import HttpCompression, Packing

TEXT: Final = ("Content-Type", "text/plain; charset=UTF-8")
OCTETS: Final = ("Content-Type", "application/octet-stream")


class Body(NamedTuple):
    """Packets on their way to a client that polls.

    Attributes:
        may_compress: one of them may be compressed.
    """

    data: bytes
    may_compress: bool = False
    content_type: tuple[str, str] = TEXT

    @classmethod
    def of(cls, parcels: Iterable[Parcel]) -> Body:
        parcels = list(parcels)
        return cls(encode_payload([parcel.payload for parcel in parcels]), any(parcel.may_compress for parcel in parcels))


@dataclass(frozen=True, slots=True)
class Reply:
    """How the answer to one GET is to be made.

    Attributes:
        headers: those of the session's responses.
        compression: the server's; None: it does not compress.
        encoding: what the client takes: `"gzip"`, `"deflate"` or None.
    """

    headers: HeaderList
    compression: HttpCompression | None = None
    encoding: str | None = None

    def packing(self, body: Body) -> Packing | None:
        """Return the compression of a body that is to be compressed."""
        return None if self.encoding is None or not self._is_worth_it(body) else Packing(body.data, self.encoding)

    def lines(self, body: Body, data: bytes, encoding: str | None) -> HeaderList:
        """Return the headers of the whole response. `data`: what is sent of `body`."""
        lines = with_vary(self.headers, "Accept-Encoding") if self._is_worth_it(body) else [*self.headers]
        if encoding is not None:
            lines.append(("Content-Encoding", encoding))
        lines += (body.content_type, ("Content-Length", str(len(data))))
        return lines

    def _is_worth_it(self, body: Body) -> bool:
        compression = self.compression
        return compression is not None and body.may_compress and len(body.data) >= compression.threshold
