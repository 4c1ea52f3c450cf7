"""A program of examples/ on a real server, and a browser that a script drives through its pages."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from tests import tools

from .servers import HOST, ROOT, free_port, wait_for

WAYS = {
    "python": ["app.py"],
    "flask-run": ["-m", "flask", "--app", "app", "run", "--port", "{port}"],
    "gunicorn-gthread": ["-m", "gunicorn", "-k", "gthread", "--threads", "4", "-b", HOST + ":{port}", "app:app"],
    "gunicorn-gevent": ["-m", "gunicorn", "-k", "gevent", "-b", HOST + ":{port}", "app:app"],
}


class Example:
    """One server that can be stopped and started again on the same port.

    Args:
        name: the folder in examples/.
        way: how it is started, one of `WAYS`.
        log: where its output goes.
        environ: what the program finds in its environment.
    """

    def __init__(self, name: str, way: str, log: Path, **environ: str) -> None:
        self.folder = ROOT / "examples" / name
        self.port = free_port()
        self.url = f"http://{HOST}:{self.port}/"
        self.log = log
        self.command = [sys.executable, *(part.format(port=self.port) for part in WAYS[way])]
        path = os.pathsep.join((str(ROOT), str(ROOT / "integrations")))
        self.environ = {**os.environ, "PORT": str(self.port), "PYTHONPATH": path, "PYTHONUNBUFFERED": "1", **environ}

    @property
    def said(self) -> str:
        return self.log.read_text()[-4000:]

    def start(self) -> None:
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.command, cwd=self.folder, env=self.environ, stdout=log, stderr=subprocess.STDOUT)
        wait_for(self.answers, 30.0, lambda: f"it does not answer:\n{self.said}")

    def answers(self) -> bool:
        assert self.process.poll() is None, f"it ended:\n{self.said}"
        try:
            with urllib.request.urlopen(self.url, timeout=2) as answer:
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
            raise AssertionError(f"it was still there 10 s after SIGTERM:\n{self.said}") from None
        if "flask" not in self.command:  # `flask run` leaves the signal to the system
            assert self.process.returncode == 0, self.said


@contextmanager
def running(name: str, way: str, log: Path, **environ: str) -> Iterator[Example]:
    """Run an example, see `Example`; nothing in it may raise."""
    example = Example(name, way, log, **environ)
    example.start()
    try:
        yield example
    finally:
        if example.process.poll() is None:
            example.stop()
    assert "Traceback" not in example.log.read_text(), example.said


def drive(example: Example, script: Path, *arguments: str, has_pictures: bool = True) -> None:
    """Have Node.js run `script URL CHROMIUM FLAGS FOLDER ARGUMENTS…` to its end, which is the line "done".

    It prints "stop" and "start" when it wants the server to do that. FOLDER is where pictures for the docs go, empty when none are wanted.
    """
    flags = json.dumps([flag for flag in tools.CHROMIUM_FLAGS if flag != "--headless"])  # playwright chooses the kind of headless
    folder = os.environ.get("SYNC_SIO_SCREENSHOTS")
    pictures = str(ROOT / folder) if folder and has_pictures else ""
    command = [str(tools.node()), str(script), example.url, str(tools.chromium()), flags, pictures, *arguments]
    browser = subprocess.Popen(
        command, env=tools.node_environ(), text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert browser.stdin is not None and browser.stdout is not None
    try:
        said = [_tell(browser.stdin, example, line.rstrip("\n")) for line in browser.stdout]
        assert browser.wait(20) == 0 and said[-1] == "done", "\n".join([*said, example.said])
    finally:
        browser.kill()
        browser.wait()


def _tell(browser: IO[str], example: Example, line: str) -> str:
    """Do what the script asks for; return its line."""
    if line == "stop":
        example.stop()
        browser.write("gone\n")
    elif line == "start":
        example.start()
        browser.write("back\n")
    browser.flush()
    return line
