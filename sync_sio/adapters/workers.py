"""The adapter between the worker processes of one machine, over their bus. Made by the server itself when no other is given."""

from __future__ import annotations

import struct
from collections.abc import Collection
from typing import Any, Final

from ..drivers.base import Driver
from ..errors import ProtocolError
from ..protocol import json
from ..types import JsonDefault
from ..workers.bus import Bus
from .base import (
    AdapterListener,
    AdapterStatus,
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

__all__ = ["WorkersAdapter", "decode", "encode"]

_SIZE: Final = struct.Struct("!I")


class WorkersAdapter:
    """An `Adapter`. Values go as JSON, with the bytes in them as they are: what clients would receive.

    Args:
        bus: what links this worker to the others; whoever made it closes it.
        default: the server's `json_default`.
    """

    def __init__(self, bus: Bus, default: JsonDefault | None = None) -> None:
        self._bus = bus
        self._default = default
        self._listener: AdapterListener | None = None

    def start(self, listener: AdapterListener, driver: Driver) -> None:
        self._listener = listener
        self._bus.ear = self

    def close(self) -> None:
        self._bus.ear = None

    def abandon(self) -> None:
        self._bus.ear = None

    def enter(self, namespace: str) -> None:
        """Nothing to do: everybody hears of every namespace."""

    def leave(self, namespace: str) -> None:
        """Nothing to do, either."""

    def publish(self, namespace: str, message: Message) -> None:
        if self._bus.workers:
            self._bus.publish(encode(namespace, message, self._default))

    def answer(self, namespace: str, server: str, answer: Answer) -> None:
        self._bus.tell(server, encode(namespace, answer, self._default))

    def others(self, namespace: str) -> Collection[str] | int:
        return self._bus.workers

    def status(self) -> AdapterStatus:
        return AdapterStatus(connected=True, lag=0.0, nodes=1 + len(self._bus.workers), last_error=None)

    # -- from the bus (Ear) ------------------------------------------------------------------------------------------------

    def heard(self, worker: str, payload: bytes) -> None:
        listener = self._listener
        if listener is not None:
            listener.received(*_addressed(worker, *decode(payload)))

    def left(self, worker: str) -> None:
        if self._listener is not None:
            self._listener.server_left(worker)


def _addressed(worker: str, namespace: str, message: Message | Answer) -> tuple[str, str, Message | Answer]:
    return namespace, worker, message


# -- the wire ---------------------------------------------------------------------------------------------------------------


def encode(namespace: str, message: Message | Answer, default: JsonDefault | None = None) -> bytes:
    """Return what says a message: a JSON text and its attachments, each behind its size.

    Raises:
        TypeError: something in it has no form.
    """
    text, attachments = json.encode([namespace, _KINDS.index(type(message)), *_fields(message)], default, "message", 2)
    pieces = [_SIZE.pack(len(text)), text]
    for attachment in attachments:
        pieces += _SIZE.pack(len(attachment)), attachment
    return b"".join(pieces)


def decode(payload: bytes) -> tuple[str, Message | Answer]:
    """Return the namespace and the message. Raises ProtocolError for what is none."""
    parts: list[bytes] = []
    at = 0
    try:
        while at < len(payload):
            (size,) = _SIZE.unpack_from(payload, at)
            at += _SIZE.size
            parts.append(payload[at : at + size])
            at += size
        text, *attachments = parts
        namespace, kind, *fields = json.put_back(json.decode(text), attachments) if attachments else json.decode(text)
        return namespace, _message(_KINDS[kind], fields)
    except (struct.error, ValueError, TypeError, IndexError) as error:
        raise ProtocolError(f"a worker said what is no message: {error}") from error


_KINDS: Final[tuple[Any, ...]] = (
    Broadcast, JoinRooms, LeaveRooms, DisconnectClients, Fetch, ServerEvent,
    ClientCount, ClientAnswer, ClientGone, Fetched, ServerAnswer,
)  # fmt: skip


def _fields(message: Message | Answer) -> list[Any]:
    if isinstance(message, Fetched):
        clients = [[client.id, client.handshake, client.rooms, client.data] for client in message.clients]
        return [message.request, clients]
    return [_said(getattr(message, name)) for name in message.__dataclass_fields__]


def _said(value: Any) -> Any:
    if isinstance(value, Target):
        return [None if value.rooms is None else list(value.rooms), list(value.excepts)]
    return value


def _message(kind: Any, fields: list[Any]) -> Message | Answer:
    if kind is Fetched:
        request, clients = fields
        return Fetched(request, tuple(ClientRecord(sid, shake, tuple(rooms), data) for sid, shake, rooms, data in clients))
    names = kind.__dataclass_fields__
    if "target" in names:
        at = list(names).index("target")
        rooms, excepts = fields[at]
        fields[at] = Target(None if rooms is None else frozenset(rooms), frozenset(excepts))
    if kind is JoinRooms or kind is LeaveRooms:
        fields[1] = tuple(fields[1])
    made: Message | Answer = kind(*fields)
    return made
