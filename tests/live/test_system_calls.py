"""What a message costs the kernel: the system calls of a real server, as strace sees them while clients echo.

Counted are the threads that read. The threads runtime has one more, which looks at them every few milliseconds: that costs by time,
and time runs fast under a tracer. Were messages handed to other threads, it would be seen here: waking one is a call, too.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from .conftest import IS_REFERENCE
from .servers import Servers, wait_for
from .wire import TEXT, SocketClient, frame

pytestmark = pytest.mark.skipif(IS_REFERENCE, reason="counts are of this server")

CLIENTS, ROUNDS = 50, 40
AT_MOST = 2.3
"""System calls per echo: one that reads, one that writes, and a share of those that wait and of those between threads."""
TRIES = 3
"""A busy machine may let the server run ahead of its clients, so that it waits more often: one of so many tries has to do."""
CALL = re.compile(r"^(\d+) +([a-z_0-9]+)\(", re.MULTILINE)


def calls_in(log: str) -> Counter[str]:
    """Count the system calls by name of the threads that read; one that is told of twice, as it waited, is counted where it began."""
    calls = CALL.findall(log)
    readers = {thread for thread, name in calls if name == "recvfrom"}
    return Counter(name for thread, name in calls if thread in readers)


@pytest.mark.parametrize("kind", ["embedded-threads", "embedded-gevent"])
def test_an_echo_is_little_more_than_a_read_and_a_write(strace: Path, servers: Servers, tmp_path: Path, kind: str) -> None:
    trace = tmp_path / "calls"
    # the tracer is nobody's parent, so that signals reach the server itself
    tracer = (str(strace), "-D", "-f", "-qq", "-s", "0", "-o", str(trace))
    with servers.fresh(kind, "traced", environ={"SYNC_SIO_DEBUG": ""}, before=tracer) as server:
        clients = [SocketClient.connect("websocket", server.address, lean="1") for _ in range(CLIENTS)]
        talk(clients, 10)                   # what is made once is not counted
        for _ in range(TRIES):
            per_message = watch(trace, clients)
            assert (per_message["recvfrom"], per_message["sendto"]) == (1, 1), per_message
            if sum(per_message.values()) <= AT_MOST:
                break
        for client in clients:
            client.close()
    assert sum(per_message.values()) <= AT_MOST, per_message


def watch(trace: Path, clients: list[SocketClient]) -> dict[str, float]:
    """Return the system calls per echo, by name."""
    began = wait_for(lambda: trace.stat().st_size)
    talk(clients, ROUNDS)
    counts = calls_in(trace.read_bytes()[began:].decode("latin-1"))
    return {name: round(count / (CLIENTS * ROUNDS), 3) for name, count in counts.most_common()}


def talk(clients: list[SocketClient], rounds: int) -> None:
    """Have all clients say something, then have all hear the answer, and again."""
    said = "x" * 32
    # made beforehand, so that all are there before the traced server has seen to the first
    data = frame(TEXT, f'427["echo","{said}"]'.encode())
    for _ in range(rounds):
        for client in clients:
            client.engine.ws.send_raw(data)
        for client in clients:
            assert client.wait_for_ack(7) == [said]
