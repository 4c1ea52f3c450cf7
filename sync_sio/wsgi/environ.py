"""A request as the floors above see it, made from a WSGI environ; and what is kept of an environ while its client is here."""

from __future__ import annotations

import io
import os
import sys
import zlib
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final
from urllib.parse import quote

from ..config import UNIX_SOCKET
from ..errors import PayloadTooLarge
from ..protocol.http import parse_query
from ..types import Environ

__all__ = ["CompactEnviron", "Request", "compact"]

READ_SIZE: Final = 65536

_Address = IPv4Address | IPv6Address


class Request:
    """One HTTP request. Everything is worked out when asked for, from what the web server gave.

    Args:
        environ: the WSGI environ; not changed.
        trusted_proxies: addresses or networks whose X-Forwarded-For, -Proto and -Host are believed; from anybody else these
            headers are ignored.
    """

    def __init__(self, environ: Environ, trusted_proxies: Sequence[str] = ()) -> None:
        self.environ = environ
        self.method: str = environ.get("REQUEST_METHOD", "GET")
        self.path: str = environ.get("PATH_INFO", "")
        """Below where the application is mounted; not escaped, Latin-1 as everything in WSGI."""
        self.query_string: str = environ.get("QUERY_STRING", "")
        self._trusted_proxies = trusted_proxies
        self._query: dict[str, str] | None = None
        self._route: tuple[str, int] | None = None

    def header(self, name: str) -> str | None:
        """Return a header's value, several lines joined as the web server does it; None: it was not sent."""
        value = self.environ.get(_key(name))
        return None if value is None else str(value)

    @property
    def query(self) -> dict[str, str]:
        """The query's parameters: the last of several wins, blank ones are kept. The same dict each time."""
        query = self._query
        if query is None:
            query = self._query = parse_query(self.query_string)
        return query

    @property
    def origin(self) -> str | None:
        return self.header("Origin")

    @property
    def is_upgrade(self) -> bool:
        """Whether a WebSocket is wanted: `Upgrade: websocket`. What else the handshake needs is not looked at."""
        return (self.header("Upgrade") or "").strip().lower() == "websocket"

    @property
    def content_type(self) -> str:
        """The media type alone, in lower case; `""`: none was sent."""
        return (self.header("Content-Type") or "").partition(";")[0].strip().lower()

    @property
    def url(self) -> str:
        """Path and query as the client asked for them: `/socket.io/?EIO=4&transport=polling`."""
        whole: str = self.environ.get("SCRIPT_NAME", "") + self.path
        path = quote(whole.encode("latin-1", "replace"), safe="/:@!$&'()*+,;=~")
        return f"{path}?{self.query_string}" if self.query_string else path

    # -- who asks, and whom --------------------------------------------------------------------------------------------------

    @property
    def remote_address(self) -> str:
        """The client's address: the nearest one that is not a trusted proxy. `""` on a Unix socket."""
        return self._way()[0]

    @property
    def stated_scheme(self) -> str | None:
        """The scheme that a trusted proxy states; None: nobody whom we believe has said it."""
        if not self._trusted_proxies:
            return None
        return _SCHEMES.get((self._forwarded("X-Forwarded-Proto") or "").lower())

    @property
    def scheme(self) -> str:
        """`http` or `https`: as a trusted proxy states it, else as the web server saw it."""
        return self.stated_scheme or str(self.environ.get("wsgi.url_scheme", "http"))

    @property
    def host(self) -> str:
        """Host and port as the client asked for them: a trusted proxy's word, else the Host header, else the server's name."""
        stated = self._forwarded("X-Forwarded-Host") or self.header("Host")
        if stated:
            return stated
        name, port = self.environ.get("SERVER_NAME", ""), self.environ.get("SERVER_PORT", "")
        is_usual = port == {"http": "80", "https": "443"}.get(self.scheme)
        return name if is_usual or not port else f"{name}:{port}"

    def _way(self) -> tuple[str, int]:
        """Return the client's address, and how many trusted proxies the request came through."""
        route = self._route
        if route is None:
            address: str = self.environ.get("REMOTE_ADDR") or ""
            route = self._route = self._traced(address) if self._trusted_proxies else (address, 0)
        return route

    def _traced(self, address: str) -> tuple[str, int]:
        trusted = tuple(self._trusted_proxies)
        hops = [hop.strip() for hop in (self.header("X-Forwarded-For") or "").split(",")]
        proxies = 0
        while _is_trusted(address, trusted):
            proxies += 1
            # What stands left of the first stranger is only that stranger's word.
            before = _without_port(hops.pop()) if hops else ""
            if _parse(before) is None:
                break
            address = before
        return address, proxies

    def _forwarded(self, name: str) -> str | None:
        proxies = self._way()[1]
        value = self.header(name) if proxies else None
        if not value:
            return None
        # Each proxy adds one at the right, or replaces all by one: further left than our proxies reach, it is the client's word.
        values = [part.strip() for part in value.split(",")]
        return values[-min(proxies, len(values))] or None

    # -- the body ------------------------------------------------------------------------------------------------------------

    def read_body(self, limit: int) -> bytes:
        """Return the whole body; `b""` when there is none. Blocks until it is there.

        Args:
            limit: bytes. A Content-Length above it is refused before anything is read, a body of unknown length at the first
                byte too many.

        Raises:
            PayloadTooLarge: the body is larger than `limit`.
            ConnectionError: it ended early, or its length is nonsense; the client is gone or broken.
        """
        stated = self.environ.get("CONTENT_LENGTH") or ""
        if stated:
            if not (stated.isascii() and stated.isdigit()):
                raise ConnectionError(f"Content-Length is {stated[:100]!r}: a number is wanted")
            length = int(stated[:20])
            if length > limit:
                raise PayloadTooLarge(f"a request body of {length} bytes is over the limit of {limit} bytes")
            body = self._read(length)
            if len(body) < length:
                raise ConnectionError(f"the request body ended after {len(body)} of {length} bytes")
            return body
        if "chunked" not in (self.header("Transfer-Encoding") or "").lower():
            return b""
        if not self.environ.get("wsgi.input_terminated"):
            # Reading to the end of such an input would wait for the end of the connection.
            raise ConnectionError("this web server does not decode chunked request bodies")
        body = self._read(limit + 1)
        if len(body) > limit:
            raise PayloadTooLarge(f"a chunked request body is over the limit of {limit} bytes")
        return body

    def _read(self, size: int) -> bytes:
        source = self.environ["wsgi.input"]
        pieces = []
        try:
            while size > 0:
                piece = source.read(min(size, READ_SIZE))
                if not piece:
                    break
                pieces.append(piece)
                size -= len(piece)
        except OSError as error:
            raise ConnectionError(f"the request body cannot be read: {error}") from error
        return b"".join(pieces)


_SCHEMES: Final = {"http": "http", "https": "https", "ws": "http", "wss": "https"}
_WITHOUT_PREFIX: Final = frozenset({"CONTENT_TYPE", "CONTENT_LENGTH"})


@lru_cache(maxsize=64)
def _key(name: str) -> str:
    """Return the CGI name of a header, which the program names, not a client."""
    key = name.upper().replace("-", "_")
    return key if key in _WITHOUT_PREFIX else f"HTTP_{key}"


@lru_cache(maxsize=64)
def _networks(trusted: tuple[str, ...]) -> tuple[IPv4Network | IPv6Network, ...]:
    return tuple(ip_network(network, strict=False) for network in trusted if network != UNIX_SOCKET)


@lru_cache(maxsize=1024)
def _is_trusted(address: str, trusted: tuple[str, ...]) -> bool:
    if not address:
        return UNIX_SOCKET in trusted
    parsed = _parse(address)
    return parsed is not None and any(parsed in network for network in _networks(trusted))


def _parse(address: str) -> _Address | None:
    try:
        parsed = ip_address(address)
    except ValueError:
        return None
    # a listener for both families reports IPv4 clients as ::ffff:a.b.c.d
    return getattr(parsed, "ipv4_mapped", None) or parsed


def _without_port(hop: str) -> str:
    """Some proxies write `1.2.3.4:5678`, or `[2001:db8::1]:5678`."""
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    return hop.partition(":")[0] if hop.count(":") == 1 else hop


# --- what is kept of an environ


class CompactEnviron:
    """An environ's strings in a few hundred bytes, and by reference what middleware has put there."""

    __slots__ = ("_others", "_packed")

    def __init__(self, packed: bytes, others: Environ | None) -> None:
        self._packed = packed
        self._others = others

    def expand(self) -> Environ:
        """Return it as a dict again: a new one each time, with an empty body and nothing of the server's."""
        unpacker = zlib.decompressobj(-zlib.MAX_WBITS, _TYPICAL)
        text = unpacker.decompress(self._packed).decode("utf-8", "surrogatepass")
        fields = text.split("\0") if text else []
        environ: Environ = {}
        for key, value in zip(fields[::2], fields[1::2], strict=True):
            if key[0] == _NUMBER:
                environ[key[1:]] = _SAID[value] if value in _SAID else int(value)
            else:
                environ[key] = value
        environ["wsgi.version"] = (1, 0)
        environ["wsgi.input"] = io.BytesIO()
        environ["wsgi.errors"] = sys.stderr
        if self._others is not None:
            environ.update(self._others)
        return environ


def compact(environ: Environ) -> CompactEnviron:
    """Return what is worth keeping of an environ while its client is connected.

    Left out: sockets, streams and other objects of the web server, and the process's own environment variables, which some
    servers copy into every request.
    """
    fields: list[str] = []
    others: Environ = {}
    process = os.environ
    for key, value in environ.items():
        if isinstance(value, str):
            if key.startswith("HTTP_") or key in _REQUEST or process.get(key) != value:
                if "\0" in value or "\0" in key or not key or key[0] == _NUMBER:
                    others[key] = value
                else:
                    fields += key, value
        elif type(value) in _PLAIN and "\0" not in key:
            fields += _NUMBER + key, repr(value)
        elif not key.startswith(_SERVERS) and not hasattr(value, "fileno"):
            others[key] = value
    packer = zlib.compressobj(3, zlib.DEFLATED, -zlib.MAX_WBITS, 4, zlib.Z_DEFAULT_STRATEGY, _TYPICAL)
    packed = packer.compress("\0".join(fields).encode("utf-8", "surrogatepass")) + packer.flush()
    return CompactEnviron(packed, others or None)


_NUMBER: Final = "#"
"""Before the key of what is no string; nothing that matters has a key that begins so."""
_SAID: Final[dict[str, bool | None]] = {"True": True, "False": False, "None": None}
_PLAIN: Final = frozenset({int, bool, type(None)})
_SERVERS: Final = (
    "wsgi.", "sync_sio.", "gunicorn.", "werkzeug.socket", "werkzeug.server", "waitress.", "uwsgi.", "eventlet.", "x-wsgiorg.",
)  # fmt: skip

# What environs usually say, for the compressor to refer to; what is most common stands last.
_USUAL: Final = """
HTTP_X_FORWARDED_FOR=
HTTP_X_FORWARDED_HOST=
HTTP_X_FORWARDED_PROTO=https
HTTP_REFERER=https://
HTTP_DNT=1
HTTP_SEC_CH_UA="Chromium";v="120","Google Chrome";v="120","Not A(Brand";v="99"
HTTP_SEC_CH_UA_MOBILE=?0
HTTP_SEC_CH_UA_PLATFORM="Windows"
HTTP_SEC_FETCH_DEST=empty
HTTP_SEC_FETCH_MODE=cors
HTTP_SEC_FETCH_SITE=same-origin
HTTP_USER_AGENT=Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) (Macintosh; Intel Mac OS X 10_15_7) Gecko/20100101 Firefox/120.0
HTTP_USER_AGENT=Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Mobile/15E148 Version/17.0
HTTP_USER_AGENT=Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36
HTTP_ACCEPT=*/*
CONTENT_TYPE=text/plain
CONTENT_LENGTH=
SERVER_SOFTWARE=gunicorn/
REMOTE_HOST=
REQUEST_URI=/socket.io/?EIO=4&transport=polling&t=
QUERY_STRING=EIO=4&transport=polling&t=
HTTP_CONNECTION=keep-alive
HTTP_CONNECTION=Upgrade
HTTP_PRAGMA=no-cache
HTTP_CACHE_CONTROL=no-cache
HTTP_UPGRADE=websocket
HTTP_ORIGIN=https://
HTTP_SEC_WEBSOCKET_VERSION=13
HTTP_ACCEPT_ENCODING=gzip, deflate, br, zstd
HTTP_ACCEPT_LANGUAGE=en-US,en;q=0.9
HTTP_COOKIE=session=
HTTP_SEC_WEBSOCKET_KEY=
HTTP_SEC_WEBSOCKET_EXTENSIONS=permessage-deflate; client_max_window_bits
HTTP_HOST=127.0.0.1:
SERVER_NAME=127.0.0.1
SERVER_PORT=80
SERVER_SOFTWARE=sync_sio
GATEWAY_INTERFACE=CGI/1.1
SCRIPT_NAME=
REMOTE_ADDR=127.0.0.1
REMOTE_PORT=
REQUEST_METHOD=GET
PATH_INFO=/socket.io/
SERVER_PROTOCOL=HTTP/1.1
RAW_URI=/socket.io/?EIO=4&transport=websocket
REQUEST_URI=/socket.io/?EIO=4&transport=websocket
QUERY_STRING=EIO=4&transport=websocket
#wsgi.input_terminated=True
#wsgi.multithread=True
#wsgi.multiprocess=False
#wsgi.run_once=False
wsgi.url_scheme=http
"""
_TYPICAL: Final = "\0".join(line.replace("=", "\0", 1) for line in _USUAL.strip().splitlines()).encode()
_REQUEST: Final = frozenset(
    """REQUEST_METHOD SCRIPT_NAME PATH_INFO QUERY_STRING CONTENT_TYPE CONTENT_LENGTH SERVER_NAME SERVER_PORT SERVER_PROTOCOL
    SERVER_SOFTWARE GATEWAY_INTERFACE REMOTE_ADDR REMOTE_HOST REMOTE_PORT REMOTE_USER AUTH_TYPE REQUEST_URI RAW_URI""".split()  # noqa: SIM905
)
"""What no environment variable of the process may hide, though it may have the same name and value."""
