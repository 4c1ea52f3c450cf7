"""The opening handshake of RFC 6455, as the server answers it."""

from __future__ import annotations

import binascii
from base64 import b64encode
from collections.abc import Iterable
from hashlib import sha1

from ...types import Environ
from .. import http

__all__ = ["accept_key", "check", "response_head"]

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def accept_key(key: str) -> str:
    """Return the Sec-WebSocket-Accept for a Sec-WebSocket-Key.

    Source: RFC 6455, 4.2.2.
    """
    return b64encode(sha1(key.strip().encode("latin-1") + _GUID, usedforsecurity=False).digest()).decode()


def check(environ: Environ) -> str | None:
    """Return why a request cannot open a WebSocket, or None when it can.

    Source: RFC 6455, 4.2.1. Looks at headers only: whether the server lets go of its socket is another question.
    """
    if environ.get("REQUEST_METHOD") != "GET":
        return f"the method is {environ.get('REQUEST_METHOD')}, not GET"
    if environ.get("SERVER_PROTOCOL") in ("HTTP/0.9", "HTTP/1.0"):
        return f"the request is {environ['SERVER_PROTOCOL']}; a proxy must speak HTTP/1.1 to the server"
    if not _has_token(environ.get("HTTP_UPGRADE"), "websocket"):
        return "the Upgrade header does not say websocket"
    if not _has_token(environ.get("HTTP_CONNECTION"), "upgrade"):
        return "the Connection header does not say Upgrade"
    version = str(environ.get("HTTP_SEC_WEBSOCKET_VERSION", "")).strip()
    if version != "13":
        return f"Sec-WebSocket-Version is {version or 'missing'}, not 13"
    if not _is_key(str(environ.get("HTTP_SEC_WEBSOCKET_KEY", "")).strip()):
        return "Sec-WebSocket-Key is not the base64 of 16 bytes"
    return None


def response_head(environ: Environ, headers: Iterable[tuple[str, str]] = ()) -> bytes:
    """Return the 101 response to a request that `check` found right, with these headers in addition.

    Raises:
        ValueError: a header cannot be written.
    """
    return http.response_head(
        101,
        [
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Accept", accept_key(environ["HTTP_SEC_WEBSOCKET_KEY"])),
            *headers,
        ],
    )


def _has_token(header: object, token: str) -> bool:
    return header == token or any(part.strip().lower() == token for part in str(header or "").split(","))


def _is_key(key: str) -> bool:
    if len(key) != 24:
        return False
    try:
        return len(binascii.a2b_base64(key.encode("latin-1"))) == 16
    except (ValueError, UnicodeEncodeError):
        return False
