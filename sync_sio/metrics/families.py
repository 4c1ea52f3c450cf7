"""The metrics by name, as Prometheus' objects, and how what was counted gets into them."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from prometheus_client import Counter, Gauge, Histogram

from .counting import TIME, Cell

if TYPE_CHECKING:
    from .counting import Counting, Labels, Times
    from .sampling import Now

COUNTERS: Final[dict[str, tuple[str, Labels]]] = {
    "handshakes": ("Clients that were let in, by the transport that they came on.", ("transport",)),
    "upgrades": ("Clients that went on to WebSocket.", ()),
    "requests_refused": ("Requests that were refused, by the protocol's error code, or 503.", ("code",)),
    "disconnections": ("Connections that have ended.", ("reason",)),
    "slow_consumers": ("Clients that were closed as they did not take what waited for them.", ()),
    "sockets_connected": ("Clients that were let into a namespace.", ("namespace",)),
    "sockets_refused": ("Clients that were not let into a namespace.", ("namespace",)),
    "events_received": ("Events from clients.", ("namespace", "event")),
    "events_sent": ("Events to clients: a broadcast is one for each.", ("namespace", "event")),
    "acks_sent": ("Acknowledgements to clients.", ()),
    "received_bytes": ("Bytes of messages from clients, without frames and headers.", ()),
    "sent_bytes": ("Bytes of events and acknowledgements to clients, without frames and headers.", ()),
    "handler_errors": ("Handlers that have failed, events with wrong arguments included.", ("namespace", "event")),
    "ack_timeouts": ("Questions that were not answered in time: of one client, or of many.", ("asked",)),
    "adapter_reconnects": ("Times that the link to other servers was lost and came back.", ()),
}


class _Sampled(NamedTuple):
    help: str
    mode: Literal["livesum", "livemax", "livemin"]
    """What many processes together have."""
    label: str | None = None


GAUGES: Final[dict[str, _Sampled]] = {
    "connections": _Sampled("Clients that are connected.", "livesum", "transport"),
    "sockets": _Sampled("Clients in a namespace.", "livesum", "namespace"),
    "buffered_bytes": _Sampled("Bytes that wait for clients to take them.", "livesum"),
    "most_buffered_bytes": _Sampled("Bytes that wait for the client for which most do.", "livemax"),
    "queued_events": _Sampled("Events that wait for their handlers, or are in them.", "livesum"),
    "turns_waiting": _Sampled("Turns for which there is no thread or greenlet yet.", "livesum"),
    "turns_running": _Sampled("Turns that run or have blocked.", "livesum"),
    "adapter_connected": _Sampled("Whether the link to other servers is up.", "livemin"),
    "adapter_lag_seconds": _Sampled("How long what came last from another server was under way.", "livemax"),
    "adapter_nodes": _Sampled("Servers of the cluster, this one included.", "livemax"),
}


class Families:
    """Made when first used: in multi-process mode that opens files, which belong to the process that serves, not to its parent.

    Not for two threads at once.
    """

    def __init__(self, prefix: str, bounds: tuple[float, ...], most: int) -> None:
        self._prefix = prefix
        self._bounds = bounds
        self._most = most
        self._reconnects = Cell()
        self._made: tuple[dict[str, Counter], dict[str, Gauge], Histogram] | None = None

    def all(self) -> Iterator[Counter | Gauge | Histogram]:
        counters, gauges, histogram = self._all()
        yield from gauges.values()
        yield from counters.values()
        yield histogram

    def _all(self) -> tuple[dict[str, Counter], dict[str, Gauge], Histogram]:
        if self._made is None:
            prefix = self._prefix
            counters = {
                name: Counter(f"{prefix}_{name}", help, labels, registry=None) for name, (help, labels) in COUNTERS.items()
            }
            gauges = {
                name: Gauge(f"{prefix}_{name}", what.help, (what.label,) if what.label else (), registry=None, multiprocess_mode=what.mode)
                for name, what in GAUGES.items()
            }
            what = "How long handlers took, with the middleware and listeners around them."
            histogram = Histogram(f"{prefix}_{TIME}", what, ("namespace", "event"), registry=None, buckets=self._bounds)
            self._made = counters, gauges, histogram
        return self._made

    def set(self, now: Now) -> None:
        """Say what there is. What was there before and is no more is 0: a series in a file cannot be taken back."""
        counters, gauges, _ = self._all()
        _set_each(gauges["connections"], now.connections)
        _set_each(gauges["sockets"], now.sockets)
        gauges["buffered_bytes"].set(now.buffered_bytes)
        gauges["most_buffered_bytes"].set(now.most_buffered_bytes)
        gauges["queued_events"].set(now.queued_events)
        gauges["turns_waiting"].set(now.turns_waiting)
        gauges["turns_running"].set(now.turns_running)
        gauges["adapter_connected"].set(now.is_linked)
        gauges["adapter_lag_seconds"].set(now.lag)
        gauges["adapter_nodes"].set(now.nodes)
        self._reconnects.count = max(self._reconnects.count, now.reconnects)
        _pour(counters["adapter_reconnects"], self._reconnects)

    def add(self, counting: Counting) -> None:
        """Add what was counted since the last time."""
        counters, _, histogram = self._all()
        for name, counter in counters.items():
            for labels, cell in list(counting.cells.get(name, {}).items()):
                _pour(counter.labels(*labels) if labels else counter, cell)
        for labels, times in list(counting.times.items()):
            _pour_times(histogram.labels(*labels), times)


def _set_each(gauge: Gauge, tally: Tally[str]) -> None:
    for (label,) in [*gauge._metrics]:
        if label not in tally:
            gauge.labels(label).set(0)
    for label, count in tally.items():
        gauge.labels(label).set(count)


def _pour(counter: Counter, cell: Cell) -> None:
    count = cell.count
    counter.inc(count - cell.poured)
    cell.poured = count


def _pour_times(histogram: Histogram, times: Times) -> None:
    # `observe` takes one at a time, which is what each event would have to pay
    buckets: list[Any] = histogram._buckets
    for place, count in enumerate(list(times.counts)):
        if count != times.poured[place]:
            buckets[place].inc(count - times.poured[place])
            times.poured[place] = count
    seconds = times.seconds
    histogram._sum.inc(seconds - times.poured_seconds)
    times.poured_seconds = seconds
