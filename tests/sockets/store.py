"""A `RecoveryStore` in memory for several servers of one process: each is handed what is in the stream when the test says so."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

from sync_sio.adapters.base import Broadcast, Kept, Restored, SessionRecord

from .bus import Bus, BusAdapter
from .fakes import World


class Stream:
    """What all servers share: broadcasts with their places, 1-0, 2-0 …, and sessions."""

    def __init__(self) -> None:
        self.entries: list[tuple[str, bytes, str]] = []
        self.sessions: dict[str, bytes] = {}
        self.bus = Bus()
        self.worlds: list[World] = []

    def world(self) -> World:
        """Return one more server; it runs."""
        world = World(connection_state_recovery=True)
        adapter = StoreAdapter(self, f"server-{len(self.worlds)}")
        self.bus.adapters.append(adapter)
        world.hub.set_adapter(adapter)  # type: ignore[arg-type]
        world.start()
        self.worlds.append(world)
        self.bus.worlds.append(world)
        return world


class StoreAdapter(BusAdapter):
    def __init__(self, stream: Stream, name: str) -> None:
        super().__init__(stream.bus, name, True)
        self.stream = stream
        self.at = 0
        """So many entries were handed over here."""
        self.searches: list[Callable[[], None]] = []
        self.is_lost = False
        """Nothing that was kept before is found any more."""

    def publish_kept(self, namespace: str, broadcast: Broadcast) -> None:
        self.stream.entries.append((namespace, pickle.dumps(broadcast), self.name))

    def hand_over(self, count: int | None = None) -> None:
        """Read on in the stream."""
        assert self.listener is not None
        end = len(self.stream.entries) if count is None else self.at + count
        while self.at < end:
            namespace, data, server = self.stream.entries[self.at]
            self.listener.received(namespace, server, Kept(pickle.loads(data), f"{self.at + 1}-0"))
            self.at += 1

    def hand_over_early(self, number: int) -> None:
        """Our clients get an entry before it is in the stream."""
        assert self.listener is not None
        namespace, data, _ = self.stream.entries[-1]
        self.listener.received(namespace, self.name, Kept(pickle.loads(data), "", number))

    def hand_over_again(self, number: int) -> None:
        """… and then it comes."""
        assert self.listener is not None
        namespace, data, _ = self.stream.entries[self.at]
        self.at += 1
        self.listener.received(namespace, self.name, Kept(pickle.loads(data), f"{self.at}-0", number))

    def position(self, namespace: str) -> str:
        return f"{self.at}-0" if self.at else ""

    def number(self, offset: str) -> int:
        return int(offset[:-2]) if offset.endswith("-0") and offset[:-2].isdigit() else -1

    def save(self, namespace: str, session: SessionRecord, seconds: float) -> None:
        if any(type(value) is object for value in session.data.values()):
            raise TypeError("object cannot be sent")
        self.stream.sessions[session.pid] = pickle.dumps(session)

    def restore(self, namespace: str, pid: str, offset: object, then: Callable[[Restored | None], None]) -> None:
        self.searches.append(lambda: then(self._find(namespace, pid, offset)))

    def find(self) -> None:
        """Answer what was looked for."""
        searches, self.searches = self.searches, []
        for search in searches:
            search()

    def _find(self, namespace: str, pid: str, offset: object) -> Restored | None:
        data = self.stream.sessions.pop(pid, None)
        if data is None or self.is_lost:
            return None
        session: Any = pickle.loads(data)
        start = max(self.number(str(offset)), self.number(session.came), session.sure, 0)
        entries = self.stream.entries
        missed = [Kept(pickle.loads(entries[at][1]), f"{at + 1}-0") for at in range(start, len(entries)) if entries[at][0] == namespace]
        return Restored(session, tuple(missed), f"{len(entries)}-0")
