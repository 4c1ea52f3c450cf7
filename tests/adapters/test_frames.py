"""What servers say to each other in tunnels, byte by byte."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync_sio.adapters.redis.frames import (
    DATA,
    KNOCK,
    MAX_DATA,
    PULSE,
    Frame,
    Place,
    decode_credit,
    decode_places,
    encode_credit,
    encode_places,
)

numbers = st.integers(0, 2**64 - 1)
frames = st.builds(
    Frame, st.text("ABCxyz012-_", min_size=6, max_size=6), st.integers(KNOCK, PULSE), st.booleans(), numbers, numbers, st.binary()
)


@given(frames)
def test_a_frame_is_what_it_was(frame: Frame) -> None:
    assert Frame.decode(frame.encode()) == frame


def test_a_frame_stands_as_documented() -> None:
    assert Frame("AbC-_9", DATA, True, 5, 7, b"xyz").encode() == b"AbC-_9\x83" + bytes(7) + b"\x05" + bytes(7) + b"\x07xyz"


@given(st.binary(max_size=40))
def test_whatever_comes_is_a_frame_or_a_value_error(data: bytes) -> None:
    try:
        assert Frame.decode(data).encode() == data
    except ValueError:
        assert len(data) < 23 or data[6] & 0x7F > PULSE or not data[:6].isascii()


def test_a_frame_that_is_too_large_is_none() -> None:
    assert len(Frame.decode(Frame("AbC-_9", DATA, data=bytes(MAX_DATA)).encode()).data) == MAX_DATA
    with pytest.raises(ValueError, match="65560 bytes"):
        Frame.decode(Frame("AbC-_9", DATA, data=bytes(MAX_DATA + 1)).encode())


@given(st.lists(st.builds(Place, st.booleans(), numbers, numbers)))
def test_places_are_what_they_were(places: list[Place]) -> None:
    assert [place for data in encode_places(places) for place in decode_places(data)] == places


def test_many_places_take_several_frames() -> None:
    places = [Place(True, number, 1) for number in range(10_000)]
    pieces = encode_places(places)
    assert len(pieces) == 3
    assert all(len(piece) <= MAX_DATA for piece in pieces)
    assert [place for data in pieces for place in decode_places(data)] == places


def test_what_is_cut_off_is_refused() -> None:
    assert decode_credit(encode_credit(70_000)) == 70_000
    for bad in (b"", b"abc", b"abcde"):
        with pytest.raises(ValueError, match="CREDIT"):
            decode_credit(bad)
    with pytest.raises(ValueError, match="PULSE"):
        decode_places(b"x" * 18)
