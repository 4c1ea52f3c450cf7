"""What holds for every test: debug invariants on, tests/live and tests/stress marked, tools asked for by name."""

from __future__ import annotations

import os

# Before anything of sync_sio is imported: it may look at the variable once.
os.environ.setdefault("SYNC_SIO_DEBUG", "1")

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

from tests import tools

# Deadlines measure the machine, and CI has a busy one.
settings.register_profile("sync_sio", deadline=None)
settings.load_profile("sync_sio")

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        folder = item.path.relative_to(HERE).parts[0] if item.path.is_relative_to(HERE) else ""
        if folder in ("live", "stress"):
            item.add_marker(folder)
        elif needs_uwsgi(item):
            item.add_marker("live")  # the unit tests run on every Python, and uWSGI is compiled for one


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    if needs_uwsgi(item):
        need(tools.uwsgi)


def needs_uwsgi(item: pytest.Item) -> bool:
    return isinstance(item, pytest.Function) and hasattr(item, "callspec") and "uwsgi" in item.callspec.params.values()


def need(tool: Callable[[], Path]) -> Path:
    """Get a tool, or skip the test: in CI a missing tool fails it."""
    try:
        return tool()
    except tools.MissingTool as missing:
        if tools.in_ci():
            raise
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def node() -> Path:
    """The Node.js program."""
    return need(tools.node)


@pytest.fixture(scope="session")
def npm_packages() -> Path:
    """The folder `node_modules` with what tests/npm/package.json pins; set it as NODE_PATH."""
    return need(tools.npm_packages)


@pytest.fixture(scope="session")
def npm_servers() -> Path:
    """The folder `node_modules` with what tests/npm_servers/package.json pins: Node.js' own servers and their adapters."""
    return need(tools.npm_servers)


@pytest.fixture(scope="session")
def chromium() -> Path:
    """A Chromium that can be run headless, with tools.CHROMIUM_FLAGS."""
    return need(tools.chromium)


@pytest.fixture(scope="session")
def redis_server() -> Path:
    return need(tools.redis_server)


@pytest.fixture(scope="session")
def strace() -> Path:
    """The program that shows a server's system calls."""
    return need(tools.strace)


@pytest.fixture(scope="session")
def nginx() -> Path:
    return need(tools.nginx)


@pytest.fixture(scope="session")
def haproxy() -> Path:
    return need(tools.haproxy)


@pytest.fixture(scope="session")
def systemd_analyze() -> Path:
    """The program that checks systemd's units."""
    return need(tools.systemd_analyze)


@pytest.fixture(scope="session")
def uwsgi() -> Path:
    return need(tools.uwsgi)


@pytest.fixture(scope="session")
def apache() -> Path:
    """Apache with mod_wsgi."""
    return need(tools.apache)
