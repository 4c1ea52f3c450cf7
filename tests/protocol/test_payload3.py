"""The payloads of Engine.IO's third revision: as bytes were captured, both ways, and of any bytes."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync_sio.protocol.engineio.packet import EnginePacketError
from sync_sio.protocol.engineio.payload3 import (
    decode_bytes,
    decode_jsonp,
    decode_text,
    encode_bytes,
    encode_jsonp,
    encode_text,
)

TEXTS = st.text(st.characters(exclude_categories=["Cs"])).map(lambda text: (False, b"4" + text.encode()))
BYTES = st.binary().map(lambda data: (True, b"\x04" + data))


def test_text_is_framed_by_its_length_in_utf_16_units() -> None:
    assert encode_text([(False, b"6"), (False, "4é😀".encode())]) == "1:64:4é😀".encode()
    assert encode_text([(True, b"\x04\x01\x02")]) == b"6:b4AQI="
    assert encode_text([]) == b"0:"
    assert list(decode_text("1:24:4é😀2:4a".encode())) == [("2", b""), ("4", "é😀".encode()), ("4", b"a")]
    assert list(decode_text(b"6:b4AQI=")) == [("b", b"\x04\x01\x02")]
    assert list(decode_text(b"0:")) == []


def test_bytes_are_framed_by_digits_that_are_bytes() -> None:
    packets = [(False, "4é".encode()), (True, b"\x04\xff")]
    assert encode_bytes(packets) == b"\x00\x03\xff4\xc3\xa9" + b"\x01\x02\xff\x04\xff"
    assert list(decode_bytes(encode_bytes(packets))) == [("4", "é".encode()), ("b", b"\x04\xff")]
    assert encode_bytes([(True, b"\x04" + bytes(122))])[:5] == b"\x01\x01\x02\x03\xff"


@given(st.lists(TEXTS | BYTES, min_size=1))
def test_what_is_encoded_is_decoded(packets: list[tuple[bool, bytes]]) -> None:
    expected = [("b", data) if is_binary else ("4", data[1:]) for is_binary, data in packets]
    assert list(decode_text(encode_text(packets))) == expected
    assert list(decode_bytes(encode_bytes(packets))) == expected


@given(st.lists(TEXTS | BYTES, min_size=1), st.data())
def test_what_is_cut_off_is_an_error_after_what_was_whole(packets: list[tuple[bool, bytes]], data: st.DataObject) -> None:
    whole = encode_bytes(packets)
    cut = data.draw(st.integers(0, len(whole) - 1))
    try:
        got = list(decode_bytes(whole[:cut]))
    except EnginePacketError:
        return
    assert len(got) < len(packets)


@pytest.mark.parametrize(
    "body", [b"", b":", b"x:4", b"5:4a", b"-1:4", b"1", b"\xff", b"99999999999:4", "²:4a".encode(), b"1:x", b"2:b5", b"1:b"]
)
def test_what_is_no_text_payload_is_an_error(body: bytes) -> None:
    with pytest.raises(EnginePacketError):
        list(decode_text(body))


@pytest.mark.parametrize(
    "body",
    [b"", b"\x02\x01\xff4", b"\x00\xff4", b"\x00\x0a\xff4", b"\x00\x05\xff4", b"\x00\x01", b"\x01\x01\xff\x03", b"\x00\x01\xffx"],
)
def test_what_is_no_payload_of_bytes_is_an_error(body: bytes) -> None:
    with pytest.raises(EnginePacketError):
        list(decode_bytes(body))


@given(st.binary())
def test_any_bytes_are_packets_or_an_error(body: bytes) -> None:
    for decode in (decode_text, decode_bytes):
        try:
            list(decode(body))
        except EnginePacketError:
            continue


def test_jsonp_answers_are_calls_of_javascript() -> None:
    assert encode_jsonp('2:4"\u2028'.encode(), "7") == b'___eio[7]("2:4\\"\\u2028");'


@pytest.mark.parametrize(("text", "sent"), [("4:4a\nb", "4:4a\\nb"), ("5:4a\\nb", "5:4a\\\\nb"), ("3:4é&", "3:4é&")])
def test_jsonp_forms_escape_line_breaks(text: str, sent: str) -> None:
    assert decode_jsonp(urlencode({"d": sent}).encode()).decode() == text
