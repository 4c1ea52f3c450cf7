"""What npm's `@socket.io/redis-streams-adapter` 0.3 writes and reads: entries of the stream, messages of Pub/Sub, sessions. Pure.

An entry of the stream has the fields uid, nsp, type and data: JSON, or msgpack in base64 where there are bytes. We add `n`, our number of
it, which others ignore. What Pub/Sub carries is one map in msgpack; we add `after`, the entry that the sender has written before.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any, Final

from ...protocol import json
from ...types import JsonDefault
from ..base import (
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
    Kept,
    LeaveRooms,
    Message,
    ServerAnswer,
    ServerEvent,
    SessionRecord,
    Target,
)
from . import wire

EMITTER: Final = "emitter"
"""The uid of what no server has sent."""
BROADCAST, JOIN, LEAVE, DISCONNECT = "3", "4", "5", "6"

HELLO, HELLO_TOO, BYE = 1, 2, 13
"""Servers of ours tell their names: those of Node.js ignore these types here, with which others of their adapters do the same."""
CLIENT_GONE: Final = 52
"""Ours alone."""
_FETCH, _FETCHED, _SERVER_EVENT, _SERVER_ANSWER, _CLIENT_COUNT, _CLIENT_ANSWER = 7, 8, 9, 10, 11, 12
_EVENT: Final = 2

Body = tuple[int, dict[str, Any]]
"""A message's type and its data."""


# -- to the wire --------------------------------------------------------------------------------------------------------------


def body_of(message: Message | Answer, default: JsonDefault | None = None) -> Body | None:
    """Return a message as the npm packages know it, its values plain; None: they have no form for it, or it is for nobody.

    Raises:
        TypeError: a value in it cannot be sent.
    """
    body = _body(message)
    if body is None or (is_durable(message) and wire.reaches_nobody(message.target)):  # type: ignore[union-attr]  # all those have one
        return None
    return body[0], wire.plain(body[1], default)


def _body(message: Message | Answer) -> Body | None:
    if isinstance(message, Broadcast):
        data: dict[str, Any] = {"packet": {"type": _EVENT, "data": message.data}, "opts": wire.broadcast_options(message)}
        if message.request is not None:
            data["requestId"] = message.request
        return 3, data
    if isinstance(message, JoinRooms | LeaveRooms):
        return 4 if isinstance(message, JoinRooms) else 5, {"opts": _opts(message.target), "rooms": list(message.rooms)}
    if isinstance(message, DisconnectClients):
        return 6, {"opts": _opts(message.target), "close": message.close}
    if isinstance(message, Fetch):
        return _FETCH, {"opts": _opts(message.target), "requestId": message.request}
    if isinstance(message, ServerEvent):
        return _SERVER_EVENT, {"packet": message.data} | ({} if message.request is None else {"requestId": message.request})
    if isinstance(message, ClientCount):
        return _CLIENT_COUNT, {"requestId": message.request, "clientCount": message.count}
    if isinstance(message, ClientAnswer):
        return _CLIENT_ANSWER, {"requestId": message.request, "packet": message.value}
    if isinstance(message, ServerAnswer):
        return _SERVER_ANSWER, {"requestId": message.request, "packet": message.value}
    if isinstance(message, Fetched):
        return _FETCHED, {"requestId": message.request, "sockets": [_socket(client) for client in message.clients]}
    if isinstance(message, ClientGone):
        return CLIENT_GONE, {"requestId": message.request}
    return None


def is_durable(message: Message | Answer) -> bool:
    """Tell whether a message goes through the stream: it must not be lost, and nobody answers it."""
    if isinstance(message, Broadcast):
        return message.request is None
    return isinstance(message, JoinRooms | LeaveRooms | DisconnectClients)


def entry(uid: str, namespace: str, body: Body, number: int) -> list[str]:
    """Return the fields of an entry, names and values by turns."""
    kind, data = body
    return ["uid", uid, "nsp", namespace, "type", str(kind), "data", _text(data), "n", str(number)]


def envelope(uid: str, namespace: str, body: Body, after: str = "") -> bytes:
    """Return a message for Pub/Sub."""
    kind, data = body
    message: dict[str, Any] = {"uid": uid, "nsp": namespace, "type": kind, "data": data}
    if after:
        message["after"] = after
    return wire.pack(message, None)


def reading(uid: str, stream: str, place: str) -> bytes:
    """Return what a server of ours tells the others: up to where it has read a stream."""
    return wire.pack([uid, stream, place], None)


def read_reading(data: bytes) -> tuple[str, str, str]:
    """Return who has read which stream, and up to where. Raises ValueError when it cannot be read."""
    said = wire.read(data)
    if type(said) is not list or len(said) != 3 or any(type(each) is not str for each in said):
        raise ValueError("no place of a reading")
    return said[0], said[1], said[2]


def session(record: SessionRecord, default: JsonDefault | None = None) -> str:
    """Return what is kept of a client that has left. Raises TypeError for data that has no form."""
    said: dict[str, Any] = {"sid": record.sid, "pid": record.pid, "rooms": list(record.rooms), "data": record.data}
    if record.came:
        said["came"] = record.came
    if record.sure >= 0:
        said["sure"] = place(record.sure)
    return b64encode(wire.pack(said, default)).decode()


# -- from the wire ------------------------------------------------------------------------------------------------------------


def from_entry(fields: Mapping[bytes, bytes]) -> tuple[str, str, Message] | None:
    """Return (uid, namespace, message) of an entry; None: it is nothing that we know.

    Raises:
        ValueError: it cannot be read.
    """
    uid, namespace, kind, data = (fields.get(name, b"") for name in (b"uid", b"nsp", b"type", b"data"))
    if not data or kind not in (b"3", b"4", b"5", b"6"):
        return None
    message = _message(int(kind), _value(data))
    return None if message is None or isinstance(message, Answer) else (uid.decode(), namespace.decode(), message)


def with_place(message: Message, place: str) -> Message | Kept:
    """Return what an entry means to those who listen: broadcasts that clients must not miss have their place."""
    return Kept(message, place) if isinstance(message, Broadcast) and not message.volatile else message


def from_envelope(data: bytes) -> tuple[str, str, Message | Answer | int | None, str]:
    """Return (uid, namespace, message, after) of what Pub/Sub has brought. Of what is no message for the listener: its type, or None.

    Raises:
        ValueError: it cannot be read.
    """
    said = wire.read(data)
    if not isinstance(said, dict):
        raise ValueError("a message that is no map")
    kind, body, after = said.get("type"), said.get("data"), said.get("after")
    message: Message | Answer | int | None = _message(kind, body) if isinstance(body, dict) else None
    if message is None and kind in (HELLO, HELLO_TOO, BYE):
        message = int(kind)
    return str(said.get("uid")), str(said.get("nsp")), message, after if isinstance(after, str) else ""


def from_session(text: bytes) -> SessionRecord:
    """Return a client that has left. Raises ValueError for what is none."""
    said = wire.read(b64decode(text))
    try:
        rooms = wire.strings(said["rooms"])
        data = said.get("data")
        came, sure = str(said.get("came", "")), number(str(said.get("sure", "")))
        return SessionRecord(str(said["sid"]), str(said["pid"]), rooms, data if isinstance(data, dict) else {}, came, sure)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"no session: {error!r}") from error


def _message(kind: object, data: dict[str, Any]) -> Message | Answer | None:
    try:
        if kind == 3:
            return wire.broadcast_of(data.get("packet"), data.get("opts"), data.get("requestId"))
        if kind == 4:
            return JoinRooms(wire.target_of(data.get("opts")), wire.strings(data["rooms"]))
        if kind == 5:
            return LeaveRooms(wire.target_of(data.get("opts")), wire.strings(data["rooms"]))
        if kind == 6:
            return DisconnectClients(wire.target_of(data.get("opts")), bool(data.get("close")))
        if kind == _FETCH:
            return Fetch(wire.target_of(data.get("opts")), data["requestId"])
        if kind == _FETCHED:
            return Fetched(data["requestId"], tuple(_record(socket) for socket in data["sockets"]))
        if kind == _SERVER_EVENT:
            return ServerEvent(list(data["packet"]), data.get("requestId"))
        if kind == _SERVER_ANSWER:
            return ServerAnswer(data["requestId"], data.get("packet"))
        if kind == _CLIENT_COUNT:
            return ClientCount(data["requestId"], int(data["clientCount"]))
        if kind == _CLIENT_ANSWER:
            return ClientAnswer(data["requestId"], data.get("packet"))
        if kind == CLIENT_GONE:
            return ClientGone(data["requestId"])
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"a message of type {kind} that cannot be read: {error!r}") from error
    return None


# -- places -------------------------------------------------------------------------------------------------------------------


def number(offset: str) -> int:
    """Return the id of an entry as a number by which ids are compared; -1 for what is no id."""
    milliseconds, dash, count = offset.partition("-")
    if not dash or not (milliseconds + count).isascii() or not milliseconds.isdigit() or not count.isdigit() or len(offset) > 41:
        return -1
    return (int(milliseconds) << 64) + int(count)


def place(number: int) -> str:
    """Return the id with this number."""
    return f"{number >> 64}-{number & (1 << 64) - 1}"


def following(offset: str) -> str:
    """Return the least id after this one: ranges that leave out their beginning came with Redis 6.2."""
    return place(number(offset) + 1)


def stream_of(stream: str, count: int, namespace: str) -> str:
    """Return the stream of a namespace, where several are used."""
    return stream if count == 1 else f"{stream}-{_hash(namespace) % count}"


def _hash(text: str) -> int:
    found = 0
    raw = text.encode("utf-16-le", "surrogatepass")
    for at in range(0, len(raw), 2):
        found = (found * 31 + int.from_bytes(raw[at : at + 2], "little")) & 0xFFFFFFFF
    return found


# -- values -------------------------------------------------------------------------------------------------------------------


def _text(plain: dict[str, Any]) -> str:
    if has_binary(plain):
        return b64encode(wire.pack(plain, None)).decode()
    return json.encode(plain)[0].decode()


def _value(data: bytes) -> dict[str, Any]:
    value = wire.read(data if data.startswith(b"{") else b64decode(data))
    if not isinstance(value, dict):
        raise ValueError("an entry whose data is no map")
    return value


def has_binary(plain: Any) -> bool:
    stack = [plain]
    while stack:
        value = stack.pop()
        if type(value) is bytes:
            return True
        if type(value) is dict:
            stack.extend(value.values())
        elif type(value) is list:
            stack.extend(value)
    return False


def _opts(target: Target) -> dict[str, Any]:
    return {**wire.options(target), "flags": {}}


def _socket(client: ClientRecord) -> dict[str, Any]:
    return {"id": client.id, "handshake": client.handshake, "rooms": list(client.rooms), "data": client.data}


def _record(said: dict[str, Any]) -> ClientRecord:
    data = said.get("data")
    return ClientRecord(str(said["id"]), said["handshake"], wire.strings(said["rooms"]), data if isinstance(data, dict) else {})
