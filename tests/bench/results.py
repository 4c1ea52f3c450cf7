"""What was measured: one row for each run of one workload on one server, and medians over the runs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

LIMIT_OF_LOAD = 0.9
"""With more of its core in use, the load generator may be what was measured."""
LIMIT_OF_OTHERS = 0.15
"""With more of a core used by processes that have nothing to do with it, a run was disturbed."""


@dataclass(frozen=True, slots=True)
class Row:
    """One run. `report` is the load generator's, with `"error"` alone in it when the run failed."""

    workload: str
    server: str
    run: int
    report: dict[str, Any]

    @property
    def error(self) -> str | None:
        return self.report.get("error")


@dataclass(slots=True)
class Results:
    """The rows of one benchmark, and where it ran."""

    machine: dict[str, Any] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)

    def of(self, workload: str, server: str) -> list[Row]:
        """Return the runs that did not fail."""
        return [row for row in self.rows if (row.workload, row.server) == (workload, server) and row.error is None]

    def values(self, workload: str, server: str, metric: str) -> list[float]:
        """Return the metric of each run that has it: an older file may not."""
        return [float(row.report[metric]) for row in self.of(workload, server) if metric in row.report]

    def median(self, workload: str, server: str, metric: str) -> float | None:
        """Return the median over the runs, or None if there was no run."""
        values = self.values(workload, server, metric)
        return median(values) if values else None

    def error(self, workload: str, server: str) -> str | None:
        """Say why no run of these came to an end, or None."""
        if self.of(workload, server):
            return None
        return next((row.error for row in self.rows if (row.workload, row.server) == (workload, server)), None)

    def has_load_as_limit(self, workload: str, server: str) -> bool:
        return (self.median(workload, server, "load_cpu") or 0) > LIMIT_OF_LOAD

    def disturbed(self) -> int:
        """Return how many runs were."""
        return sum(row.report.get("others_cpu", 0) > LIMIT_OF_OTHERS for row in self.rows)

    def workloads(self) -> Iterator[str]:
        yield from dict.fromkeys(row.workload for row in self.rows)

    def servers(self, workload: str) -> Iterator[str]:
        yield from dict.fromkeys(row.server for row in self.rows if row.workload == workload)

    def memory(self, server: str, clients: int | None = None) -> tuple[int, float] | None:
        """Return how many clients were idle, at most or as asked, and the KiB of memory that each of them took."""
        steps = [step for row in self.of("idle", server) for step in row.report["steps"] if clients in (None, step["clients"])]
        if not steps:
            return None
        most = max(step["clients"] for step in steps)
        return most, median(step["kb_per_client"] for step in steps if step["clients"] == most)


def write(line: dict[str, Any], path: Path, is_first: bool = False) -> None:
    with path.open("w" if is_first else "a") as file:
        file.write(json.dumps(line) + "\n")


def as_line(row: Row) -> dict[str, Any]:
    return {"workload": row.workload, "server": row.server, "run": row.run, "report": row.report}


def read(paths: Iterable[Path]) -> Results:
    """Return what `write` has written; of several files, the machine of the last."""
    results = Results()
    for path in paths:
        for line in path.read_text().splitlines():
            value = json.loads(line)
            if "machine" in value:
                results.machine = value["machine"]
            else:
                results.rows.append(Row(**value))
    return results
