"""Sending to the clients of a cluster from any process: a task, a cron job, a view of another service. No server is needed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from .adapters.base import Broadcast, DisconnectClients, JoinRooms, LeaveRooms, Message, ServerEvent, Target
from .sockets.broadcast import PLAIN, Flags
from .sockets.handlers import EventName, check_emitted, check_name
from .sockets.rooms import room_names
from .sockets.server_events import RESERVED
from .types import JsonDefault

if TYPE_CHECKING:
    from .adapters.redis.on_redis import OnRedis

Kind: TypeAlias = Literal["redis", "sharded", "streams"]


class Emitter:
    """Speaks to all servers that share a Redis. Immutable: each operator returns another one, on the same connections. Any thread.

    It waits until Redis has what is sent, and for nothing else: who gets it, and whether anybody does, is not known here.

    Args:
        url: as `RedisAdapter`'s.
        key: what the servers' adapter has as `key`, `channel_prefix`, or `stream`.
        adapter: which one they have: `"redis"`, `"sharded"` or `"streams"`.
        json_default: `f(value)` for what JSON has no form for.

    Raises:
        ValueError: no such form of a URL, or no such adapter. ImportError: redis-py or msgspec is missing.
    """

    __slots__ = ("_adapter", "_default", "_flags", "_namespace", "_target")

    def __init__(
        self,
        url: str = "redis://localhost:6379",
        *,
        key: str = "socket.io",
        adapter: Kind = "redis",
        json_default: JsonDefault | None = None,
    ) -> None:
        self._adapter = _adapter_of(adapter, url, key)
        self._default = json_default
        self._set("/", Target(), PLAIN)

    def _set(self, namespace: str, target: Target, flags: Flags) -> None:
        self._namespace = namespace
        self._target = target
        self._flags = flags

    def _with(self, namespace: str | None = None, target: Target | None = None, flags: Flags | None = None) -> Emitter:
        other = object.__new__(Emitter)
        other._adapter, other._default = self._adapter, self._default
        other._set(namespace or self._namespace, target or self._target, flags or self._flags)
        return other

    def __repr__(self) -> str:
        return f"<Emitter to {self._namespace} at {self._adapter.address!r}>"

    # -- whom and how ------------------------------------------------------------------------------------------------------

    def of(self, namespace: str) -> Emitter:
        """Speak to the clients of a namespace, to all of them again; with or without its slash."""
        return self._with(namespace if namespace.startswith("/") else f"/{namespace}", Target(), PLAIN)

    def to(self, rooms: str | Iterable[str]) -> Emitter:
        """Add one room or several. An empty collection adds nobody, and alone targets nobody."""
        return self._with(target=Target((self._target.rooms or frozenset()).union(room_names(rooms)), self._target.excepts))

    def in_(self, rooms: str | Iterable[str]) -> Emitter:
        """The same as `to`."""
        return self.to(rooms)

    def except_(self, rooms: str | Iterable[str]) -> Emitter:
        """Leave out the members of one room or several."""
        return self._with(target=Target(self._target.rooms, self._target.excepts.union(room_names(rooms))))

    @property
    def volatile(self) -> Emitter:
        """Leave out whoever cannot take it now."""
        return self._with(flags=Flags(volatile=True, compress=self._flags.compress))

    def compress(self, compress: bool) -> Emitter:
        """Say whether connections that compress may compress it; they may unless told otherwise."""
        return self._with(flags=Flags(volatile=self._flags.volatile, compress=compress))

    # -- what --------------------------------------------------------------------------------------------------------------

    def emit(self, event: EventName, *args: Any) -> None:
        """Send an event to clients.

        Raises:
            TypeError: something in `args` cannot be sent. ValueError: a reserved name.
            redis.RedisError, OSError: Redis cannot be reached. This holds for all that follows, too.
        """
        check_emitted(event)
        self._say(Broadcast([event, *args], self._target, self._flags.volatile, self._flags.compress))

    def send(self, *args: Any) -> None:
        """Send the event `message`."""
        self.emit("message", *args)

    def sockets_join(self, rooms: str | Iterable[str]) -> None:
        """Have the clients join one room or several."""
        self._say(JoinRooms(self._target, room_names(rooms)))

    def sockets_leave(self, rooms: str | Iterable[str]) -> None:
        """Have the clients leave one room or several."""
        self._say(LeaveRooms(self._target, room_names(rooms)))

    def disconnect_sockets(self, close: bool = False) -> None:
        """Take the clients out of the namespace, or with `close` out of all, and close their connections."""
        self._say(DisconnectClients(self._target, close))

    def server_side_emit(self, event: EventName, *args: Any) -> None:
        """Send an event to the servers' `io.on(event)` listeners. There are no answers.

        Raises:
            ValueError: `connect`, `connection` or `new_namespace`.
        """
        if check_name(event) in RESERVED:
            raise ValueError(f'"{event}" is a reserved event name: {", ".join(RESERVED)} cannot be sent to servers')
        self._say(ServerEvent([event, *args]))

    def close(self) -> None:
        """Close the connections to Redis, which all that came of this emitter share; what is sent later connects again."""
        self._adapter.close()

    def _say(self, message: Message) -> None:
        self._adapter.publish_now(self._namespace, message, self._default)


def _adapter_of(kind: Kind, url: str, key: str) -> OnRedis:
    from .adapters.redis import RedisAdapter, RedisStreamsAdapter, ShardedRedisAdapter  # an extra: not for those who use no Redis

    if kind == "redis":
        return RedisAdapter(url, key=key)
    if kind == "sharded":
        return ShardedRedisAdapter(url, channel_prefix=key)
    if kind == "streams":
        return RedisStreamsAdapter(url, stream=key)
    raise ValueError(f'adapter={kind!r}: "redis", "sharded" or "streams" is wanted: what the servers have')
