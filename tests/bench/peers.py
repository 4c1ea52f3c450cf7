"""The servers that ours is compared with: fetched when first asked for, into .cache/bench, pinned by files beside `apps/`."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

from tests import tools

HERE = Path(__file__).parent
PLACE = tools.CACHE / "bench"
REQUIREMENTS = HERE / "apps" / "requirements.txt"
VERSIONS_SHOWN = ("python-socketio", "gevent", "gunicorn", "uvicorn")


@cache
def python() -> Path:
    """Return the Python that has python-socketio and the servers it runs on.

    Raises:
        tools.MissingTool: it could not be made, for want of a network for instance.
    """
    place = PLACE / f"venv-{sys.version_info[0]}.{sys.version_info[1]}"
    program, stamp = place / "bin" / "python", place / "installed"
    state = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()
    if not stamp.is_file() or stamp.read_text() != state:
        print("[bench] installing python-socketio and its servers", file=sys.stderr, flush=True)
        install = [str(program), "-m", "pip", "install", "-q", "--disable-pip-version-check", "-r", str(REQUIREMENTS)]
        for command in ([sys.executable, "-m", "venv", str(place)], install):
            if subprocess.run(command, stdin=subprocess.DEVNULL).returncode != 0:
                raise tools.MissingTool(f"python-socketio could not be installed; run: {' '.join(command)}")
        stamp.write_text(state)
    return program


@cache
def node_modules() -> Path:
    """Return the folder with Socket.IO for Node, to be given as NODE_PATH. Raises tools.MissingTool."""
    return tools.npm_packages(HERE / "apps", PLACE / "npm")


def python_versions() -> dict[str, str]:
    """Return what is in that Python, by name."""
    ask = "import sys; from importlib.metadata import version; print(*map(version, sys.argv[1:]))"
    said = subprocess.run([python(), "-c", ask, *VERSIONS_SHOWN], capture_output=True, text=True, check=True)
    return dict(zip(VERSIONS_SHOWN, said.stdout.split(), strict=True))


def node_versions() -> dict[str, str]:
    ask = "console.log(process.version, require('socket.io/package.json').version, require('ws/package.json').version)"
    environ = {**os.environ, "NODE_PATH": str(node_modules())}
    said = subprocess.run([tools.node(), "-e", ask], capture_output=True, text=True, check=True, env=environ)
    return dict(zip(("Node", "socket.io", "ws"), said.stdout.split(), strict=True))
