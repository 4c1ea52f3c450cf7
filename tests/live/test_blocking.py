"""Handlers that block for long delay nobody: 200 of them at once, with 64 that may run."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import pytest

from .conftest import IS_REFERENCE
from .servers import Server, Servers, wait_for
from .wire import SocketClient, WebSocketClient

pytestmark = [pytest.mark.stress, pytest.mark.timeout(120), pytest.mark.skipif(IS_REFERENCE, reason="nothing blocks there")]

BLOCKED = 200
LIMIT = 64
SECONDS = 2.0
PROMPT = 1.0
"""How long a thing may take on a busy machine that must not wait for handlers that sleep for `SECONDS`."""


@pytest.fixture(scope="module", params=["embedded-threads", "embedded-gevent-patched"])
def server(request: pytest.FixtureRequest, servers: Servers) -> Server:
    return servers.get(request.param, max_handlers=LIMIT, ping_interval=0.7, ping_timeout=1.5)


@pytest.fixture
def crowd(server: Server) -> Iterator[list[SocketClient]]:
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(contextlib.closing(SocketClient.connect("websocket", server.address))) for _ in range(BLOCKED)]


def answer_pings(clients: list[SocketClient]) -> None:
    """Read what there is, at most one packet of each; a ping is answered."""
    for client in clients:
        while not client.engine.ws.is_quiet(0):
            packet = client.engine.receive(has_pings=True)
            client.engine.send("3") if packet == "2" else client.take(packet)


def timed(limit: float = PROMPT) -> contextlib.AbstractContextManager[None]:
    @contextlib.contextmanager
    def measure() -> Iterator[None]:
        started = time.monotonic()
        yield
        elapsed = time.monotonic() - started
        assert elapsed < limit, f"{elapsed:.2f} s"

    return measure()


def start_blocking(server: Server, crowd: list[SocketClient]) -> None:
    """Have every handler block that may run, and as many again wait for their turn."""
    before = len(server.journal("blocking"))
    for client in crowd:
        client.emit("block", SECONDS, ack=1)
    # Those that answer at once are allowed more threads than the limit: the leader and the standby.
    wait_for(lambda: len(server.journal("blocking")) - before >= LIMIT - 1, say=lambda: str(len(server.journal("blocking"))))


def finish_blocking(crowd: list[SocketClient], idle: list[SocketClient]) -> None:
    """All of them get through, 64 at a time, and nobody loses their connection meanwhile."""
    deadline = time.monotonic() + 40
    while any(1 not in client.acks for client in crowd) and time.monotonic() < deadline:
        answer_pings(crowd + idle)
        time.sleep(0.02)
    for client in crowd:
        assert client.wait_for_ack(1, timeout=1.0) == ["awake"]
    for client in crowd + idle:
        assert client.call("echo", "end") == ["end"]


def test_200_handlers_that_block(server: Server, crowd: list[SocketClient]) -> None:
    """Further events queue; connects, acks, joins, broadcasts, heartbeats and disconnects go on."""
    idle = [SocketClient.connect("websocket", server.address) for _ in range(4)]
    caller, leaver, *others = idle
    caller.emit("call back", "question", ack=9)
    question = caller.receive()
    start_blocking(server, crowd)

    with timed():
        newcomer = SocketClient(WebSocketClient(server.address))
        newcomer.wait_until_connected()
    with timed():
        caller.answer(question[-1], "answer")
        assert caller.wait_for_ack(9) == ["answer"]
    with timed():
        for client in others:
            server.page(f"/join?id={client.id}&room=meanwhile")
        server.page("/emit?to=meanwhile&event=news")
        assert [client.receive() for client in others] == [["news", None]] * 2
    sockets = server.stats()["sockets"]
    with timed():
        leaver.close()
        wait_for(lambda: server.stats()["sockets"] == sockets - 1)
    idle.remove(leaver)

    # Heartbeats go on for two intervals, also of clients whose own handlers block.
    until = time.monotonic() + 1.5
    while time.monotonic() < until:
        answer_pings(crowd + idle + [newcomer])
        time.sleep(0.02)
    assert server.stats()["sockets"] == sockets - 1
    finish_blocking(crowd, [*idle, newcomer])
    assert newcomer.receive() == ["auth", {}]
    for client in [*idle, newcomer]:
        client.close()


def test_quick_events_are_served_while_slow_ones_sleep(server: Server, crowd: list[SocketClient]) -> None:
    """The leader and the standby come on top of the pool: what does not block need not wait for it."""
    if "gevent" in server.kind:
        pytest.skip("greenlets have one limit for all handlers")
    quick = SocketClient.connect("websocket", server.address)
    start_blocking(server, crowd)
    for number in range(10):
        with timed():
            assert quick.call("echo", number) == [number]
    with timed():
        newcomer = SocketClient.connect("websocket", server.address)
    finish_blocking(crowd, [quick, newcomer])
    quick.close()
    newcomer.close()


def test_200_nested_calls_all_get_their_answers(server: Server, crowd: list[SocketClient]) -> None:
    for number, client in enumerate(crowd):
        client.emit("call back", "question", number, ack=7)
    asked = 0
    deadline = time.monotonic() + 30
    while asked < len(crowd) and time.monotonic() < deadline:
        for client in crowd:
            answer_pings([client])
            while client.events:
                _, number, ack = client.events.popleft()
                client.answer(ack, number, "answered")
                asked += 1
    for number, client in enumerate(crowd):
        assert client.wait_for_ack(7, timeout=10.0) == [number, "answered"]


def test_a_chain_of_calls_each_inside_another(server: Server, crowd: list[SocketClient]) -> None:
    """Each client answers the server's call only when its neighbour's own call has been answered."""
    depth = 50
    chain = crowd[:depth]
    acks = []
    for client in chain:
        client.emit("call back", "question", ack=9)
        event = client.receive()
        acks.append(event[-1])
    for client, ack in zip(reversed(chain), reversed(acks), strict=True):
        client.answer(ack, "deep")
        assert client.wait_for_ack(9) == ["deep"]


def test_a_client_whose_handler_blocks_leaves_at_once(server: Server) -> None:
    watcher = SocketClient.connect("websocket", server.address)
    sleeper = SocketClient.connect("websocket", server.address)
    for client in (watcher, sleeper):
        client.call("join", "dormitory")
    sockets = server.stats()["sockets"]
    sleeper.emit("block", 2.0)
    sleeper.emit("call until gone")
    wait_for(lambda: any(entry[0] == sleeper.id for entry in server.journal("blocking")))
    sleeper.close()
    wait_for(lambda: server.stats()["sockets"] == sockets - 1, 1.0)
    assert not [entry for entry in server.journal(sleeper.id) if entry[0] == "disconnect"]
    server.wait_for_note(sleeper.id, "disconnect", 4.0)
    watcher.close()


def test_after_it_all_nothing_is_left(server: Server) -> None:
    wait_for(lambda: server.stats()["sockets"] == 0, say=lambda: repr(server.stats()))
    server.wait_until_clean()
    if "threads" in server.kind:
        assert server.stats()["threads"] <= LIMIT + 16
