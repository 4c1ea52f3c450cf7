"""What Prometheus is told: the figures of what was done, and bounds for what clients may invent. Real scrapes: tests/live."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from sync_sio import ConnectRefused, Server
from sync_sio.adapters.base import AdapterStatus
from sync_sio.metrics import PrometheusMetrics
from sync_sio.metrics.counting import DYNAMIC, OTHER
from sync_sio.testing import ManualTime, TestClient

from ..sockets.bus import Bus, BusAdapter
from .conftest import House


def test_nothing_is_heard_while_no_metrics_are_on() -> None:
    io = Server()
    assert io.engine.probes == () and io._hub.site.surroundings == ()
    assert subprocess.run(
        [sys.executable, "-c", "import sys, sync_sio; sys.exit('prometheus_client' in sys.modules or 'opentelemetry' in sys.modules)"],
        check=False,
    ).returncode == 0


def test_who_is_connected_is_counted_by_transport_and_namespace(house: House) -> None:
    house.io.of("/news")
    clients = [TestClient(house.io), TestClient(house.io), TestClient(house.io, "/news")]
    name = clients[0].socket.conn.transport.name
    assert house.series("connections")[(name,)] == 3 and house.figure("handshakes_total", transport=name) == 3
    assert house.series("sockets") == {("/",): 2, ("/news",): 1} == house.series("sockets_connected_total")
    clients[0].disconnect()
    clients[1].disconnect()
    house.time.settle()
    assert house.series("sockets") == {("/",): 0, ("/news",): 1}
    assert house.series("sockets_connected_total") == {("/",): 2, ("/news",): 1}
    assert sum(house.series("disconnections_total").values()) == 2


def test_events_are_counted_by_name_and_recipient(house: House) -> None:
    @house.io.event("echo")
    def echo(socket: Any, data: Any) -> Any:
        return data

    clients = [TestClient(house.io) for _ in range(3)]
    before = house.figure("sent_bytes_total"), house.figure("received_bytes_total")
    assert clients[0].call("echo", "abc") == "abc"
    house.io.emit("told", 1)
    clients[1].socket.emit("told", 2)
    house.time.settle()
    assert house.figure("events_received_total", namespace="/", event="echo") == 1
    assert house.figure("events_sent_total", namespace="/", event="told") == 4
    assert house.figure("acks_sent_total") == 1
    sent = 3 * len('2["told",1]') + len('2["told",2]') + len('30["abc"]')
    assert (before[0] or 0) + sent == house.figure("sent_bytes_total")
    received = house.figure("received_bytes_total")
    assert received is not None and received - (before[1] or 0) in (len('20["echo","abc"]'), len('21["echo","abc"]'))


def test_nothing_is_lost_when_many_threads_count_at_once() -> None:
    io = Server()
    registry = CollectorRegistry()
    PrometheusMetrics(io, registry)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with TestClient(io):
            threads = [Thread(target=lambda: [io.emit("tick", 1) for _ in range(2000)]) for _ in range(8)]
            for thread in threads:
                thread.start()
            while any(thread.is_alive() for thread in threads):
                registry.get_sample_value("sync_sio_acks_sent_total")       # somebody scrapes meanwhile
            for thread in threads:
                thread.join()
    finally:
        sys.setswitchinterval(interval)
        io.close()
    assert registry.get_sample_value("sync_sio_events_sent_total", {"namespace": "/", "event": "tick"}) == 16_000
    assert registry.get_sample_value("sync_sio_sent_bytes_total") == 16_000 * len('2["tick",1]')


def test_a_handler_is_timed_and_its_failures_are_counted(house: House, caplog: pytest.LogCaptureFixture) -> None:
    @house.io.event("slow")
    def slow(socket: Any, seconds: float) -> str:
        house.io.sleep(seconds)
        return "done"

    @house.io.event("bad")
    def bad(socket: Any) -> None:
        raise LookupError("on purpose")

    client = TestClient(house.io)
    for seconds in (0.03, 0.03, 0.3):
        assert client.call("slow", seconds) == "done"
    client.emit("bad")
    client.emit("slow")                     # without its argument
    client.settle()
    labels = {"namespace": "/", "event": "slow"}
    assert house.figure("handler_seconds_count", **labels) == 4
    assert house.figure("handler_seconds_sum", **labels) == pytest.approx(0.36)
    by_bound = {bound: house.figure("handler_seconds_bucket", le=bound, **labels) for bound in ("0.025", "0.05", "0.25", "0.5", "+Inf")}
    assert by_bound == {"0.025": 1, "0.05": 3, "0.25": 3, "0.5": 4, "+Inf": 4}
    assert house.series("handler_errors_total") == {("/", "bad"): 1, ("/", "slow"): 1}
    assert house.figure("handler_seconds_sum", **labels) == pytest.approx(0.36)     # a scrape adds nothing


def test_handlers_of_our_own_events_are_timed(house: House) -> None:
    @house.io.on("connection")
    def connected(socket: Any) -> None:
        house.io.sleep(1.5)

    @house.io.event("disconnect")
    def disconnected(socket: Any, reason: str) -> None: ...

    TestClient(house.io).disconnect()
    house.time.settle()
    assert house.figure("handler_seconds_sum", namespace="/", event="connection") == pytest.approx(1.5)
    assert house.figure("handler_seconds_count", namespace="/", event="disconnect") == 1


def test_what_clients_invent_makes_no_series(house: House) -> None:
    house.io.event("known")(lambda socket: None)
    client = TestClient(house.io)
    for number in range(50):
        client.emit(f"invented {number}")
    client.emit("known")
    client.settle()
    for number in range(5):
        with pytest.raises(ConnectRefused):
            TestClient(house.io, f"/invented-{number}")
    assert house.series("events_received_total") == {("/", OTHER): 50, ("/", "known"): 1}
    assert house.series("handler_seconds_count") == {("/", OTHER): 50, ("/", "known"): 1}
    assert house.series("sockets_refused_total") == {(OTHER,): 5}


def test_dynamic_namespaces_are_counted_together(house: House) -> None:
    rooms = house.io.of(re.compile(r"/room-\d+"))
    rooms.event("note")(lambda socket: None)
    clients = [TestClient(house.io, f"/room-{number}") for number in range(20)]
    for client in clients:
        client.emit("note")
        client.settle()
    assert house.series("sockets")[(DYNAMIC,)] == 20
    assert house.series("events_received_total") == {(DYNAMIC, "note"): 20} == house.series("handler_seconds_count")


def test_what_the_application_invents_in_dynamic_namespaces_is_bounded() -> None:
    io = Server()
    registry = CollectorRegistry()
    PrometheusMetrics(io, registry, max_events=10)
    rooms = io.of(re.compile(r"/room-\d+"))
    with TestClient(io, "/room-1") as client:
        for number in range(100):
            rooms.emit(f"event {number}")
        client.settle()
        sent = {sample.labels["event"]: sample.value for metric in registry.collect() for sample in metric.samples
                if sample.name == "sync_sio_events_sent_total"}  # fmt: skip
    io.close()
    assert len(sent) == 11 and sent[OTHER] == 90


@pytest.mark.parametrize("names", [500])
def test_what_the_application_invents_is_bounded(names: int) -> None:
    io = Server()
    registry = CollectorRegistry()
    PrometheusMetrics(io, registry, max_events=10)
    with TestClient(io) as client:
        for number in range(names):
            io.emit(f"event {number}")
            io.of(f"/space-{number}")
        client.settle()
        sent = {sample.labels["event"]: sample.value for metric in registry.collect() for sample in metric.samples
                if sample.name == "sync_sio_events_sent_total"}  # fmt: skip
        spaces = {sample.labels["namespace"] for metric in registry.collect() for sample in metric.samples
                  if sample.name == "sync_sio_sockets"}  # fmt: skip
    io.close()
    assert len(sent) == 11 and sent[OTHER] == names - 10 and len(spaces) == 11


def test_refusals_are_counted_by_code() -> None:
    io = Server(max_connections=1, allow_request=lambda environ: "HTTP_X_BAD" not in environ)
    registry = CollectorRegistry()
    PrometheusMetrics(io, registry)

    def ask(query: str, **more: str) -> str:
        said = []
        environ: dict[str, Any] = {
            "REQUEST_METHOD": "GET", "PATH_INFO": "/socket.io/", "QUERY_STRING": query, "SERVER_NAME": "a", "SERVER_PORT": "80",
            "HTTP_HOST": "a", "wsgi.url_scheme": "http", "SERVER_PROTOCOL": "HTTP/1.1", **more,
        }  # fmt: skip
        list(io(environ, lambda status, headers: said.append(status[:3])))
        return said[0]

    assert ask("EIO=4&transport=pigeon") == "400"
    assert ask("EIO=4&transport=polling&sid=unknown") == "400"
    assert ask("EIO=4&transport=polling", HTTP_X_BAD="1") == "403"
    assert ask("EIO=2&transport=polling") == "400"
    assert ask("EIO=4&transport=polling") == "200"
    assert ask("EIO=4&transport=polling") == "503"
    io.close()
    assert ask("EIO=4&transport=polling") == "503"
    found = {code: registry.get_sample_value("sync_sio_requests_refused_total", {"code": code}) for code in ("0", "1", "4", "5", "503")}
    assert found == {"0": 1, "1": 1, "4": 1, "5": 1, "503": 2}
    assert registry.get_sample_value("sync_sio_handshakes_total", {"transport": "polling"}) == 1


def test_a_refusal_by_middleware_is_counted(house: House) -> None:
    @house.io.use
    def refuse(socket: Any) -> None:
        raise ConnectRefused("no")

    with pytest.raises(ConnectRefused):
        TestClient(house.io)
    assert house.series("sockets_refused_total") == {("/",): 1}
    assert house.figure("sockets", namespace="/") == 0


def test_answers_that_do_not_come_are_counted(house: House) -> None:
    client = TestClient(house.io)
    told: list[Any] = []
    client.socket.timeout(1).emit("question", ack=lambda *args: told.append(args))
    house.io.timeout(1).emit("question", ack=lambda *args: told.append(args))

    def ask() -> None:
        try:
            client.socket.call("question", timeout=1)
        except TimeoutError as error:
            told.append(error)

    house.io.spawn(ask)
    house.time.advance(2)
    assert len(told) == 3
    assert house.series("ack_timeouts_total") == {("client",): 2, ("many",): 1}


def test_what_waits_for_handlers_is_seen(house: House) -> None:
    seen: list[tuple[float | None, ...]] = []

    @house.io.event("slow")
    def slow(socket: Any) -> None:
        house.io.sleep(1)

    client = TestClient(house.io)
    for _ in range(4):
        client.emit("slow")
    house.io.engine.driver.later(0.5, lambda: seen.append((house.figure("queued_events"), house.figure("turns_running"))))
    house.time.advance(10)
    assert seen == [(4, 1)]
    assert house.figure("queued_events") == 0 == house.figure("turns_running") == house.figure("turns_waiting")


class FailingOnce(BusAdapter):
    looks = 0

    def status(self) -> AdapterStatus:
        self.looks += 1
        if self.looks == 1:
            raise OSError("as if the disk was full")
        return super().status()


def test_what_cannot_be_written_once_is_written_the_next_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In multi-process mode, where nobody asks who would ask again."""
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    adapter = FailingOnce(Bus(), "server-0", True)
    io = Server(adapter=adapter)
    PrometheusMetrics(io, refresh_seconds=5)
    time = ManualTime(io)
    with TestClient(io):
        time.advance(11)
        assert adapter.looks == 3
    io.close()
    time.advance(100)


def test_a_server_that_is_alone_is_linked_to_itself(house: House) -> None:
    assert (house.figure("adapter_connected"), house.figure("adapter_lag_seconds"), house.figure("adapter_nodes")) == (1, 0, 1)


class Link:
    """An adapter to nowhere: it says how it is."""

    says = AdapterStatus(connected=False, lag=1.5, nodes=3, last_error="connection refused")
    reconnects = 0

    def status(self) -> AdapterStatus:
        return self.says

    def ignore(self, *args: Any) -> None: ...

    start = close = abandon = enter = leave = publish = answer = ignore

    def others(self, namespace: str) -> int:
        return 0


def test_the_link_to_other_servers_is_as_the_adapter_says() -> None:
    link = Link()
    registry = CollectorRegistry()
    PrometheusMetrics(Server(adapter=link), registry)

    def told() -> list[float | None]:
        return [registry.get_sample_value(f"sync_sio_adapter_{name}") for name in ("connected", "lag_seconds", "nodes", "reconnects_total")]

    assert told() == [0, 1.5, 3, 0]
    link.says = AdapterStatus(connected=True, lag=0.002, nodes=4, last_error="connection refused")
    link.reconnects = 2
    assert told() == [1, 0.002, 4, 2] == told()


def test_a_scrape_needs_no_client_and_no_request() -> None:
    io = Server()
    registry = CollectorRegistry()
    PrometheusMetrics(io, registry)
    assert b'sync_sio_connections{transport="websocket"} 0.0' in generate_latest(registry)
    assert not io.engine.is_started


def test_what_runs_before_the_server_has_started_is_not_timed(house: House) -> None:
    made: list[str] = []
    house.io.on("new_namespace", lambda namespace: made.append(namespace.name))
    house.io.of("/early")
    TestClient(house.io)
    house.io.of("/late")
    assert made == ["/early", "/late"]
    assert house.figure("handler_seconds_count", namespace="(server)", event="new_namespace") == 1


def test_a_child_of_a_fork_begins_at_nothing(house: House) -> None:
    client = TestClient(house.io)
    client.emit("something")
    client.settle()
    house.metrics._counting.reset()         # what the site calls in the child
    assert house.metrics._counting.cells["received_bytes"][()].count == 0
    assert "events_received" not in house.metrics._counting.cells


def test_two_servers_in_one_registry_need_two_prefixes() -> None:
    registry = CollectorRegistry()
    PrometheusMetrics(Server(), registry)
    second = Server()
    with pytest.raises(ValueError, match="Duplicated"):
        PrometheusMetrics(second, registry)
    assert second.engine.probes == ()
    PrometheusMetrics(second, registry, prefix="chat")
    assert b"chat_handshakes_total" in generate_latest(registry)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"max_events": 0}, "max_events=0"),
        ({"refresh_seconds": 0}, "refresh_seconds=0"),
        ({"buckets": ()}, "buckets="),
        ({"buckets": (1, 0.5)}, "each above the one before"),
        ({"prefix": "a-b"}, "a-b"),
    ],
)
def test_what_cannot_be_meant_is_told(options: dict[str, Any], says: str) -> None:
    io = Server()
    with pytest.raises(ValueError, match=re.escape(says)):
        PrometheusMetrics(io, CollectorRegistry(), **options)
    assert io.engine.probes == () and io._hub.site.surroundings == ()
