"""docs/features.md: each row has a verdict, and what is said to show it exists."""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

import pytest

from tests.tools import ROOT

PAGE = ROOT / "docs" / "features.md"
SCRIPTS = ROOT / "tests" / "live" / "node"
CHECK = re.compile(r"^ *check\(\s*[\"'`](.+?)[\"'`],", re.MULTILINE)


class Row(NamedTuple):
    line: int
    theirs: str
    verdict: str
    ours: str
    shown_by: str


def rows() -> list[Row]:
    found = []
    for number, line in enumerate(PAGE.read_text().splitlines(), 1):
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if len(cells) == 4 and cells[0] != "For Node" and not set(cells[0]) <= {"-"}:
            found.append(Row(number, *cells))
    return found


@cache
def names_of_tests() -> frozenset[str]:
    """Return the names of all test functions."""
    return frozenset(
        name for file in (ROOT / "tests").rglob("test_*.py") for name in re.findall(r"^def (test_\w+)\(", file.read_text(), re.MULTILINE)
    )


@cache
def started_scripts() -> dict[str, str]:
    """Return the names and texts of the scripts that a test starts, and of those that these import."""
    tests = "\n".join(file.read_text() for file in (ROOT / "tests" / "live").glob("test_*.py"))
    found: dict[str, str] = {}
    waiting = [name for name in re.findall(r'"(\w+\.mjs)"', tests) if (SCRIPTS / name).exists()]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = (SCRIPTS / name).read_text()
            waiting += re.findall(r'\b(?:import|from) ?\(?"\./(\w+\.mjs)"', found[name])
    return found


@cache
def names_of_checks() -> frozenset[str]:
    """Return the names of all checks that run in the JavaScript client."""
    return frozenset(name for text in started_scripts().values() for name in CHECK.findall(text))


def test_no_row_was_lost() -> None:
    assert len(rows()) > 120


def test_a_test_starts_each_script_that_has_checks() -> None:
    with_checks = {file.name for file in SCRIPTS.glob("*.mjs") if CHECK.search(file.read_text())}
    assert len(with_checks) > 10 and with_checks - started_scripts().keys() == set()


@pytest.mark.parametrize("row", rows(), ids=lambda row: f"line {row.line}")
def test_a_row_says_yes_better_or_no_and_what_shows_it(row: Row) -> None:
    assert row.verdict in ("yes", "better", "no"), row.theirs
    assert row.verdict == "yes" or row.ours, f"{row.theirs}: how is it better, or why is it not there?"
    named = re.findall(r"`([^`]+)`", row.shown_by)
    assert named or row.verdict == "no", f"{row.theirs}: nothing shows it"
    for name in named:
        if name.startswith("node: "):
            assert name.removeprefix("node: ") in names_of_checks(), name
        else:
            assert name in names_of_tests(), name
