"""docs/django.md word for word: its files are written, its commands run, and two people talk in a browser.

Three things are done in another way than a reader does them, as tests share their machine: the packages that `pip` is told to install
are there already, servers get a free port, and each is stopped before the next.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import NamedTuple

import pytest

from tests import tools

from .django_server import PYTHONPATH
from .servers import HERE, HOST, free_port, wait_for

PAGE = tools.ROOT / "docs" / "django.md"
INSTALLED = ["python -m venv .venv", ". .venv/bin/activate", "pip install 'sync-sio[django]'", "pip install 'gunicorn[gevent]'"]
SERVERS = ("python manage.py runserver", "gunicorn ")


class Step(NamedTuple):
    """A block of the page: a file to write, or to add to, or commands to run."""

    kind: str
    text: str

    @property
    def file(self) -> str:
        found = re.match(r"(?:# |<!-- )([\w/.]+\.(?:py|html))", self.text)
        assert found, f"a block of the tutorial that names no file:\n{self.text}"
        return found[1]


def steps() -> list[Step]:
    text = PAGE.read_text()
    tutorial = text[text.index("## A chat, from an empty folder") : text.index("## Settings")]
    return [Step(*found) for found in re.findall(r"^```(\w+)\n(.*?)^```$", tutorial, re.DOTALL | re.MULTILINE)]


class Reader:
    """Who follows the tutorial, in a folder that was empty."""

    def __init__(self, folder: Path, browser: list[str]) -> None:
        self.folder = folder
        self.browser = browser
        self.served: list[str] = []
        self.said: dict[str, str] = {}
        bin_ = str(Path(sys.executable).parent)
        self.environ = {**os.environ, "PYTHONPATH": PYTHONPATH, "PYTHONUNBUFFERED": "1", "PATH": f"{bin_}:{os.environ['PATH']}"}

    def follow(self, step: Step) -> None:
        if step.kind == "sh":
            for command in step.text.splitlines():
                self.run(command)
            return
        file = self.folder / step.file
        is_more = "add to the end" in step.text.splitlines()[0]
        assert file.exists() or not is_more, file
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text((file.read_text() if is_more else "") + step.text)

    def run(self, command: str) -> None:
        if command in INSTALLED:
            return
        if command.startswith(SERVERS):
            self.serve(command)
            return
        done = subprocess.run(command, shell=True, cwd=self.folder, env=self.environ, capture_output=True, text=True, timeout=60)
        # newer Djangos find errors, not only warnings, in a project that is not yet made ready for deployment
        assert done.returncode == 0 or command.endswith("--deploy"), (command, done.stdout, done.stderr)
        self.said[command] = done.stdout + done.stderr

    def serve(self, command: str) -> None:
        address = f"{HOST}:{free_port()}"
        where = address if "runserver" in command else f"-b {address}"
        log = self.folder / "server.log"
        with open(log, "wb") as output:
            server = subprocess.Popen(
                ["sh", "-c", f"exec {command} {where}"],
                cwd=self.folder, env=self.environ, stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip
        try:
            wait_for(lambda: self.answers(f"http://{address}/accounts/login/"), 30.0, log.read_text)
            done = subprocess.run([*self.browser[:2], f"http://{address}/", *self.browser[2:]], capture_output=True, text=True, timeout=60)
            assert done.stdout.endswith("done\n"), done.stdout + done.stderr + log.read_text()[-4000:]
        finally:
            os.killpg(server.pid, signal.SIGTERM)
            server.wait(10)
        assert "Traceback" not in log.read_text(), log.read_text()[-4000:]
        self.served.append(command)

    def answers(self, url: str) -> bool:
        try:
            with urllib.request.urlopen(url, timeout=2) as page:
                return bool(page.status == 200)
        except OSError:
            return False


@pytest.mark.timeout(150)
def test_the_tutorial_word_for_word(
    tmp_path: Path, node: Path, npm_packages: Path, chromium: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NODE_PATH", str(npm_packages))
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE", raising=False)
    flags = json.dumps([flag for flag in tools.CHROMIUM_FLAGS if flag != "--headless"])
    reader = Reader(tmp_path, [str(node), str(HERE / "tutorial.cjs"), str(chromium), flags])
    for step in steps():
        reader.follow(step)
    assert reader.served == ["python manage.py runserver", "gunicorn -k gthread --threads 4 mysite.wsgi", "gunicorn -k gevent mysite.wsgi"]
    assert "no issues" in reader.said["python manage.py check"]
    assert "chat.sockets.say  chat/sockets.py:" in reader.said["python manage.py sync_sio"]
    deployment = reader.said["python manage.py check --deploy"]
    assert "security.W018" in deployment and "sync_sio" not in deployment       # all of it is Django's, of a project in its beginnings
    assert "Ran 2 tests" in reader.said["python manage.py test"]
