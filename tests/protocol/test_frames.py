"""WebSocket frames, against `websockets` as the peer, whole and in pieces, and what is no frame."""

from __future__ import annotations

import random
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sync_sio.errors import ProtocolError
from sync_sio.protocol.websocket import frames
from sync_sio.protocol.websocket.frames import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    TEXT,
    FrameError,
    FrameReader,
    binary_frame,
    close_frame,
    is_close_code,
    parse_close,
    ping_frame,
    pong_frame,
    text_frame,
)
from tests.protocol.peer import Peer

LIMIT = 1_000_000
SIZES = [0, 1, 5, 124, 125, 126, 127, 4095, 4096, 4097, 65535, 65536, 65537, 200_000]
Messages = list[tuple[int, bytes]]


def masked(first: int, payload: bytes, key: bytes = b"\x01\x02\x03\x04", size: int | None = None) -> bytes:
    """Return a client's frame; `size` is what its head claims."""
    size = len(payload) if size is None else size
    if size < 126:
        head = bytes((first, 128 + size))
    elif size < 65536:
        head = bytes((first, 254)) + size.to_bytes(2, "big")
    else:
        head = bytes((first, 255)) + size.to_bytes(8, "big")
    return head + key + bytes(byte ^ key[index % 4] for index, byte in enumerate(payload))


def read(pieces: Iterable[bytes | bytearray], limit: int = LIMIT) -> Messages:
    reader, out = FrameReader(limit), Messages()
    for piece in pieces:
        reader.feed(piece, out)
    return out


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


def conversation() -> tuple[bytes, Messages]:
    """Return what a client writes, all kinds of frames, and what is meant by it."""
    peer = Peer()
    peer.open()
    protocol, meant = peer.protocol, Messages()
    for size in (0, 1, 125, 126, 5000, 70_000):
        protocol.send_text(b"x" * size)
        protocol.send_binary(b"\xff" * size)
        meant += [(TEXT, b"x" * size), (BINARY, b"\xff" * size)]
    protocol.send_ping(b"are you there")
    protocol.send_pong(b"")
    meant += [(PING, b"are you there"), (PONG, b"")]
    protocol.send_text("é".encode()[:1], fin=False)
    protocol.send_ping(b"between")
    protocol.send_continuation(b"", fin=False)
    protocol.send_continuation("é".encode()[1:], fin=True)
    protocol.send_binary(b"a" * 5000, fin=False)
    protocol.send_continuation(b"b" * 5000, fin=True)
    meant += [(PING, b"between"), (TEXT, "é".encode()), (BINARY, b"a" * 5000 + b"b" * 5000)]
    protocol.send_close(1001, "bye")
    meant.append((CLOSE, b"\x03\xe9bye"))
    return peer.take(), meant


@pytest.mark.parametrize("mask", ["speedups", "slow"])
def test_a_clients_frames_are_read_in_pieces_of_any_size(mask: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if mask == "slow":
        monkeypatch.setattr(frames, "_mask", frames._mask_slowly)
    data, meant = conversation()
    assert read([data]) == meant
    for size in (1, 2, 3, 7, 1000, 4096, 4103, 66_000):
        assert read(cut(data, size)) == meant, size
    assert read([bytearray(data)]) == meant
    assert all(type(payload) is bytes for _, payload in read([bytearray(data)]))
    for seed in range(20):
        chance, pieces, at = random.Random(seed), [], 0
        while at < len(data):
            size = chance.choice([1, 5, 20, 3000, 40_000])
            pieces.append(data[at : at + size])
            at += size
        assert read(pieces) == meant, seed


def test_a_large_frame_can_be_received_into_its_place() -> None:
    for size in (9000, 65_536, 300_000, LIMIT):
        payload = random.Random(size).randbytes(size)
        data = masked(0x82, payload) + masked(0x81, b"next")
        reader, out = FrameReader(LIMIT), Messages()
        reader.feed(data[:100], out)
        at = 100
        while (space := reader.space()) is not None:
            assert len(space) > 0
            count = min(len(space), 50_000, len(data) - at)
            space[:count] = data[at : at + count]
            reader.filled(count, out)
            at += count
        reader.feed(data[at:], out)
        assert out == [(BINARY, payload), (TEXT, b"next")]
        assert reader.space() is None


def test_there_is_no_space_to_fill_between_and_in_small_frames() -> None:
    reader = FrameReader(LIMIT)
    assert reader.space() is None
    reader.feed(masked(0x81, b"x" * 4000)[:100], [])
    assert reader.space() is None


def test_a_head_does_not_make_us_allocate_what_it_promises() -> None:
    reader = FrameReader(10**9)
    reader.feed(masked(0x82, b"x", size=10**9), [])
    space = reader.space()
    assert space is not None
    assert len(space) <= 65_536


@pytest.mark.parametrize("size", SIZES)
def test_our_frames_are_understood(size: int) -> None:
    peer = Peer()
    peer.open()
    payload = b"x" * size
    small = payload[:125]
    written = text_frame(payload) + binary_frame(payload) + ping_frame(small) + pong_frame(small)
    assert peer.give(written) == [(TEXT, payload), (BINARY, payload), (PING, small), (PONG, small)]
    assert peer.give(close_frame(1001, "x" * size)) == [(CLOSE, b"\x03\xe9" + b"x" * min(size, 123))]


def test_close_frames_are_cut_between_characters_and_may_be_empty() -> None:
    assert close_frame() == b"\x88\x00"
    assert close_frame(None, "ignored") == b"\x88\x00"
    frame = close_frame(1000, "é" * 100)
    assert len(frame) == 2 + 2 + 122
    assert parse_close(frame[2:]) == (1000, "é" * 61)
    close_frame(1000, "\ud800")


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, 1007, 1011, 1012, 1014, 3000, 4999])
def test_close_codes_that_may_be_sent(code: int) -> None:
    assert is_close_code(code)
    assert parse_close(code.to_bytes(2, "big")) == (code, "")


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535])
def test_close_codes_that_may_not(code: int) -> None:
    assert not is_close_code(code)
    with pytest.raises(FrameError) as caught:
        parse_close(code.to_bytes(2, "big"))
    assert caught.value.code == 1002


def test_close_payloads() -> None:
    assert parse_close(b"") == (1005, "")
    with pytest.raises(FrameError):
        parse_close(b"\x03")
    with pytest.raises(FrameError) as caught:
        parse_close(b"\x03\xe8\xff")
    assert caught.value.code == 1007


BAD: list[tuple[str, bytes, int]] = [
    ("unmasked", b"\x81\x01x", 1002),
    ("unmasked, the smallest", b"\x88\x00", 1002),
    ("unmasked, long", b"\x82\x7f" + (10**6).to_bytes(8, "big"), 1002),
    ("reserved bit 1", masked(0xC1, b"x"), 1002),
    ("reserved bit 2", masked(0xA1, b"x"), 1002),
    ("reserved bit 3", masked(0x91, b"x"), 1002),
    ("opcode 3", masked(0x83, b"x"), 1002),
    ("opcode 7, not whole", masked(0x87, b"x", size=50_000), 1002),
    ("opcode 11", masked(0x8B, b""), 1002),
    ("opcode 15", masked(0x8F, b""), 1002),
    ("ping in fragments", masked(0x09, b""), 1002),
    ("long ping", masked(0x89, b"x" * 126), 1002),
    ("long close, not whole", masked(0x88, b"", size=65_536), 1002),
    ("nothing to continue", masked(0x80, b"x"), 1002),
    ("nothing to continue, not the last", masked(0x00, b"x"), 1002),
    ("text within a fragmented message", masked(0x01, b"a") + masked(0x81, b"b"), 1002),
    ("fragment within a fragmented message", masked(0x02, b"a") + masked(0x02, b"b"), 1002),
    ("no UTF-8", masked(0x81, b"\xff"), 1007),
    ("surrogate", masked(0x81, b"\xed\xa0\x80"), 1007),
    ("cut UTF-8", masked(0x81, b"\xc3"), 1007),
    ("no UTF-8 in fragments", masked(0x01, b"\xc3") + masked(0x80, b"\x28"), 1007),
    ("large and no UTF-8", masked(0x81, b"\xff" * 70_000), 1007),
    ("too big", masked(0x82, b"", size=LIMIT + 1), 1009),
    ("much too big", masked(0x82, b"", size=2**63 - 1), 1009),
    ("all ones", b"\x82\xff" + b"\xff" * 8 + b"abcd", 1009),
    ("too big in fragments", masked(0x02, b"x" * 600_000) + masked(0x00, b"", size=400_001), 1009),
    ("too big in many fragments", masked(0x02, b"x" * 600_000) + masked(0x00, b"x" * 300_000) + masked(0x80, b"", size=100_001), 1009),
]


@pytest.mark.parametrize(("data", "code"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_what_is_no_frame_ends_the_reading_after_what_came_before(data: bytes, code: int) -> None:
    good = masked(0x81, b"good") + masked(0x89, b"")
    for size in (len(data) + 100, 1, 1009):
        if size == 1 and len(data) > 10_000:
            continue
        reader, out = FrameReader(LIMIT), Messages()
        with pytest.raises(FrameError) as caught:
            for piece in cut(good + data, size):
                reader.feed(piece, out)
        assert caught.value.code == code
        assert out == [(TEXT, b"good"), (PING, b"")]
        reader.feed(good, out)
        assert len(out) == 2, "what comes after an error is ignored"
        assert reader.space() is None


def test_a_message_may_have_exactly_the_limit() -> None:
    for limit in (10, 125, 126, 5000, 70_000):
        assert read([masked(0x82, b"x" * limit)], limit) == [(BINARY, b"x" * limit)]
        assert read([masked(0x02, b"x" * (limit - 3)) + masked(0x80, b"xxx")], limit) == [(BINARY, b"x" * limit)]
        with pytest.raises(FrameError, match=str(limit)):
            read([masked(0x82, b"", size=limit + 1)], limit)
    assert read([masked(0x89, b"x" * 125)], 10) == [(PING, b"x" * 125)]


def test_nothing_after_a_close_frame_counts() -> None:
    data = masked(0x88, b"") + masked(0x81, b"late") + b"garbage"
    assert read([data]) == [(CLOSE, b"")]
    assert read(cut(data, 1)) == [(CLOSE, b"")]


def test_endless_empty_fragments_take_no_memory() -> None:
    reader, out = FrameReader(LIMIT), Messages()
    reader.feed(masked(0x02, b""), out)
    for _ in range(100):
        reader.feed(masked(0x00, b"") * 1000, out)
    reader.feed(masked(0x80, b"end"), out)
    assert out == [(BINARY, b"end")]


def test_both_masks_agree() -> None:
    chance = random.Random(1)
    for size in range(40):
        data, key = chance.randbytes(size), chance.randbytes(4)
        assert frames._mask_slowly(data, key) == frames._mask(data, key)


@st.composite
def written(draw: st.DrawFn) -> tuple[bytes, Messages]:
    """Draw messages, cut into fragments with pings between them, masked, as one stream; and what is meant."""
    stream, meant = b"", Messages()
    for _ in range(draw(st.integers(0, 4))):
        opcode = draw(st.sampled_from([TEXT, BINARY]))
        payload = draw(st.text(st.characters(exclude_categories=["Cs"]), max_size=200)).encode() * draw(st.sampled_from([1, 1, 40]))
        edges = sorted(draw(st.lists(st.integers(0, len(payload)), max_size=3)))
        parts = [payload[start:stop] for start, stop in zip([0, *edges], [*edges, len(payload)], strict=True)]
        for index, part in enumerate(parts):
            fin = 0x80 if index == len(parts) - 1 else 0
            stream += masked(fin | (opcode if index == 0 else 0), part, draw(st.binary(min_size=4, max_size=4)))
            if not fin and draw(st.booleans()):
                stream += masked(0x89, b"ping")
                meant.append((PING, b"ping"))
        meant.append((opcode, payload))
    return stream, meant


@settings(max_examples=80)
@given(written(), st.lists(st.integers(1, 3000), min_size=1, max_size=6))
def test_any_stream_in_any_pieces_gives_the_same_messages(stream: tuple[bytes, Messages], sizes: list[int]) -> None:
    data, meant = stream
    pieces, at, turn = [], 0, 0
    while at < len(data):
        size = sizes[turn % len(sizes)]
        pieces.append(data[at : at + size])
        at, turn = at + size, turn + 1
    assert read(pieces) == meant


@settings(max_examples=200)
@given(st.lists(st.binary(max_size=40) | st.binary(min_size=2, max_size=12).map(lambda data: masked(data[0], data[1:])), max_size=5))
def test_garbage_raises_protocol_errors_only(pieces: list[bytes]) -> None:
    reader, out = FrameReader(1000, lambda data, limit: data), Messages()
    try:
        for piece in pieces:
            reader.feed(piece, out)
    except ProtocolError:
        pass
    assert {opcode for opcode, _ in out} <= {TEXT, BINARY, CLOSE, PING, PONG}


@settings(max_examples=60)
@given(st.binary(max_size=10))
def test_a_close_payload_raises_protocol_errors_only(payload: bytes) -> None:
    try:
        code, _ = parse_close(payload)
        assert code == 1005 or is_close_code(code)
    except ProtocolError:
        pass
