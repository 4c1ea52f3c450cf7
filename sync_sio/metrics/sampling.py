"""What is there at this moment: looked at when somebody asks, so that nobody else pays for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from ..server import Server


class Now(NamedTuple):
    """Sizes in bytes, times in seconds."""

    connections: Counter[str]
    sockets: Counter[str]
    buffered_bytes: int
    most_buffered_bytes: int
    queued_events: int
    turns_waiting: int
    turns_running: int
    is_linked: bool
    lag: float
    nodes: int
    reconnects: int


def sample(io: Server, label_of: Callable[[str], str]) -> Now:
    """Look at every connection once. Any thread, without locks."""
    engine = io.engine
    connections: Counter[str] = Counter(polling=0, websocket=0)
    buffered = largest = queued = 0
    for connection in list(engine.connections.values()):
        connections[connection.transport.name] += 1
        waiting = connection.buffered_bytes
        buffered += waiting
        largest = max(largest, waiting)
        queued += connection.queued
    sockets: Counter[str] = Counter()
    for name, count in io._hub.counts().items():
        sockets[label_of(name)] += count["sockets"]
    load = engine.driver.load() if engine.is_started else (0, 0)
    adapter = io.adapter_status()
    reconnects: int = getattr(io.adapter, "reconnects", 0)      # only those with a link that can be lost have that
    return Now(connections, sockets, buffered, largest, queued, *load, adapter.connected, adapter.lag, adapter.nodes, reconnects)
