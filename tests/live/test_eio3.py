"""The official client of Socket.IO v2 against a server that allows it, beside clients of v4."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests import tools

from .servers import HERE, Servers

pytestmark = [pytest.mark.live, pytest.mark.timeout(90)]


@pytest.mark.parametrize("mode", ["polling", "websocket", "upgrade"])
@pytest.mark.parametrize("kind", ["embedded-threads", "embedded-gevent"])
@pytest.mark.usefixtures("npm_packages")
def test_a_client_of_socket_io_v2(servers: Servers, node: Path, kind: str, mode: str) -> None:
    server = servers.get(kind, allow_eio3=True, ping_interval=1.0, ping_timeout=1.0)
    command = [str(node), str(HERE / "node" / "old.mjs"), server.url, mode]
    done = subprocess.run(command, capture_output=True, text=True, timeout=80, env=tools.node_environ())
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert lines and lines[-1] == {"done": len(lines) - 1}, done.stderr[-4000:]
    failed = [f"{line['check']} ({line['ms']} ms)\n{line['error']}" for line in lines[:-1] if not line["ok"]]
    assert not failed, f"{len(failed)} of {len(lines)} checks failed:\n\n" + "\n\n".join(failed)


def test_a_page_of_socket_io_v2_that_polls_with_scripts(servers: Servers, node: Path, npm_packages: Path, chromium: Path) -> None:
    flags = json.dumps([flag for flag in tools.CHROMIUM_FLAGS if flag != "--headless"])     # playwright chooses the kind of headless
    server = servers.get("embedded-threads", allow_eio3=True, ping_interval=1.0, ping_timeout=1.0)
    client = npm_packages / "socket.io-client-2" / "dist" / "socket.io.js"
    command = [str(node), str(HERE / "jsonp_page.cjs"), server.url, str(chromium), flags, str(client)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=tools.node_environ())
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [True, [0, 1, 255], 1]
