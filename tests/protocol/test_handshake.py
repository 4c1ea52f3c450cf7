"""The opening handshake."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sync_sio.protocol.websocket import handshake
from tests.protocol.peer import Peer

ENVIRON = {
    "REQUEST_METHOD": "GET",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "HTTP_UPGRADE": "websocket",
    "HTTP_CONNECTION": "Upgrade",
    "HTTP_SEC_WEBSOCKET_VERSION": "13",
    "HTTP_SEC_WEBSOCKET_KEY": "dGhlIHNhbXBsZSBub25jZQ==",
}


def test_the_key_of_the_specification_gets_its_answer() -> None:
    assert handshake.accept_key("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def test_an_independent_client_accepts_our_answer() -> None:
    peer = Peer()
    assert handshake.check(peer.environ) is None
    peer.open([("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")])


def test_the_response_is_whole() -> None:
    assert handshake.response_head(ENVIRON, [("X-A", "b")]) == (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nX-A: b\r\n\r\n"
    )
    with pytest.raises(ValueError, match="X-A"):
        handshake.response_head(ENVIRON, [("X-A", "b\r\nX-B: c")])


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"HTTP_UPGRADE": "WebSocket"},
        {"HTTP_UPGRADE": "h2c, websocket"},
        {"HTTP_CONNECTION": "keep-alive, Upgrade"},
        {"HTTP_CONNECTION": "upgrade"},
        {"HTTP_SEC_WEBSOCKET_VERSION": " 13 "},
    ],
)
def test_good_requests(changes: dict[str, str]) -> None:
    assert handshake.check({**ENVIRON, **changes}) is None


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("REQUEST_METHOD", "POST", "POST"),
        ("SERVER_PROTOCOL", "HTTP/1.0", "proxy"),
        ("HTTP_UPGRADE", None, "Upgrade"),
        ("HTTP_UPGRADE", "websockets", "Upgrade"),
        ("HTTP_CONNECTION", None, "Connection"),
        ("HTTP_CONNECTION", "keep-alive", "Connection"),
        ("HTTP_SEC_WEBSOCKET_VERSION", None, "missing"),
        ("HTTP_SEC_WEBSOCKET_VERSION", "8", "8"),
        ("HTTP_SEC_WEBSOCKET_KEY", None, "Key"),
        ("HTTP_SEC_WEBSOCKET_KEY", "", "Key"),
        ("HTTP_SEC_WEBSOCKET_KEY", "x" * 24, "Key"),
        ("HTTP_SEC_WEBSOCKET_KEY", "é" * 24, "Key"),
        ("HTTP_SEC_WEBSOCKET_KEY", "\u20ac" * 24, "Key"),
        ("HTTP_SEC_WEBSOCKET_KEY", "dGhlIHNhbXBsZSBub25jZQ", "Key"),
    ],
)
def test_bad_requests_are_told_why(name: str, value: str | None, says: str) -> None:
    environ: dict[str, Any] = {**ENVIRON, name: value}
    if value is None:
        del environ[name]
    reason = handshake.check(environ)
    assert reason is not None
    assert says in reason


@settings(max_examples=60)
@given(st.dictionaries(st.sampled_from(sorted(ENVIRON)), st.text(st.characters(max_codepoint=255), max_size=24)))
def test_no_header_of_a_client_raises(changes: dict[str, str]) -> None:
    handshake.check({**ENVIRON, **changes})
