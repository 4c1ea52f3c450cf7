"""HTTP/1.1 requests as bytes: the head, strictly, and the body. For our own server.

Strict because leniency is how two servers come to disagree on where a request ends: no bare line feeds, no folded lines, one
length or one encoding. What is refused is a `BadRequest` with its status.

Source: RFC 9110, RFC 9112.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple, Protocol
from urllib.parse import unquote_to_bytes

from ..errors import ProtocolError
from ..types import Environ

__all__ = ["MAX_HEAD", "BadRequest", "Body", "ByteSource", "Head", "find_head", "parse_head"]

MAX_HEAD: Final = 32 * 1024
"""Bytes of the request line and all headers together."""
MAX_HEADERS: Final = 100
MAX_LINE: Final = 256
"""Bytes of a chunk's size line."""
MAX_TRAILERS: Final = 8 * 1024

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_REQUEST_LINE: Final = re.compile(rf"({_TOKEN}) ([\x21-\x22\x24-\x7e\x80-\xff]+) HTTP/(\d)\.(\d)")
_HEADER: Final = re.compile(rf"({_TOKEN}):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*?)[ \t]*")
_FIRST_BYTE: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]")
_CHUNK_SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(;[^\r\n]*)?")
_ABSOLUTE: Final = re.compile(r"https?://[^/?]*", re.IGNORECASE)
_USUAL: Final = """Accept Accept-Encoding Accept-Language Access-Control-Request-Headers Access-Control-Request-Method Authorization
    Cache-Control Connection Content-Length Content-Type Cookie DNT Expect Forwarded Host If-Modified-Since If-None-Match Keep-Alive Origin
    Pragma Priority Range Referer Sec-Fetch-Dest Sec-Fetch-Mode Sec-Fetch-Site Sec-GPC Sec-WebSocket-Extensions Sec-WebSocket-Key
    Sec-WebSocket-Protocol Sec-WebSocket-Version TE Transfer-Encoding Upgrade Upgrade-Insecure-Requests User-Agent Via X-Forwarded-For
    X-Forwarded-Host X-Forwarded-Port X-Forwarded-Proto X-Real-IP X-Requested-With"""
_WITHOUT_PREFIX: Final = ("CONTENT_TYPE", "CONTENT_LENGTH")


def _key(name: str) -> str:
    """Return the CGI name of a header."""
    key = name.upper().replace("-", "_")
    return key if key in _WITHOUT_PREFIX else f"HTTP_{key}"


_KEYS: Final = {spelling: _key(name) for name in _USUAL.split() for spelling in (name, name.lower(), name.title())}
"""Those of headers that nearly all requests are made of, in the spellings that clients use: these names need no check."""


class BadRequest(ProtocolError):
    """This is not HTTP/1.1 as we take it.

    Attributes:
        status: what to answer.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Head(NamedTuple):
    """A request without its body.

    Attributes:
        target: as the client sent it.
        headers: by CGI name (`HTTP_HOST`, `CONTENT_TYPE`).
        length: of the body in bytes; None: chunked.
        keeps_alive: the client is ready for another request on this connection.
        expects_continue: it waits for `100 Continue` before it sends the body.
    """

    method: str
    target: str
    version: tuple[int, int]
    headers: dict[str, str]
    length: int | None
    keeps_alive: bool
    expects_continue: bool

    def environ(self) -> Environ:
        """Return the WSGI variables that the head determines."""
        target = self.target
        path, _, query = (target if target[0] == "/" else _ABSOLUTE.sub("", target, count=1)).partition("?")
        return {
            "REQUEST_METHOD": self.method,
            "SCRIPT_NAME": "",
            "PATH_INFO": unquote_to_bytes(path.encode("latin-1")).decode("latin-1") if "%" in path else path,
            "QUERY_STRING": query,
            "REQUEST_URI": self.target,
            "SERVER_PROTOCOL": "HTTP/1.1" if self.version == (1, 1) else "HTTP/{}.{}".format(*self.version),
            **self.headers,
        }


def find_head(data: bytes | bytearray) -> int:
    """Return where the head at the start of `data` ends, its empty line included; 0: not there yet.

    Raises:
        BadRequest: it will never be one, or it is too large.
    """
    if data and not _FIRST_BYTE.match(data):
        raise BadRequest(400, "this is not an HTTP request")
    end = data.find(b"\r\n\r\n") + 4
    end = 0 if end == 3 else end
    if (end or len(data)) > MAX_HEAD:
        raise BadRequest(431, f"the request's head is over the limit of {MAX_HEAD} bytes")
    stop = end or len(data)
    if data.count(b"\n", 0, stop) != data.count(b"\r\n", 0, stop):
        raise BadRequest(400, "lines end with CR LF in HTTP/1.1")
    return end


def parse_head(data: bytes) -> Head:
    """Decode a head that `find_head` has found.

    Raises:
        BadRequest: see the module.
    """
    first, *lines = data[:-4].decode("latin-1").split("\r\n")
    matched = _REQUEST_LINE.fullmatch(first)
    if matched is None:
        raise BadRequest(400, "the request line is not METHOD TARGET HTTP/1.1")
    method, target = matched[1], matched[2]
    version = (int(matched[3]), int(matched[4]))
    if version[0] != 1:
        raise BadRequest(505, "only HTTP/1.1 is spoken here")
    if not (target.startswith("/") or target == "*" or _ABSOLUTE.match(target)):
        raise BadRequest(400, "the request's target is not a path")
    headers = _headers(lines)
    if version >= (1, 1) and "HTTP_HOST" not in headers:
        raise BadRequest(400, "a Host header is missing")
    expected = headers.get("HTTP_EXPECT", "").lower()
    if expected not in ("", "100-continue"):
        raise BadRequest(417, "only 100-continue can be expected")
    keeps_alive = version >= (1, 1)
    connection = headers.get("HTTP_CONNECTION")
    if connection is not None:
        wishes = [wish.strip() for wish in connection.lower().split(",")]
        keeps_alive = "close" not in wishes and (keeps_alive or "keep-alive" in wishes)
    return Head(method, target, version, headers, _length(headers, version), keeps_alive, expected != "" and version >= (1, 1))


def _headers(lines: list[str]) -> dict[str, str]:
    if len(lines) > MAX_HEADERS:
        raise BadRequest(431, f"over {MAX_HEADERS} headers")
    headers: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        key = _KEYS.get(name)
        if key is not None and value.isprintable():
            value = value.strip(" ")
        else:
            matched = _HEADER.fullmatch(line)
            if matched is None:
                raise BadRequest(400, "a header line is not NAME: VALUE")
            name, value = matched[1], matched[2]
            if "_" in name:
                continue  # in the environ it could not be told from the one with a dash, which a proxy may have set
            key = _key(name)
        if key not in headers:
            headers[key] = value
        elif key in ("HTTP_HOST", "CONTENT_LENGTH", "CONTENT_TYPE"):
            raise BadRequest(400, f"more than one {name} header")
        else:
            headers[key] += ("; " if key == "HTTP_COOKIE" else ", ") + value
    return headers


def _length(headers: dict[str, str], version: tuple[int, int]) -> int | None:
    encoding, stated = headers.get("HTTP_TRANSFER_ENCODING"), headers.get("CONTENT_LENGTH")
    if encoding is not None:
        if stated is not None or version < (1, 1):
            raise BadRequest(400, "Transfer-Encoding beside Content-Length, or in HTTP/1.0")
        if encoding.lower() != "chunked":
            raise BadRequest(501, "the only Transfer-Encoding that is known here is chunked")
        return None
    if stated is None:
        return 0
    if not re.fullmatch("[0-9]{1,18}", stated):
        raise BadRequest(400, "Content-Length is not a number")
    return int(stated)


class ByteSource(Protocol):
    """Where a body comes from. Both raise ConnectionError when the client is gone."""

    def read_some(self, limit: int) -> bytes:
        """Block until there are bytes; at most `limit`; `b""` at the end."""
        ...

    def read_line(self, limit: int) -> bytes:
        """Return a line without its CR LF; raises BadRequest when it is longer than `limit`."""
        ...


class Body:
    """A request's body as `wsgi.input`: reads end where it ends.

    Args:
        length: bytes; None: chunked.
        before_first: called once, before the client is first waited for (`100 Continue`).

    Reading raises ConnectionError when the client ends it early or breaks the chunked encoding.
    """

    def __init__(self, source: ByteSource, length: int | None, before_first: Callable[[], None]) -> None:
        self._source = source
        self._is_chunked = length is None
        self._left = length or 0
        """Bytes to come of the body, or of the current chunk."""
        self._buffer = b""
        self._before_first: Callable[[], None] | None = before_first
        self.is_over = length == 0
        """All of it was received."""
        self.is_broken = False

    @property
    def left(self) -> int | None:
        """Bytes not received yet; None: unknown."""
        return None if self._is_chunked and not self.is_over else self._left

    def read(self, size: int | None = -1) -> bytes:
        """Return `size` bytes, fewer at the end; without a size, the rest."""
        pieces, wanted = [], -1 if size is None else size
        while wanted:
            piece = self._next(wanted)
            if not piece:
                break
            pieces.append(piece)
            wanted -= len(piece) if wanted > 0 else 0
        return b"".join(pieces)

    def readline(self, size: int | None = -1) -> bytes:
        pieces, wanted = [], -1 if size is None else size
        while wanted:
            piece = self._next(wanted)
            if not piece:
                break
            end = piece.find(b"\n") + 1
            if end:
                piece, rest = piece[:end], piece[end:]
                self._buffer = rest + self._buffer
            pieces.append(piece)
            wanted -= len(piece) if wanted > 0 else 0
            if end:
                break
        return b"".join(pieces)

    def readlines(self, hint: int | None = -1) -> list[bytes]:
        return list(self)

    def __iter__(self) -> Iterator[bytes]:
        while line := self.readline():
            yield line

    def _next(self, wanted: int) -> bytes:
        """Return some bytes, at most `wanted` (negative: any number); `b""` at the end."""
        piece = self._buffer or self._receive()
        if 0 < wanted < len(piece):
            self._buffer = piece[wanted:]
            return piece[:wanted]
        self._buffer = b""
        return piece

    def _receive(self) -> bytes:
        if self.is_over:
            return b""
        if self.is_broken:
            raise ConnectionError("the request body was cut short")
        if self._before_first is not None:
            before_first, self._before_first = self._before_first, None
            before_first()
        try:
            if self._left == 0:
                self._left = self._chunk_size()
                if self._left == 0:
                    self._skip_trailers()
                    self.is_over = True
                    return b""
            piece = self._source.read_some(self._left)
            if not piece:
                raise ConnectionError(f"the client ended the request body early, {self._left} bytes before its end")
            self._left -= len(piece)
            if self._left == 0:
                if not self._is_chunked:
                    self.is_over = True
                elif self._source.read_line(MAX_LINE):
                    raise BadRequest(400, "a chunk is longer than it says")
        except BadRequest as error:
            self.is_broken = True
            raise ConnectionError(f"the request body is not what it says: {error}") from error
        except OSError:
            self.is_broken = True
            raise
        return piece

    def _chunk_size(self) -> int:
        matched = _CHUNK_SIZE.fullmatch(self._source.read_line(MAX_LINE))
        if matched is None:
            raise BadRequest(400, "a chunk does not begin with its size")
        return int(matched[1], 16)

    def _skip_trailers(self) -> None:
        left = MAX_TRAILERS
        while line := self._source.read_line(left):
            left -= len(line)
