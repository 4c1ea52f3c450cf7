"""Servers and workloads in turn: all servers of a workload one after the other, all workloads, and that as often as asked.

So a machine that is slower for a minute is so for all of them.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import subprocess
import sys
import urllib.request
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from time import monotonic, strftime
from typing import Any

from tests import tools

from . import generator, peers, results
from .cores import Cores, cores
from .results import LIMIT_OF_OTHERS, Results, Row
from .servers import HOST, Kind, running
from .workloads import Workload

LOGS = tools.ROOT / "build" / "bench" / "logs"


def run_all(workloads: Sequence[Workload], kinds: Mapping[str, Kind], runs: int, file: Path, warnings: Sequence[str] = ()) -> Results:
    """Measure, write each row into the file as it comes, and say on stderr how it goes."""
    raise_descriptors()
    where = cores()
    found = Results(machine_of(where, kinds))
    found.machine["warnings"] += warnings
    for warning in found.machine["warnings"]:
        print(f"[bench] mind: {warning}", file=sys.stderr)
    file.parent.mkdir(parents=True, exist_ok=True)
    results.write({"machine": found.machine}, file, is_first=True)
    for number in range(runs):
        for workload in workloads:
            if number >= (workload.runs or runs):
                continue
            for server in workload.servers:
                if server not in kinds or number >= (kinds[server].runs or runs):
                    continue
                began = monotonic()
                row = Row(workload.name, server, number, run_one(workload.of(server), kinds[server], where))
                row.report["took"] = round(monotonic() - began, 2)
                found.rows.append(row)
                results.write(results.as_line(row), file)
                tell(row, f"{number + 1}/{workload.runs or runs}", workload.unit)
    return found


def run_one(workload: Workload, kind: Kind, where: Cores) -> dict[str, Any]:
    """Start the server, load it, end it; return what the load generator reports, and what our application has counted if it did."""
    log = LOGS / f"{workload.name}-{kind.name}.log"
    try:
        with running(kind, where.of_server(workload.cores), workload.clients, log, workload.environ) as server:
            report = generator.run(server.port, server.pids(), workload.load, where.load)
            if "error" in report:
                said = log.read_text(errors="replace").strip()
                report["error"] += f"; the server said: {said[-300:]}" if said else ""
            elif "BENCH_COUNTING" in workload.environ:
                report["counted"] = counted(server.port)
                report["warnings"] = log.read_text(errors="replace").count("max_buffered_bytes")
    except (RuntimeError, OSError) as problem:
        return {"error": str(problem)}
    return report


def counted(port: int) -> dict[str, Any]:
    """Ask our application how often its handlers ran, and how clients ended."""
    with urllib.request.urlopen(f"http://{HOST}:{port}/", timeout=10) as answer:
        counts: dict[str, Any] = json.load(answer)
    return counts


def tell(row: Row, number: str, unit: str) -> None:
    report = row.report
    if row.error is not None:
        said = row.error
    elif "steps" in report:
        last = report["steps"][-1]
        said = f"{last['kb_per_client']:>11,.1f} KiB each, {last['clients']:,} clients"
    else:
        said = f"{report['rate']:>11,.0f} {unit:13} {report['cpu_us']:9.1f} µs each   load {report['load_cpu']:4.0%}"
        said += f"   others {report['others_cpu']:.0%}" * (report["others_cpu"] > LIMIT_OF_OTHERS)
    print(f"[bench {number}] {row.workload:9} {row.server:17} {said}", file=sys.stderr, flush=True)


def raise_descriptors() -> None:
    """Let this process and those that it starts have as many descriptors as the system allows: each client is one."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def machine_of(where: Cores, kinds: Collection[str]) -> dict[str, Any]:
    """Describe where it ran, and on what, as far as a reader needs it to judge the figures."""
    versions = {"Python": platform.python_version()}
    if any(kind.startswith("psio-") for kind in kinds):
        versions |= peers.python_versions()
    if "node" in kinds:
        versions |= peers.node_versions()
    return {
        "date": strftime("%Y-%m-%d"),
        "commit": commit(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "versions": versions,
        "warnings": where.warnings,
    }


def commit() -> str:
    try:
        said = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=tools.ROOT, capture_output=True, text=True)
    except OSError:  # there is no git
        return "unknown"
    return said.stdout.strip() or "unknown"


def processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()
