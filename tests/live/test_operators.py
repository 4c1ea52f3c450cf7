"""What operators must stand: volatile events to a client that does not read, and thousands of calls to clients that leave at random."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections import Counter
from typing import Any

import pytest

from .conftest import IS_REFERENCE, RUNTIMES
from .servers import Server, Servers, wait_for
from .wire import Ack, SocketClient

pytestmark = [
    pytest.mark.live,
    pytest.mark.timeout(120),
    pytest.mark.skipif(IS_REFERENCE, reason="it has no such namespaces"),
]

MEGABYTE = 1_000_000


@pytest.fixture(scope="module", params=RUNTIMES)
def server(request: pytest.FixtureRequest, servers: Servers) -> Server:
    return servers.get(request.param)


@pytest.mark.parametrize("transport", ["polling", "websocket"])
def test_volatile_to_a_client_that_does_not_read_keeps_memory_flat_and_a_later_event_arrives(server: Server, transport: str) -> None:
    count, size = 20_000, 10_000
    with (
        contextlib.closing(SocketClient.connect("websocket", server.address, "/operators")) as observer,
        contextlib.closing(SocketClient.connect(transport, server.address, "/operators")) as client,
    ):
        before = server.page("/stats?collect=1")["rss"]
        client.emit("flood", count, size)
        assert observer.receive(timeout=60) == ["poured"]
        grown = server.page("/stats?collect=1")["rss"] - before
        assert grown < 20 * MEGABYTE, f"{grown / MEGABYTE:.1f} MB more for {count * size / MEGABYTE:.0f} MB that nobody reads"
        # it is not closed as a slow consumer; some of the flood was in the kernel's buffers, the rest is lost, whole events each
        flood = 0
        while (event := client.receive(timeout=20))[0] == "flood":
            flood += 1
            assert len(event[2]) == size
        assert event == ["later", count]
        assert client.receive() == ["poured"]
        assert flood < count // 10
        assert client.call("rooms") == [[client.id]]


@pytest.mark.parametrize("seconds", [None, 30.0])
def test_thousands_of_answers_at_once_are_no_flood(server: Server, seconds: float | None) -> None:
    count = 4000
    with contextlib.closing(SocketClient.connect("websocket", server.address, "/operators")) as client:
        client.emit("ask much", count, seconds, ack=1)
        numbers = [client.receive()[-1] for _ in range(count)]
        client.engine.send(*(f"43/operators,{number}[]" for number in numbers))
        assert client.wait_for_ack(1) == [{"in time": count}]
        assert client.call("rooms") == [[client.id]]


def test_thousands_of_timed_questions_to_a_client_that_leaves_are_no_flood_either(server: Server) -> None:
    count = 4000
    with (
        contextlib.closing(SocketClient.connect("websocket", server.address, "/operators")) as observer,
        contextlib.closing(SocketClient.connect("websocket", server.address, "/operators")) as client,
    ):
        client.emit("ask much", count, 30.0)
        for _ in range(count):
            client.receive()
        client.engine.send("41/operators,", "40/operators,")
        assert observer.receive() == ["all told", client.id, {"Disconnected": count}]
        client.wait_until_connected()
        client.emit("ask much", count, 0.2)
        assert observer.receive() == ["all told", client.id, {"AckTimeout": count}]


class Member:
    """A client in a thread of its own: it answers what it is asked, or leaves, or does neither, and comes again."""

    def __init__(self, server: Server, seed: int) -> None:
        self.server = server
        self.random = random.Random(seed)
        self.lives = 0
        self.errors: list[BaseException] = []
        self.is_over = threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self) -> None:
        try:
            while not self.is_over.is_set():
                self.live()
        except BaseException as error:
            self.errors.append(error)

    def live(self) -> None:
        self.lives += 1
        transport = "polling" if self.random.random() < 0.1 else "websocket"
        client = SocketClient.connect(transport, self.server.address, "/crowd")
        for _ in range(self.random.randrange(1, 60)):
            with contextlib.suppress(TimeoutError):
                answer(client, client.receive(timeout=0.3), self.random)
            if self.is_over.is_set():
                break
        way = self.random.randrange(4)
        if transport == "polling" or way == 0:
            client.engine.send("41/crowd,")     # one that polls and vanishes is a ghost until its ping times out
            client.close()
        elif way == 1:
            client.engine.abort()
        elif way == 2:
            client.engine.leave()
        else:
            time.sleep(0.05)                    # it is asked, and does not read any more
            client.engine.abort()


def answer(client: SocketClient, event: list[Any], chance: random.Random) -> None:
    name, number, ack = event
    assert name == "ask" and isinstance(ack, Ack)
    if chance.random() < 0.995:
        client.answer(ack, number)


def hurry(server: Server, count: int, results: list[dict[str, int]]) -> None:
    """Have the server call `count` times, and answer when this client is among those who are called."""
    chance = random.Random(count)
    with contextlib.closing(SocketClient.connect("websocket", server.address, "/crowd")) as client:
        client.emit("hurry", count, ack=1)
        while 1 not in client.acks:
            client.take(client.engine.receive(60))
            while client.events:
                answer(client, client.events.popleft(), chance)
        results.append(client.acks[1][0])


def objects(server: Server) -> dict[str, int]:
    with contextlib.closing(SocketClient.connect("websocket", server.address, "/operators")) as client:
        found: dict[str, int] = client.call("objects")[0]
    server.wait_until_clean()
    return found


def test_ten_thousand_calls_to_clients_that_leave_at_random_all_end_and_leave_nothing_behind(server: Server) -> None:
    callers, count = 8, 1250
    objects(server)
    before = objects(server)
    members = [Member(server, seed) for seed in range(12)]
    results: list[dict[str, int]] = []
    threads = [threading.Thread(target=hurry, args=(server, count, results)) for _ in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for member in members:
        member.is_over.set()
    for member in members:
        member.thread.join()
    assert [error for member in members for error in member.errors] == []
    assert sum(member.lives for member in members) > 3 * len(members)

    total: Counter[str] = Counter()
    for result in results:
        total.update(result)
    assert sum(total.values()) == callers * count
    assert total["answered"] and total["Disconnected"] and total["AckTimeout"], total

    with contextlib.closing(SocketClient.connect("websocket", server.address, "/crowd")) as client:
        told: dict[str, int] = wait_for(
            lambda: sum((found := client.call("callbacks told")[0]).values()) >= total["emitted"] and found, 10.0
        )
    assert sum(told.values()) == total["emitted"], "each callback once"
    assert set(told) <= {"NoneType", "AckTimeout", "Disconnected"}
    wait_for(lambda: objects(server) == before, 10.0, lambda: f"{objects(server)}, and before it was {before}")
    assert before["Callback"] == before["Inquiry"] == 0
