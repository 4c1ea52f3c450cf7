"""Count what Python does in an operation: bytecodes and calls by function, reads and writes; and what a client occupies.

The figures are the library's and the standard library's: what is done in the files of this folder is not counted, handlers included.
"""

from __future__ import annotations

import gc
import sys
import tracemalloc
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, NamedTuple

from .house import FIRST_FD, FakeStream, House
from .operations import Operation

HERE = str(Path(__file__).parent)
WARM_UPS = 4
"""So often an operation runs before it is counted: caches are filled and containers have their size by then."""
SHOWN = 16
"""Functions of a profile."""

Figures = dict[str, float]


class Report(NamedTuple):
    """What one operation costs, per message, and the functions with the most bytecodes: their name, bytecodes and calls."""

    figures: Figures
    profile: list[tuple[str, float, float]]


class Uneven(Exception):
    """The same operation gave two counts: the second time something was different, so neither says anything."""


def measure(operation: Operation) -> Report:
    """Return what an operation costs. Raises `Uneven` when two runs in a row differ."""
    for _ in range(WARM_UPS):
        _ready(operation)
        operation.run()
    _ready(operation)
    count_bytecodes(operation.run)          # Python 3.13 begins to tell of a function's opcodes after the first call that wishes for them
    bytecodes = _the_same(operation, count_bytecodes)
    python, c = _the_same(operation, count_calls)
    recvs, sends = _the_same(operation, lambda run: _kernel(operation, run))
    per = operation.messages
    figures = {
        "bytecodes": bytecodes.total() / per,
        "python-calls": python.total() / per,
        "c-calls": c.total() / per,
    }
    if operation.streams:
        figures |= {"recv": recvs / per, "send": sends / per}
    profile = [(name, count / per, python[name] / per) for name, count in bytecodes.most_common(SHOWN)]
    return Report({name: round(figure, 2) for name, figure in figures.items()}, profile)


def _the_same(operation: Operation, count: Callable[[Callable[[], object]], Any]) -> Any:
    found = []
    for _ in range(2):
        _ready(operation)
        found.append(count(operation.run))
    if found[0] != found[1]:
        raise Uneven(f"{operation.name}: {found[0]} and then {found[1]}")
    return found[0]


def _ready(operation: Operation) -> None:
    operation.prepare()
    for stream in operation.streams:
        stream.hush()


def _kernel(operation: Operation, run: Callable[[], object]) -> tuple[int, int]:
    run()
    return sum(stream.recvs for stream in operation.streams), sum(stream.sends for stream in operation.streams)


def count_bytecodes(run: Callable[[], object]) -> Counter[str]:
    counts: Counter[CodeType] = Counter()

    def trace(frame: FrameType, event: str, arg: object) -> Any:
        code = frame.f_code
        if event == "opcode":
            counts[code] += 1
        elif event == "call":
            if code.co_filename.startswith(HERE):
                return None
            frame.f_trace_opcodes = True
            frame.f_trace_lines = False
        return trace

    # Python 3.12 looks whether anybody has ever wished for opcodes when tracing begins
    sys._getframe().f_trace_opcodes = True
    sys.settrace(trace)
    try:
        run()
    finally:
        sys.settrace(None)
    return _by_name(counts)


def count_calls(run: Callable[[], object]) -> tuple[Counter[str], Counter[str]]:
    """Return the calls of Python's functions and of C's."""
    python: Counter[CodeType] = Counter()
    c: Counter[str] = Counter()

    def profile(frame: FrameType, event: str, arg: Any) -> None:
        code = frame.f_code
        if code.co_filename.startswith(HERE):
            return
        if event == "call":
            python[code] += 1
        elif event == "c_call":
            c[getattr(arg, "__qualname__", repr(arg))] += 1

    sys.setprofile(profile)
    try:
        run()
    finally:
        sys.setprofile(None)
    return _by_name(python), c


def _by_name(counts: Counter[CodeType]) -> Counter[str]:
    named: Counter[str] = Counter()
    for code, count in counts.items():
        named[f"{Path(code.co_filename).name}:{code.co_firstlineno} {code.co_name}"] += count
    return named


def occupied(house: House, clients: int = 100) -> Figures:
    """Return objects that the garbage collector knows and bytes of one connected client that says nothing.

    Its timers that were cancelled count, as they lie in the heap until their time has come.
    """
    house.connect(clients)                  # what the first clients make once is not counted
    streams = [FakeStream(FIRST_FD + clients + number) for number in range(clients)]
    objects = _objects()
    tracemalloc.start()
    for stream in streams:
        house.hand_over(stream)
    for stream in streams:
        stream.sent = []                    # what was sent to it belongs to the kernel
    left = _objects()
    size = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return {
        "objects": round((left - objects) / clients, 2),
        "bytes": round(size / clients),
    }


def _objects() -> int:
    for _ in range(4):                      # a collection lets go of tuples that hold nothing to collect, the next of those around them
        gc.collect()
    return len(gc.get_objects())
