"""The Admin UI: its protocol with the JavaScript client as the page, and the page itself in a real browser, on both runtimes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import tools

from .servers import HERE, HOST, TRACEBACK, free_port, wait_for

pytestmark = [pytest.mark.live, pytest.mark.timeout(120)]


class Site:
    """The server that is looked at, and that brings the page."""

    def __init__(self, runtime: str, log: Path) -> None:
        self.log = log
        self.url = f"http://{HOST}:{(port := free_port())}"
        environ = {
            **os.environ,
            "PYTHONPATH": str(tools.ROOT),
            "SYNC_SIO_DEBUG": "1",
            "ADMIN_UI": str(tools.npm_packages() / "@socket.io" / "admin-ui" / "ui" / "dist"),
        }
        with open(log, "wb") as output:
            command = [sys.executable, str(HERE / "admin_app.py"), runtime, str(port)]
            self.process = subprocess.Popen(command, env=environ, stdout=output, stderr=subprocess.STDOUT)
        wait_for(lambda: self.page("/plain") == b"plain", 30.0, lambda: f"it does not answer:\n{self.said}")

    @property
    def said(self) -> str:
        return self.log.read_text()[-4000:]

    def page(self, path: str) -> bytes:
        assert self.process.poll() is None, f"the server ended:\n{self.said}"
        try:
            with urllib.request.urlopen(self.url + path, timeout=5) as answer:
                return bytes(answer.read())
        except OSError:
            return b""

    def stop(self) -> None:
        """Stop it; nothing may be left of the clients and of what watched them, and nothing may have gone wrong."""
        try:
            wait_for(lambda: self.page("/audit") == b"[]", 10.0, lambda: f"left behind: {self.page('/audit')!r}")
        finally:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(10)
        assert not TRACEBACK.search(self.log.read_text()), self.said


@pytest.fixture(scope="module", params=["threads", "gevent"])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(request.param, tmp_path_factory.mktemp("admin") / "log")
    yield site
    site.stop()


def test_the_protocol(site: Site, node: Path, npm_packages: Path) -> None:
    command = [str(node), str(HERE / "node" / "admin.mjs"), site.url, "upgrade"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110, env=tools.node_environ())
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert done.returncode == 0 and lines and lines[-1] == {"done": len(lines) - 1}, done.stderr[-4000:] + done.stdout[-1000:]
    failed = [f"{line['check']} ({line['ms']} ms)\n{line['error']}" for line in lines[:-1] if not line["ok"]]
    assert not failed, "\n\n".join([f"{len(failed)} of {len(lines) - 1} checks failed:", *failed, site.said])


def test_the_page_shows_sockets_rooms_and_events_live_and_kicks_a_socket(
    site: Site, node: Path, npm_packages: Path, chromium: Path
) -> None:
    flags = json.dumps([flag for flag in tools.CHROMIUM_FLAGS if flag != "--headless"])  # playwright chooses the kind of headless
    command = [str(node), str(HERE / "admin.cjs"), site.url, str(chromium), flags]
    if folder := os.environ.get("SYNC_SIO_SCREENSHOTS"):
        command.append(str(tools.ROOT / folder))
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, env=tools.node_environ())
    assert done.returncode == 0 and done.stdout.splitlines()[-1:] == ["done"], "\n".join([done.stdout, done.stderr[-4000:], site.said])
