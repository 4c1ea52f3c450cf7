"""The wire of npm's Redis Streams adapter 0.3.1, as captured from two Node servers (Socket.IO 4.8.4)."""

from __future__ import annotations

import json
from base64 import b64encode
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sync_sio.adapters.base import (
    Answer,
    Broadcast,
    ClientAnswer,
    ClientCount,
    ClientGone,
    DisconnectClients,
    Fetch,
    Fetched,
    JoinRooms,
    LeaveRooms,
    Message,
    ServerAnswer,
    ServerEvent,
    SessionRecord,
    Target,
)
from sync_sio.adapters.redis import streams_wire as wire

CAPTURED = json.loads((Path(__file__).parent / "streams_captured.json").read_text())
ENTRIES = [
    Broadcast(["news", 1, "é"], Target()),
    None,
    Broadcast(["nc"], Target(), compress=False),
    JoinRooms(Target(frozenset({"r1"})), ("x", "y")),
    LeaveRooms(Target(), ("x",)),
    DisconnectClients(Target(), True),
]
PUBLISHED = [
    Fetch(Target(), "?"),
    None,
    Broadcast(["ask", {"a": 1}], Target(), request="?", timeout=2.0),
    ServerEvent(["hello", 1]),
    ServerEvent(["hello", b"\4"], "?"),
    ClientCount("?", 1),
    ServerAnswer("?", {"n": 1, "bin": b"\x09"}),
    ClientAnswer("?", "ans"),
]
UID = CAPTURED["entries"][0]["uid"]


def fields(kind: str, data: str) -> dict[bytes, bytes]:
    return {b"uid": UID.encode(), b"nsp": b"/", b"type": kind.encode(), b"data": data.encode()}


@pytest.mark.parametrize(("captured", "message"), [pair for pair in zip(CAPTURED["entries"], ENTRIES, strict=True) if pair[1]])
def test_entries_are_read_and_written_as_captured(captured: dict[str, str], message: Message) -> None:
    assert wire.from_entry(fields(captured["type"], captured["data"])) == (UID, "/", message)
    assert wire.is_durable(message)
    body = wire.body_of(message)
    assert body is not None
    said = [part for pair in captured.items() for part in pair]
    assert wire.entry(UID, "/", body, 7) == [*said, "n", "7"]


def test_an_entry_with_bytes_is_read_as_captured() -> None:
    found = wire.from_entry(fields("3", CAPTURED["entries"][1]["data"]))
    assert found is not None and isinstance(found[2], Broadcast)
    message = found[2]
    assert message.data[:2] == ["bin", b"\1\2\3"] and message.data[2]["u"] is None
    assert message.target == Target(frozenset({"r1", "r2"}), frozenset({"r3"})) and message.volatile


def test_an_entry_with_bytes_is_written_in_base64_and_read_again() -> None:
    message = Broadcast(["bin", b"\1\2", {"a": [b""]}], Target(frozenset({"r"})), volatile=True)
    body = wire.body_of(message)
    assert body is not None
    data = wire.entry(UID, "/chat", body, 1)[7]
    assert not data.startswith("{")
    assert wire.from_entry(fields("3", data)) == (UID, "/", message)


def captured_messages() -> list[tuple[bytes, dict[str, Any], Message | Answer]]:
    """What was published, as it was and in plain, and what it means; requests have the ids that were captured."""
    by_type: dict[int, list[bytes]] = {}
    for _, text in CAPTURED["published"]:
        raw = bytes.fromhex(text)
        by_type.setdefault(msgspec.msgpack.decode(raw)["type"], []).append(raw)
    found = []
    for message in filter(None, PUBLISHED):
        body = wire.body_of(message)
        assert body is not None
        raw = by_type[body[0]].pop(0)
        said = msgspec.msgpack.decode(raw)
        meant = replace(message, request=said["data"]["requestId"]) if message.request else message
        found.append((raw, said, meant))
    return found


@pytest.mark.parametrize(("raw", "said", "message"), captured_messages())
def test_messages_of_pub_sub_are_read_and_written_as_captured(raw: bytes, said: dict[str, Any], message: Message) -> None:
    body = wire.body_of(message)
    assert body is not None and not wire.is_durable(message)
    assert wire.from_envelope(raw) == (said["uid"], "/", message, "")
    assert msgspec.msgpack.decode(wire.envelope(said["uid"], "/", body)) == said
    assert wire.from_envelope(wire.envelope(UID, "/", body, "5-0")) == (UID, "/", message, "5-0")


def test_clients_of_node_servers_are_described_as_captured() -> None:
    (raw,) = [raw for _, text in CAPTURED["published"] if msgspec.msgpack.decode(raw := bytes.fromhex(text))["type"] == 8]
    found = wire.from_envelope(raw)
    assert isinstance(found[2], Fetched)
    (client,) = found[2].clients
    assert client.rooms == (client.id,) and client.data == {"who": "b", "bin": b"\1\2"}
    assert client.handshake["query"] == {"EIO": "4", "transport": "websocket"}


def test_sessions_are_read_and_written_as_captured_and_ours_say_more() -> None:
    key, text = CAPTURED["session"]
    record = wire.from_session(text.encode())
    assert key == f"sio:session:{record.pid}" and record.rooms == (record.sid,) and record.data == {"who": "b", "bin": b"\1\2"}
    assert wire.session(record) == text
    more = SessionRecord("s", "p", ("s", "r"), {}, "5-1", wire.number("4-2"))
    assert wire.from_session(wire.session(more).encode()) == more


def test_what_is_for_nobody_or_has_no_form_is_not_written() -> None:
    nobody = Target(frozenset())
    for message in (Broadcast(["x"], nobody), JoinRooms(nobody, ("r",)), LeaveRooms(nobody, ("r",)), DisconnectClients(nobody, False)):
        assert wire.body_of(message) is None
    assert wire.body_of(ClientGone("r")) == (wire.CLIENT_GONE, {"requestId": "r"})
    with pytest.raises(TypeError, match=r"\[1\]\[\"when\"\]: object"):
        wire.body_of(Broadcast(["x", {"when": object()}], Target()))


@pytest.mark.parametrize("data", ["{", "[]", "====", "gA==", b64encode(b"\x81\xc0").decode(), '{"packet":3,"opts":{}}', '{"opts":{}}'])
def test_what_cannot_be_read_raises_value_error(data: str) -> None:
    with pytest.raises(ValueError):
        wire.from_entry(fields("3", data))
    with pytest.raises(ValueError):
        wire.from_envelope(b"\xc1")
    with pytest.raises(ValueError):
        wire.from_session(b"gA==")


def test_other_entries_are_none_of_ours() -> None:
    assert wire.from_entry({b"hello": b"world"}) is None
    assert wire.from_entry(fields("2", "{}")) is None
    assert wire.from_envelope(msgspec.msgpack.encode({"uid": UID, "nsp": "/", "type": 77, "data": {}}))[2] is None
    assert wire.from_envelope(msgspec.msgpack.encode({"uid": UID, "nsp": "/", "type": 1}))[2] == wire.HELLO


def test_ids_are_compared_as_numbers() -> None:
    ids = ["0-0", "0-1", "9-0", "10-0", "10-1", "1795834755324-0", "1795834755324-18446744073709551615", "1795834755325-0"]
    numbers = [wire.number(each) for each in ids]
    assert numbers == sorted(set(numbers))
    assert [wire.place(each) for each in numbers] == ids
    assert wire.following("5-18446744073709551615") == "6-0" and wire.following("5-1") == "5-2"
    for other in ("", "5", "-", "5-", "-5", "a-1", "1-b", "Q83ZQrS.0", "1-1-1", "٣-1"):
        assert wire.number(other) == -1


def test_a_namespace_has_one_of_several_streams() -> None:
    assert wire.stream_of("s", 1, "/chat") == "s"
    assert wire.stream_of("s", 3, "/") == f"s-{47 % 3}"
    assert {wire.stream_of("s", 3, f"/{name}") for name in "abcdef"} == {"s-0", "s-1", "s-2"}


def test_clients_of_others_are_described() -> None:
    said = {"id": "a", "handshake": {"url": "/"}, "rooms": ["a", 5], "data": {"b": b"\1"}}
    raw = msgspec.msgpack.encode({"uid": UID, "nsp": "/", "type": 8, "data": {"requestId": "r", "sockets": [said]}})
    found = wire.from_envelope(raw)
    assert isinstance(found[2], Fetched)
    (client,) = found[2].clients
    assert client.rooms == ("a", "5") and client.data == {"b": b"\1"}
