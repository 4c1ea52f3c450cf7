"""The command line: `python -m tests.bench --help`."""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import monotonic, strftime

from tests import tools

from . import generator, page, results
from .run import run_all
from .servers import Kind, embedded, kinds
from .workloads import ALL, BY_NAME, Workload

BUILD = tools.ROOT / "build" / "bench"
RUNS = 3


def arguments_of(command_line: Sequence[str]) -> argparse.Namespace:
    about = "Measure this server beside others. Without arguments: everything, in about 25 minutes."
    parser = argparse.ArgumentParser("python -m tests.bench", description=about)
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD", help=f"some of: {' '.join(BY_NAME)}")
    parser.add_argument("--servers", help="some of the servers, with commas between; see --list")
    parser.add_argument("--runs", type=int, default=RUNS, help="how often each is measured (default 3)")
    parser.add_argument("--quick", action="store_true", help="in little and in short: whether all works, not how fast")
    parser.add_argument("--also", action="append", default=[], metavar="NAME=DIR",
                        help="measure the library of another checkout too, as the servers NAME-threads and NAME-gevent")  # fmt: skip
    parser.add_argument("--into", type=Path, help="where the page and the charts go: docs/ after a whole run, else build/bench/")
    parser.add_argument("--results", type=Path, metavar="FILE", help="where the runs are kept, a line each: build/bench/DATE-TIME.jsonl")
    parser.add_argument("--report", nargs="*", type=Path, metavar="FILE",
                        help="run nothing: tell again what these files hold together (default: the last one)")  # fmt: skip
    parser.add_argument("--list", action="store_true", help="name workloads and servers, and what is missing here")
    return parser.parse_args(command_line)


def main(command_line: Sequence[str]) -> int:
    wishes = arguments_of(command_line)
    known = kinds()
    try:
        known.update(others(wishes.also))
        workloads = chosen_workloads(wishes.workloads, list(known)[len(kinds()) :])
        servers = chosen_servers(wishes.servers, known)
    except ValueError as problem:
        print(problem, file=sys.stderr)
        return 2
    if wishes.list:
        show(known)
        return 0
    if wishes.report is not None:
        page.write(results.read(wishes.report or [max(BUILD.glob("*.jsonl"))]), wishes.into or BUILD)
        return 0
    if sys.platform != "linux":
        print("The benchmark runs on Linux only: it gives processes cores of their own and reads what they use.", file=sys.stderr)
        return 1
    try:
        generator.build()
    except (tools.MissingTool, subprocess.CalledProcessError) as problem:
        print(problem, file=sys.stderr)
        return 1
    measure(wishes, workloads, servers)
    return 0


def measure(wishes: argparse.Namespace, workloads: Sequence[Workload], servers: Mapping[str, Kind]) -> None:
    """Run what was wished for, with those servers that can be had, and write the page."""
    used = {name: kind for name, kind in servers.items() if any(name in each.servers for each in workloads)}
    missing = {name: why for name, kind in used.items() if (why := kind.missing()) is not None}
    present = {name: kind for name, kind in used.items() if name not in missing}
    warnings = [f"{used[name].title} was left out: {why}" for name, why in missing.items()]
    runs = wishes.runs
    if wishes.quick:
        workloads, runs = [workload.quick() for workload in workloads], 1
        warnings.append("all was done in little and in short, so these figures mean nothing")
    file = wishes.results or BUILD / strftime("%Y%m%d-%H%M%S.jsonl")
    began = monotonic()
    found = run_all(workloads, present, runs, file, warnings)
    print(f"[bench] {monotonic() - began:.0f} s; each run is in {file}", file=sys.stderr)
    is_whole = not (wishes.workloads or wishes.servers or wishes.quick or wishes.also or missing)
    page.write(found, wishes.into or (tools.ROOT / "docs" if is_whole else BUILD))


def others(wishes: Sequence[str]) -> dict[str, Kind]:
    """Return our embedded servers with the library of other checkouts. Raises ValueError."""
    found: dict[str, Kind] = {}
    for wish in wishes:
        name, _, root = wish.partition("=")
        if not (Path(root) / "sync_sio").is_dir():
            raise ValueError(f"--also {wish}: NAME=DIR is wanted, with the folder of a checkout")
        for runtime in ("threads", "gevent"):
            found[f"{name}-{runtime}"] = embedded(f"{name}-{runtime}", runtime, Path(root).resolve(), name)
    return found


def chosen_workloads(names: Sequence[str], more_servers: Sequence[str]) -> list[Workload]:
    """Return the workloads of these names, or all; other checkouts do what our servers of the same runtime do. Raises ValueError."""
    for name in names:
        if name not in BY_NAME:
            raise ValueError(f"there is no workload {name!r}: there are {' '.join(BY_NAME)}")
    found = [BY_NAME[name] for name in names] or ALL
    return [workload.with_servers(more_servers) for workload in found]


def chosen_servers(names: str | None, known: dict[str, Kind]) -> dict[str, Kind]:
    wanted = list(known) if names is None else names.split(",")
    for name in wanted:
        if name not in known:
            raise ValueError(f"there is no server {name!r}: there are {' '.join(known)}")
    return {name: known[name] for name in wanted}


def show(known: dict[str, Kind]) -> None:
    for workload in ALL:
        print(f"{workload.name:10} {workload.title}\n{'':10}   on {', '.join(workload.servers)}")
    for name, kind in known.items():
        print(f"{name:17} {kind.title}")


def stop(*_: object) -> None:
    """End as by Ctrl-C, so that the server that is being measured ends too."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        print("[bench] stopped; --report tells what was measured until now", file=sys.stderr)
        sys.exit(130)
