"""What Prometheus may know of a server: who is connected, what is said, how long handlers take, what waits.

    from sync_sio.metrics import PrometheusMetrics

    metrics = PrometheusMetrics(io)

Then serve `metrics.exposition` at `/metrics`, or let `prometheus_client` do it. What happens is counted in plain numbers, without a
lock; Prometheus' own objects get what has come since the last time when somebody asks. Where several processes serve
(`PROMETHEUS_MULTIPROC_DIR` is set), each writes to its files every few seconds.
"""

from __future__ import annotations

import atexit
import os
import re
import weakref
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from ..config import check_server
from ..drivers.base import Habit
from ..drivers.locks import native_lock
from ..drivers.strand import Strand
from ..types import Environ, StartResponse

try:
    from prometheus_client import REGISTRY, CollectorRegistry, make_wsgi_app
    from prometheus_client.metrics_core import Metric
    from prometheus_client.multiprocess import MultiProcessCollector
    from prometheus_client.registry import Collector
except ImportError as error:
    raise ImportError("sync_sio.metrics needs prometheus-client: pip install sync-sio[metrics]") from error

from .counting import Counting
from .families import Families
from .sampling import sample

if TYPE_CHECKING:
    from ..server import Server

__all__ = ["PrometheusMetrics"]

BUCKETS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class PrometheusMetrics(Collector):
    """The metrics of one server, as a collector in a registry of `prometheus_client`. Make it before the server serves.

    Args:
        registry: where they are registered; not in multi-process mode, in which the files are read.
        prefix: how their names begin. Two servers in one registry need two.
        buckets: upper bounds of the histogram of handler time, in seconds.
        max_events: pairs of namespace and event that get series of their own in each metric, and namespaces that do; what comes
            later is counted as `(other)`.
        refresh_seconds: how often, in multi-process mode, what was counted is written.

    Raises:
        TypeError: `io` is no server.
        ValueError: something that cannot be meant; or metrics of these names are in the registry already.

    Threads: any.
    """

    def __init__(
        self,
        io: Server,
        registry: CollectorRegistry = REGISTRY,
        *,
        prefix: str = "sync_sio",
        buckets: Sequence[float] = BUCKETS,
        max_events: int = 200,
        refresh_seconds: float = 5.0,
    ) -> None:
        check_server(io)
        if not re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_]*", prefix):
            raise ValueError(f"prefix={prefix!r}: letters, digits and underscores are wanted, and no digit first")
        if max_events < 1:
            raise ValueError(f"max_events={max_events!r}: a number above 0 is wanted")
        if refresh_seconds <= 0:
            raise ValueError(f"refresh_seconds={refresh_seconds!r}: seconds above 0 are wanted")
        bounds = tuple(map(float, buckets))
        if not bounds or list(bounds) != sorted(set(bounds)):
            raise ValueError(f"buckets={buckets!r}: upper bounds in seconds are wanted, each above the one before")
        self.is_multiprocess = "PROMETHEUS_MULTIPROC_DIR" in os.environ
        self._io = io
        self._registry = registry
        self._families = Families(prefix, bounds, max_events)
        self._counting = Counting(io, bounds, max_events)
        self._lock = native_lock()
        self._refresh_seconds = refresh_seconds
        self._habit = Habit()
        if self.is_multiprocess:
            io.spawn(self._begin)           # in each process, when it serves
            _refresh_at_exit(self)
        else:
            registry.register(self)
        io.around(self._counting.around)
        io.on_error(self._counting.failed)
        io.add_probe(self._counting)

    def describe(self) -> Iterator[Metric]:
        """Tell the registry which names there are."""
        for metric in self._families.all():
            yield from metric.describe()

    def collect(self) -> Iterator[Metric]:
        """Count what is there now, and give everything to who scrapes."""
        self.refresh()
        for metric in self._families.all():
            yield from metric.collect()

    def exposition(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a scrape: a WSGI application, `prometheus_client`'s with the registry, or with what all processes have written."""
        registry = self._registry
        if self.is_multiprocess:
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        answer: Iterable[bytes] = make_wsgi_app(registry)(environ, start_response)
        return answer

    def refresh(self) -> None:
        """Hand what was counted to Prometheus' objects. Happens by itself."""
        now = sample(self._io, self._counting.label_of)
        with self._lock:
            self._families.set(now)
            self._families.add(self._counting)

    # -- several processes ---------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        self._lock = native_lock()          # that of before a fork may be held by nobody who is here
        self._put()

    def _put(self) -> None:
        """Refresh on a turn: looking at thousands of connections is not for phase one."""
        io = self._io
        if not io.engine.is_closed:
            strand = Strand(io.sockets.site.aside)
            if strand.put(_refresh, self, None, self._habit):
                io.engine.driver.run(strand)


def _refresh(metrics: PrometheusMetrics, nothing: None) -> None:
    try:
        metrics.refresh()
    finally:                                # a disk that is full now may not be the next time
        metrics._io.engine.driver.later(metrics._refresh_seconds, metrics._put)


def _refresh_at_exit(metrics: PrometheusMetrics) -> None:
    reference = weakref.ref(metrics)

    def refresh() -> None:
        alive = reference()
        if alive is not None and alive._io.engine.is_started:
            alive.refresh()

    atexit.register(refresh)
