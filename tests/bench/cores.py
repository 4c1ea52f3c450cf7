"""Who runs on which core: the server on one, or on two, the load generator on another, as far as there are any."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SIBLINGS = "/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"


@dataclass(frozen=True, slots=True)
class Cores:
    """Numbers of cores, as `os.sched_setaffinity` takes them."""

    one: frozenset[int]
    """The server's, for all workloads but those that ask for two."""
    two: frozenset[int]
    load: frozenset[int]

    @property
    def warnings(self) -> list[str]:
        """What the reader must know of the figures, when there are too few cores."""
        if self.one == self.load:
            return ["there is one core: the server and the load generator share it, so all rates are too low and the ratios too near to 1"]
        return []

    def of_server(self, count: int) -> frozenset[int]:
        return self.one if count == 1 else self.two


def plan(available: Sequence[int], siblings: dict[int, set[int]]) -> Cores:
    """Choose among the cores that this process may use.

    The load generator gets a core that is not the server's second thread, if there is such a one: two threads of one core slow each
    other down. With two cores the load generator's is also the server's second.
    """
    server = available[0]
    others = [core for core in available if core not in siblings.get(server, set()) | {server}] or list(available[1:]) or [server]
    load = others[-1]
    second = next((core for core in others if core != load), load)
    return Cores(frozenset({server}), frozenset({server, second}), frozenset({load}))


def cores() -> Cores:
    available = sorted(os.sched_getaffinity(0))
    return plan(available, {core: siblings_of(core) for core in available})


def siblings_of(core: int) -> set[int]:
    """Return the numbers of the threads of the same physical core; the kernel writes them as `0,4` or `0-1`."""
    try:
        text = Path(SIBLINGS.format(core)).read_text()
    except OSError:
        return {core}
    found: set[int] = set()
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return found
