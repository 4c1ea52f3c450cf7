"""The benchmark counts what happened: each load in little, against our server, which counts too. No figure is looked at."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests import tools
from tests.conftest import need

from . import __main__ as command
from . import generator
from .cores import cores
from .run import counted
from .servers import Kind, Running, kinds, running

pytestmark = [pytest.mark.live, pytest.mark.skipif(sys.platform != "linux", reason="the benchmark runs on Linux only")]

SHORT = {"seconds": 0.15, "warm": 0.05}


@pytest.fixture(scope="module", autouse=True)
def load_generator() -> Path:
    need(tools.compiler)
    return generator.build()


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Start one of our servers, that counts, once for the module and for these options."""
    logs, there = tmp_path_factory.mktemp("logs"), dict[tuple[str, str], Running]()
    with ExitStack() as stack:

        def start(runtime: str, **options: Any) -> Running:
            wish = (runtime, json.dumps(options))
            if wish not in there:
                environ = {"BENCH_COUNTING": "1", "BENCH_OPTIONS": wish[1]}
                log = logs / f"{len(there)}.log"
                there[wish] = stack.enter_context(running(kinds()[runtime], cores().one, 100, log, environ))
            return there[wish]

        yield start


@pytest.fixture(params=["threads", "gevent"])
def server(request: pytest.FixtureRequest, start: Any) -> Running:
    found: Running = start(request.param)
    return found


def load(server: Running, **options: object) -> tuple[dict[str, Any], dict[str, int]]:
    """Run a load; return its report, and how often each handler ran meanwhile."""
    before = counted(server.port)["runs"]
    report = generator.run(server.port, server.pids(), {**SHORT, **options}, cores().load)
    assert "error" not in report, report
    after = counted(server.port)["runs"]
    return report, {name: count - before.get(name, 0) for name, count in after.items() if count != before.get(name, 0)}


def assert_clean(report: dict[str, Any]) -> None:
    assert [report[name] for name in ("errors", "missed", "failed", "closed")] == [0, 0, 0, 0]
    assert report["cpu_us"] > 0 and report["load_cpu"] > 0 and report["rss_kb"] > 0


@pytest.mark.parametrize(
    ("options", "event"),
    [
        ({"kind": "echo"}, "echo"),
        ({"kind": "echo", "window": 16, "size": 4096}, "echo"),
        ({"kind": "echo", "paced": 1}, "echo"),
        ({"kind": "echo", "events": "block", "window": 2}, "block"),
        ({"kind": "binary", "events": "bin", "size": 1024}, "bin"),
        ({"kind": "binary", "events": "bin", "size": 65536}, "bin"),
        ({"kind": "poll"}, "echo"),
    ],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else "",
)
def test_each_answer_is_a_run_of_a_handler(server: Running, options: dict[str, object], event: str) -> None:
    report, runs = load(server, clients=10, **options)
    assert_clean(report)
    assert runs == {"connection": 10, event: report["asked"]}
    assert 0 < report["done"] < report["answered"] == report["asked"]
    assert 0 < report["p50_us"] <= report["p99_us"]


def test_each_delivery_is_a_client_of_a_broadcast(server: Running) -> None:
    report, runs = load(server, kind="broadcast", clients=20)
    assert_clean(report)
    assert runs == {"connection": 20, "bcast": report["broadcasts"]}
    assert 0 < report["done"] < report["delivered"] == 20 * report["broadcasts"]


def test_each_connect_is_a_client(server: Running) -> None:
    report, runs = load(server, kind="connect", clients=60)
    assert_clean(report)
    assert (report["ready"], report["done"], runs) == (60, 40, {"connection": 60})


def test_each_upgrade_ends_in_an_echo_on_the_websocket(server: Running) -> None:
    report, runs = load(server, kind="upgrade", clients=40)
    assert_clean(report)
    assert (report["ready"], report["done"], runs) == (40, 20, {"connection": 40, "echo": 40})


def test_a_crowd_joins_and_some_leave_and_come_back(server: Running) -> None:
    report, runs = load(server, kind="echo", setup="join", clients=30, active=5, events="leave,join", size=0)
    assert_clean(report)
    assert runs["join"] + runs["leave"] == 30 + report["answered"]
    assert runs["leave"] - (runs["join"] - 30) in range(6)


@pytest.mark.parametrize("runtime", ["threads", "gevent"])
def test_idle_clients_answer_heartbeats(start: Any, runtime: str) -> None:
    report, runs = load(start(runtime, ping_interval=0.2, ping_timeout=1.0), kind="idle", steps="30,50", seconds=0.8, browser=1)
    assert (runs, report["closed"], [step["clients"] for step in report["steps"]]) == ({"connection": 50}, 0, [30, 50])
    assert report["pings"] >= 2 * 50


@pytest.mark.parametrize("runtime", ["threads", "gevent"])
def test_clients_that_never_read_are_closed_and_the_others_hear_all(start: Any, runtime: str) -> None:
    server = start(runtime, max_buffered_bytes=100_000)
    report, runs = load(server, kind="broadcast", clients=20, deaf=3, size=32768, seconds=0.6)
    assert runs == {"connection": 20, "bcast": report["broadcasts"]}
    assert report["delivered"] == 17 * report["broadcasts"] and report["errors"] == 0
    assert sum(count for why, count in counted(server.port)["ends"].items() if "max_buffered_bytes" in why) == 3


def test_a_wrong_answer_is_an_error(server: Running) -> None:
    report, _ = load(server, kind="echo", clients=2, events="wrong")
    assert report["errors"] == report["answered"] > 0


def test_an_attachment_that_does_not_come_back_is_an_error(server: Running) -> None:
    report, _ = load(server, kind="binary", clients=1, events="bcast")
    # each answer, and both frames of what is broadcast, for which it has not asked
    assert report["errors"] == 3 * report["answered"] > 0


def test_a_server_that_does_not_start_is_named(tmp_path: Path) -> None:
    broken = Kind("broken", "broken", lambda port, clients: [sys.executable, "-c", "raise SystemExit('no such thing')"], {})
    with pytest.raises(RuntimeError, match="no such thing"), running(broken, cores().one, 1, tmp_path / "log", {}):
        pass


def test_a_quick_run_writes_a_table_and_charts(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "results.jsonl"
    wishes = ["--quick", "--servers", "threads", "--into", str(tmp_path / "a"), "--results", str(file)]
    assert command.main(["echo1", "fan100", "connect", "idle", "half", *wishes]) == 0
    assert "goals are met" in capfd.readouterr().out
    page = (tmp_path / "a" / "benchmarks.md").read_text()
    assert page.count("\n| threads |") == 5
    names = ["broadcast", "connecting", "echo", "idle", "latency"]
    pictures = sorted((tmp_path / "a" / "images").iterdir())
    assert [picture.name for picture in pictures] == [f"bench-{name}.svg" for name in names]
    for picture in pictures:
        assert ElementTree.parse(picture).getroot().tag == "{http://www.w3.org/2000/svg}svg"
        assert f"(images/{picture.name})" in page

    # and once more from the file, without running anything
    assert command.main(["--report", str(file), "--into", str(tmp_path / "b")]) == 0
    assert (tmp_path / "b" / "benchmarks.md").read_text() == page
