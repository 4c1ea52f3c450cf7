"""What npm's `@socket.io/redis-streams-adapter` 0.3 writes and reads: entries of the stream, messages of Pub/Sub, sessions. Pure.

An entry of the stream has the fields uid, nsp, type and data: JSON, or msgpack in base64 where there are bytes. We add `n`, our number of
it, which others ignore. What Pub/Sub carries is one map in msgpack; we add `after`, the entry that the sender has written before.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from ...errors import ProtocolError
from ...parsers.flatten import Flattener
from ...protocol import json
from ...protocol.json.writer import CannotSend
from ..base import (
    Answer,
    Broadcast,
    ClientAnswer,
    ClientCount,
    ClientRecord,
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

EMITTER: Final = "emitter"
"""The uid of what no server has sent."""
BROADCAST, JOIN, LEAVE, DISCONNECT = "3", "4", "5", "6"

_FETCH, _FETCHED, _SERVER_EVENT, _SERVER_ANSWER, _CLIENT_COUNT, _CLIENT_ANSWER = 7, 8, 9, 10, 11, 12
_EVENT: Final = 2

Body = tuple[int, dict[str, Any]]
"""A message's type and its data."""


# -- to the wire --------------------------------------------------------------------------------------------------------------


def body_of(message: Message | Answer) -> Body | None:
    """Return a message as the npm packages know it, its values plain; None: they have no form for it, or it is for nobody.

    Raises:
        TypeError: a value in it cannot be sent.
    """
    if isinstance(message, Broadcast):
        flags: dict[str, Any] = {}
        if message.volatile:
            flags["volatile"] = True
        if not message.compress:
            flags["compress"] = False
        data: dict[str, Any] = {"packet": {"type": _EVENT, "data": _plain(message.data)}, "opts": _opts(message.target, flags)}
        if message.request is not None:
            if message.timeout is not None:
                flags["timeout"] = round(message.timeout * 1000)
            data["requestId"] = message.request
        return _unless_nobody(message.target, (3, data))
    if isinstance(message, JoinRooms | LeaveRooms):
        kind = 4 if isinstance(message, JoinRooms) else 5
        return _unless_nobody(message.target, (kind, {"opts": _opts(message.target), "rooms": list(message.rooms)}))
    if isinstance(message, DisconnectClients):
        return _unless_nobody(message.target, (6, {"opts": _opts(message.target), "close": message.close}))
    if isinstance(message, Fetch):
        return _FETCH, {"opts": _opts(message.target), "requestId": message.request}
    if isinstance(message, ServerEvent):
        event: dict[str, Any] = {"packet": _plain(message.data)}
        if message.request is not None:
            event["requestId"] = message.request
        return _SERVER_EVENT, event
    if isinstance(message, ClientCount):
        return _CLIENT_COUNT, {"requestId": message.request, "clientCount": message.count}
    if isinstance(message, ClientAnswer):
        return _CLIENT_ANSWER, {"requestId": message.request, "packet": _plain(message.value)}
    if isinstance(message, ServerAnswer):
        return _SERVER_ANSWER, {"requestId": message.request, "packet": _plain(message.value)}
    if isinstance(message, Fetched):
        return _FETCHED, {"requestId": message.request, "sockets": [_socket(client) for client in message.clients]}
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
    return _pack(message)


def session(record: SessionRecord) -> str:
    """Return what is kept of a client that has left. Raises TypeError for data that has no form."""
    said: dict[str, Any] = {"sid": record.sid, "pid": record.pid, "rooms": list(record.rooms), "data": _plain(record.data)}
    if record.came:
        said["came"] = record.came
    if record.sure >= 0:
        said["sure"] = place(record.sure)
    return b64encode(_pack(said)).decode()


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


def from_envelope(data: bytes) -> tuple[str, str, Message | Answer, str] | None:
    """Return (uid, namespace, message, after) of what Pub/Sub has brought; None, ValueError: as `from_entry`."""
    said = _unpack(data)
    if not isinstance(said, dict) or not isinstance(said.get("data"), dict):
        return None
    message = _message(said.get("type"), said["data"])
    after = said.get("after")
    if message is None:
        return None
    return str(said.get("uid")), str(said.get("nsp")), message, after if isinstance(after, str) else ""


def from_session(text: bytes) -> SessionRecord:
    """Return a client that has left. Raises ValueError for what is none."""
    said = _unpack(b64decode(text))
    try:
        rooms = tuple(str(room) for room in said["rooms"])
        data = said.get("data")
        came, sure = str(said.get("came", "")), number(str(said.get("sure", "")))
        return SessionRecord(str(said["sid"]), str(said["pid"]), rooms, data if isinstance(data, dict) else {}, came, sure)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"no session: {error!r}") from error


def _message(kind: object, data: dict[str, Any]) -> Message | Answer | None:
    try:
        if kind == 3:
            flags = data["opts"].get("flags") or {}
            timeout = flags.get("timeout")
            return Broadcast(
                list(data["packet"]["data"]),
                _target(data["opts"]),
                bool(flags.get("volatile")),
                flags.get("compress") is not False,
                data.get("requestId"),
                None if timeout is None else timeout / 1000,
            )
        if kind == 4:
            return JoinRooms(_target(data["opts"]), _names(data["rooms"]))
        if kind == 5:
            return LeaveRooms(_target(data["opts"]), _names(data["rooms"]))
        if kind == 6:
            return DisconnectClients(_target(data["opts"]), bool(data.get("close")))
        if kind == _FETCH:
            return Fetch(_target(data["opts"]), data["requestId"])
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


def _plain(value: Any) -> Any:
    flattener = Flattener(None)
    try:
        return flattener.flat(value)
    except RecursionError as error:
        raise TypeError(f"{flattener.where('data', 0, 4)}…: nested too deeply, or it contains itself") from error
    except CannotSend as error:
        raise TypeError(f"{flattener.where('data', 0)}: {error}") from error


def _pack(plain: Any) -> bytes:
    try:
        return msgspec.msgpack.encode(plain)
    except UnicodeEncodeError:              # lone surrogates
        return msgspec.msgpack.encode(Flattener(None, mends_text=True).flat(plain))


def _unpack(data: bytes) -> Any:
    try:
        return _decoder.decode(data)
    except (TypeError, RecursionError) as error:
        raise ValueError(f"invalid msgpack: {error}") from error


def _text(plain: dict[str, Any]) -> str:
    if has_binary(plain):
        return b64encode(_pack(plain)).decode()
    return json.encode(plain)[0].decode()


def _value(data: bytes) -> dict[str, Any]:
    try:
        value = json.decode(data) if data.startswith(b"{") else _unpack(b64decode(data))
    except ProtocolError as error:
        raise ValueError(str(error)) from error
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


def _extension(code: int, data: memoryview) -> Any:
    return bytes(data)


_decoder: Final = msgspec.msgpack.Decoder(ext_hook=_extension)


def _opts(target: Target, flags: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"rooms": sorted(target.rooms or ()), "except": sorted(target.excepts), "flags": {} if flags is None else flags}


def _unless_nobody(target: Target, body: Body) -> Body | None:
    # no rooms means everybody to the others
    return None if target.rooms is not None and not target.rooms else body


def _target(opts: dict[str, Any]) -> Target:
    rooms = _names(opts.get("rooms") or ())
    return Target(frozenset(rooms) if rooms else None, frozenset(_names(opts.get("except") or ())))


def _names(rooms: Any) -> tuple[str, ...]:
    # JavaScript's rooms may be numbers
    return tuple(room if isinstance(room, str) else str(room) for room in ([rooms] if isinstance(rooms, str) else rooms))


def _socket(client: ClientRecord) -> dict[str, Any]:
    return {"id": client.id, "handshake": _plain(client.handshake), "rooms": list(client.rooms), "data": _plain(client.data)}


def _record(said: dict[str, Any]) -> ClientRecord:
    data = said.get("data")
    return ClientRecord(str(said["id"]), said["handshake"], _names(said["rooms"]), data if isinstance(data, dict) else {})
