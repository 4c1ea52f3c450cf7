"""The default Socket.IO parser: its grammar, its limits, and what it makes of garbage."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sync_sio.errors import ProtocolError
from sync_sio.protocol.socketio.packet import (
    ACK,
    CONNECT,
    CONNECT_ERROR,
    DISCONNECT,
    EVENT,
    RESERVED_EVENTS,
    Packet,
    PacketDecoder,
    PacketError,
    PacketParser,
)
from sync_sio.protocol.socketio.parser import Decoder, JsonParser

PARSER = JsonParser()

BOTH_WAYS: list[tuple[bytes, Packet]] = [
    (b"0", Packet(CONNECT)),
    (b'0{"token":"x"}', Packet(CONNECT, "/", {"token": "x"})),
    (b'0{"tokens":["x"]}', Packet(CONNECT, "/", {"tokens": ["x"]})),
    (b"0/admin,", Packet(CONNECT, "/admin")),
    (b'0/admin?x=1,{"a":[1]}', Packet(CONNECT, "/admin?x=1", {"a": [1]})),
    (b"1", Packet(DISCONNECT)),
    (b"1/admin,", Packet(DISCONNECT, "/admin")),
    (b'2["hello"]', Packet(EVENT, "/", ["hello"])),
    (b'2["hello",1,{"a":null}]', Packet(EVENT, "/", ["hello", 1, {"a": None}])),
    (b'20["hello"]', Packet(EVENT, "/", ["hello"], 0)),
    (b'2999999999999999999["hello"]', Packet(EVENT, "/", ["hello"], 10**18 - 1)),
    (b'2/admin,456["a,b/c","[\\"]"]', Packet(EVENT, "/admin", ["a,b/c", '["]'], 456)),
    ('2/é,["é"]'.encode(), Packet(EVENT, "/é", ["é"])),
    (b"2[5]", Packet(EVENT, "/", [5])),
    (b"312[]", Packet(ACK, "/", [], 12)),
    (b'3/admin,456["x",null]', Packet(ACK, "/admin", ["x", None], 456)),
    (b'4{"message":"no"}', Packet(CONNECT_ERROR, "/", {"message": "no"})),
    (b'4/x,"no"', Packet(CONNECT_ERROR, "/x", "no")),
]


def check_types(parser: PacketParser, decoder: PacketDecoder) -> None:
    """For the type checker: the default parser is what servers take."""


def test_the_default_parser_is_one() -> None:
    check_types(PARSER, PARSER.decoder())


@pytest.mark.parametrize(("text", "packet"), BOTH_WAYS, ids=lambda value: repr(value)[:40])
def test_packets_are_written_and_read(text: bytes, packet: Packet) -> None:
    assert PARSER.encode(packet) == (text, ())
    assert PARSER.decoder().text(text) == packet


@pytest.mark.parametrize(
    ("text", "packet"),
    [
        (b'2/,["a"]', Packet(EVENT, "/", ["a"])),
        (b"0/foo", Packet(CONNECT, "/foo")),
        (b"1/foo", Packet(DISCONNECT, "/foo")),
        (b'2007["a"]', Packet(EVENT, "/", ["a"], 7)),
        (b'012{"a":1}', Packet(CONNECT, "/", {"a": 1})),
        (b'3["x"]', Packet(ACK, "/", ["x"])),
        (b'2["a",{"_placeholder":true,"num":0}]', Packet(EVENT, "/", ["a", {"_placeholder": True, "num": 0}])),
    ],
)
def test_what_other_clients_may_write_is_read(text: bytes, packet: Packet) -> None:
    assert PARSER.decoder().text(text) == packet


REJECTED = [
    b"", b"7", b"9", b"a", b'7["a"]', b"\xff", b" 2", b"-1", b"0[]", b'0"x"', b"0null", b"1{}", b'1"x"', b"1[]", b"2", b"2{}", b"2[]",
    b"2[null]", b"2[true]", b"2[{}]", b'2[["a"]]', b'2["a"', b'2["a"]x', b'2"a"', b"2null", b'2abc["a"]', b'2-1["a"]', b'21.5["a"]',
    b'21-["a"]', b'2 1["a"]', b'21 ["a"', b"2/foo", b"2/foo,", b'2/foo["a"]', b"3", b"3{}", b"30", b'3"a"', b"3/foo,1", b"4", b"4[]",
    b"4null", b"41", b"5", b"51", b'5["a"]', b'5a-["a"]', b'51.23-["a"]', b'5-["a"]', b'5-1-["a"]', b'50-["a"]', b'500-["a"]',
    b'511-["a"]', b'6["a"]', b"60-[]", b"51-", b"51-[]", b"51-{}", b'51-["connect"]', b'2["a","\xff"]', b'2/\xff,["a"]', b'2["a",NaN]',
    b"2[" + b"[" * 5000, b'2/x,["a",' + b"[" * 5000, b"2" + b"1" * 19 + b'["a"]', b"3" + b"1" * 100_000 + b"[]",
    b"5" + b"9" * 100_000 + b'-["a"]', b"2/" + b"x" * 100_000, b'51_0-["a"]', b'21_0["a"]', b'2+1["a"]', b"2\xb2[\"a\"]",
]  # fmt: skip


@pytest.mark.parametrize("text", REJECTED, ids=lambda value: repr(value)[:30])
def test_wrong_shapes_are_protocol_errors(text: bytes) -> None:
    decoder = PARSER.decoder()
    with pytest.raises(ProtocolError):
        decoder.text(text)
    assert not decoder.is_waiting


@pytest.mark.parametrize("name", sorted(RESERVED_EVENTS))
@pytest.mark.parametrize("head", ["2", "25", "2/x,", "2/x,5", "51-", "51-/x,5"])
def test_reserved_names_are_refused_in_every_form(head: str, name: str) -> None:
    with pytest.raises(PacketError, match="invalid payload"):
        PARSER.decoder().text(f'{head}["{name}"]'.encode())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"7", "unknown packet type 7"),
        (b'5["a"]', "Illegal attachments"),
        (b'511-["a"]', "too many attachments"),
        (b"2{}", "invalid payload"),
    ],
)
def test_errors_say_what_javascript_says(text: bytes, message: str) -> None:
    with pytest.raises(PacketError, match=f"^{message}$"):
        PARSER.decoder().text(text)


def test_attachments_complete_their_packet() -> None:
    packet = Packet(EVENT, "/x", ["up", b"one", {"b": [bytearray(b"two")]}], 3)
    text, attachments = PARSER.encode(packet)
    assert text == b'52-/x,3["up",{"_placeholder":true,"num":0},{"b":[{"_placeholder":true,"num":1}]}]'
    assert attachments == (b"one", b"two")
    decoder = PARSER.decoder()
    assert decoder.text(text) is None
    assert decoder.is_waiting
    assert decoder.binary(b"one") is None
    assert decoder.binary(b"two") == Packet(EVENT, "/x", ["up", b"one", {"b": [b"two"]}], 3)
    assert not decoder.is_waiting


def test_acknowledgements_carry_bytes_too() -> None:
    text, attachments = PARSER.encode(Packet(ACK, "/", [b"", 1], 0))
    assert (text, attachments) == (b'61-0[{"_placeholder":true,"num":0},1]', (b"",))
    decoder = PARSER.decoder()
    assert decoder.text(text or b"") is None
    assert decoder.binary(b"") == Packet(ACK, "/", [b"", 1], 0)


def test_attachments_may_be_used_in_any_order_or_not_at_all() -> None:
    decoder = PARSER.decoder()
    decoder.text(b'53-["a",{"_placeholder":true,"num":2},{"_placeholder":true,"num":0},{"_placeholder":true,"num":2}]')
    decoder.binary(b"0")
    decoder.binary(b"1")
    assert decoder.binary(b"2") == Packet(EVENT, "/", ["a", b"2", b"0", b"2"])


def test_text_while_attachments_are_due_is_an_error_and_forgets_them() -> None:
    decoder = PARSER.decoder()
    decoder.text(b'51-["a",{"_placeholder":true,"num":0}]')
    with pytest.raises(PacketError, match="got plaintext data when reconstructing a packet"):
        decoder.text(b'2["b"]')
    assert not decoder.is_waiting
    assert decoder.text(b'2["b"]') == Packet(EVENT, "/", ["b"])


def test_binary_that_nobody_waits_for_is_an_error() -> None:
    decoder = PARSER.decoder()
    with pytest.raises(PacketError, match="got binary data when not reconstructing a packet"):
        decoder.binary(b"x")


@pytest.mark.parametrize("num", ["-1", "1", "0.5", '"0"', "true", "null", "1e400", "99999999999999999999"])
def test_a_placeholder_of_no_attachment_is_an_error(num: str) -> None:
    decoder = PARSER.decoder()
    with pytest.raises(ProtocolError):
        decoder.text(f'51-["a",{{"_placeholder":true,"num":{num}}}]'.encode())
        decoder.binary(b"")
    assert not decoder.is_waiting


def test_reset_forgets_a_packet_that_is_half_there() -> None:
    decoder = PARSER.decoder()
    decoder.text(b'51-["a",{"_placeholder":true,"num":0}]')
    decoder.reset()
    assert decoder.text(b'2["b"]') == Packet(EVENT, "/", ["b"])


def test_attachments_are_counted_before_anything_is_kept() -> None:
    assert Decoder(2).text(b'52-["a"]') is None
    for count in (b"3", b"03", b"99999999999999999999"):
        decoder = Decoder(2)
        with pytest.raises(PacketError, match="too many attachments"):
            decoder.text(b"5" + count + b'-["a"]')
        assert not decoder.is_waiting


def test_the_sum_of_attachments_is_bounded() -> None:
    decoder = Decoder(3, 100)
    decoder.text(b'53-["a"]')
    decoder.binary(b"x" * 60)
    with pytest.raises(PacketError, match="over 100 bytes"):
        decoder.binary(b"x" * 41)
    assert not decoder.is_waiting
    decoder.text(b'52-["a"]')
    decoder.binary(b"x" * 60)
    assert decoder.binary(b"x" * 40) is not None


def test_what_cannot_be_sent_is_named_as_the_caller_knows_it() -> None:
    with pytest.raises(TypeError, match=r'^args\[1\]\["when"\]: Decimal cannot be sent'):
        PARSER.encode(Packet(EVENT, "/", ["ev", 0, {"when": Decimal(1)}]))
    with pytest.raises(TypeError, match=r"^args\[0\]: Decimal cannot be sent"):
        PARSER.encode(Packet(ACK, "/", [Decimal(1)], 1))
    with pytest.raises(TypeError, match=r'^data\["x"\]: Decimal cannot be sent'):
        PARSER.encode(Packet(CONNECT_ERROR, "/", {"x": Decimal(1)}))
    with pytest.raises(TypeError, match="bytes can be sent in events and acknowledgements only"):
        PARSER.encode(Packet(CONNECT_ERROR, "/", {"x": b""}))
    assert JsonParser(default=str).encode(Packet(ACK, "/", [Decimal("1.0")], 1))[0] == b'31["1.0"]'


names = st.text(st.characters(exclude_categories=["Cs"]), max_size=8).filter(lambda name: name not in RESERVED_EVENTS)
namespaces = st.text(st.characters(exclude_categories=["Cs"], exclude_characters=","), max_size=6).map(lambda name: f"/{name}")
data = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5) | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@settings(max_examples=150)
@given(st.booleans(), namespaces, names, st.lists(data, max_size=3), st.none() | st.integers(0, 10**18 - 1))
def test_what_is_sent_comes_back(is_event: bool, namespace: str, name: str, args: list[Any], number: int | None) -> None:
    packet = Packet(EVENT, namespace, [name, *args], number) if is_event else Packet(ACK, namespace, args, number or 0)
    text, attachments = JsonParser(max_attachments=100).encode(packet)
    decoder = Decoder(100)
    assert text is not None
    received = decoder.text(text)
    for attachment in attachments:
        assert received is None
        received = decoder.binary(attachment)
    assert received == packet


@settings(max_examples=300)
@given(st.binary(max_size=30) | st.text('0123456/,-[]{}"a_placeholdrtuenum: \\', max_size=30).map(str.encode), st.binary(max_size=3))
@example(b"2[", b"")
def test_garbage_raises_protocol_errors_only(text: bytes, binary: bytes) -> None:
    decoder = PARSER.decoder()
    for attempt in (text, b'2["a",' + text, b"5" + text, b'51-["a",' + text):
        try:
            packet = decoder.text(attempt)
            while packet is None:
                packet = decoder.binary(binary)
        except ProtocolError:
            assert not decoder.is_waiting
        else:
            assert packet.type in range(5)
            assert packet.namespace.startswith("/")
