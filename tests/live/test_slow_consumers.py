"""A broadcast to 1,000 clients of which 50 never read: the others get everything, the 50 are closed, and nobody's memory grows.

Counts and bytes are asserted, no times.
"""

from __future__ import annotations

import contextlib
import json
import re
import select
import socket
from collections.abc import Iterator

import pytest

from .conftest import IS_REFERENCE, RUNTIMES
from .servers import Server, Servers, wait_for
from .wire import TEXT, SocketClient, frame

pytestmark = [
    pytest.mark.live,
    pytest.mark.timeout(120),
    pytest.mark.skipif(IS_REFERENCE, reason="it has no such namespace, and no such limit"),
]

READERS, SLEEPERS = 950, 50
LIMIT = 128 * 1024
"""`max_buffered_bytes`: more may not wait for one client."""
SIZE, BATCH, BATCHES = 8000, 10, 20
"""1.6 MB for each client: 80 MB for those who do not read, if it were kept, against 6.4 MB that may be."""
SLACK = 6 * 1024 * 1024
"""What the process may grow by beside what waits: the first broadcast's tuple of 1,000, the ends of 50 clients, the allocator's holes."""
SEGMENT = 536
"""Bytes of a segment: with small ones, and a small buffer at its other end, the kernel keeps 50 to 240 KB for one, not 2.8 MB."""

UPGRADE = (
    "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


class Member:
    """A client of `/feed` on a bare socket: it says nothing more, and whatever comes after its CONNECT is news."""

    def __init__(self, server: Server, is_sleeper: bool) -> None:
        self.sock = socket.socket()
        if is_sleeper:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, SEGMENT)
        self.sock.settimeout(10)
        self.sock.connect(server.address)
        self.sock.sendall(UPGRADE.encode() + frame(TEXT, b"40/feed,"))
        greeting = b""
        while not (found := re.search(rb'40/feed,\{"sid":"([^"]+)"\}$', greeting)):
            data = self.sock.recv(65536)
            assert data, greeting
            greeting += data
        self.id = found[1].decode()
        self.received = 0

    def read(self, expected: bytes) -> None:
        """Read once; what comes must be what is next in the stream that all are sent."""
        data = self.sock.recv(1 << 18)
        assert data, f"closed after {self.received} bytes"
        assert data == expected[self.received : self.received + len(data)], f"other bytes after {self.received}"
        self.received += len(data)


def news(start: int, count: int) -> bytes:
    """The frames of these events, as the server sends them."""
    found = b""
    for number in range(start, start + count):
        payload = b"42/feed," + json.dumps(["news", number, "x" * SIZE], separators=(",", ":")).encode()
        found += b"\x81\x7e" + len(payload).to_bytes(2, "big") + payload
    return found


def read_all(members: list[Member], expected: bytes) -> None:
    """Return when each has read all of `expected`."""
    poll = select.poll()
    behind = {member.sock.fileno(): member for member in members}
    for descriptor in behind:
        poll.register(descriptor, select.POLLIN)
    while behind:
        ready = poll.poll(20_000)
        assert ready, f"{len(behind)} readers wait for the rest"
        for descriptor, _ in ready:
            member = behind[descriptor]
            member.read(expected)
            if member.received == len(expected):
                del behind[descriptor]
                poll.unregister(descriptor)


@pytest.fixture(params=RUNTIMES)
def server(request: pytest.FixtureRequest, servers: Servers) -> Iterator[Server]:
    # without the debug invariants, which keep more per client than the library does
    with servers.fresh(request.param, environ={"SYNC_SIO_DEBUG": ""}, max_buffered_bytes=LIMIT, ping_interval=100.0) as server:
        yield server


def test_those_who_do_not_read_are_closed_and_the_others_do_not_notice(server: Server) -> None:
    with contextlib.ExitStack() as stack:
        publisher = stack.enter_context(contextlib.closing(SocketClient.connect("websocket", server.address, "/feed")))
        observer = stack.enter_context(contextlib.closing(SocketClient.connect("websocket", server.address, "/operators")))
        readers = [Member(server, is_sleeper=False) for _ in range(READERS)]
        sleepers = [Member(server, is_sleeper=True) for _ in range(SLEEPERS)]
        for member in readers + sleepers:
            stack.callback(member.sock.close)

        def publish(start: int, count: int) -> None:
            assert publisher.call("publish", start, count, SIZE, timeout=60) == [start + count]
            assert [publisher.receive()[1] for _ in range(count)] == list(range(start, start + count))

        publish(0, 1)           # what the first broadcast makes once is not counted
        expected = news(0, 1)
        read_all(readers, expected)
        before = most = server.page("/stats?collect=1")["rss"]
        for batch in range(BATCHES):
            # one batch after the other, so that a reader is never behind by more than its kernel keeps
            start = 1 + batch * BATCH
            publish(start, BATCH)
            most = max(most, server.stats()["rss"])
            expected += news(start, BATCH)
            read_all(readers, expected)

        ends = wait_for(lambda: len(found := observer.call("feed ends")[0]) >= SLEEPERS and found, 10.0)
        assert sorted(end[0] for end in ends) == sorted(member.id for member in sleepers), "those, each once"
        for _, reason, kind, description in ends:
            assert (reason, kind) == ("transport error", "SlowConsumer")
            told = re.fullmatch(rf"(\d+) bytes wait for this client, over max_buffered_bytes={LIMIT}: it has been closed", description)
            assert told, description
            assert LIMIT < int(told[1]) <= LIMIT + SIZE + 100, "not before it is full, and at once when it is"

        grown = most - before
        print(f"\n{server.kind}: {grown / 1024:.0f} KiB more at most")
        assert grown < SLEEPERS * LIMIT + SLACK, f"{grown / SLEEPERS / 1024:.0f} KiB more for each of those who do not read"
        warnings = [line for line in server.log.splitlines() if "max_buffered_bytes" in line]
        assert len(warnings) == 1, "one cause is told once a minute"
        named = rf"WARNING sync_sio\S* connection \S+: \d+ bytes wait for this client, over max_buffered_bytes={LIMIT}"
        assert re.match(named, warnings[0]), warnings

        # they are gone, and what waited for them is: the next broadcast has its readers only
        assert server.stats()["clients"] == READERS + 2
        publish(1 + BATCH * BATCHES, 1)
        expected += news(1 + BATCH * BATCHES, 1)
        read_all(readers, expected)
        for member in sleepers:
            with contextlib.suppress(ConnectionError):
                while data := member.sock.recv(65536):
                    assert data == expected[member.received : member.received + len(data)], "what it got is whole and in order"
                    member.received += len(data)
            assert member.received < len(expected) // 4
    server.wait_until_clean()
