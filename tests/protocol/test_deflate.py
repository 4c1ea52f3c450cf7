"""permessage-deflate, against `websockets` as the peer."""

from __future__ import annotations

import random
import zlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

from sync_sio.errors import ProtocolError
from sync_sio.protocol.websocket.deflate import Deflate, DeflateOptions, negotiate
from sync_sio.protocol.websocket.frames import BINARY, TEXT, FrameError, FrameReader
from tests.protocol.peer import Peer

ALWAYS = DeflateOptions(threshold=0)


def connect(options: DeflateOptions, **offer: Any) -> tuple[Peer, Deflate]:
    offer.setdefault("client_max_window_bits", True)
    peer = Peer([ClientPerMessageDeflateFactory(**offer)])
    deflate = negotiate(peer.environ["HTTP_SEC_WEBSOCKET_EXTENSIONS"], options)
    assert deflate is not None
    peer.open([("Sec-WebSocket-Extensions", deflate.response)])
    return peer, deflate


OFFERS: list[dict[str, Any]] = [
    {},
    {"client_max_window_bits": None},
    {"client_max_window_bits": 9},
    {"server_max_window_bits": 9},
    {"server_max_window_bits": 15, "client_max_window_bits": 15},
    {"server_no_context_takeover": True},
    {"client_no_context_takeover": True},
]
OPTIONS = [
    ALWAYS,
    DeflateOptions(threshold=0, server_max_window_bits=15, client_max_window_bits=15),
    DeflateOptions(threshold=0, server_max_window_bits=9, client_max_window_bits=9, mem_level=1, level=1),
    DeflateOptions(threshold=0, server_no_context_takeover=True, client_no_context_takeover=True),
]


@pytest.mark.parametrize("options", OPTIONS, ids=range(len(OPTIONS)))
@pytest.mark.parametrize("offer", OFFERS, ids=str)
def test_both_ways_with_an_independent_client(offer: dict[str, Any], options: DeflateOptions) -> None:
    peer, deflate = connect(options, **offer)
    reader = FrameReader(1_000_000, deflate.inflate)
    chance = random.Random(1)
    for size in (0, 1, 10, 1000, 70_000, 10):
        payload = bytes(chance.choice(b"abcd") for _ in range(size))
        assert peer.give(deflate.frame(False, payload) + deflate.frame(True, payload)) == [(TEXT, payload), (BINARY, payload)]
        peer.protocol.send_text(payload)
        peer.protocol.send_binary(payload[:5], fin=False)
        peer.protocol.send_ping(b"")
        peer.protocol.send_continuation(payload[5:], fin=True)
        data, out = peer.take(), list[tuple[int, bytes]]()
        for at in range(0, len(data), 1000):
            reader.feed(data[at : at + 1000], out)
        assert [message for message in out if message[0] <= BINARY] == [(TEXT, payload), (BINARY, payload)]


def test_context_is_taken_over_unless_agreed_otherwise() -> None:
    payload = random.Random(1).randbytes(2000)
    for options, is_kept in ((ALWAYS, True), (DeflateOptions(threshold=0, server_no_context_takeover=True), False)):
        _, deflate = connect(options)
        first, second = len(deflate.deflate(payload)), len(deflate.deflate(payload))
        assert (second < first / 10) is is_kept


def test_short_messages_are_not_compressed() -> None:
    _, deflate = connect(DeflateOptions())
    assert deflate.frame(False, b"x" * 1023)[0] == 0x81
    assert deflate.frame(True, b"x" * 1024)[0] == 0xC2


@pytest.mark.parametrize(
    ("offer", "response"),
    [
        ("permessage-deflate", "permessage-deflate; server_max_window_bits=12"),
        ("permessage-deflate; client_max_window_bits", "permessage-deflate; server_max_window_bits=12; client_max_window_bits=12"),
        ("Permessage-Deflate;client_max_window_bits=8", "permessage-deflate; server_max_window_bits=12; client_max_window_bits=8"),
        ('permessage-deflate; server_max_window_bits="10"', "permessage-deflate; server_max_window_bits=10"),
        ("permessage-deflate; server_no_context_takeover", "permessage-deflate; server_no_context_takeover; server_max_window_bits=12"),
        ("permessage-deflate; server_max_window_bits=15", "permessage-deflate; server_max_window_bits=12"),
        ("x-webkit, permessage-deflate; foo, permessage-deflate", "permessage-deflate; server_max_window_bits=12"),
        ("permessage-deflate; server_max_window_bits=8", None),
        ("permessage-deflate; server_max_window_bits", None),
        ("permessage-deflate; server_max_window_bits=16", None),
        ("permessage-deflate; server_max_window_bits=012", None),
        ("permessage-deflate; client_max_window_bits=7", None),
        ("permessage-deflate; server_no_context_takeover=1", None),
        ("permessage-deflate; server_no_context_takeover; server_no_context_takeover", None),
        ("permessage-deflate; =", None),
        ("permessage-deflate;", None),
        ("permessage-bzip2", None),
        ("", None),
        (",;,", None),
    ],
)
def test_offers_and_what_is_agreed(offer: str, response: str | None) -> None:
    deflate = negotiate(offer, DeflateOptions())
    assert (deflate.response if deflate else None) == response


def test_inflating_stops_at_the_limit() -> None:
    """A bomb: 50 KB that would become 50 MB."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = packer.compress(b"\0" * 50_000_000) + packer.flush(zlib.Z_SYNC_FLUSH)
    for limit in (1, 1000, 1_000_000):
        deflate = negotiate("permessage-deflate", DeflateOptions())
        assert deflate is not None
        with pytest.raises(FrameError) as caught:
            deflate.inflate(bomb[:-4], limit)
        assert caught.value.code == 1009


def test_a_message_may_have_exactly_the_limit() -> None:
    for size in (0, 1, 1000, 100_000):
        _, deflate = connect(ALWAYS)
        packed = zlib.compressobj(9, zlib.DEFLATED, -15)
        data = packed.compress(b"x" * size) + packed.flush(zlib.Z_SYNC_FLUSH)
        assert deflate.inflate(data[:-4], size) == b"x" * size


def test_a_message_that_ends_its_stream_is_followed_by_another() -> None:
    """RFC 7692, 7.2.3.4: blocks with BFINAL are allowed."""
    deflate = negotiate("permessage-deflate", DeflateOptions())
    assert deflate is not None
    for _ in range(3):
        assert deflate.inflate(bytes.fromhex("f348cdc9c9070000"), 100) == b"Hello"
    assert deflate.inflate(bytes.fromhex("f248cdc9c90700"), 100) == b"Hello"


def test_an_error_in_a_compressed_message_ends_the_reading() -> None:
    deflate = negotiate("permessage-deflate", DeflateOptions())
    assert deflate is not None
    reader, out = FrameReader(1000, deflate.inflate), list[tuple[int, bytes]]()
    with pytest.raises(FrameError) as caught:
        reader.feed(b"\xc1\x82\0\0\0\0\xff\xff" + b"\x81\x81\0\0\0\0x", out)
    assert caught.value.code == 1007
    reader.feed(b"\x81\x81\0\0\0\0x", out)
    assert out == []


def test_state_is_made_when_it_is_needed() -> None:
    _, deflate = connect(DeflateOptions())
    assert deflate._deflater is deflate._inflater is None


@pytest.mark.parametrize(
    ("option", "error", "says"),
    [
        (1, TypeError, "False, True or a dict"),
        ("yes", TypeError, "False, True or a dict"),
        ({"treshold": 1}, TypeError, "treshold"),
        ({"threshold": -1}, ValueError, "threshold"),
        ({"threshold": "1"}, TypeError, "threshold"),
        ({"server_max_window_bits": 8}, ValueError, "server_max_window_bits"),
        ({"mem_level": 10}, ValueError, "mem_level"),
    ],
)
def test_impossible_options_are_named(option: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        DeflateOptions.of(option)


def test_options() -> None:
    assert DeflateOptions.of(False) is None
    assert DeflateOptions.of(True) == DeflateOptions()
    assert DeflateOptions.of({"threshold": 5}) == DeflateOptions(threshold=5)
    assert DeflateOptions.of({}) == DeflateOptions()


@settings(max_examples=100)
@given(st.text(st.characters(max_codepoint=255), max_size=60), st.binary(max_size=60))
def test_garbage_raises_protocol_errors_only(header: str, data: bytes) -> None:
    negotiate(header, DeflateOptions())
    negotiate(f"permessage-deflate; {header}", DeflateOptions())
    deflate = negotiate("permessage-deflate", DeflateOptions())
    assert deflate is not None
    try:
        for _ in range(3):
            assert len(deflate.inflate(data, 100)) <= 100
    except ProtocolError:
        pass
