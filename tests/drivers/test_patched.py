"""The contract once more in a process that gevent has monkey-patched before anything of ours was imported, and in one patched after."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("gevent")

HERE = Path(__file__).parent
ROOT = HERE.parent.parent

RUN = """
import sys
{before}
from gevent import monkey
monkey.patch_all()
import pytest
sys.exit(pytest.main(["-q", "-x", "-p", "no:cacheprovider", {files}]))
"""


OURS = "import sync_sio.drivers.threads, sync_sio.drivers.greenlets"


@pytest.mark.parametrize("before", ["", OURS], ids=["patched first", "imported first"])
def test_the_contract_holds_in_a_monkey_patched_process(before: str) -> None:
    files = ", ".join(repr(str(HERE / name)) for name in ("test_contract.py", "test_greenlets.py", "test_locks.py"))
    environ = {**os.environ, "SYNC_SIO_TEST_RUNTIMES": "gevent gevent-keeping", "SYNC_SIO_DEBUG": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", RUN.format(before=before, files=files)], cwd=ROOT, env=environ, capture_output=True, text=True, timeout=55
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
