"""The board of examples/ in a real browser, started by the one command of its README."""

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


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    port, log = free_port(), tmp_path / "board.log"
    environ = {**os.environ, "PYTHONPATH": PYTHONPATH, "PYTHONUNBUFFERED": "1", "BOARD_DATABASE": str(tmp_path / "board.sqlite3")}
    command = [sys.executable, "manage.py", "demo", f"{HOST}:{port}"]
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
def test_two_people_at_the_board(url: str, node: Path, npm_packages: Path, chromium: Path) -> None:
    flags = json.dumps([flag for flag in tools.CHROMIUM_FLAGS if flag != "--headless"])
    command = [str(node), str(SCRIPT), url, str(chromium), flags]
    folder = os.environ.get("SYNC_SIO_SCREENSHOTS")
    if folder:
        command.append(str(tools.ROOT / folder))
    done = subprocess.run(command, env={**os.environ, "NODE_PATH": str(npm_packages)}, capture_output=True, text=True, timeout=80)
    assert done.returncode == 0 and done.stdout.endswith("done\n"), done.stdout + done.stderr[-4000:]
