"""What workers tell each other, as bytes and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync_sio.adapters.base import (
    Answer,
    Broadcast,
    ClientAnswer,
    ClientCount,
    ClientGone,
    ClientRecord,
    DisconnectClients,
    Fetch,
    Fetched,
    JoinRooms,
    LeaveRooms,
    Message,
    ServerAnswer,
    ServerEvent,
    Target,
)
from sync_sio.adapters.workers import decode, encode
from sync_sio.errors import ProtocolError

texts = st.text(st.characters(codec="utf-8"), max_size=10)
numbers = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts | st.binary(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
data = st.lists(values, min_size=1, max_size=4)
rooms = st.frozensets(texts, max_size=3)
targets = st.builds(Target, st.none() | rooms, rooms)
room_tuples = st.lists(texts, max_size=3).map(tuple)
dicts = st.dictionaries(texts, values, max_size=2)
records = st.builds(ClientRecord, texts, dicts, room_tuples, dicts)
messages = st.one_of(
    st.builds(Broadcast, data, targets, st.booleans(), st.booleans(), st.none() | texts, st.none() | st.floats(0, 100)),
    st.builds(JoinRooms, targets, room_tuples),
    st.builds(LeaveRooms, targets, room_tuples),
    st.builds(DisconnectClients, targets, st.booleans()),
    st.builds(Fetch, targets, texts),
    st.builds(ServerEvent, data, st.none() | texts),
    st.builds(ClientCount, texts, st.integers(0, 1000)),
    st.builds(ClientAnswer, texts, values),
    st.builds(ClientGone, texts),
    st.builds(Fetched, texts, st.lists(records, max_size=2).map(tuple)),
    st.builds(ServerAnswer, texts, values),
)


@given(texts, messages)
def test_every_message_comes_as_it_was_said(namespace: str, message: Message | Answer) -> None:
    assert decode(encode(namespace, message)) == (namespace, message)


@given(st.binary(max_size=100))
def test_what_is_no_message_is_refused(payload: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode(payload)


@dataclass
class Point:
    x: int


def test_values_are_what_clients_would_receive() -> None:
    def default(value: Any) -> Any:
        if isinstance(value, complex):
            return [value.real, value.imag]
        raise TypeError("unknown")

    _, message = decode(encode("/", Broadcast(["e", Point(1), (1, 2), 1j, bytearray(b"x")], Target()), default))
    assert isinstance(message, Broadcast)
    assert message.data == ["e", {"x": 1}, [1, 2], [0.0, 1.0], b"x"]
    with pytest.raises(TypeError):
        encode("/", Broadcast(["e", object()], Target()), default)
