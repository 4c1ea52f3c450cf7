"""The msgpack parser alone: what can be sent is what JSON can send, and what comes is checked before anybody sees it."""

from __future__ import annotations

import subprocess
import sys
from collections import OrderedDict, namedtuple
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import sync_sio
from sync_sio import ProtocolError, Server
from sync_sio.parsers import ACK, CONNECT, CONNECT_ERROR, DISCONNECT, EVENT, Packet, msgpack
from sync_sio.protocol import json

RESERVED = ("connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener")


@dataclass
class Move:
    who: str
    _to: Any


class Colour(Enum):
    RED = "red"


class Level(IntEnum):
    HIGH = 3


class Text(str):
    pass


class Whole(int):
    pass


class Real(float):
    pass


Point = namedtuple("Point", "x y")


def encoded(*args: Any, default: Any = None) -> bytes:
    text, attachments = msgpack.MsgpackParser(default).encode(Packet(EVENT, "/", ["e", *args]))
    assert text is None
    (message,) = attachments
    return message


def sent(value: Any, default: Any = None) -> Any:
    """Return what any msgpack reader makes of a value that was sent."""
    return msgspec.msgpack.decode(encoded(value, default=default))["data"][1]


def received(**fields: Any) -> Packet:
    return msgpack.decoder().binary(msgspec.msgpack.encode(fields))


def event_of(raw: bytes) -> Packet:
    """Return the packet of an event whose only argument is this raw msgpack."""
    return msgpack.decoder().binary(b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data\x92\xa1e" + raw)


# -- what can be sent ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        None, True, 0, -1, 2**53, -(2**63), 2**64 - 1, 0.5, "Zoë ✓ \U0001f600", [], (), {}, [1, (2, {"a": (None,)})],
        Text("t"), Whole(7), Real(0.5), Colour.RED, Level.HIGH, Point(1, [2]), OrderedDict(a=1), Move("me", [1, Move("you", None)]),
        datetime(2026, 1, 2, 3, 4, 5, 6789), datetime(2026, 1, 2, tzinfo=timezone.utc), date(2026, 1, 2), UUID(int=5),
        float("nan"), float("inf"), [float("-inf")],
        {7: 1, True: 2, None: 3, 1.5: 4, 1e21: 5, Colour.RED: 6, Text("k"): 7},
    ],
    ids=repr,
)  # fmt: skip
def test_values_arrive_as_json_would_bring_them(value: Any) -> None:
    text, attachments = json.encode(value)
    assert not attachments
    assert sent(value) == json.decode(text)


def test_bytes_stay_where_they_are() -> None:
    view = memoryview(bytearray(b"abcdef"))[::2]
    assert sent([b"\x00", {"a": bytearray(b"x")}, view]) == [b"\x00", {"a": b"x"}, b"ace"]


def test_what_is_sent_is_a_snapshot() -> None:
    buffer = bytearray(b"before")
    message = encoded(buffer)
    buffer[:] = b"after!"
    assert b"before" in message


@pytest.mark.parametrize("number", [2**64, -(2**63) - 1, 10**300, 10**5000, -(10**5000)], ids="abcde")
def test_longer_integers_are_the_numbers_that_javascript_reads(number: int) -> None:
    try:
        wanted = float(number)
    except OverflowError:
        wanted = float("inf") if number > 0 else float("-inf")
    assert sent(number) == wanted


def test_lone_surrogates_become_replacement_characters_and_pairs_what_they_mean() -> None:
    assert sent(["a\ud800b", {"\udc00": "\ud83d\ude00"}, "fine"]) == ["a\ufffdb", {"\ufffd": "\U0001f600"}, "fine"]


@pytest.mark.parametrize(
    ("args", "path"),
    [
        ((object(),), "args[0]: object cannot be sent"),
        ((1, {"when": [0, {1, 2}]}), 'args[1]["when"][1]: set cannot be sent'),
        (({(1, 2): 3},), "args[0]: a key of type tuple"),
        ((Move("me", Decimal(1)),), 'args[0]["_to"]: Decimal cannot be sent'),
    ],
)
def test_what_cannot_be_sent_is_named_with_its_path(args: tuple[Any, ...], path: str) -> None:
    with pytest.raises(TypeError) as caught:
        encoded(*args)
    assert str(caught.value).startswith(path)


def test_what_contains_itself_is_a_type_error() -> None:
    ring: list[Any] = []
    ring.append(ring)
    with pytest.raises(TypeError, match=r"args\[0\]\[0\]\[0\]\[0\]…: nested too deeply"):
        encoded(ring)
    with pytest.raises(TypeError, match="default never ends"):
        encoded(object(), default=lambda value: [value])


def test_default_is_asked_last_and_its_own_errors_are_passed_on() -> None:
    def default(value: Any) -> Any:
        if isinstance(value, Decimal):
            return {"decimal": str(value), "raw": b"\x01"}
        if isinstance(value, complex):
            raise LookupError("its own")
        raise TypeError("not this one")

    assert sent([Decimal("1.5")], default) == [{"decimal": "1.5", "raw": b"\x01"}]
    with pytest.raises(LookupError, match="its own"):
        sent(1j, default)
    with pytest.raises(TypeError, match=r"args\[0\]: object cannot be sent.*not this one"):
        sent(object(), default)


def test_the_servers_json_default_is_the_parsers() -> None:
    io = Server(parser=sync_sio.parsers.msgpack, json_default=str)
    parcel = io.sockets.site.parcel(Packet(EVENT, "/", ["e", Decimal("1.5")]))
    assert msgspec.msgpack.decode(parcel.attachments[0])["data"] == ["e", "1.5"]


def test_packets_without_data_or_id_have_no_such_key() -> None:
    def keys(packet: Packet) -> dict[str, Any]:
        return msgspec.msgpack.decode(msgpack.encode(packet)[1][0])

    assert keys(Packet(DISCONNECT, "/a")) == {"type": 1, "nsp": "/a"}
    assert keys(Packet(CONNECT, "/", {"sid": "x"})) == {"type": 0, "nsp": "/", "data": {"sid": "x"}}
    assert keys(Packet(ACK, "/", [1], 0)) == {"type": 3, "nsp": "/", "data": [1], "id": 0}
    refusal = {"message": "m", "data": b"\x01"}
    assert keys(Packet(CONNECT_ERROR, "/", refusal)) == {"type": 4, "nsp": "/", "data": refusal}


_PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(st.lists(_PLAIN), st.none() | st.integers(0, 2**53))
def test_what_is_encoded_is_decoded(args: list[Any], number: int | None) -> None:
    packet = Packet(EVENT, "/room", ["event", *args], number)
    assert msgpack.decoder().binary(msgpack.encode(packet)[1][0]) == packet


# -- what comes ---------------------------------------------------------------------------------------------------------------


def test_packets_of_each_kind() -> None:
    assert received(type=0, nsp="/", data={"token": 1}) == Packet(CONNECT, "/", {"token": 1})
    assert received(type=0, nsp="/a") == Packet(CONNECT, "/a")
    assert received(type=0, nsp="/", data=None) == Packet(CONNECT, "/"), "python-socketio's client writes nil"
    assert received(type=1, nsp="/") == Packet(DISCONNECT, "/")
    assert received(type=2, nsp="/", data=["e", b"\x00", {}], id=3, options={"compress": True}) == Packet(EVENT, "/", ["e", b"\x00", {}], 3)
    assert received(type=2, nsp="/", data=[7]) == Packet(EVENT, "/", [7])
    assert received(type=3, nsp="/", data=[], id=0) == Packet(ACK, "/", [], 0)
    assert received(type=4, nsp="/", data="no") == Packet(CONNECT_ERROR, "/", "no")


@pytest.mark.parametrize(
    "fields",
    [
        {}, {"type": 2, "data": ["e"]}, {"nsp": "/", "data": ["e"]},
        {"type": 5, "nsp": "/", "data": ["e"]}, {"type": -1, "nsp": "/"},
        {"type": "2", "nsp": "/", "data": ["e"]}, {"type": True, "nsp": "/"},
        {"type": 2.5, "nsp": "/", "data": ["e"]}, {"type": None, "nsp": "/", "data": ["e"]},
        {"type": 2, "nsp": 1, "data": ["e"]}, {"type": 2, "nsp": b"/", "data": ["e"]}, {"type": 2, "nsp": "", "data": ["e"]},
        {"type": 2, "nsp": None, "data": ["e"]},
        {"type": 2, "nsp": "/"}, {"type": 2, "nsp": "/", "data": {}},
        {"type": 2, "nsp": "/", "data": "e"}, {"type": 2, "nsp": "/", "data": []},
        {"type": 2, "nsp": "/", "data": [None]}, {"type": 2, "nsp": "/", "data": [["e"]]}, {"type": 2, "nsp": "/", "data": [True]},
        {"type": 2, "nsp": "/", "data": [b"e"]},
        *({"type": 2, "nsp": "/", "data": [name]} for name in RESERVED),
        {"type": 2, "nsp": "/", "data": ["e"], "id": "1"}, {"type": 2, "nsp": "/", "data": ["e"], "id": 1.5},
        {"type": 2, "nsp": "/", "data": ["e"], "id": True},
        {"type": 3, "nsp": "/", "data": {}, "id": 1}, {"type": 3, "nsp": "/", "id": 1},
        {"type": 0, "nsp": "/", "data": []}, {"type": 0, "nsp": "/", "data": "x"}, {"type": 1, "nsp": "/", "data": {}},
        {"type": 4, "nsp": "/", "data": []}, {"type": 4, "nsp": "/"},
    ],
    ids=repr,
)  # fmt: skip
def test_what_is_no_packet_is_a_protocol_error(fields: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError):
        received(**fields)


@pytest.mark.parametrize("message", [b"", b"\x00", b"\xc0", b"\x90", b"\xa1e", b"\xc1", b"\x81", b"\x81\x90\x00", b"\xff" * 50])
def test_garbage_is_a_protocol_error(message: bytes) -> None:
    with pytest.raises(ProtocolError):
        msgpack.decoder().binary(message)


def test_a_text_message_is_a_protocol_error_that_says_what_to_do() -> None:
    with pytest.raises(ProtocolError, match=r"give the client socket[.]io-msgpack-parser"):
        msgpack.decoder().text(b"0")


@pytest.mark.parametrize("deep", [b"\x91" * 100_000, b"\x81\xa1a" * 100_000, b"\x91" * 50_000 + b"\xc0"], ids="abc")
def test_depth_is_bounded(deep: bytes) -> None:
    with pytest.raises(ProtocolError):
        event_of(deep)


@pytest.mark.parametrize("head", [b"\xdd", b"\xdf", b"\xc6", b"\xdb", b"\xc9"])
def test_sizes_that_are_only_claimed_cost_nothing(head: bytes) -> None:
    with pytest.raises(ProtocolError):
        event_of(head + b"\xff\xff\xff\xff\x00")


def test_what_only_javascript_has() -> None:
    assert event_of(b"\xd4\x00\x00").data[1] is None
    for milliseconds in (0, 1_700_000_000_123, -1):
        moment = datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(milliseconds=milliseconds)
        assert event_of(b"\xd7\x00" + milliseconds.to_bytes(8, "big", signed=True)).data[1] == moment
    assert event_of(b"\xc7\x03\x00abc").data[1] == b"abc"
    assert event_of(b"\xc8\x00\x03\x00abc").data[1] == b"abc"
    assert event_of(b"\xc9\x00\x00\x00\x03\x00abc").data[1] == b"abc"
    assert event_of(b"\xd6\xff\x00\x00\x00\x01").data[1] == datetime(1970, 1, 1, 0, 0, 1, tzinfo=timezone.utc)
    assert event_of(b"\xd5\x07ab").data[1] == [7, b"ab"]
    packet = msgpack.decoder().binary(b"\x84\xa4type\x00\xa3nsp\xa1/\xa4data\xd4\x00\x00\xa2id\xd4\x00\x00")
    assert packet == Packet(CONNECT, "/")


def test_array_buffers_of_one_and_eight_bytes_are_no_undefined_and_no_date() -> None:
    date_of = b"\xd7\x00" + (1000).to_bytes(8, "big")
    date = datetime(1970, 1, 1, 0, 0, 1, tzinfo=timezone.utc)
    eight = b"\xc7\x08\x00" + bytes(8)
    mixed = b"\x9d" + b"".join(
        [
            date_of, eight, b"\xd4\x00\x00", b"\xc7\x01\x00\x07", date_of,
            b"\xd6\xff\x00\x00\x00\x01", b"\xc4\x03\xc7\x08\x00", b"\xa3\xc3\x84x",
            b"\xcb\x3f\xf8" + bytes(6), b"\xde\x00\x01\xa1k" + eight, b"\xd5\x05ab", b"\xc8\x00\x02\x00ab", b"\xd9\x01x",
        ]
    )  # fmt: skip
    assert event_of(mixed).data[1] == [
        date, bytes(8), None, b"\x07", date, date, b"\xc7\x08\x00", "Äx", 1.5, {"k": bytes(8)}, [5, b"ab"], b"ab", "x"
    ]  # fmt: skip
    # also when something that is ignored has extensions, and stands before
    head = b"\x84\xa7options\x92\xd4\x00\x00\xd7\x00" + bytes(8) + b"\xa4type\x02\xa3nsp\xa1/\xa4data\x93\xa1e"
    assert msgpack.decoder().binary(head + eight + date_of).data == ["e", bytes(8), date]


def test_dates_that_python_has_no_form_for_are_a_protocol_error() -> None:
    for milliseconds in (8_640_000_000_000_000, -8_640_000_000_000_000, 2**63 - 1, -(2**63)):
        with pytest.raises(ProtocolError):
            event_of(b"\xd7\x00" + milliseconds.to_bytes(8, "big", signed=True))


_HEADS = st.sampled_from(
    [b"\xc7\x08\x00", b"\xc7\x01\x00", b"\xd7\x00", b"\xd4\x00\x00", b"\xd6\xff", b"\xde\x00\x02", b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data"]
)


@given(st.lists(_HEADS | st.binary(max_size=12)).map(b"".join))
def test_of_any_bytes_only_protocol_errors(message: bytes) -> None:
    try:
        msgpack.decoder().binary(message)
        event_of(message)
    except ProtocolError:
        pass


# -- how it is imported -------------------------------------------------------------------------------------------------------


def in_another_process(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30).stdout.strip()


def test_it_is_there_with_sync_sio_alone_and_costs_nothing_until_asked_for() -> None:
    code = (
        "import sys, sync_sio; print('msgspec' in sys.modules);"
        "sync_sio.Server(parser=sync_sio.parsers.msgpack); print('msgspec' in sys.modules)"
    )
    assert in_another_process(code).split() == ["False", "True"]
    assert in_another_process("import sync_sio.parsers.msgpack as m; print(m.encode is not None)") == "True"


def test_without_msgspec_the_error_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['msgspec'] = None\n"
        "import sync_sio\n"
        "try: sync_sio.parsers.msgpack\n"
        "except ImportError as error: print(error)"
    )
    assert in_another_process(code) == "sync_sio.parsers.msgpack needs msgspec: pip install sync-sio[msgpack]"
