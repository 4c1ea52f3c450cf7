"""The chat of examples/ in a real browser: two people, a desk and a phone, on each server that the README names."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from tests import tools

from .servers import HOST, free_port, wait_for

SCRIPT = Path(__file__).parent / "chat.cjs"
CHAT = tools.ROOT / "examples" / "chat"
WAYS = {
    "python": ["app.py"],
    "flask-run": ["-m", "flask", "--app", "app", "run", "--port", "{port}"],
    "gunicorn-gthread": ["-m", "gunicorn", "-k", "gthread", "--threads", "4", "-b", HOST + ":{port}", "app:app"],
    "gunicorn-gevent": ["-m", "gunicorn", "-k", "gevent", "-b", HOST + ":{port}", "app:app"],
}


class Chat:
    """One chat server that can be stopped and started again on the same port."""

    def __init__(self, way: str, log: Path) -> None:
        self.port = free_port()
        self.log = log
        self.command = [sys.executable, *(part.format(port=self.port) for part in WAYS[way])]

    def start(self) -> None:
        environ = {**os.environ, "PORT": str(self.port), "PYTHONPATH": str(tools.ROOT), "PYTHONUNBUFFERED": "1"}
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.command, cwd=CHAT, env=environ, stdout=log, stderr=subprocess.STDOUT)
        wait_for(self.answers, 30.0, lambda: f"the chat does not answer:\n{self.log.read_text()[-4000:]}")

    def answers(self) -> bool:
        assert self.process.poll() is None, f"the chat ended:\n{self.log.read_text()[-4000:]}"
        try:
            with urllib.request.urlopen(f"http://{HOST}:{self.port}/", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"the chat was still there 10 s after SIGTERM:\n{self.log.read_text()[-4000:]}") from None
        if "flask" not in self.command:  # `flask run` leaves the signal to the system
            assert self.process.returncode == 0, self.log.read_text()[-4000:]


@pytest.fixture(params=WAYS)
def chat(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Chat]:
    chat = Chat(request.param, tmp_path / "chat.log")
    chat.start()
    try:
        yield chat
    finally:
        if chat.process.poll() is None:
            chat.stop()
    assert "Traceback" not in chat.log.read_text()


@pytest.mark.timeout(150)
def test_two_people_talk_and_come_back_after_a_restart(
    chat: Chat, node: Path, npm_packages: Path, chromium: Path, request: pytest.FixtureRequest
) -> None:
    flags = json.dumps([flag for flag in tools.CHROMIUM_FLAGS if flag != "--headless"])  # playwright chooses the kind of headless
    command = [str(node), str(SCRIPT), f"http://{HOST}:{chat.port}/", str(chromium), flags]
    folder = os.environ.get("SYNC_SIO_SCREENSHOTS")
    if folder and "python" in request.node.name:
        command.append(str(tools.ROOT / folder))
    environ = {**os.environ, "NODE_PATH": str(npm_packages)}
    browser = subprocess.Popen(command, env=environ, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert browser.stdin is not None and browser.stdout is not None
    try:
        said = [tell(browser.stdin, chat, line) for line in browser.stdout]
        assert browser.wait(20) == 0 and said[-1] == "done", "\n".join([*said, chat.log.read_text()[-4000:]])
    finally:
        browser.kill()
        browser.wait()


def tell(browser: IO[str], chat: Chat, line: str) -> str:
    """Do what the browser's script asks for; return its line."""
    line = line.rstrip("\n")
    if line == "stop":
        chat.stop()
        browser.write("gone\n")
    elif line == "start":
        chat.start()
        browser.write("back\n")
    browser.flush()
    return line
