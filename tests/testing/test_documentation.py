"""The examples of docs/testing.md run as they stand there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.tools import ROOT


def test_the_examples_pass(tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "testing.md").read_text(), re.DOTALL)
    count = sum(block.count("\ndef test_") + block.startswith("def test_") for block in blocks)
    file = tmp_path / "test_page.py"
    file.write_text("\n".join(blocks))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(file)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=50, env={"PYTHONPATH": str(ROOT)})
    assert f"{count} passed" in done.stdout, done.stdout + done.stderr
    assert count == 7
