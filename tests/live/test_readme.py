"""The README's twenty lines do what the README says."""

from __future__ import annotations

import re
import urllib.request
from typing import Any

import socketio

from tests import tools


def test_the_twenty_lines_work() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (tools.ROOT / "README.md").read_text(), re.DOTALL)
    assert len([line for line in code.splitlines() if line.strip()]) <= 25
    names: dict[str, Any] = {"__name__": "readme"}
    exec(compile(code, "README.md", "exec"), names)
    with names["io"].start() as server:
        with urllib.request.urlopen(f"{server.url}/", timeout=10) as page:
            script = re.search(r'src="([^"]+)"', page.read().decode())
        assert script is not None
        with urllib.request.urlopen(server.url + script[1], timeout=10) as client:
            assert b"Socket.IO" in client.read(100)
        with socketio.SimpleClient() as reader:
            reader.connect(server.url)
            news = reader.receive(timeout=10)
            assert reader.call("hello", "Ada", timeout=10) == "Hello, Ada! "
            assert news == ["news", f"{reader.sid} came in. "]
    names["io"].close()
