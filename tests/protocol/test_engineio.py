"""Engine.IO packets and polling payloads."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sync_sio.errors import ProtocolError
from sync_sio.protocol.engineio.packet import NAMES, TYPES, EnginePacketError, open_packet
from sync_sio.protocol.engineio.payload import decode_packet, decode_payload, encode_payload
from sync_sio.protocol.parcel import Parcel


def test_the_handshake_packet_has_five_keys_in_milliseconds() -> None:
    packet = open_packet("x" * 20, ("websocket",), 25.0, 0.0201, 1_000_000)
    assert packet == b'0{"sid":"xxxxxxxxxxxxxxxxxxxx","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20,"maxPayload":1000000}'
    assert json.loads(open_packet("x", [], 25, 20, 5)[1:])["upgrades"] == []


def test_names_and_digits_agree() -> None:
    assert {TYPES[name]: name for name in TYPES} == NAMES
    assert NAMES["4"] == "message"


def test_a_payload_gives_its_packets_one_by_one() -> None:
    body = 'b\x1e4hé"\x1e4\x1ebAQIDBA==\x1e2probe\x1e3\x1e1'.encode()
    assert list(decode_payload(body)) == [
        ("b", b""), ("4", 'hé"'.encode()), ("4", b""), ("b", b"\x01\x02\x03\x04"), ("2", b"probe"), ("3", b""), ("1", b""),
    ]  # fmt: skip


@pytest.mark.parametrize("bad", [b"", b"7", b"abc", b" 4", b"\xff", b"4\xff", b"4\xed\xa0\x80", b"B", "é".encode()])
def test_decoding_stops_at_the_first_bad_packet(bad: bytes) -> None:
    packets = decode_payload(b"4one\x1e" + bad + b"\x1e4two")
    assert next(packets) == ("4", b"one")
    with pytest.raises(EnginePacketError):
        next(packets)
    with pytest.raises(EnginePacketError):
        decode_packet(bad)


def test_an_empty_body_is_a_bad_packet() -> None:
    with pytest.raises(EnginePacketError):
        next(decode_payload(b""))
    with pytest.raises(EnginePacketError):
        list(decode_payload(b"4a\x1e"))


@pytest.mark.parametrize(
    ("text", "data"),
    [
        (b"AQID", b"\x01\x02\x03"), (b"AQI=", b"\x01\x02"), (b"AQI", b"\x01\x02"), (b"AQ", b"\x01"), (b"A", b""), (b"_-8=", b"\xff\xef"),
        (b"AQ ID\n", b"\x01\x02\x03"), (b"!!", b""), (b"AQ==AQ==", b"\x01"), (b"=", b""), (b"\xff\xfe", b""),
    ],
)  # fmt: skip
def test_bad_base64_is_read_as_node_reads_it(text: bytes, data: bytes) -> None:
    assert decode_packet(b"b" + text) == ("b", data)


texts = st.text(st.characters(exclude_characters="\x1e", exclude_categories=["Cs"])).map(str.encode)
messages = st.lists(texts | st.binary().map(bytearray), min_size=1)


@settings(max_examples=100)
@given(messages)
def test_what_is_sent_comes_back(sent: list[bytes | bytearray]) -> None:
    parcels = [Parcel(None, (bytes(data),)) if isinstance(data, bytearray) else Parcel(data) for data in sent]
    body = encode_payload(parcel.payload for parcel in parcels)
    assert list(decode_payload(body)) == [("b" if isinstance(data, bytearray) else "4", bytes(data)) for data in sent]


@settings(max_examples=150)
@given(st.binary(max_size=60) | st.text("0123456b\x1e=AQ\xff", max_size=30).map(lambda text: text.encode("latin-1")))
def test_garbage_raises_protocol_errors_only(body: bytes) -> None:
    try:
        for kind, data in decode_payload(body):
            assert kind in "0123456b"
            assert type(data) is bytes
    except ProtocolError:
        pass


def test_a_payload_of_a_million_packets_is_not_made_at_once() -> None:
    packets = decode_payload(b"\x1e".join([b"6"] * 500_000))
    assert next(packets) == ("6", b"")
