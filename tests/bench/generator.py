"""The load generator: compiled when its source is newer, run on a core of its own."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests import tools

SOURCES = sorted((Path(__file__).parent / "load").glob("*.[ch]"))
PROGRAM = tools.ROOT / "build" / "bench" / "load"
FLAGS = ("-std=gnu11", "-O2", "-Wall", "-Wextra")
PATIENCE = 180.0
"""Seconds after which a run has hung; the generator gives up by itself before, see `--deadline`."""


def build() -> Path:
    """Return the load generator, compiled if it is not there or older than its source.

    Raises:
        tools.MissingTool: there is no C compiler.
        subprocess.CalledProcessError: the source does not compile; the compiler's words are on stderr.
    """
    newest = max(source.stat().st_mtime for source in SOURCES)
    if not PROGRAM.exists() or PROGRAM.stat().st_mtime < newest:
        PROGRAM.parent.mkdir(parents=True, exist_ok=True)
        fresh = PROGRAM.with_suffix(f".{os.getpid()}")
        sources = [str(source) for source in SOURCES if source.suffix == ".c"]
        subprocess.run([str(tools.compiler()), *FLAGS, "-o", str(fresh), *sources], check=True)
        fresh.rename(PROGRAM)
    return PROGRAM


def run(port: int, pids: Sequence[int], load: Mapping[str, object], cores: Collection[int]) -> dict[str, Any]:
    """Run one load against the server there, whose processes are watched; return what the generator reports.

    Args:
        load: the generator's options, without their dashes.
        cores: where it may run.

    A failure is a report too: `{"error": …}`.
    """
    command = [str(build()), "--port", str(port), "--pids", ",".join(map(str, pids))]
    for name, value in load.items():
        command += [f"--{name}", str(value)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, preexec_fn=lambda: os.sched_setaffinity(0, cores))
    except subprocess.TimeoutExpired:
        return {"error": f"the load generator was not done after {PATIENCE:g} s"}
    try:
        report: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        return {"error": f"the load generator ended with {done.returncode}: {(done.stdout + done.stderr)[-300:]}"}
    return report
