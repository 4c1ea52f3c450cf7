"""What is said to the servers of a cluster by who is none of them, as npm's `@socket.io/redis-emitter` 5 says it."""

from __future__ import annotations

from typing import Any, Final, Literal

from ...types import JsonDefault
from ..base import Broadcast, DisconnectClients, JoinRooms, LeaveRooms, Message, ServerEvent
from . import pubsub, streams_wire, wire
from .address import Address, disconnect
from .streams_wire import EMITTER

Kind = Literal["redis", "sharded", "streams"]
KINDS: Final = ("redis", "sharded", "streams")
MAX_LEN: Final = 10_000
"""Entries of the stream, about; the adapter's default."""


class Voice:
    """Connections to Redis, made when they are needed. Any thread; in a child of a fork, too: redis-py makes new ones there.

    Args:
        url: see `Address`.
        kind: which adapter the servers have.
        key: with what the names of their channels begin, or the name of their stream.
        default: asked for values that have no form.
    """

    def __init__(self, url: str, kind: Kind, key: str, default: JsonDefault | None) -> None:
        if kind not in KINDS:
            raise ValueError(f'adapter={kind!r}: "redis", "sharded" or "streams" is wanted: what the servers have')
        self.address = Address(url)
        self._kind = kind
        self._key = key
        self._default = default
        self._client: Any = None

    def say(self, namespace: str, message: Message) -> None:
        """Send, and wait until Redis has it.

        Raises:
            TypeError: something in it has no form; nothing was sent.
            redis.RedisError, OSError: Redis cannot be reached, or refuses.
        """
        if not isinstance(message, ServerEvent) and wire.reaches_nobody(message.target):
            return
        command = self._command(namespace, message)
        client = self._client
        if client is None:
            client = self._client = self.address.client()
        client.execute_command(*command)

    def close(self) -> None:
        """Disconnect; what is said later connects again."""
        client, self._client = self._client, None
        if client is not None:
            disconnect(client)

    def _command(self, namespace: str, message: Message) -> tuple[str | bytes | int, ...]:
        if self._kind == "redis":
            kind, channel, data = _classic(namespace, message, self._default)
            return ("PUBLISH", f"{self._key}{kind}#{namespace}#{channel}", data)
        body = streams_wire.body_of(message, self._default)
        assert body is not None
        if self._kind == "streams" and streams_wire.is_durable(message):
            if "packet" in body[1]:
                body[1]["packet"]["nsp"] = namespace
            fields = streams_wire.entry(EMITTER, namespace, body, 0)[:-2]
            return ("XADD", self._key, "MAXLEN", "~", MAX_LEN, "*", *fields)
        envelope = {"uid": EMITTER, "nsp": namespace, "type": body[0], "data": body[1]}
        if self._kind == "streams":
            return ("PUBLISH", f"socket.io#{namespace}#", wire.pack(envelope, None))
        # where rooms have channels of their own, all servers listen to this one as well
        return ("SPUBLISH", f"{self._key}#{namespace}#", wire.write(envelope, None))


def _classic(namespace: str, message: Message, default: JsonDefault | None) -> tuple[str, str, bytes]:
    """Return what follows the key, what follows the namespace, and the message."""
    if isinstance(message, Broadcast):
        packet = {"type": 2, "data": message.data, "nsp": namespace}
        options = wire.broadcast_options(message)
        room = f"{options['rooms'][0]}#" if len(options["rooms"]) == 1 else ""
        return "", room, wire.pack([EMITTER, packet, options], default)
    body: dict[str, Any]
    if isinstance(message, ServerEvent):
        body = {"uid": EMITTER, "type": pubsub.SERVER_EVENT, "data": message.data}
    elif isinstance(message, DisconnectClients):
        body = {"type": pubsub.DISCONNECT, "opts": wire.options(message.target), "close": message.close}
    elif isinstance(message, JoinRooms | LeaveRooms):
        kind = pubsub.JOIN if isinstance(message, JoinRooms) else pubsub.LEAVE
        body = {"type": kind, "opts": wire.options(message.target), "rooms": list(message.rooms)}
    else:
        raise TypeError(f"{message!r} wants an answer, and who is no server gets none")
    return "-request", "", wire.write(body, default)
