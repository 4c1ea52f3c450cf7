"""Servers joined by the sharded Pub/Sub of Redis 7, together with those of Node.js that use npm's `createShardedAdapter`."""

from __future__ import annotations

from functools import partial
from typing import Any, Final, Literal

from ...drivers.base import Driver
from ..base import AdapterListener, AdapterStatus, Answer, Broadcast, Fetch, Message, ServerEvent
from . import wire
from .ears import SHARDED, server_id
from .link import Link
from .questions import Questions
from .routes import Routes
from .shards import ears_for
from .streams_wire import BYE, HELLO, HELLO_TOO, body_of, from_envelope

SOCKET_ID_LENGTH: Final = 20
"""Node.js takes rooms with names as long as this for the own rooms of clients, which have no channels of their own."""

Mode = Literal["static", "dynamic", "dynamic-private"]


class ShardedRedisAdapter:
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
        self.requests_timeout = requests_timeout
        self._link = Link(url)
        self._prefix = channel_prefix
        self._mode = subscription_mode
        self._renew()

    def _renew(self) -> None:
        self.id = server_id()
        """What this server is called among the others."""
        self._names: dict[str, set[str]] = {}       # by namespace: servers that have said something
        self._greeted: set[str] = set()
        self._namespaces: set[str] = set()
        self._meanings: dict[str, str] = {}         # by channel: the namespace
        self._nodes = 1
        self._listener: AdapterListener
        self._ears = ears_for(self._link, f"{self._prefix}-own#{self.id}#", self._heard, self._beat, self._look)
        self.carrier = Routes(self._link, self._ears, self._prefix, SHARDED)
        self._questions = Questions(self._ears.hears)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} at {self._link.address!r}>"

    # -- life --------------------------------------------------------------------------------------------------------------

    def start(self, listener: AdapterListener, driver: Driver) -> None:
        self._renew()
        self._listener = listener
        self._link.start(driver)
        self._ears.start()

    def close(self) -> None:
        self.carrier.close()
        for namespace in list(self._namespaces):
            self._say(namespace, {"type": BYE})
        self._link.close()

    def abandon(self) -> None:
        self._link.abandon()
        self._renew()

    def enter(self, namespace: str) -> None:
        self._namespaces.add(namespace)
        channel = self._channel(namespace)
        self._listen(namespace, f"{channel}{self.id}#", channel)

    def leave(self, namespace: str) -> None:
        self._namespaces.discard(namespace)
        self._greeted.discard(namespace)
        self._names.pop(namespace, None)
        channels = [channel for channel, named in list(self._meanings.items()) if named == namespace]
        for channel in channels:
            del self._meanings[channel]
        self._ears.remove(SHARDED, *channels)

    def others(self, namespace: str) -> None:
        """Return None: Redis counts them when they are asked."""

    def status(self) -> AdapterStatus:
        link = self._link
        return AdapterStatus(link.is_connected, self._ears.lag, self._nodes, link.last_error)

    # -- rooms of this server ----------------------------------------------------------------------------------------------

    def room_made(self, namespace: str, room: str) -> None:
        """A room has its first member here (the rooms' lock held)."""
        if self._has_channel(room):
            self._listen(namespace, f"{self._channel(namespace)}{room}#")

    def room_gone(self, namespace: str, room: str) -> None:
        """A room has lost its last member here (the rooms' lock held)."""
        if self._has_channel(room):
            channel = f"{self._channel(namespace)}{room}#"
            self._meanings.pop(channel, None)
            self._ears.remove(SHARDED, channel)

    def _has_channel(self, room: str) -> bool:
        return self._mode == "dynamic-private" or (self._mode == "dynamic" and len(room) != SOCKET_ID_LENGTH)

    def _listen(self, namespace: str, *channels: str) -> None:
        for channel in channels:
            self._meanings[channel] = namespace
        self._ears.add(SHARDED, *channels)

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
        channel = self._channel(namespace)
        if isinstance(message, Broadcast) and request is None:
            rooms = body[1]["opts"]["rooms"]
            if len(rooms) == 1 and self._has_channel(rooms[0]):
                channel += f"{rooms[0]}#"
        data = self._written(namespace, {"type": body[0], "data": body[1]})
        if request is None:
            self._link.say("SPUBLISH", channel, data)
        else:
            say = partial(self._link.say, "SPUBLISH", channel, data, tell=partial(self._asked, namespace, request))
            self._questions.ask((channel, f"{channel}{self.id}#"), say)

    def _look(self) -> None:
        self._questions.look()

    def answer(self, namespace: str, server: str, answer: Answer) -> None:
        body = body_of(answer, self._listener.json_default)
        if body is not None:
            data = self._written(namespace, {"type": body[0], "data": body[1]})
            self._link.say("SPUBLISH", f"{self._channel(namespace)}{server}#", data)

    def _say(self, namespace: str, said: dict[str, Any]) -> None:
        self._link.say("SPUBLISH", self._channel(namespace), self._written(namespace, said))

    def _written(self, namespace: str, said: dict[str, Any]) -> bytes:
        return wire.write({"uid": self.id, "nsp": namespace, **said}, None)

    def _asked(self, namespace: str, request: str, reply: Any) -> None:
        """Redis has given a request to so many, which is all that there are: a channel is at one node."""
        if not isinstance(reply, int):
            return                          # it was not asked: nobody will answer in time
        others = max(0, reply - self._ears.hears(self._channel(namespace)))
        names = self._names.get(namespace, set())
        if len(names) > others:             # one of them has died: who is still there says so
            self._say_hello(namespace)
        self._listener.reached(request, others, tuple(names))

    # -- from the others ---------------------------------------------------------------------------------------------------

    def _heard(self, channel: str, data: bytes) -> None:
        namespace = self._meanings.get(channel)
        if namespace is None:
            return                          # it was left a moment ago
        server, named, message, _ = from_envelope(data)
        if server == self.id or named != namespace:
            return
        if isinstance(message, int):
            self._note(namespace, server, message)
        elif message is not None:
            if isinstance(message, ServerEvent):
                message = ServerEvent(wire.revive(message.data), message.request)
            self._listener.received(namespace, server, message)

    def _note(self, namespace: str, server: str, kind: int) -> None:
        if kind == BYE:
            self._names.get(namespace, set()).discard(server)
            self._listener.server_left(server)
            return
        self._names.setdefault(namespace, set()).add(server)
        if kind == HELLO:
            self._say(namespace, {"type": HELLO_TOO})

    # -- who is there ------------------------------------------------------------------------------------------------------

    def _beat(self) -> None:
        for namespace in list(self._namespaces):
            if namespace not in self._greeted and self._ears.hears(self._channel(namespace)):
                self._say_hello(namespace)
        channel = self._channel("/")
        if self._link.address.is_cluster:
            self._link.ask(lambda client: _at_its_node(client, channel), lambda reply, error: self._counted(reply))
        else:
            self._link.say("PUBSUB", "SHARDNUMSUB", channel, tell=self._counted)

    def _say_hello(self, namespace: str) -> None:
        self._names[namespace] = set()
        self._greeted.add(namespace)
        self._say(namespace, {"type": HELLO})

    def _counted(self, reply: Any) -> None:
        if isinstance(reply, list) and reply:
            last = reply[-1]
            self._nodes = max(1, int(last[1] if isinstance(last, tuple | list) else last))

    def _channel(self, namespace: str) -> str:
        return f"{self._prefix}#{namespace}#"


def _at_its_node(client: Any, channel: str) -> Any:
    return client.get_node_from_key(channel).redis_connection.pubsub_shardnumsub(channel)
