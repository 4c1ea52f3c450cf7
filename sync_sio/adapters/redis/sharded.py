"""Servers joined by the sharded Pub/Sub of Redis 7, together with those of Node.js that use npm's `createShardedAdapter`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final, Literal

from ...types import JsonDefault
from ..base import Answer, Broadcast, Fetch, Message, ServerEvent
from . import wire
from .batches import Command
from .ears import SHARDED, Ears
from .on_redis import OnRedis, Subscription
from .shards import ShardedEars, ears_for
from .streams_wire import EMITTER, body_of, from_envelope

SOCKET_ID_LENGTH: Final = 20
"""Node.js takes rooms with names as long as this for the own rooms of clients, which have no channels of their own."""

Mode = Literal["static", "dynamic", "dynamic-private"]


class ShardedRedisAdapter(OnRedis):
    """Links this server to all that use the same Redis and prefix. Give it to `Server(adapter=…)`.

    Args:
        url: as `RedisAdapter`'s. A Redis 7, Valkey, or a cluster of them, in which each channel is at one node.
        channel_prefix: with what the names of channels begin.
        subscription_mode: which rooms have channels of their own: `"static"`: none; `"dynamic"`: those that are no client's;
            `"dynamic-private"`: all. The same for all servers, those of Node.js included.
        requests_timeout: seconds in which other servers must answer `fetch_sockets` and `server_side_emit`.

    Raises:
        ValueError: there is no such mode, or no such form of a URL.
    """

    def __init__(
        self,
        url: str = "redis://localhost:6379",
        *,
        channel_prefix: str = "socket.io",
        subscription_mode: Mode = "dynamic",
        requests_timeout: float = 5.0,
    ) -> None:
        if subscription_mode not in ("static", "dynamic", "dynamic-private"):
            raise ValueError(f'subscription_mode={subscription_mode!r}: "static", "dynamic" or "dynamic-private" is wanted')
        self._mode = subscription_mode
        super().__init__(url, channel_prefix, requests_timeout)

    _kind = SHARDED

    def _new_ears(self, own: str) -> Ears | ShardedEars:
        return ears_for(self._link, own, self._heard, self._beat, self._look)

    # -- rooms of this server ----------------------------------------------------------------------------------------------

    def room_made(self, namespace: str, room: str) -> None:
        """A room has its first member here (the rooms' lock held)."""
        if self._has_channel(room):
            self._listen(namespace, SHARDED, f"{self._common(namespace)}{room}#", self._said)

    def room_gone(self, namespace: str, room: str) -> None:
        """A room has lost its last member here (the rooms' lock held)."""
        if self._has_channel(room):
            self._ignore(f"{self._common(namespace)}{room}#")

    def _has_channel(self, room: str) -> bool:
        return self._mode == "dynamic-private" or (self._mode == "dynamic" and len(room) != SOCKET_ID_LENGTH)

    # -- to the others -----------------------------------------------------------------------------------------------------

    def publish(self, namespace: str, message: Message) -> None:
        request = message.request if isinstance(message, Broadcast | Fetch | ServerEvent) else None
        body = None
        if isinstance(message, ServerEvent) or not wire.reaches_nobody(message.target):
            body = body_of(message, self._listener.json_default)
        if body is None:
            if request is not None:
                self._listener.reached(request, 0, ())
            return
        channel = self._common(namespace)
        if isinstance(message, Broadcast) and request is None:
            rooms = body[1]["opts"]["rooms"]
            if len(rooms) == 1 and self._has_channel(rooms[0]):
                channel += f"{rooms[0]}#"
        data = self._written(namespace, {"type": body[0], "data": body[1]})
        if request is None:
            self._link.say("SPUBLISH", channel, data)
        else:
            self._ask(namespace, request, "SPUBLISH", channel, data)

    def _said_outside(self, namespace: str, message: Message, default: JsonDefault | None) -> Command:
        body = body_of(message, default)
        assert body is not None             # somebody is meant
        # all servers listen to this channel, where rooms have their own, too: which ones have is not known here
        return "SPUBLISH", self._common(namespace), self._written(namespace, {"type": body[0], "data": body[1]}, EMITTER)

    def answer(self, namespace: str, server: str, answer: Answer) -> None:
        body = body_of(answer, self._listener.json_default)
        if body is not None:
            data = self._written(namespace, {"type": body[0], "data": body[1]})
            self._link.say("SPUBLISH", f"{self._common(namespace)}{server}#", data)

    def _greet(self, namespace: str, kind: int) -> None:
        self._link.say("SPUBLISH", self._common(namespace), self._written(namespace, {"type": kind}))

    def _written(self, namespace: str, said: dict[str, Any], uid: str = "") -> bytes:
        return wire.write({"uid": uid or self.id, "nsp": namespace, **said}, None)

    def _asked(self, namespace: str, request: str, reply: Any) -> None:
        if isinstance(reply, int):          # a channel is at one node, which knows all who listen
            self._reached(namespace, request, reply)

    # -- from the others ---------------------------------------------------------------------------------------------------

    def _said(self, namespace: str, data: bytes) -> None:
        server, named, message, _ = from_envelope(data)
        if server == self.id or named != namespace:
            return
        if isinstance(message, int):
            self._met(namespace, server, message)
        elif message is not None:
            if isinstance(message, ServerEvent):
                message = ServerEvent(wire.revive(message.data), message.request)
            self._listener.received(namespace, server, message)

    # -- channels ------------------------------------------------------------------------------------------------------------

    def _common(self, namespace: str) -> str:
        return f"{self._prefix}#{namespace}#"

    def _subscriptions(self, namespace: str) -> list[Subscription]:
        channel = self._common(namespace)
        return [(SHARDED, f"{channel}{self.id}#", self._said), (SHARDED, channel, self._said)]

    def _count(self, channel: str, tell: Callable[[int | None], None]) -> None:
        if isinstance(self._ears, ShardedEars):
            self._link.ask(partial(self._ears.count, channel), lambda reply, error: tell(_number(reply)))
        else:
            self._link.say("PUBSUB", "SHARDNUMSUB", channel, tell=lambda reply: tell(_number(reply)))


def _number(reply: Any) -> int | None:
    """Return how many there are: redis-py has pairs, or not, as Redis says it."""
    if not isinstance(reply, list) or not reply:
        return None
    last = reply[-1]
    return int(last[1] if isinstance(last, tuple | list) else last)
