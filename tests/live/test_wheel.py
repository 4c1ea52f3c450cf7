"""What `pip install` brings: the package, its types, and the client bundle in the wheel."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from sync_sio.__main__ import FILES
from tests import tools


@pytest.mark.timeout(240)
@pytest.mark.parametrize("has_npm", [True, False], ids=["npm", "no npm"])
def test_a_wheel_has_the_client_bundle_or_says_that_it_has_none(tmp_path: Path, node: Path, has_npm: bool) -> None:
    source = tmp_path / "source"
    ignored = shutil.ignore_patterns("client", "__pycache__")
    for name in ("sync_sio", "integrations"):
        shutil.copytree(tools.ROOT / name, source / name, ignore=ignored)
    for name in ("setup.cfg", "pyproject.toml", "build_hook.py", "MANIFEST.in", "README.md", "CHANGELOG.md", "LICENSE"):
        shutil.copy(tools.ROOT / name, source / name)

    environ = {**os.environ, "npm_config_cache": str(tmp_path / "cache")}
    if has_npm:
        program = tmp_path / "npm"
        program.write_text(f'#!/bin/sh\nexec {shlex.join(tools.npm())} "$@"\n')
        program.chmod(0o755)
        environ["PATH"] = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    else:
        # As on a machine that was cut off: no program, and nobody at the registry's address.
        environ.update(PATH=str(tmp_path), NPM_CONFIG_REGISTRY="http://127.0.0.1:9/", npm_config_fetch_retries="0")
    command = [sys.executable, "-m", "pip", "wheel", "-v", "--no-deps", "-w", str(tmp_path), str(source)]
    done = subprocess.run(command, env=environ, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr

    (wheel,) = tmp_path.glob("sync_sio-*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {"sync_sio/__init__.py", "sync_sio/protocol/__init__.py", "sync_sio/py.typed"} <= names
    assert {"sync_sio_django/py.typed", "sync_sio_django/management/commands/runserver.py"} <= names
    assert not [name for name in names if name.startswith(("tests/", "examples/", "build_hook"))]
    bundle = {f"sync_sio/wsgi/client/{name}" for name in FILES}
    assert bundle & names == (bundle if has_npm else set())
    assert ("will not serve the JavaScript client" in done.stdout + done.stderr) is not has_npm
