"""What all adapters on Redis do alike: be linked to it, listen, ask, and know who else is there."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from ...drivers.base import Driver
from ...types import JsonDefault
from ..base import AdapterListener, AdapterStatus, Message, ServerEvent
from . import wire
from .address import Address, disconnect
from .batches import Command, Value
from .ears import PLAIN, Ears, server_id
from .link import Link, size_of
from .questions import Questions
from .routes import Routes
from .shards import ShardedEars
from .streams_wire import BYE, HELLO, HELLO_TOO

Hear = Callable[[str, bytes], None]
"""Called with a namespace, and what came for it."""
Subscription = tuple[str, str, Hear]
"""How to listen, see `ears`, for which channel or pattern, and who hears what comes there."""


class OnRedis:
    """The part of an adapter that knows neither how messages are written nor where they go: see `Adapter` for what it does.

    Servers of ours know each other by name, for each namespace: each says hello when it listens, and the others do so too; and it says
    bye. How many there are, those of Node.js included, Redis tells.

    Args:
        prefix: with what the names of channels begin.
    """

    def __init__(self, url: str, prefix: str, requests_timeout: float) -> None:
        if not isinstance(requests_timeout, int | float) or not 0 < requests_timeout < 10**9:
            raise ValueError(f"requests_timeout={requests_timeout!r}: a number of seconds above 0 is wanted")
        self.requests_timeout = requests_timeout
        self._link = Link(url)
        self._prefix = prefix
        self._client: Any = None            # says what is said before `start`; in a fork's child redis-py makes new connections
        self._renew()

    def _renew(self) -> None:
        self.id = server_id()
        """What this server is called among the others."""
        self._listener: AdapterListener
        self._namespaces: set[str] = set()
        self._names: dict[str, set[str]] = {}       # by namespace: servers that have said hello
        self._greeted: set[str] = set()             # namespaces in which we have
        self._meanings: dict[str, tuple[str, Hear, str]] = {}       # by channel or pattern: its kind, who hears it, the namespace
        self._nodes = 1
        self._ears = self._new_ears(f"{self._prefix}-own#{self.id}#")
        self._questions = Questions(self._ears.hears)
        self.carrier = Routes(self._link, self._ears, self._prefix, self._kind)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} at {self._link.address!r}>"

    # -- what is different ---------------------------------------------------------------------------------------------------

    _kind = PLAIN
    """What kind of channels these are."""

    def _new_ears(self, own: str) -> Ears | ShardedEars:
        return Ears(self._link, own, self._heard, self._beat, self._look)

    def _subscriptions(self, namespace: str) -> list[Subscription]:
        """Return what a namespace listens for."""
        raise NotImplementedError

    def _common(self, namespace: str) -> str:
        """Return the channel, one of these, that all servers listen to: who does so is counted."""
        raise NotImplementedError

    def _greet(self, namespace: str, kind: int) -> None:
        """Say HELLO, HELLO_TOO or BYE to the others."""
        raise NotImplementedError

    def _said_outside(self, namespace: str, message: Message, default: JsonDefault | None) -> Command:
        """Return the command by which a message that wants no answer is sent by who is no server, as npm's emitters do."""
        raise NotImplementedError

    def _begin(self, driver: Driver) -> None:
        """Start what there is besides. Linked, and not listening yet."""

    # -- life ----------------------------------------------------------------------------------------------------------------

    def start(self, listener: AdapterListener, driver: Driver) -> None:
        if not self._link.is_over:
            raise RuntimeError(f"{self!r} links another server already: each server needs an adapter of its own")
        self._renew()
        self._listener = listener
        self._link.start(driver)
        self._begin(driver)
        self._ears.start()

    def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            disconnect(client)
        self.carrier.close()
        for namespace in list(self._namespaces):
            self._greet(namespace, BYE)
        self._link.close()

    def abandon(self) -> None:
        self._link.abandon()
        self._renew()

    def enter(self, namespace: str) -> None:
        self._namespaces.add(namespace)
        for subscription in self._subscriptions(namespace):
            self._listen(namespace, *subscription)

    def leave(self, namespace: str) -> None:
        self._namespaces.discard(namespace)
        self._greeted.discard(namespace)
        self._names.pop(namespace, None)
        for channel, meaning in list(self._meanings.items()):
            if meaning[2] == namespace:
                self._ignore(channel)

    def others(self, namespace: str) -> None:
        """Return None: Redis counts them when they are asked."""

    def status(self) -> AdapterStatus:
        link = self._link
        return AdapterStatus(link.is_connected, self._lag, self._nodes, link.last_error)

    @property
    def reconnects(self) -> int:
        """How often the link was lost and came back."""
        return self._link.reconnects

    @property
    def _lag(self) -> float:
        return self._ears.lag

    # -- outside -------------------------------------------------------------------------------------------------------------

    @property
    def address(self) -> Address:
        """Where the Redis is."""
        return self._link.address

    def publish_now(self, namespace: str, message: Message, default: JsonDefault | None) -> None:
        """Send to all servers without being one, and wait until Redis has it.

        Raises:
            TypeError: something in it has no form; nothing was sent.
            redis.RedisError, OSError: Redis cannot be reached, or refuses.
        """
        if not isinstance(message, ServerEvent) and wire.reaches_nobody(message.target):
            return
        command = self._said_outside(namespace, message, default)
        client = self._client
        if client is None:
            client = self._client = self.address.client()
        client.execute_command(*command)

    # -- listening -----------------------------------------------------------------------------------------------------------

    def _listen(self, namespace: str, kind: str, channel: str, hear: Hear) -> None:
        self._meanings[channel] = kind, hear, namespace
        self._ears.add(kind, channel)

    def _ignore(self, channel: str) -> None:
        meaning = self._meanings.pop(channel, None)
        if meaning is not None:
            self._ears.remove(meaning[0], channel)

    def _heard(self, channel: str, data: bytes) -> None:
        meaning = self._meanings.get(channel)
        if meaning is not None:             # else it was left a moment ago
            _, hear, namespace = meaning
            hear(namespace, data)

    # -- asking --------------------------------------------------------------------------------------------------------------

    def _ask(self, namespace: str, request: str, *command: Value) -> None:
        """Publish a request as soon as its answers can be heard, and tell the listener how many have got it."""
        say = partial(self._link.say, *command, tell=partial(self._asked, namespace, request))
        self._questions.ask(tuple(channel for _, channel, _ in self._subscriptions(namespace)), say, size_of(command))

    def _look(self) -> None:
        self._questions.look()

    def _asked(self, namespace: str, request: str, reply: Any) -> None:
        """Redis has given a request to so many."""
        if not isinstance(reply, int):
            return                          # it was not asked: nobody will answer in time
        reached = partial(self._reached, namespace, request)
        if self._link.address.is_cluster:   # where only those at the same node were counted
            self._count(self._common(namespace), reached)
        else:
            reached(reply)

    def _reached(self, namespace: str, request: str, count: int | None) -> None:
        if count is None:
            return
        others = max(0, count - self._ears.hears(self._common(namespace)))
        names = self._names.get(namespace, set())
        if len(names) > others:             # one of them has died: who is still there says so
            self._say_hello(namespace)
        self._listener.reached(request, others, tuple(names))

    # -- who is there --------------------------------------------------------------------------------------------------------

    def _met(self, namespace: str, server: str, kind: int) -> None:
        """A server has said HELLO, HELLO_TOO or BYE."""
        if kind == BYE:
            self._names.get(namespace, set()).discard(server)
            self._listener.server_left(server)
            return
        self._names.setdefault(namespace, set()).add(server)
        if kind == HELLO:
            self._greet(namespace, HELLO_TOO)

    def _say_hello(self, namespace: str) -> None:
        self._names[namespace] = set()
        self._greeted.add(namespace)
        self._greet(namespace, HELLO)

    def _beat(self) -> None:
        """Once a second, while connected (the thread that listens)."""
        for namespace in list(self._namespaces):
            if namespace not in self._greeted and self._ears.hears(self._common(namespace)):
                self._say_hello(namespace)
        self._count(self._common("/"), self._counted)

    def _counted(self, count: int | None) -> None:
        self._nodes = max(1, count or 1)

    def _count(self, channel: str, tell: Callable[[int | None], None]) -> None:
        """Have Redis count who listens to a channel. None: it cannot be told."""
        self._link.count(channel, tell)
