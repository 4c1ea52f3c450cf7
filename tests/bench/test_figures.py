"""Goals, tables, charts and cores, from figures that are made up."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

from . import charts, goals, table
from .__main__ import main
from .cores import Cores, plan
from .results import Results, Row
from .workloads import ALL, BY_NAME

MACHINE = {"date": "today", "commit": "1", "processor": "P", "cores": 2, "system": "Linux 1", "versions": {"Node": "v20"}, "warnings": []}


def report(**figures: Any) -> dict[str, Any]:
    return {
        "rate": 1000.0, "cpu_us": 10.0, "server_cpu": 1.0, "load_cpu": 0.5, "p50_us": 100.0, "p99_us": 200.0, "peak_kb": 1000.0,
        "errors": 0, "missed": 0, "failed": 0, **figures,
    }  # fmt: skip


def results(*runs: tuple[str, str, dict[str, Any]]) -> Results:
    return Results(MACHINE, [Row(workload, server, number, figures) for number, (workload, server, figures) in enumerate(runs)])


def goal(found: Results, what: str, server: str, against: str = "") -> goals.Goal:
    (one,) = (each for each in goals.goals(found) if (each.server, each.against) == (server, against) and what in each.what)
    return one


def test_ratios_are_of_medians() -> None:
    ours = [("echo1", "threads", report(rate=rate)) for rate in (1300, 10, 9000)]
    theirs = [("echo1", "node", report(rate=rate)) for rate in (1000, 1, 1001)]
    found = results(*ours, *theirs)
    met = goal(found, "one outstanding, 32 B", "threads", "node")
    assert (met.measured, met.is_met, met.note) == ("1.30×", True, "CPU 1.00×")
    assert [each.server for each in goals.goals(found)] == ["threads"]


def test_a_load_that_was_the_limit_is_said() -> None:
    found = results(("echo1", "threads", report(load_cpu=0.95)), ("echo1", "node", report()))
    assert "the load was the limit of threads" in goal(found, "one outstanding, 32 B", "threads", "node").note
    assert "1,000†" in table.details(found)


def test_a_busy_machine_is_said() -> None:
    found = results(("echo1", "threads", report(others_cpu=0.3)), ("echo1", "node", report(others_cpu=0.1)))
    assert "in 1 of 2 runs other processes used over 15 % of a core" in table.machine(found)


def test_a_load_that_was_late_is_said() -> None:
    assert "node: the load generator was late itself, by 2.0 ms" in table.details(results(("half", "node", report(late_p99_us=2000.0))))


def test_a_run_that_failed_is_in_the_table_and_not_in_the_goals() -> None:
    found = results(("echo1", "threads", report()), ("echo1", "node", {"error": "it did not | start"}))
    assert "node failed: it did not | start" in table.details(found)
    missing = goal(found, "one outstanding, 32 B", "threads", "node")
    assert (missing.is_met, missing.note) == (None, "it did not | start")
    assert "? – (goal 1.3×; it did not | start)" in table.goals(goals.goals(found))
    assert "0 of 0 goals are met" in table.goals(goals.goals(found))


def test_memory_is_compared_at_the_most_clients_that_there_were() -> None:
    def idle(*steps: tuple[int, float]) -> dict[str, Any]:
        told = [{"clients": clients, "kb_per_client": kib, "threads_per_client": 0} for clients, kib in steps]
        return report(steps=told, seconds=25, pings=1, server_cpu=0.005)

    found = results(("idle", "threads", idle((1000, 4.0), (10000, 2.5))), ("idle", "psio-gthread", idle((1000, 100.0))))
    assert goal(found, "memory per", "threads").measured == "2.5 KiB"
    assert goal(found, "memory per", "threads", "psio-gthread") == goals.Goal(
        "memory per idle client, 10,000 clients", "threads", "psio-gthread", "1/20", "1/40", True, "psio-gthread with 1,000"
    )
    assert goal(found, "CPU of an idle", "threads").measured == "0.50 %"


def test_slow_consumers_are_counted_by_their_reason() -> None:
    ends = {"transport error: 9 bytes wait for this client, over max_buffered_bytes=8": 49, "transport close: None": 900}
    slow = report(rate=900, counted={"ends": ends}, warnings=1)
    found = results(("slow0", "gevent", report()), ("slow50", "gevent", slow))
    assert goal(found, "never read: rate", "gevent").measured == "95 %"
    closed = goal(found, "never read: closed", "gevent")
    assert (closed.measured, closed.is_met) == ("49", False)


def test_every_goal_of_a_workload_names_one_that_exists() -> None:
    assert {workload for workload, *_ in goals.RATES} <= set(BY_NAME)
    assert len(BY_NAME) == len(ALL)


def test_a_chart_is_drawn_for_what_there_is() -> None:
    found = results(("fan100", "threads", report()), ("fan100", "a & b", report(rate=2)), ("fan100", "node", {"error": "no"}))
    drawn = charts.charts(found)
    assert list(drawn) == ["broadcast"]
    texts = [node.text for node in ElementTree.fromstring(drawn["broadcast"]).iter("{http://www.w3.org/2000/svg}text")]
    assert texts[0] == "Broadcast to 100 clients"
    assert texts[2:] == ["sync_sio, threads", "1,000", "10.0 µs", "a & b", "2", "10.0 µs"]


def test_cores_are_shared_out() -> None:
    alone = plan([3], {})
    assert alone.one == alone.load == {3} and len(alone.warnings) == 1
    pair, four = frozenset({0, 1}), frozenset({2, 3})
    assert plan([0, 1], {0: {0, 1}, 1: {0, 1}}) == Cores(one=frozenset({0}), two=pair, load=frozenset({1}))
    shared = {0: set(pair), 1: set(pair), 2: set(four), 3: set(four)}
    assert plan([0, 1, 2, 3], shared) == Cores(one=frozenset({0}), two=frozenset({0, 2}), load=frozenset({3}))


def test_names_that_do_not_exist_are_refused(capsys: Any) -> None:
    assert main(["echo7"]) == 2
    assert main(["--servers", "apache"]) == 2
    assert main(["--also", "old=/nowhere"]) == 2
    said = capsys.readouterr().err
    assert "'echo7'" in said and "'apache'" in said and "/nowhere" in said
