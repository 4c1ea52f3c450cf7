"""The short way is the long way: what comes out is the same, or nothing does."""

from __future__ import annotations

from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from sync_sio.errors import ProtocolError
from sync_sio.protocol.packing import in_digits, pack, pack_bytes, unpack
from sync_sio.protocol.parcel import Parcel
from sync_sio.protocol.socketio.packet import ACK, EVENT, Packet
from sync_sio.protocol.socketio.parser import JsonParser

PARSER = JsonParser()
namespaces = st.sampled_from(["/", "/chat", "/käse"])
numbers = st.none() | st.integers(0, 10**17)
plain = st.recursive(st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(), lambda inner: st.lists(inner, max_size=3))


def the_long_way(packet: Packet) -> Parcel:
    return Parcel(*PARSER.encode(packet))


@given(st.sampled_from([EVENT, ACK]), namespaces, st.lists(plain, max_size=4), numbers)
@example(EVENT, "/", ["x" * 200], 7)
@example(EVENT, "/", ["x" * 70_000], None)
def test_a_parcel_is_what_the_parser_makes(kind: int, namespace: str, data: list[Any], number: int | None) -> None:
    parcel = pack(kind, namespace, data, in_digits(number))
    expected = the_long_way(Packet(kind, namespace, data, number))
    assert parcel is not None
    assert (parcel.frames, parcel.text, parcel.size, parcel.attachments) == (expected.frames, expected.text, expected.size, ())


def test_what_has_attachments_takes_the_long_way() -> None:
    assert pack(EVENT, "/", ["x", b"data"], b"") is None


@given(namespaces, st.binary(), st.integers(0, 10**17))
def test_bytes_as_an_answer_are_what_the_parser_makes(namespace: str, data: bytes, number: int) -> None:
    parcel = pack_bytes(namespace, data, in_digits(number))
    expected = the_long_way(Packet(ACK, namespace, [data], number))
    assert (parcel.frames, parcel.text, parcel.size, parcel.attachments) == (expected.frames, expected.text, expected.size, (data,))


@given(
    st.sampled_from([b"2", b"3", b"5", b"4", b""]),
    st.sampled_from([b"", b"0", b"7", b"007", b"00", b"1-", b"/chat,", b"12345678901234567", b"1" * 18, b"1" * 19, b"-1", b" 1", b"1.5"]),
    st.sampled_from([b'["x"]', b'["x",{"a":[1]}]', b'["connect"]', b'["x"', b'["\xff"]', b'[["x"]]', b"[null]", b"[1]", b"[]"])
    | st.sampled_from([b'"x"', b"", b"{}", b"\xff"]),
    st.integers(0, 2),
)
@example(b"2", b"0", b'["x"]', 1)
def test_an_event_is_what_the_decoder_finds(kind: bytes, number: bytes, body: bytes, start: int) -> None:
    message = kind + number + body
    found = unpack(b"4" * start + message, start)
    try:
        packet = PARSER.decoder().text(message)
    except ProtocolError:
        packet = None
    if found is not None:
        assert packet == Packet(EVENT, "/", found[0], int(found[1]) if found[1] else None)
        assert found[1] == in_digits(None if packet is None else packet.id)     # so it goes back as it would on the long way
    elif packet is not None:
        assert packet.type != EVENT or packet.namespace != "/" or number.startswith(b"0") or type(packet.data[0]) is not str
