"""What can be sent, and what peers send: the same with orjson and without."""

from __future__ import annotations

import json as standard
import math
from collections import OrderedDict, namedtuple
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Any
from uuid import UUID

import msgspec
import pydantic
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sync_sio.errors import ProtocolError
from sync_sio.protocol import json

Point = namedtuple("Point", "x y")


@dataclass
class Move:
    who: str
    to: Any
    _private: int = 1
    tags: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Slotted:
    __slots__ = ("a",)
    a: Any


class Colour(Enum):
    RED = "red"
    RAW = b"\x00"


class Level(IntEnum):
    HIGH = 3


class Text(str):
    pass


class Whole(int):
    pass


class Real(float):
    pass


@pytest.fixture(params=["orjson", "standard library"])
def codec(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run the test twice: as installed, and as if orjson could not be imported."""
    if request.param != "orjson":
        without_orjson(monkeypatch)
    return str(request.param)


def without_orjson(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json, "dumps", json._refuse)
    monkeypatch.setattr(json, "loads", json._decode_slowly)


def both(call: Any, *args: Any) -> tuple[Any, Any]:
    """Return results, or the errors' types and texts, of both codecs."""
    results = []
    for is_fast in (True, False):
        with pytest.MonkeyPatch.context() as patch:
            if not is_fast:
                without_orjson(patch)
            try:
                results.append(call(*args))
            except (TypeError, ProtocolError) as error:
                results.append(type(error))
    return results[0], results[1]


SENT = [
    (None, "null"),
    (True, "true"),
    (0, "0"),
    (-(2**63), "-9223372036854775808"),
    (2**64, "18446744073709551616"),
    (10**30, "1" + "0" * 30),
    (1.5, "1.5"),
    (-0.0, "-0.0"),
    (1e-7, "1e-7"),
    (1e22, "1e+22"),
    (1.5e-5, "0.000015"),
    (1.5e-6, "1.5e-6"),
    (math.nan, "null"),
    ([math.inf, -math.inf], "[null,null]"),
    ("é\u2028\x7f", '"é\u2028\x7f"'),
    ('"\\\b\f\n\r\t\x00\x1f/', '"\\"\\\\\\b\\f\\n\\r\\t\\u0000\\u001f/"'),
    ("\ud800x\udfff", '"\\ud800x\\udfff"'),
    ("😀", '"😀"'),
    ([], "[]"),
    ({}, "{}"),
    ((1, (2,)), "[1,[2]]"),
    (Point(1, 2), "[1,2]"),
    ({"a": [1, {"b": None}]}, '{"a":[1,{"b":null}]}'),
    (OrderedDict(b=1, a=2), '{"b":1,"a":2}'),
    ({1: 1, 1.0e21: 2, 1.5: 3, None: 5}, None),
    ({2**70: 1}, '{"1180591620717411303424":1}'),
    ({Text("k"): Text("v")}, '{"k":"v"}'),
    ([Whole(5), Real(2.5), Real("nan"), Real(-0.0)], "[5,2.5,null,-0.0]"),
    ([Colour.RED, Level.HIGH, {Level.HIGH: 1, Colour.RED: 2}], '["red",3,{"3":1,"red":2}]'),
    (Move("ann", Point(1, 2)), '{"who":"ann","to":[1,2],"_private":1,"tags":[]}'),
    (Slotted([1]), '{"a":[1]}'),
    (datetime(2024, 2, 29, 12, 30, 1, 5000), '"2024-02-29T12:30:01.005000"'),
    (datetime(2024, 2, 29, tzinfo=timezone.utc), '"2024-02-29T00:00:00+00:00"'),
    (datetime(2024, 2, 29, tzinfo=timezone(timedelta(hours=-3, minutes=-30))), '"2024-02-29T00:00:00-03:30"'),
    (date(1, 2, 3), '"0001-02-03"'),
    (time(1, 2, tzinfo=timezone.utc), '"01:02:00+00:00"'),
    (UUID(int=1), '"00000000-0000-0000-0000-000000000001"'),
]


@pytest.mark.parametrize(("value", "text"), SENT, ids=lambda value: repr(value)[:30])
def test_each_kind_of_value_has_one_form(codec: str, value: Any, text: str | None) -> None:
    body, attachments = json.encode(value)
    assert attachments == []
    if text is not None:
        assert body.decode("utf-8", "surrogatepass") == text
    standard.loads(body)


@pytest.mark.parametrize(
    ("key", "name"),
    [
        (1, "1"), (-5, "-5"), (True, "true"), (False, "false"), (None, "null"), (1.0, "1"), (1.5, "1.5"), (-0.0, "0"),
        (1e20, "100000000000000000000"), (1e21, "1e+21"), (123456789012345680000.0, "123456789012345680000"), (1e16, "10000000000000000"),
        (0.000001, "0.000001"), (1.5e-7, "1.5e-7"), (1e-7, "1e-7"), (5e-324, "5e-324"), (1.7976931348623157e308, "1.7976931348623157e+308"),
        (0.1, "0.1"), (1e100, "1e+100"), (math.nan, "NaN"), (math.inf, "Infinity"), (-math.inf, "-Infinity"),
    ],
)  # fmt: skip
def test_keys_become_the_strings_that_javascript_would_make(codec: str, key: Any, name: str) -> None:
    assert json.encode({key: 0})[0] == b'{"%b":0}' % name.encode()


def test_bytes_anywhere_become_attachments_in_order_of_their_placeholders(codec: str) -> None:
    value = ["ev", b"0", {"a": bytearray(b"1"), "b": [Slotted(memoryview(b"abc")[1:2]), Colour.RAW]}, (b"",), memoryview(b"a-b-")[::2]]
    body, attachments = json.encode(value)
    assert attachments == [b"0", b"1", b"b", b"\x00", b"", b"ab"]
    assert all(type(attachment) is bytes for attachment in attachments)
    decoded = standard.loads(body)
    assert decoded[2]["a"] == {"_placeholder": True, "num": 1}
    assert json.put_back(decoded, attachments) == ["ev", b"0", {"a": b"1", "b": [{"a": b"b"}, b"\x00"]}, [b""], b"ab"]


def test_bytes_are_counted_once_when_orjson_gives_up_half_way(codec: str) -> None:
    body, attachments = json.encode([b"a", 2**70, b"b"])
    assert attachments == [b"a", b"b"]
    assert standard.loads(body)[2]["num"] == 1


def test_an_attachment_is_a_snapshot(codec: str) -> None:
    buffer = bytearray(b"before")
    _, attachments = json.encode([buffer])
    buffer[:] = b"after!"
    assert attachments == [b"before"]


def test_an_integer_of_more_digits_than_the_interpreter_converts_is_sent(codec: str) -> None:
    for number in (10**5000, -(10**5000) + 1, 7 * 10**4300):
        body, _ = json.encode([number])
        text = body[1:-1].decode()
        value = 0
        for at in range(0, len(text.lstrip("-")), 1000):
            piece = text.lstrip("-")[at : at + 1000]
            value = value * 10 ** len(piece) + int(piece)
        assert (-value if text.startswith("-") else value) == number


def test_what_cannot_be_sent_is_named_with_its_path(codec: str) -> None:
    value = ["ev", 1, {"when": [0, Decimal(1)]}]
    with pytest.raises(TypeError, match=r'^args\[1\]\["when"\]\[1\]: Decimal cannot be sent; .*json_default'):
        json.encode(value, root="args", offset=1)
    with pytest.raises(TypeError, match=r"^value: object cannot be sent"):
        json.encode(object())
    with pytest.raises(TypeError, match=r"^value\[0\]: a key of type tuple cannot be sent"):
        json.encode([{(1, 2): 1}])
    with pytest.raises(TypeError, match=r'^value\["a"\]\["x"\]: type cannot be sent'):
        json.encode({"a": {"x": Slotted}})


def test_default_is_asked_last_and_its_answer_may_be_anything_that_can_be_sent(codec: str) -> None:
    def default(value: Any) -> Any:
        if isinstance(value, Decimal):
            return {"decimal": str(value), "raw": b"\x01", 1: {2**65}}
        if isinstance(value, set):
            return sorted(value)
        raise TypeError("no idea")

    body, attachments = json.encode([Decimal("1.50"), b"\x02"], default)
    assert standard.loads(body)[0]["1"] == [2**65]
    assert attachments == [b"\x01", b"\x02"]
    with pytest.raises(TypeError, match=r"^value\[1\]: complex cannot be sent.*no idea"):
        json.encode([1, 1j], default)


class Sent(msgspec.Struct, rename="camel", tag="sent", omit_defaults=True):
    some_name: Any
    left_out: int = 0


class Model(pydantic.BaseModel):
    raw: bytes
    when: datetime
    inner: Any = None


def test_structs_and_pydantic_models_are_sent_as_their_fields(codec: str) -> None:
    value = [Sent([b"x", date(2026, 1, 2), Decimal(1)]), Model(raw=b"y", when=datetime(2026, 1, 2), inner={"m": Sent(1)})]
    text, attachments = json.encode(value)
    assert standard.loads(text) == [
        {"type": "sent", "someName": [{"_placeholder": True, "num": 0}, "2026-01-02", "1"]},
        {
            "raw": {"_placeholder": True, "num": 1},
            "when": "2026-01-02T00:00:00",
            "inner": {"m": {"type": "sent", "someName": 1}},
        },
    ]
    assert attachments == [b"x", b"y"]
    assert json.encode(value[1], lambda model: model.raw.decode()) == (b'"y"', []), "json_default comes first"
    with pytest.raises(TypeError, match=r'args\[1\]\["a"\]: something in this Sent cannot be sent .*complex'):
        json.encode(["event", 0, {"a": Sent(1j)}], None, "args", 1)
    with pytest.raises(TypeError, match=r'args\[0\]\["inner"\]: complex cannot be sent'):
        json.encode(["event", Model(raw=b"", when=datetime(2026, 1, 2), inner=1j)], None, "args", 1)


def test_other_errors_of_default_are_passed_on(codec: str) -> None:
    def default(value: Any) -> Any:
        raise LookupError("gone")

    with pytest.raises(LookupError, match="gone"):
        json.encode([1j], default)


def test_what_contains_itself_or_never_ends_is_a_type_error(codec: str) -> None:
    ring: list[Any] = [1]
    ring.append({"again": ring})
    with pytest.raises(TypeError, match=r'^value\[1\]\["again"\]: this list contains itself'):
        json.encode(ring)
    with pytest.raises(TypeError, match="nested too deeply"):
        json.encode([object()], lambda value: object())
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(TypeError, match="nested too deeply"):
        json.encode(deep)
    while deep:     # one by one: some interpreters do not survive freeing it at once
        deep = deep.pop()


def test_the_same_object_twice_is_no_ring(codec: str) -> None:
    shared = {1: [1]}
    assert json.encode([shared, shared])[0] == b'[{"1":[1]},{"1":[1]}]'


def test_nesting_over_orjsons_limit_is_still_sent(codec: str) -> None:
    deep: Any = 0
    for _ in range(300):
        deep = [deep]
    assert json.encode(deep)[0] == b"[" * 300 + b"0" + b"]" * 300


RECEIVED = [
    (b"[1, 2.5]", [1, 2.5]),
    (b' {"a":{"b":null}} ', {"a": {"b": None}}),
    (b'{"a":1,"a":2}', {"a": 2}),
    (b"18446744073709551615", 2**64 - 1),
    (b"18446744073709551616", float(2**64)),
    (b"-9223372036854775808", -(2**63)),
    (b"-9223372036854775809", -float(2**63)),
    (b"1" * 300, float("1" * 300)),
    (b"1e5", 1e5),
    (b'"\\ud83d\\ude00"', "😀"),
    (b'["\\ud800", "\\uDFFFx"]', ["\ud800", "\udfffx"]),
    ('"é"'.encode(), "é"),
    (b"[" * 700 + b"]" * 700, None),
]

REFUSED = [
    b"", b" ", b"[", b"[1,]", b"{'a':1}", b"NaN", b"[Infinity]", b"-Infinity", b"1e999", b"1" * 400, b"01", b"1.", b".5", b"+1",
    b"tru", b"[1]x", b'"\xff"', b'"\xed\xa0\x80"', b'"\x01"', b'"\\x"', b"\xef\xbb\xbf1", b"[1]\x00", b'"\\ud800',
    b'["\\ud800" 1]', b'["\\ud800", NaN]',
    b"[" * 1025 + b"]" * 1025, b"[" * 100_000, b'["\\ud800",' * 100_000, b'{"a":' * 5000 + b'"\\ud800"' + b"}" * 5000,
]  # fmt: skip


@pytest.mark.parametrize(("text", "value"), RECEIVED, ids=lambda value: repr(value)[:30])
def test_what_peers_send_is_read(codec: str, text: bytes, value: Any) -> None:
    decoded = json.decode(text)
    assert json.decode(bytearray(text)) == decoded
    if value is not None:
        assert decoded == value
        assert type(decoded) is type(value)


@pytest.mark.parametrize("text", REFUSED, ids=lambda value: repr(value)[:30])
def test_what_is_no_json_is_a_protocol_error(codec: str, text: bytes) -> None:
    with pytest.raises(ProtocolError):
        json.decode(text)


def test_put_back_refuses_what_there_is_not(codec: str) -> None:
    for num in (-1, 1, 0.0, "0", True, None, [0]):
        with pytest.raises(ProtocolError, match="illegal attachments"):
            json.put_back([{"_placeholder": True, "num": num}], [b""])
    with pytest.raises(ProtocolError, match="illegal attachments"):
        json.put_back({"_placeholder": True}, [b""])
    untouched = [{"_placeholder": 1, "num": 0}, {"_placeholder": False}]
    assert json.put_back(untouched, [b""]) == untouched


def test_put_back_does_not_mind_the_depth() -> None:
    deep: Any = {"_placeholder": True, "num": 0}
    for _ in range(1000):
        deep = [{"x": deep}]
    found = json.put_back(deep, [b"here"])
    for _ in range(1000):
        found = found[0]["x"]
    assert found == b"here"


leaves = (
    st.none() | st.booleans() | st.integers() | st.text(st.characters(codec=None)) | st.binary(max_size=8) | st.uuids()
    | st.datetimes() | st.sampled_from([Colour.RED, Level.HIGH, Text("s"), Whole(3), Real(1.5), 2**80])
)  # fmt: skip
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=4) | st.lists(inner, max_size=3).map(tuple)
    | st.dictionaries(st.text(max_size=4) | st.integers() | st.floats() | st.none() | st.booleans(), inner, max_size=4)
    | inner.map(lambda value: Move("x", value)),
    max_leaves=15,
)  # fmt: skip


@settings(max_examples=100)
@given(st.floats())
def test_floats_are_the_same_number_with_both(number: float) -> None:
    """How it is spelled is orjson's choice, and has changed between its versions."""
    fast, slow = both(json.encode, number)
    assert standard.loads(fast[0]) == standard.loads(slow[0]) == (number if math.isfinite(number) else None)


@settings(max_examples=150)
@given(values)
def test_output_does_not_depend_on_orjson(value: Any) -> None:
    fast, slow = both(json.encode, value)
    assert fast == slow
    assert both(json.decode, fast[0])[0] == both(json.decode, fast[0])[1]


@settings(max_examples=150)
@given(st.binary(max_size=40) | st.text("[]{}\",:0123456789.eE+-truefalsn\\ud \n", max_size=40).map(str.encode))
@example(b'"\\ud800"')
@example(b"[1e400]")
def test_reading_does_not_depend_on_orjson_and_raises_protocol_errors_only(text: bytes) -> None:
    fast, slow = both(json.decode, text)
    assert repr(fast) == repr(slow)
