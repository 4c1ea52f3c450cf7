"""Each figure of `record.txt` is what is counted now, give or take a tenth; and reads and writes are as few as they can be."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests import tools

from .__main__ import VERSION, ask, figures_of, profile_lines
from .table import COMMAND, Key, Table, verdict

RECORDED = Table.read()
HERE = RECORDED.columns.get(VERSION, {})


@cache
def counted() -> dict[str, dict[str, Any]]:
    """What a fresh process counts, once for all tests."""
    try:
        return ask(Path(sys.executable))
    except subprocess.CalledProcessError as problem:
        pytest.fail(f"counting failed:\n{problem.stderr}")


def complaint(key: Key, measured: float, recorded: float, profile: object) -> str:
    """Return what to tell the developer whose change altered a figure; `""`: it did not."""
    found = verdict(measured, recorded)
    if not found:
        return ""
    operation, figure = key
    said = f"{operation}: {measured:g} {figure} per message on Python {VERSION}, and {recorded:g} are recorded"
    if found == "better":
        return f"{said}: record the better figure, so that it stays: {COMMAND}"
    lines = "\n".join(profile_lines(profile))
    return f"{said}. Where they are:\n{lines}\nIf it is worth that, record it, and say why in the commit: {COMMAND}"


@pytest.mark.parametrize("key", list(HERE), ids=" ".join)
def test_a_figure_is_as_recorded(key: Key) -> None:
    operation, figure = key
    report = counted().get(operation, {"figures": {}})
    assert figure in report["figures"], f"{operation} {figure} is not counted any more: {COMMAND}"
    problem = complaint(key, report["figures"][figure], HERE[key], report["profile"])
    assert not problem, problem


@pytest.mark.skipif(not HERE, reason=f"nothing is recorded for Python {VERSION}")
def test_all_that_is_counted_is_recorded() -> None:
    assert not figures_of(counted()).keys() - HERE.keys(), COMMAND


def test_every_python_is_recorded() -> None:
    assert list(RECORDED.columns) == [f"{major}.{minor}" for major, minor in tools.PYTHONS]


# -- reads and writes, which need no record ----------------------------------------------------------------------------------------

SYSTEM_CALLS = {
    "echo": (1, 1),
    "echo-dict": (1, 1),
    "echo-sixteen": (1 / 16, 1 / 16),
    "echo-binary": (1, 1),
    "emit-ten": (1, 1),
    "pong": (1, 0),
    "acknowledged": (1, 0),
    "broadcast-told": (1 / 50, 1),
}
"""How often a stream is read and written for one message; for a broadcast: for one recipient."""


@pytest.mark.parametrize("runtime", ["threads", "gevent"])
@pytest.mark.parametrize("operation", list(SYSTEM_CALLS))
def test_a_message_is_read_once_and_its_answer_written_once(runtime: str, operation: str) -> None:
    figures = counted()[f"{runtime}:{operation}"]["figures"]
    assert (figures["recv"], figures["send"]) == pytest.approx(SYSTEM_CALLS[operation], abs=0.01)


@pytest.mark.parametrize("operation", ["emit", "broadcast"])
def test_what_is_emitted_is_written_once(operation: str) -> None:
    assert counted()[f"threads:{operation}"]["figures"]["send"] == 1


def test_nothing_is_written_to_a_client_that_takes_nothing() -> None:
    assert counted()["threads:emit-full"]["figures"]["send"] == 0


# -- the rule ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("measured", "found"),
    [(100, ""), (110, ""), (110.1, "worse"), (200, "worse"), (90, ""), (89.9, "better"), (0, "better")],
)
def test_a_tenth_more_or_less_is_noticed(measured: float, found: str) -> None:
    assert verdict(measured, 100) == found


def test_what_cost_nothing_must_cost_nothing() -> None:
    assert verdict(0, 0) == ""
    assert verdict(0.02, 0) == "worse"


def test_whoever_made_it_worse_is_told_where() -> None:
    said = complaint(("threads:echo", "bytecodes"), 1200, 1000, [("strand.py:187 work_as", 94.0, 1.0)])
    for part in ("threads:echo", "1200 bytecodes", "1000 are recorded", "strand.py:187 work_as", COMMAND):
        assert part in said


def test_whoever_made_it_better_is_told_to_record_it() -> None:
    said = complaint(("threads:echo", "bytecodes"), 800, 1000, [])
    assert "record the better figure" in said
    assert COMMAND in said


def test_a_figure_of_the_message_path_comes_with_its_functions() -> None:
    profile = counted()["threads:echo"]["profile"]
    assert sum(bytecodes for _, bytecodes, _ in profile) > 0.7 * counted()["threads:echo"]["figures"]["bytecodes"]


def test_a_table_that_was_written_reads_the_same(tmp_path: Path) -> None:
    table = Table({"3.9": {("a", "x"): 1.5}, "3.10": {("a", "x"): 2, ("b", "y"): 1078.94}}, "# what it is")
    table.write(tmp_path / "record.txt")
    again = Table.read(tmp_path / "record.txt")
    assert again.columns == table.columns
    assert list(again.columns) == ["3.9", "3.10"]
    assert again.head == table.head
