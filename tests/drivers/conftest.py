"""The rigs: one driver of each kind, on which the contract is run."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from sync_sio.drivers.locks import DEBUG, breaches

from .rig import InterleaveRig, Rig, keeping_the_gil, make_rig, running

ALL = "threads threads-selectors threads-keeping gevent gevent-watchers gevent-keeping manual interleave"
RUNTIMES = os.environ.get("SYNC_SIO_TEST_RUNTIMES", ALL).split()
KEEPING = "-keeping"
"""Added to a runtime's name: its sockets keep the GIL."""

SEEDS = range(int(os.environ.get("SYNC_SIO_SEEDS", 30)))

assert DEBUG, "SYNC_SIO_DEBUG=1 must be set before sync_sio is imported"


@pytest.fixture(params=RUNTIMES)
def runtime(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    if name.startswith("gevent") or name == "interleave":
        pytest.importorskip("gevent")
    return name


@pytest.fixture
def rig(runtime: str) -> Iterator[Rig]:
    yield from _rig(runtime)


@pytest.fixture
def small_rig(runtime: str) -> Iterator[Rig]:
    """One that runs at most four turns that block."""
    yield from _rig(runtime, max_handlers=4)


def _rig(runtime: str, max_handlers: int | None = None) -> Iterator[Rig]:
    breaches.clear()
    rig = make_rig(runtime.removesuffix(KEEPING), max_handlers)
    if isinstance(rig, InterleaveRig):
        yield rig
    else:
        with keeping_the_gil(runtime.endswith(KEEPING)), running(rig):
            yield rig


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """On the interleaving driver a test is a scenario, and runs in some schedules."""
    args = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    rig = next((arg for arg in args.values() if isinstance(arg, InterleaveRig)), None)
    if rig is None:
        return None

    def test() -> None:
        if "caplog" in args:
            args["caplog"].clear()
        pyfuncitem.obj(**args)

    rig.explore(test, SEEDS)
    return True
