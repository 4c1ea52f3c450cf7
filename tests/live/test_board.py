"""The board of examples/ in a real browser, as its README starts it."""

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

from .django_server import PYTHONPATH
from .servers import HOST, free_port, wait_for

SCRIPT = Path(__file__).parent / "board.cjs"
BOARD = tools.ROOT / "examples" / "django_board"
GUNICORN = ["-m", "gunicorn", "-b", HOST + ":{port}", "-k"]
WAYS = {
    "runserver": ["manage.py", "demo", HOST + ":{port}"],
    "gunicorn-gevent": [*GUNICORN, "gevent", "project.wsgi"],
}


@pytest.fixture(params=WAYS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    port, log = free_port(), tmp_path / "board.log"
    environ = {**os.environ, "PYTHONPATH": PYTHONPATH, "PYTHONUNBUFFERED": "1", "BOARD_DATABASE": str(tmp_path / "board.sqlite3")}
    if request.param != "runserver":
        code = "from django.core.management import call_command as run; run('migrate', verbosity=0)\n" \
               "from board.management.commands.demo import Command; Command().fill()"  # fmt: skip
        subprocess.run([sys.executable, "manage.py", "shell", "-v0", "-c", code], cwd=BOARD, env=environ, check=True)
    command = [sys.executable, *(part.format(port=port) for part in WAYS[request.param])]
    with open(log, "ab") as output:
        process = subprocess.Popen(command, cwd=BOARD, env=environ, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)

    def answers() -> bool:
        assert process.poll() is None, log.read_text()[-4000:]
        try:
            with urllib.request.urlopen(f"http://{HOST}:{port}/login/", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    try:
        wait_for(answers, 30.0, lambda: log.read_text()[-4000:])
        yield f"http://{HOST}:{port}/"
    finally:
        os.killpg(process.pid, signal.SIGTERM)      # the reloader has a child
        process.wait(10)
    assert "Traceback" not in log.read_text(), log.read_text()[-4000:]


@pytest.mark.timeout(90)
def test_two_people_at_the_board(url: str, node: Path, npm_packages: Path, chromium: Path, request: pytest.FixtureRequest) -> None:
    flags = json.dumps([flag for flag in tools.CHROMIUM_FLAGS if flag != "--headless"])
    command = [str(node), str(SCRIPT), url, str(chromium), flags]
    folder = os.environ.get("SYNC_SIO_SCREENSHOTS")
    if folder and "gevent" in request.node.name:
        command.append(str(tools.ROOT / folder))
    done = subprocess.run(command, env={**os.environ, "NODE_PATH": str(npm_packages)}, capture_output=True, text=True, timeout=80)
    assert done.returncode == 0 and done.stdout.endswith("done\n"), done.stdout + done.stderr[-4000:]
