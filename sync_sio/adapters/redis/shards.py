"""Listening in a Redis Cluster to channels that each are at one node: a connection to each of those, as they come, go and fail over."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from ...drivers.locks import native_rlock
from .ears import DEAF_SECONDS, PING_SECONDS, Ears, Heard, hand_over
from .link import Line, Link

LOOK_SECONDS: Final = 0.1
"""How soon a channel that is new is subscribed: nothing wakes whoever listens at another node."""


class ShardedEars:
    """`Ears` for sharded channels of a cluster. Any thread.

    Its own channel, by which it hears that Redis is there and how late it is, is a plain one.
    """

    def __init__(
        self,
        link: Link,
        own: str,
        heard: Heard,
        beat: Callable[[], None],
        confirmed: Callable[[], None],
    ) -> None:
        self._link = link
        self._heard = heard
        self._confirmed = confirmed
        self._main = Ears(link, own, heard, beat)
        self._lock = native_rlock()         # guards what follows
        self._wanted: frozenset[str] = frozenset()
        self._there: dict[str, str] = {}
        """By channel: at which node it is heard. Two may have it for a moment: the one that had it does not take it from the other."""
        self._lines: dict[str, Line] = {}
        self._layout: dict[int, str] = {}
        """By slot: which node has it. Never changed: a new one takes its place."""
        self._attended: dict[str, tuple[Heard, Callable[[], None]]] = {}

    @property
    def lag(self) -> float:
        return self._main.lag

    @property
    def replaced(self) -> int:
        return self._main.replaced

    def start(self) -> None:
        self._main.start()
        self._link.open("finding nodes", self._find)

    def add(self, kind: str, *channels: str) -> None:
        with self._lock:
            self._wanted = self._wanted.union(channels)

    def attend(self, kind: str, channel: str, heard: Heard, changed: Callable[[], None]) -> None:
        self._attended[channel] = heard, changed
        self.add(kind, channel)

    def remove(self, kind: str, *channels: str) -> None:
        with self._lock:
            self._wanted = self._wanted.difference(channels)
            for channel in channels:
                self._there.pop(channel, None)

    def hears(self, channel: str) -> bool:
        return channel in self._there

    def count(self, channel: str, client: Any) -> Any:
        """Return what a channel's node says of how many listen there; None: it is not known which that is. May block."""
        name, manager = self._layout.get(client.keyslot(channel), ""), client.nodes_manager
        if name not in manager.nodes_cache:
            manager.initialize()            # it is new
        node = manager.nodes_cache.get(name)
        return None if node is None else node.redis_connection.pubsub_shardnumsub(channel)

    def _find(self, line: Line) -> None:
        """See which nodes there are, and what each has, once a second: some may be new, and slots move from one to another."""
        while not line.is_over:
            self._meet(line.client)
            line.up()
            line.halted.wait(PING_SECONDS)
            line.client.nodes_manager.initialize()

    def _meet(self, client: Any) -> None:
        layout = {slot: nodes[0].name for slot, nodes in client.nodes_manager.slots_cache.items()}
        names = {node.name for node in client.get_primaries()}
        with self._lock:
            if layout != self._layout:
                self._layout = layout
            new = names - self._lines.keys()
            gone = [self._lines.pop(name) for name in self._lines.keys() - names]
            for name in new:
                self._lines[name] = self._link.open(f"listening at {name}", partial(self._listen, name))
        for line in gone:
            self._link.drop(line)

    def _listen(self, name: str, line: Line) -> None:
        client, now = line.client, self._link.driver.now
        node = client.get_node(node_name=name)
        if node is None:
            raise ConnectionError(f"{name} is not in the cluster")
        pubsub = node.redis_connection.pubsub()
        seen: tuple[frozenset[str], dict[int, str]] = frozenset(), {}
        mine: set[str] = set()
        heard_at = asked_at = looked_at = now()
        try:
            while not line.is_over:
                wanted, layout = self._wanted, self._layout
                if wanted is not seen[0] or layout is not seen[1]:
                    seen = wanted, layout
                    here = {channel for channel in wanted if layout.get(client.keyslot(channel)) == name}
                    for command, channels in (("SSUBSCRIBE", here - mine), ("SUNSUBSCRIBE", mine - here)):
                        for channel in channels:
                            pubsub.execute_command(command, channel)
                    mine = here
                line.up()
                if pubsub.connection is None:
                    line.halted.wait(LOOK_SECONDS)      # nothing of what is wanted is at this node
                    looked_at = heard_at = now()
                    continue
                said = pubsub.parse_response(block=False, timeout=LOOK_SECONDS)
                last, looked_at = looked_at, now()
                if looked_at - last > PING_SECONDS:
                    heard_at = looked_at                # this process stood still: Redis is not to blame
                if said is not None:
                    heard_at = now()
                    self._take(name, said, mine)
                    line.heard()
                elif now() - heard_at > DEAF_SECONDS:
                    raise ConnectionError(f"nothing was heard from {name} for {DEAF_SECONDS} s")
                elif now() - max(heard_at, asked_at) > PING_SECONDS:
                    asked_at = now()
                    pubsub.execute_command("PING")
        finally:
            self._lost(name, mine)

    def _lost(self, name: str, channels: set[str]) -> None:
        with self._lock:
            gone = [channel for channel in channels if self._there.get(channel) == name]
            for channel in gone:
                del self._there[channel]
        for channel in self._attended.keys() & gone:
            self._attended[channel][1]()

    def _take(self, name: str, said: Any, mine: set[str]) -> None:
        if not isinstance(said, list) or len(said) < 3:
            return                          # the answer to PING
        kind, channel = said[0], said[1].decode()
        if kind == b"smessage":
            heard, _ = self._attended.get(channel) or (self._heard, None)
            hand_over(self._link, heard, channel, said[2])
        elif kind == b"ssubscribe":
            with self._lock:
                if channel in self._wanted:
                    self._there[channel] = name
            _, changed = self._attended.get(channel) or (None, self._confirmed)
            changed()
        elif kind == b"sunsubscribe" and channel in mine:
            mine.remove(channel)            # it has moved: whoever listens at its new node subscribes it when that is seen
            self._lost(name, {channel})


def ears_for(
    link: Link,
    own: str,
    heard: Heard,
    beat: Callable[[], None],
    confirmed: Callable[[], None],
) -> Ears | ShardedEars:
    """Return what listens to sharded channels of this Redis; see `Ears`."""
    return (ShardedEars if link.address.is_cluster else Ears)(link, own, heard, beat, confirmed)

