"""Dynamic namespaces, catch-all listeners, and a server that closes, as the official JavaScript client sees them."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests import tools

from .servers import HERE, free_port, wait_for

pytestmark = [pytest.mark.live, pytest.mark.timeout(90)]


@contextmanager
def served(runtime: str, port: int) -> Iterator[Callable[[], dict[str, Any]]]:
    """A server, and its page; it must end cleanly."""
    command = [sys.executable, str(HERE / "dynamic_app.py"), runtime, str(port)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:

        def ask() -> dict[str, Any]:
            with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}", timeout=10) as answer:
                return dict(json.load(answer))
            return {}

        try:
            wait_for(ask)
            yield ask
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.stderr is not None
        errors = process.stderr.read()
        assert process.wait(10) == 0
        assert errors.count("Traceback") == errors.count("RuntimeError: on purpose"), errors


@pytest.fixture(scope="module", params=["threads", "gevent"])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    """A server on each runtime, of which nothing must be left at the end."""
    port = free_port()
    with served(request.param, port) as ask:
        yield f"http://127.0.0.1:{port}"
        wait_for(lambda: not ask()["audit"], 20, lambda: str(ask()))
        assert ask()["children"] == ask()["rooms"] == []


@pytest.mark.parametrize("mode", ["polling", "websocket", "upgrade"])
@pytest.mark.usefixtures("npm_packages")
def test_dynamic_namespaces_and_catch_all_listeners(url: str, node: Path, mode: str) -> None:
    command = [str(node), str(HERE / "node" / "dynamic.mjs"), url, mode]
    done = subprocess.run(command, capture_output=True, text=True, timeout=80, env=tools.node_environ())
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert lines and lines[-1] == {"done": len(lines) - 1}, done.stderr[-4000:]
    failed = [f"{line['check']} ({line['ms']} ms)\n{line['error']}" for line in lines[:-1] if not line["ok"]]
    assert not failed, f"{len(failed)} of {len(lines)} checks failed:\n\n" + "\n\n".join(failed)


@pytest.mark.parametrize("mode", ["polling", "websocket"])
@pytest.mark.parametrize("runtime", ["threads", "gevent"])
@pytest.mark.usefixtures("npm_packages")
def test_clients_of_a_server_that_closes_come_back_when_it_does(node: Path, runtime: str, mode: str) -> None:
    port = free_port()
    command = [str(node), str(HERE / "node" / "closing.mjs"), f"http://127.0.0.1:{port}", mode]
    with ExitStack() as stack:
        with served(runtime, port):
            client = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=tools.node_environ()))
            stack.callback(client.kill)
            assert client.stdout is not None
            told = json.loads(client.stdout.readline())
        assert told == {"reason": "transport close", "active": True}
        with served(runtime, port):
            assert json.loads(client.stdout.readline()) == {"back": True, "new": True}
            client.kill()
