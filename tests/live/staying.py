"""Official JavaScript clients that stay while servers and proxies come and go: node/staying.mjs, told and heard from here."""

from __future__ import annotations

import contextlib
import json
import select
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from tests import tools

from .servers import HERE

CLIENTS = ("polling", "websocket", "upgrade")


class Staying:
    """One client of each kind; `wait` returns what all of them said next."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._buffer = b""
        self.history: list[tuple[str, str, str]] = []
        self._seen: dict[tuple[str, str], int] = {}

    def wait(self, event: str, timeout: float = 20.0) -> dict[str, str]:
        """Return what came with the next `event` of each client, by kind, when all have told it."""
        deadline = time.monotonic() + timeout
        found: dict[str, str] = {}
        while True:
            for client in CLIENTS:
                values = [value for who, what, value in self.history if (who, what) == (client, event)]
                seen = self._seen.get((client, event), 0)
                if client not in found and len(values) > seen:
                    found[client] = values[seen]
                    self._seen[client, event] = seen + 1
            if len(found) == len(CLIENTS):
                return found
            self._read(deadline, f"{event!r} of {sorted(set(CLIENTS) - set(found))} did not come")

    def ask(self, text: str) -> None:
        """Have each client send an event, and wait until the server has answered it."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{text}\n".encode())
        self._process.stdin.flush()
        assert self.wait("answer") == dict.fromkeys(CLIENTS, text)

    def count(self, event: str) -> int:
        return sum(what == event for _, what, _ in self.history)

    def _read(self, deadline: float, problem: str) -> None:
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        ready, _, _ = select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))
        data = self._process.stdout.read1(65536) if ready else b""  # type: ignore[attr-defined]
        assert data, f"{problem}; the last: {self.history[-12:]}"
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        self.history += [tuple(json.loads(line)) for line in lines]


@contextlib.contextmanager
def staying(node: Path, url: str, *, has_cookies: bool = False) -> Iterator[Staying]:
    """Connect them; at the end they leave. `has_cookies`: they keep those that they are given, as browsers do."""
    command = [str(node), str(HERE / "node" / "staying.mjs"), url, *(["cookies"] if has_cookies else [])]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=tools.node_environ())
    try:
        clients = Staying(process)
        assert clients.wait("connect") == {"polling": "polling", "websocket": "websocket", "upgrade": "websocket"}
        yield clients
    finally:
        with contextlib.suppress(OSError):
            process.stdin.close()  # type: ignore[union-attr]
        try:
            process.wait(10)
        finally:
            process.kill()
            process.stdout.close()  # type: ignore[union-attr]
