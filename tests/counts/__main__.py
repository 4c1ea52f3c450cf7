"""The command line: `python -m tests.counts --help`."""

from __future__ import annotations

import argparse
import gc
import json
import os
import subprocess
import sys
from pathlib import Path

from tests import tools

from .clock import stop_the_clock
from .table import Key, Table, verdict

VERSION = f"{sys.version_info[0]}.{sys.version_info[1]}"


def main(command_line: list[str]) -> int:
    parser = argparse.ArgumentParser("python -m tests.counts", description="Count what a message costs, and compare it with the record.")
    parser.add_argument("--record", action="store_true", help="record the figures of this Python, and of those that `make matrix` prepared")
    parser.add_argument("--json", action="store_true", help="print the figures of this Python as JSON, for the tests")
    parser.add_argument("--profile", metavar="OPERATION", help="show the functions of one operation by their bytecodes, too")
    wishes = parser.parse_args(command_line)
    if wishes.json:
        json.dump(measure_all(), sys.stdout)
        return 0
    if wishes.record:
        record()
        return 0
    show(ask(Path(sys.executable)), wishes.profile)
    return 0


def measure_all() -> dict[str, dict[str, object]]:
    """Count everything in this process, which must be a fresh one without tracing tools and without the debug checks."""
    stop_the_clock()
    gc.disable()                            # it runs when something has been counted
    from .counting import measure, occupied
    from .house import House
    from .operations import all_operations
    from .rounds import ThreadsRounds

    # first: what counting leaves behind would be among the objects
    found: dict[str, dict[str, object]] = {"threads:idle-client": {"figures": occupied(House(ThreadsRounds())), "profile": []}}
    for operation in all_operations():
        report = measure(operation)
        found[operation.name] = {"figures": report.figures, "profile": report.profile}
    return found


def ask(python: Path) -> dict[str, dict[str, object]]:
    """Have a fresh process of this Python count. Raises `subprocess.CalledProcessError`, with what it said in `stderr`."""
    # of our environment only what finds programs: coverage and debuggers come in through the rest
    environ = {
        "PATH": os.environ.get("PATH", ""), "PYTHONPATH": str(tools.ROOT), "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1", "SYNC_SIO_DEBUG": "0",
    }  # fmt: skip
    command = [str(python), "-m", "tests.counts", "--json"]
    done = subprocess.run(command, cwd=tools.ROOT, env=environ, capture_output=True, text=True, check=True, timeout=50)
    if done.stderr:
        raise SystemExit(f"something went wrong while it was counted:\n{done.stderr}")
    found: dict[str, dict[str, object]] = json.loads(done.stdout)
    return found


def figures_of(found: dict[str, dict[str, object]]) -> dict[Key, float]:
    """Return the figures by operation and name."""
    figures: dict[Key, float] = {}
    for operation, report in found.items():
        counts = report["figures"]
        assert isinstance(counts, dict)
        figures |= {(operation, name): count for name, count in counts.items()}
    return figures


def record() -> None:
    table = Table.read()
    prepared = {name: tools.CACHE / "venvs" / name / "bin" / "python" for name in (f"{a}.{b}" for a, b in tools.PYTHONS)}
    pythons = {name: python for name, python in prepared.items() if python.exists()} | {VERSION: Path(sys.executable)}
    for name, python in pythons.items():
        try:
            table.put(name, figures_of(ask(python)))
        except subprocess.CalledProcessError as problem:
            raise SystemExit(f"Python {name} cannot count:\n{problem.stderr}") from None
        print(f"recorded for Python {name}")
    table.write()
    if missing := [name for name in table.columns if name not in pythons]:
        print(f"not recorded, so as before: Python {', '.join(missing)}; `make matrix` prepares those that this machine has")


def show(found: dict[str, dict[str, object]], profiled: str | None) -> None:
    recorded = Table.read().columns.get(VERSION, {})
    for (operation, figure), count in figures_of(found).items():
        known = recorded.get((operation, figure))
        remark = "not recorded" if known is None else f"{known:10g}  {verdict(count, known)}"
        print(f"{operation:<24}{figure:<14}{count:>10g}{remark:>14}".rstrip())
        if figure == "bytecodes" and operation == profiled:
            for line in profile_lines(found[operation]["profile"]):
                print(f"    {line}")


def profile_lines(profile: object) -> list[str]:
    """Return a profile for reading: bytecodes and calls per message, function."""
    assert isinstance(profile, list)
    return [f"{bytecodes:8.1f} bytecodes {calls:6.2f} calls  {name}" for name, bytecodes, calls in profile]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
