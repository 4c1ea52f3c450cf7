"""`/metrics` of the acceptance application: of this process, or of all workers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from prometheus_client import REGISTRY, CollectorRegistry, make_wsgi_app, multiprocess

from sync_sio import Server
from sync_sio.metrics import PrometheusMetrics


class Page:
    def __init__(self, io: Server) -> None:
        self.metrics = PrometheusMetrics(io, refresh_seconds=0.2)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        registry = REGISTRY
        if self.metrics.is_multiprocess:
            registry = CollectorRegistry()
            multiprocess.MultiProcessCollector(registry)
        answer: Iterable[bytes] = make_wsgi_app(registry)(environ, start_response)
        return answer
