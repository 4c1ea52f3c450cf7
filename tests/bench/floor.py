"""The floor of a broadcast: what `send` alone costs, by the number of clients. `python -m tests.bench.floor 100 1000 5000`

No server, no protocol: one process writes 60 bytes to each of so many sockets, waits until the last was read, and begins again; another
one, on another core, reads them. What a server's delivery costs beyond that is the server's.
"""

from __future__ import annotations

import os
import resource
import select
import socket
import sys
import time
from collections.abc import Sequence

from .cores import cores

SECONDS = 2.0
DATA = b"." * 60


def read(port: int, clients: int) -> None:
    """Be all the clients: say on the first one's connection when all have read all."""
    poller = select.epoll()
    sockets: dict[int, socket.socket] = {}
    for _ in range(clients):
        client = socket.create_connection(("127.0.0.1", port))
        sockets[client.fileno()] = client
        poller.register(client.fileno(), select.EPOLLIN)
    first = next(iter(sockets.values()))
    missing = clients * len(DATA)
    while True:
        for fd, _ in poller.poll():
            data = sockets[fd].recv(4096)
            if not data:
                return
            missing -= len(data)
        if not missing:
            missing = clients * len(DATA)
            first.send(b"!")


def write(listener: socket.socket, clients: int) -> float:
    """Return the CPU seconds of one `send`."""
    sockets = [listener.accept()[0] for _ in range(clients)]
    for each in sockets:
        each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sends = 0
    used, end = time.process_time(), time.monotonic() + SECONDS
    while time.monotonic() < end:
        for each in sockets:
            each.send(DATA)
        sends += clients
        select.select(sockets[:1], [], [])
        sockets[0].recv(1)
    return (time.process_time() - used) / sends


def measure(clients: int) -> float:
    where = cores()
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as listener:
        pid = os.fork()
        if pid == 0:
            os.sched_setaffinity(0, where.load)
            try:
                read(listener.getsockname()[1], clients)
            finally:
                os._exit(0)
        os.sched_setaffinity(0, where.of_server(1))
        try:
            return write(listener, clients)
        finally:
            os.kill(pid, 9)
            os.waitpid(pid, 0)


def main(counts: Sequence[str]) -> None:
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    for clients in map(int, counts):
        print(f"{clients:6,} clients: {measure(clients) * 1e6:.2f} µs CPU each", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:] or ["100", "1000", "5000"])
