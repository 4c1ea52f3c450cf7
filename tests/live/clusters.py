"""Servers of several kinds on one Redis, and a client at each, that does what a test says and is asked what it heard."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from tests import tools

from .servers import wait_for
from .wire import SocketClient

BYTES = bytes([1, 2, 255])
NODE_APP = Path(__file__).parent / "node" / "cluster.cjs"


class Member:
    """One server, and its client.

    Args:
        kind: `"threads"`, `"gevent"`, `"patched"`: ours; `"node"`.
        adapter: the class of ours: `"RedisAdapter"` …
    """

    def __init__(self, kind: str, adapter: str, url: str, log: Path, name: str | None = None) -> None:
        self.kind = kind
        self.name = name or kind
        self.log_path = log / f"{self.name}.log"
        if kind == "node":
            command = [str(tools.node()), str(NODE_APP), adapter, url.partition("?")[0], self.name]
        else:
            command = [sys.executable, "-m", "tests.live.cluster_app", kind, adapter, url, self.name]
        with self.log_path.open("w") as log_file:
            self.process = subprocess.Popen(
                command, cwd=tools.ROOT, env=self.environ(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log_file, text=True
            )
        self.client: SocketClient

    @staticmethod
    def environ() -> dict[str, str]:
        """Return the environment in which Node.js finds its own servers and their adapters by name."""
        return {**os.environ, "NODE_PATH": str(tools.npm_servers())}

    def connect(self) -> None:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.log_path.read_text()
        self.address = ("127.0.0.1", int(line))
        self.client = self.new_client()

    def new_client(self) -> SocketClient:
        return SocketClient.connect("websocket", self.address, "/team")

    def do(self, what: str, *args: Any) -> Any:
        """Have this server do something; returns its answer."""
        answer = self.client.call(what, *args)
        return answer[0] if answer else None

    def log(self) -> str:
        return self.log_path.read_text()

    def send_signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            assert self.process.stdin is not None
            self.process.stdin.close()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)
                raise


class Cluster:
    """`with Cluster(adapter, url, folder, "threads", "gevent", "node") as cluster:` all of them are joined."""

    def __init__(self, adapter: str, url: str, folder: Path, *kinds: str) -> None:
        self.emitter_kind = {"RedisAdapter": "redis", "ShardedRedisAdapter": "sharded", "RedisStreamsAdapter": "streams"}[adapter]
        self.members = [Member(kind, adapter, url, folder) for kind in kinds]
        self._drains = 0

    def __enter__(self) -> Cluster:
        try:
            for member in self.members:
                member.connect()
            self.wait_until_joined()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        failures = []
        for member in self.members:
            try:
                member.end()
            except subprocess.TimeoutExpired:
                failures.append(member.name)
        assert not failures or error is not None, f"{failures} do not end: " + "".join(member.log() for member in self.members)

    def __getitem__(self, name: str) -> Member:
        return next(member for member in self.members if member.name == name)

    def wait_until_joined(self) -> None:
        """Wait until all of them know of all, and each hears the others."""
        count = len(self.members)
        for member in self.members:
            wait_for(lambda member=member: member.do("nodes") == count, 20, lambda member=member: member.name + member.log())
        self.wait_until_crossed()

    def wait_until_crossed(self, among: list[Member] | None = None, timeout: float = 20.0) -> None:
        """Wait until a broadcast of each server comes to the clients of all: what is sent too early is lost, as with Redis it is."""
        members = among or self.members
        for member in members:
            wait_for(lambda member=member: self._crosses(member, members), timeout, lambda: "".join(each.log() for each in self.members))
        if among is None:
            self.drain()

    def _crosses(self, sender: Member, members: list[Member]) -> bool:
        sender.do("emit", {}, "probe", sender.name)
        for member in members:
            try:
                while True:
                    if member.client.receive(0.2)[:2] == ["probe", sender.name]:      # with recovery an offset follows
                        break
            except TimeoutError:
                return False
        return True

    def wait_until_heard(self, room: str, count: int) -> None:
        """Wait until what is said in a room comes to so many, whoever says it."""
        for member in self.members:

            def heard(member: Member = member) -> bool:
                self.drain()
                member.do("emit", {"rooms": [room]}, "in room")
                found = 0
                for other in self.members:
                    try:
                        found += other.client.receive(0.1) == ["in room"]
                    except TimeoutError:
                        continue
                return found == count

            self.until(heard)
        self.drain()

    def drain(self) -> None:
        """Throw away what the clients have heard, and what is on its way to them: an event of each server that comes after ends it.

        These are for the members' clients only.
        """
        self._drains += 1
        clients = [member.client.id for member in self.members]
        for member in self.members:
            member.do("emit", {"rooms": clients}, "drained", member.name, self._drains)
        for member in self.members:
            awaited = {each.name for each in self.members}
            while awaited:
                event = member.client.receive()
                if event[0] == "drained" and event[2] == self._drains:
                    awaited.discard(event[1])

    def until(self, what: Callable[[], Any]) -> Any:
        return wait_for(what, 10, lambda: "".join(member.log() for member in self.members))
