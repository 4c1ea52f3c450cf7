"""A time that stands still: nothing falls due while something is counted, and no handler is slow."""

from __future__ import annotations

import time
from typing import Final

NOON: Final = 43200.0


def stop_the_clock() -> None:
    """Have both clocks of the library say noon for ever. Before anything of it is imported, as it takes them by name.

    They stay functions in C, so that what calls them is counted as ever.
    """
    time.monotonic = time.perf_counter = NOON.conjugate
