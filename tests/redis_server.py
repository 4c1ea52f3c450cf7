"""A Redis of a test's own, on a port of its own, that can be stopped, killed, paused and started again."""

from __future__ import annotations

import signal
import socket
import subprocess
from pathlib import Path
from time import monotonic

import redis


class RedisServer:
    """`with RedisServer(program, folder) as server:` serves at `server.url`, and at `server.unix_url`; it saves nothing.

    Args:
        options: more of redis-server's, such as `"--cluster-enabled", "yes"`.
    """

    def __init__(self, program: Path, folder: Path, *options: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}"
        self.socket_path = folder / f"redis-{self.port}.sock"
        self.unix_url = f"unix://{self.socket_path}"
        self._command = [str(program), "--port", str(self.port), "--bind", "127.0.0.1", "--unixsocket", str(self.socket_path)]
        self._command += ["--save", "", "--appendonly", "no", "--dir", str(folder), *options]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> RedisServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """Start it and wait until it answers."""
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        deadline = monotonic() + 20
        while True:
            try:
                self.client().ping()
                return
            except redis.ConnectionError:
                assert self._process.poll() is None and monotonic() < deadline, "redis-server does not start"

    def stop(self) -> None:
        """Have it end as an operator would."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def hang(self) -> None:
        """Stand still: connections stay, and nothing is answered."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def client(self) -> redis.Redis:
        """Return a client for a test to look with; it leaves no connection behind that matters."""
        return redis.Redis(port=self.port, decode_responses=True)

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.send_signal(how)
            self._process.wait(20)
            self._process = None
