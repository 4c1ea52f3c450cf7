"""Redis goes away under load and comes back: `python -m tests.live.redis_faults [--adapter RedisAdapter] [--rounds 50] [--seconds 0.5]`.

Prints for each fault how long after its end the first broadcast of each server of ours had come to the clients of all others of ours,
and how many events each server has answered meanwhile. Servers of Node.js, which try again after a time of their own, are waited for.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from pathlib import Path
from typing import NamedTuple

from tests import tools
from tests.redis_server import RedisServer

from .clusters import Cluster, Member
from .servers import wait_for

FAULTS = ("stop", "kill", "pause", "hang")
KINDS = ("threads", "gevent", "patched", "node")


class Load:
    """A client at a server that asks without a pause, and has it broadcast: whatever is not answered in 10 s is an error."""

    def __init__(self, member: Member) -> None:
        self.name = member.name
        self.answered = 0
        self.slowest = 0.0
        self.error: BaseException | None = None
        self._client = member.new_client()
        self._client.call("join", "load")
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._work, name=f"load of {member.name}")
        self._thread.start()

    def _work(self) -> None:
        try:
            while not self._is_over.wait(0.005):
                begun = time.monotonic()
                self._client.emit("emit", {"rooms": ["load"]}, "load", "." * 200)
                self._client.call("rooms")
                self._client.events.clear()
                self.answered += 1
                self.slowest = max(self.slowest, time.monotonic() - begun)
        except BaseException as error:
            self.error = error

    def end(self) -> None:
        self._is_over.set()
        self._thread.join()
        self._client.close()
        if self.error is not None:
            raise AssertionError(f"{self.name} has not answered") from self.error


class Fault(NamedTuple):
    """One of `FAULTS`, for so many seconds."""

    kind: str
    seconds: float


def have(fault: Fault, redis: RedisServer) -> None:
    """Have Redis gone for so long; returns when it is back."""
    kind, seconds = fault
    if kind == "pause":
        redis.client().execute_command("CLIENT", "PAUSE", int(seconds * 1000), "ALL")
        time.sleep(seconds)
    elif kind == "hang":
        redis.hang()
        time.sleep(seconds)
        redis.go_on()
    else:
        redis.stop() if kind == "stop" else redis.kill()
        time.sleep(seconds)
        redis.start()


def go_through(redis: RedisServer, cluster: Cluster, faults: list[Fault]) -> list[float]:
    """Return how many seconds after each fault's end all broadcasts of servers of ours crossed again."""
    ours = [member for member in cluster.members if member.kind != "node"]
    before = {member.name: member.do("threads") for member in ours}
    took = []
    for fault in faults:
        loads = [Load(member) for member in cluster.members]
        answered: dict[str, int] = {}
        try:
            have(fault, redis)
            answered = {load.name: load.answered for load in loads}
            back = time.monotonic()
            cluster.wait_until_crossed(ours)
            took.append(time.monotonic() - back)
            cluster.wait_until_crossed()
        finally:
            for load in loads:
                load.end()
        assert all(answered.values()), f"not served while Redis was gone: {answered}"
        slowest = max(load.slowest for load in loads)
        told = f"{fault.kind} for {fault.seconds} s: crossed {took[-1]:.2f} s after its end; answered {answered}, slowest {slowest:.2f} s"
        print(told, flush=True)
    for member in cluster.members:
        assert member.process.poll() is None, member.log()
    for member in ours:
        had = before[member.name]
        wait_for(lambda member=member, had=had: member.do("threads") == had, 10, lambda member=member: member.do("threads"))
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--adapter", default="RedisAdapter")
    parser.add_argument("--rounds", type=int, default=50, help="faults of each kind")
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--fault", choices=FAULTS, action="append")
    chosen = parser.parse_args()
    faults = [Fault(kind, chosen.seconds) for kind in chosen.fault or FAULTS for _ in range(chosen.rounds)]
    with (
        tempfile.TemporaryDirectory() as name,
        RedisServer(tools.redis_server(), Path(name)) as redis,
        Cluster(chosen.adapter, redis.url, Path(name), *KINDS) as cluster,
    ):
        took = go_through(redis, cluster, faults)
    print(f"{len(took)} faults: crossed after {sum(took) / len(took):.2f} s in the mean, {max(took):.2f} s at most")


if __name__ == "__main__":
    main()
