"""A server that is measured, in a time that moves when told, with clients in memory."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry

from sync_sio import Server
from sync_sio.metrics import PrometheusMetrics
from sync_sio.testing import ManualTime


class House:
    """`io` with its metrics; `figure` is what a scrape would say."""

    def __init__(self) -> None:
        self.io = Server()
        self.registry = CollectorRegistry()
        self.metrics = PrometheusMetrics(self.io, self.registry)
        self.time = ManualTime(self.io)

    def figure(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(f"sync_sio_{name}", labels)

    def series(self, name: str) -> dict[tuple[str, ...], float]:
        """Return all figures of a metric by the values of its labels."""
        return {
            tuple(sample.labels.values()): sample.value
            for metric in self.registry.collect()
            for sample in metric.samples
            if sample.name == f"sync_sio_{name}"
        }


@pytest.fixture
def house() -> Iterator[House]:
    house = House()
    yield house
    for connection in list(house.io.engine.connections.values()):
        connection.close()
    house.time.advance(100)
    house.io.close()
    house.time.advance(100)
    assert house.io.audit() == []
