"""With SYNC_SIO_POINTS=1, every statement of the floors under test is a point of the scheduler.

    SYNC_SIO_POINTS=1 SYNC_SIO_SEEDS=500 python -m pytest tests/schedules

It has to be a run of its own: other tests would have imported the floors as they are.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parent.parent.parent
HOLLOW = ("sync_sio", "sync_sio.testing")
FLOORS = ("sync_sio.engine", "sync_sio.sockets", "sync_sio.drivers.strand", "sync_sio.server")


def _make_every_statement_a_point() -> None:
    # The packages themselves import all floors. Hollow ones stand in for them until those are instrumented.
    for name in HOLLOW:
        package = ModuleType(name)
        package.__path__ = [str(ROOT.joinpath(*name.split(".")))]
        sys.modules[name] = package
    from sync_sio.testing.points import install

    install(*FLOORS)
    for name in HOLLOW:
        del sys.modules[name]


if os.environ.get("SYNC_SIO_POINTS"):
    if "sync_sio" in sys.modules:
        raise RuntimeError("sync_sio is imported already: run tests/schedules alone for SYNC_SIO_POINTS")
    _make_every_statement_a_point()
