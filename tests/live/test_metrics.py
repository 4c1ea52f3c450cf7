"""gunicorn, real clients, and a scrape over HTTP: the figures are those of what was done."""

from __future__ import annotations

import contextlib
import os
import re
import signal
from collections import defaultdict
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from .servers import ROOT, Server, Servers, wait_for
from .wire import Ended, PollingClient, SocketClient, upgrade

pytestmark = [pytest.mark.live, pytest.mark.timeout(60)]

DOCS = ROOT / "docs"
CONFIG = DOCS / "observability" / "gunicorn.conf.py"
FOR_OPERATORS = ("observability.md", "observability/alerts.yaml", "observability/grafana.json")


@pytest.fixture
def own(tmp_path: Path) -> Servers:
    return Servers(tmp_path)


def scrape(server: Server) -> dict[str, dict[tuple[str, ...], float]]:
    """Return the figures by name and the values of the labels, a namespace before an event; 0 for those that no worker has written yet."""
    with contextlib.closing(server.http()) as http:
        response = http.request("GET", "/metrics")
    assert response.status == 200
    found: dict[str, dict[tuple[str, ...], float]] = defaultdict(lambda: defaultdict(float))
    for family in text_string_to_metric_families(response.text):
        for sample in family.samples:
            values = [sample.labels[label] for label in sorted(sample.labels, reverse=True)]
            found[sample.name.removeprefix("sync_sio_")][tuple(values)] = sample.value
    return found


def names_in_a_scrape(server: Server) -> set[str]:
    """Return all names that Prometheus would know, of metrics without figures, too."""
    with contextlib.closing(server.http()) as http:
        text = http.request("GET", "/metrics").text
    found = set()
    for family in text_string_to_metric_families(text):
        suffixes = {"counter": ["_total"], "histogram": ["", "_bucket", "_sum", "_count"]}.get(family.type, [""])
        found |= {family.name + suffix for suffix in suffixes}
    return found


def test_what_operators_are_told_of_is_in_a_scrape(own: Servers) -> None:
    with own.fresh("gunicorn-gthread", "metrics") as server:
        there = names_in_a_scrape(server)
    for name in FOR_OPERATORS:
        told = set(re.findall(r"\bsync_sio_\w+", (DOCS / name).read_text())) - {"sync_sio_django", "sync_sio_flask"}
        assert told and told <= there, name


@pytest.mark.parametrize("worker", ["gthread", "gevent"])
def test_the_figures_are_those_of_what_was_done(own: Servers, worker: str) -> None:
    with own.fresh(f"gunicorn-{worker}", "metrics", max_buffered_bytes=20_000) as server, contextlib.ExitStack() as stack:

        def connect(transport: str, namespace: str = "/") -> SocketClient:
            return stack.enter_context(contextlib.closing(SocketClient.connect(transport, server.address, namespace)))

        first, second, polling, later = connect("websocket"), connect("websocket"), connect("polling"), connect("polling")
        assert isinstance(later.engine, PollingClient)
        later.engine = upgrade(later.engine)
        for client, count in ((first, 5), (second, 2), (polling, 1), (later, 1)):
            for number in range(count):
                assert client.call("echo", number) == [number]
        first.emit("invented by a client")
        connect("websocket", "/failing")
        refused = SocketClient(polling.engine, "/refusing")
        assert refused.engine.receive().startswith("44/refusing,")
        with contextlib.closing(server.http()) as http:
            assert http.request("GET", "/socket.io/?EIO=4&transport=pigeon").status == 400
            assert http.request("GET", "/socket.io/?EIO=4&transport=polling&deny=1").status == 403
        server.page("/emit?event=news&value=1")
        for client in (first, second, later, polling):
            assert client.receive() == ["news", 1]
        found = wait_for(lambda: (now := scrape(server))["handler_seconds_count"].get(("/", "(other)")) == 1 and now)

        assert found["connections"] == {("polling",): 1, ("websocket",): 4}
        assert found["handshakes_total"] == {("polling",): 2, ("websocket",): 3}
        assert found["upgrades_total"] == {(): 1}
        assert found["sockets"][("/",)] == 4 and found["sockets"][("/failing",)] == 1
        assert found["sockets_refused_total"] == {("/refusing",): 1}
        assert found["requests_refused_total"] == {("0",): 1, ("4",): 1}
        assert found["events_received_total"] == {("/", "echo"): 9, ("/", "(other)"): 1}
        assert found["events_sent_total"] == {("/", "auth"): 4, ("/", "news"): 4}
        assert found["acks_sent_total"] == {(): 9}
        assert found["handler_seconds_count"][("/", "echo")] == 9
        assert found["handler_errors_total"] == {("/failing", "connection"): 1}
        assert found["buffered_bytes"] == {(): 0} == found["slow_consumers_total"]
        assert found["adapter_connected"] == {(): 1} == found["adapter_nodes"]

        # a client that polls, and does not come for what waits
        long = "x" * 3000
        server.page(f'/emit?event=much&value="{long}"')
        assert 3000 < scrape(server)["buffered_bytes"][()] < 3100
        assert scrape(server)["most_buffered_bytes"] == scrape(server)["buffered_bytes"]
        for _ in range(7):
            server.page(f'/emit?event=much&value="{long}"')
        second.close()
        found = wait_for(lambda: (now := scrape(server))["connections"] == {("polling",): 0, ("websocket",): 3} and now)
        assert found["slow_consumers_total"] == {(): 1} and found["buffered_bytes"] == {(): 0}
        assert sum(found["disconnections_total"].values()) == 2
        assert found["sockets"][("/",)] == 2
        stack.close()
        server.wait_until_clean()


@pytest.mark.parametrize("worker", ["gthread --preload", "gevent"])
def test_several_workers_are_counted_together_and_one_that_is_killed_is_taken_out(own: Servers, tmp_path: Path, worker: str) -> None:
    name, *extra = worker.split()
    directory = tmp_path / "metrics"
    directory.mkdir()
    (directory / "counter_1.db").write_bytes(b"what a run before has left")
    with (
        own.fresh(
            f"gunicorn-{name}", "metrics", {"PROMETHEUS_MULTIPROC_DIR": str(directory)}, ("-c", str(CONFIG), "--workers", "2", *extra),
            transports=["websocket"],
        ) as server,
        contextlib.ExitStack() as stack,
    ):  # fmt: skip
        clients: list[SocketClient] = []
        workers: set[int] = set()

        def fill() -> bool:
            clients.append(stack.enter_context(contextlib.closing(SocketClient.connect("websocket", server.address))))
            workers.add(server.stats()["pid"])
            live = {int(file.stem.split("_")[-1]) for file in directory.glob("gauge_livesum_*.db")}
            return len(clients) >= 12 and len(workers) == 2 and live == workers

        wait_for(fill)
        for number, client in enumerate(clients):
            assert client.call("echo", number) == [number]
        count = len(clients)

        def is_complete() -> bool:
            now = scrape(server)
            return (
                now["connections"][("websocket",)] == count
                and now["events_received_total"][("/", "echo")] == count
                and now["handler_seconds_count"][("/", "echo")] == count
                and now["sockets"][("/",)] == count
                and now["adapter_connected"] == {(): 1}
                and now["turns_running"] == {(): 0} == now["queued_events"]
            )

        wait_for(is_complete, say=lambda: str(scrape(server)))

        known = set(workers)
        os.kill(workers.pop(), signal.SIGKILL)
        left = 0
        for client in clients:
            with contextlib.suppress(Ended, ConnectionError):
                left += client.call("echo", "again") == ["again"]
        wait_for(lambda: scrape(server)["connections"][("websocket",)] == left, say=lambda: f"{left}: {scrape(server)}")
        wait_for(lambda: scrape(server)["events_received_total"][("/", "echo")] == count + left)
        assert "counter_1.db" not in os.listdir(directory)
        # one that was forked a moment ago would not hear gunicorn's SIGTERM
        wait_for(lambda: server.stats()["pid"] not in known)
