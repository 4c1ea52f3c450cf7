"""What a broadcast costs on several workers, and on one: `python -m tests.live.workers_cost` prints what docs/workers.md says."""

from __future__ import annotations

import argparse
import os
import resource
import selectors
import statistics
import tempfile
from pathlib import Path

from .servers import Server, Servers, wait_for
from .wire import TEXT, WebSocketClient, frame

KINDS = ("gunicorn-gthread", "gunicorn-gevent")
SECONDS = 20.0
"""In which something has to come, whatever the machine does."""
TEXT_OF_50 = "x" * 50
SHOUT = frame(TEXT, f'42["shout","{TEXT_OF_50}"]'.encode())
HEARD = len(f'42["heard","{TEXT_OF_50}"]') + 2
"""Bytes with the frame's head."""


class Clients:
    """So many WebSockets. What comes is counted, not looked at."""

    def __init__(self, server: Server, count: int) -> None:
        self.count = count
        self.selector = selectors.DefaultSelector()
        self.sockets = []
        for _ in range(count):
            client = WebSocketClient(server.address)
            client.send("40")
            client.receive()
            sock = client.ws.sock
            assert not client.ws.buffer
            sock.setblocking(False)
            self.selector.register(sock, selectors.EVENT_READ)
            self.sockets.append(sock)

    def broadcast(self) -> None:
        """Have the first say something to all, and wait until all have it."""
        assert self.sockets[0].send(SHOUT) == len(SHOUT)
        left = self.count * HEARD
        while left:
            ready = self.selector.select(SECONDS)
            assert ready, f"{left} bytes have not come"
            left -= sum(len(key.fileobj.recv(1 << 16)) for key, _ in ready)  # type: ignore[union-attr]
        assert left == 0

    def close(self) -> None:
        for sock in self.sockets:
            sock.close()
        self.selector.close()


def processor_time(pids: list[int]) -> float:
    """Return the seconds that these processes have had, the kernel's for them included."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def measure(servers: Servers, kind: str, workers: int, clients: int, broadcasts: int) -> float:
    """Return the microseconds of processor time for each client that gets a broadcast: of all workers together."""
    environ = {"LIVE_APP": "workers_app:application", "SYNC_SIO_DEBUG": ""}
    with servers.fresh(kind, "", environ, ("--workers", str(workers)), ping_interval=300.0) as server:
        master = server.process.pid

        def children() -> list[int]:
            return [int(pid) for pid in Path(f"/proc/{master}/task/{master}/children").read_text().split()]

        pids = wait_for(lambda: len(found := children()) == workers and found, say=lambda: f"{children()} instead of {workers} workers")
        crowd = Clients(server, clients)
        for _ in range(5):
            crowd.broadcast()
        before = processor_time(pids)
        for _ in range(broadcasts):
            crowd.broadcast()
        took = processor_time(pids) - before
        crowd.close()
    return took / (broadcasts * clients) * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.live.workers_cost", description=__doc__)
    parser.add_argument("--clients", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--broadcasts", type=int, default=100, help="for each figure")
    parser.add_argument("--rounds", type=int, default=3, help="of one worker and of several, in turn")
    options = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))        # the servers inherit it
    with tempfile.TemporaryDirectory() as directory:
        servers = Servers(Path(directory))
        for kind in KINDS:
            found: dict[int, list[float]] = {1: [], options.workers: []}
            for _ in range(options.rounds):
                for workers, figures in found.items():
                    figures.append(measure(servers, kind, workers, options.clients, options.broadcasts))
            one, several = (statistics.median(figures) for figures in found.values())
            print(f"{kind}: {one:.1f} µs a client on one worker, {several:.1f} on {options.workers}: {several / one:.2f} ×", flush=True)
            for workers, figures in found.items():
                print(f"    on {workers}:", *(f"{figure:.1f}" for figure in figures), flush=True)


if __name__ == "__main__":
    main()
