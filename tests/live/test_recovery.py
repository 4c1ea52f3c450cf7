"""Connections that are cut while the server emits a thousand events: the official client gets all of them, once and in order."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests import tools

from .servers import HERE, free_port, wait_for

pytestmark = [pytest.mark.live, pytest.mark.timeout(90)]

ROUNDS = 50


@pytest.fixture(scope="module", params=["threads", "gevent"])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    """A server with recovery on each runtime, of which nothing must be left at the end."""
    port = free_port()
    command = [sys.executable, str(HERE / "recovery_app.py"), request.param, str(port)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        found = f"http://127.0.0.1:{port}"

        def ask() -> dict[str, list[str]]:
            with suppress(OSError), urllib.request.urlopen(found, timeout=10) as answer:
                return dict(json.load(answer))
            return {}

        try:
            wait_for(ask)
            yield found
            wait_for(lambda: not ask()["audit"], 20, lambda: str(ask()))
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.stderr is not None
        errors = process.stderr.read()
        assert process.wait(10) == 0
        assert "Traceback" not in errors and "Error" not in errors, errors


@pytest.mark.parametrize("transport", ["polling", "websocket"])
@pytest.mark.usefixtures("npm_packages")
def test_a_thousand_events_survive_cut_connections_once_and_in_order(url: str, node: Path, transport: str) -> None:
    command = [str(node), str(HERE / "node" / "recovery.mjs"), url, transport, str(ROUNDS)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=80, env=tools.node_environ())
    assert done.returncode == 0, done.stderr[-4000:]
    said = json.loads(done.stdout)
    assert said["rounds"] == ROUNDS
    assert said["returns"] >= ROUNDS // 2, "too few connections were cut in time for this to show anything"


@pytest.mark.parametrize("transport", ["polling", "websocket"])
@pytest.mark.usefixtures("npm_packages")
def test_what_the_official_client_sees_of_recovery(url: str, node: Path, transport: str) -> None:
    command = [str(node), str(HERE / "node" / "returning.mjs"), url, transport]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=tools.node_environ())
    *results, last = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0 and all(result["ok"] for result in results), done.stdout + done.stderr
    assert last == {"done": len(results)} and results
