"""The rigs: one driver of each kind, on which the contract is run."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from sync_sio.drivers.locks import DEBUG, breaches

from .rig import Rig, make_rig, running

RUNTIMES = os.environ.get("SYNC_SIO_TEST_RUNTIMES", "threads threads-selectors gevent manual").split()

assert DEBUG, "SYNC_SIO_DEBUG=1 must be set before sync_sio is imported"


@pytest.fixture(params=RUNTIMES)
def runtime(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    if name == "gevent":
        pytest.importorskip("gevent")
    return name


@pytest.fixture
def rig(runtime: str) -> Iterator[Rig]:
    breaches.clear()
    with running(make_rig(runtime)) as rig:
        yield rig


@pytest.fixture
def small_rig(runtime: str) -> Iterator[Rig]:
    """One that runs at most four turns that block."""
    breaches.clear()
    with running(make_rig(runtime, max_handlers=4)) as rig:
        yield rig
