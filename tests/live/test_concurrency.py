"""Many OS threads at one client, and at the rooms: frames stay whole, orders hold, members are neither lost nor left behind."""

from __future__ import annotations

import concurrent.futures
import contextlib
import random
import time
from typing import Any

import pytest

from .conftest import IS_REFERENCE
from .servers import Server, Servers, wait_for
from .wire import SocketClient

pytestmark = [pytest.mark.stress, pytest.mark.timeout(120), pytest.mark.skipif(IS_REFERENCE, reason="one thread there")]

RUNTIMES = ["embedded-threads", "embedded-gevent", "embedded-gevent-patched"]
SWITCHING = {"LIVE_SWITCH_INTERVAL": "0.000001"}
THREADS = 8


@pytest.fixture(params=RUNTIMES)
def server(request: pytest.FixtureRequest, servers: Servers) -> Server:
    return servers.get(request.param)


@pytest.fixture(params=RUNTIMES)
def switching(request: pytest.FixtureRequest, servers: Servers) -> Server:
    """A server whose threads change places all the time."""
    return servers.get(request.param, environ=SWITCHING, ping_interval=3.0, ping_timeout=3.0)


@pytest.mark.parametrize("transport", ["websocket", "polling"])
def test_eight_threads_at_one_client(server: Server, transport: str) -> None:
    """Text and binary of every size; each thread's emits arrive whole and in its order."""
    with contextlib.closing(SocketClient.connect(transport, server.address)) as client:
        client.emit("storm", THREADS, 2.0)
        expected = [0] * THREADS
        totals: dict[int, int] = {}
        while len(totals) < THREADS:
            name, thread, number, *rest = client.receive(timeout=20.0)
            assert number == expected[thread], (thread, number, expected)
            if name == "lull":
                totals[thread] = number
                continue
            expected[thread] += 1
            if number % 5 == 4:
                assert rest == [bytes([thread]) * (number % 300 + 1), b"second"]
            else:
                assert rest == (["x" * 20_000] if number % 50 == 0 else [])
        assert [totals[thread] for thread in range(THREADS)] == expected
        assert min(expected) > 10
        assert client.call("echo", "after the storm") == ["after the storm"]


def test_storms_from_many_threads_at_many_clients(switching: Server) -> None:
    def watch(number: int) -> int:
        with contextlib.closing(SocketClient.connect("polling" if number % 3 == 0 else "websocket", switching.address)) as client:
            client.emit("storm", 3, 1.0)
            expected, over = [0] * 3, 0
            while over < 3:
                name, thread, count, *_ = client.receive(timeout=30.0)
                assert count == expected[thread]
                expected[thread] += name == "gust"
                over += name == "lull"
            return sum(expected)

    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        assert min(pool.map(watch, range(6))) > 0


def test_joins_leaves_broadcasts_and_disconnects_from_many_threads(switching: Server) -> None:
    """In the end, who is in a room is exactly who joined last; nobody who went is in any."""
    rooms = [f"room {number}" for number in range(6)]
    count = 24
    clients = [SocketClient.connect("websocket", switching.address) for _ in range(count)]
    for number, client in enumerate(clients):
        client.emit("churn", rooms, 2.0, number, ack=5)
    chance = random.Random(1)
    leavers = set(chance.sample(range(count), 8))
    time.sleep(0.5)
    for number in leavers:
        clients[number].engine.abort() if number % 2 else clients[number].engine.close()
    members: dict[str, set[int]] = {room: set() for room in rooms}
    for number, client in enumerate(clients):
        if number in leavers:
            server_side = switching.wait_for_note(client.id, "disconnect")
            assert server_side[2:] == [[], False]
            continue
        mine, told = client.wait_for_ack(5, timeout=30.0)
        assert mine == told
        for room in mine:
            members[room].add(number)
    staying = [number for number in range(count) if number not in leavers]
    for room in rooms:
        switching.page(f"/emit?to={room.replace(' ', '+')}&event=roll+call&value=%22{room.replace(' ', '+')}%22")
    heard: dict[str, set[int]] = {room: set() for room in rooms}
    for number in staying:
        assert clients[number].call("echo", "end") == ["end"]
        for name, *args in clients[number].events:
            if name == "roll call":
                heard[args[0]].add(number)
    assert heard == members
    for number in leavers:
        churned: Any = switching.wait_for_note(clients[number].id, "churned", 10.0)
        assert churned[2] == []
    for number in staying:
        clients[number].close()
    wait_for(lambda: switching.stats()["sockets"] == 0, say=lambda: repr(switching.stats()))
    switching.wait_until_clean()


def test_clients_that_come_and_go_from_many_threads(switching: Server) -> None:
    def visit(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(12):
            transport = chance.choice(["polling", "websocket"])
            client = SocketClient.connect(transport, switching.address)
            client.call("join", ["a", "b"])
            client.emit("tell", {"to": "a"}, "noise")
            if chance.random() < 0.5:
                client.emit("quit", chance.random() < 0.5)
            elif chance.random() < 0.5:
                client.engine.send("41")
            if chance.random() < 0.3:
                client.engine.abort()
            client.close()

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(visit, range(8)))
    # Polling sessions that went without a word are known by their ping alone; the others must be gone.
    wait_for(lambda: switching.stats()["sockets"] <= 60, say=lambda: repr(switching.stats()))
