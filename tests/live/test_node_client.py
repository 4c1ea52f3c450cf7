"""The official JavaScript client under Node: polling alone, WebSocket alone, polling with upgrade, on both runtimes."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests import tools

from .servers import HERE, Server, Servers

pytestmark = [pytest.mark.live, pytest.mark.timeout(120)]

SERVERS = ["embedded-threads", "embedded-gevent", "gunicorn-gthread", "gunicorn-gevent"]


def run_checks(node: Path, server: Server, mode: str, *parser: str) -> list[dict[str, Any]]:
    """Run every check over this transport; return what each said."""
    command = [str(node), str(HERE / "node" / "run.mjs"), server.url, mode, *parser]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110, env=tools.node_environ())
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert done.returncode == 0, done.stderr[-4000:] + done.stdout[-1000:]
    assert lines, done.stderr[-4000:]
    assert lines[-1] == {"done": len(lines) - 1}, done.stderr[-4000:]
    return lines[:-1]


@pytest.mark.parametrize("mode", ["polling", "websocket", "upgrade"])
@pytest.mark.parametrize("kind", SERVERS)
@pytest.mark.usefixtures("npm_packages")
def test_the_javascript_client(servers: Servers, node: Path, kind: str, mode: str) -> None:
    lines = run_checks(node, servers.get(kind), mode)
    failed = [f"{line['check']} ({line['ms']} ms)\n{line['error']}" for line in lines if not line["ok"]]
    assert not failed, f"{len(failed)} of {len(lines)} checks failed:\n\n" + "\n\n".join(failed)
