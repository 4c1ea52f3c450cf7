"""Three servers of one process, joined by an adapter with a thread for each: what their clients see."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from sync_sio import AckTimeout, Server
from tests.sockets.bus import Bus, BusAdapter

from .conftest import IS_REFERENCE
from .wire import SocketClient

pytestmark = [pytest.mark.live, pytest.mark.timeout(60), pytest.mark.skipif(IS_REFERENCE, reason="three servers of ours")]


class ThreadBus(Bus):
    """Each server has a thread that takes what the others tell it, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.adapters = [BusAdapter(self, name, tells_who=True) for name in ("one", "two", "three")]
        self.inboxes: dict[str, queue.Queue[Any]] = {adapter.name: queue.Queue() for adapter in self.adapters}
        self.threads = [threading.Thread(target=self.work, args=(adapter,)) for adapter in self.adapters]
        for thread in self.threads:
            thread.start()

    def put(self, sender: BusAdapter, receiver: BusAdapter, namespace: str, message: Any) -> None:
        self.inboxes[receiver.name].put((sender, receiver, namespace, self.pack(message)))

    def work(self, receiver: BusAdapter) -> None:
        while entry := self.inboxes[receiver.name].get():
            self.hand_over(*entry)

    def end(self) -> None:
        for name in self.inboxes:
            self.inboxes[name].put(None)
        for thread in self.threads:
            thread.join()


class Joined:
    def __init__(self) -> None:
        self.bus = ThreadBus()
        self.servers = [Server(adapter=adapter, runtime="threads") for adapter in self.bus.adapters]
        self.homes = [io.of("/team") for io in self.servers]
        for number, home in enumerate(self.homes):
            home.event("room", lambda socket, room: socket.join(room))
            home.event("everybody", lambda socket, *args, home=home: home.emit(*args))
            home.event("others", lambda socket, *args: socket.broadcast.emit(*args))
            home.event("ask all", lambda socket, *args, home=home: home.call(*args, timeout=10), concurrent=True)
            home.on("how are you", lambda name, number=number: f"{name}: {number}")
        self.running = [io.start() for io in self.servers]


@pytest.fixture
def joined() -> Iterator[Joined]:
    joined = Joined()
    try:
        yield joined
        for io in joined.servers:
            for _ in range(200):
                if not (left := io.audit()):
                    break
                threading.Event().wait(0.02)
            assert left == []
    finally:
        for running in joined.running:
            running.stop()
        joined.bus.end()


def test_three_servers_are_one_to_their_clients(joined: Joined) -> None:
    one, two, three = joined.homes
    with contextlib.ExitStack() as stack:
        clients = [
            stack.enter_context(contextlib.closing(SocketClient.connect(transport, ("127.0.0.1", running.port), "/team")))
            for running, transport in zip(joined.running, ("websocket", "polling", "websocket"), strict=True)
        ]
        a, b, c = clients
        b.call("room", "lounge")
        c.call("room", "lounge")

        # many, from all servers at once: each client gets each once, and those of one client in order
        for number in range(50):
            for client in clients:
                client.emit("everybody", "news", client.id, number)
        for client in clients:
            heard: dict[str, list[int]] = {each.id: [] for each in clients}
            for _ in range(150):
                name, sender, number = client.receive()
                assert name == "news"
                heard[sender].append(number)
            assert heard == {each.id: list(range(50)) for each in clients}
        a.emit("others", "x")
        assert b.receive() == c.receive() == ["x"]
        two.to("lounge").except_(c.id).emit("y")
        assert b.receive() == ["y"]
        one.local.emit("z")
        assert a.receive() == ["z"]

        # questions: while all three ask all three
        def answer(client: SocketClient) -> None:
            client.emit("ask all", "who", ack=77)
            asked = 0
            while asked < 3 or 77 not in client.acks:
                client.take(client.engine.receive())
                while client.events:
                    _, ack = client.events.popleft()
                    client.answer(ack, client.id)
                    asked += 1

        threads = [threading.Thread(target=answer, args=(client,)) for client in clients]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for client in clients:
            assert sorted(client.acks.pop(77)[0]) == sorted(each.id for each in clients)

        # utilities
        found = {each.id: each for each in three.fetch_sockets()}
        assert set(found) == {each.id for each in clients}
        assert found[b.id].rooms == {b.id, "lounge"}
        assert found[b.id].handshake.query["transport"] == "polling"
        one.to("lounge").sockets_join("kitchen")
        one.to("kitchen").sockets_leave("lounge")       # in the order in which it was said
        one.to("kitchen").emit("served")
        assert b.receive() == c.receive() == ["served"]
        assert {each.id for each in one.to("kitchen").fetch_sockets()} == {b.id, c.id}
        assert one.to("lounge").fetch_sockets() == []

        # servers
        assert sorted(one.server_side_call("how are you", "well")) == ["well: 1", "well: 2"]
        told: queue.Queue[Any] = queue.Queue()
        two.server_side_emit("how are you", "hm", ack=lambda *outcome: told.put(outcome))
        error, answers = told.get(timeout=10)
        assert error is None and sorted(answers) == ["hm: 0", "hm: 2"]

        # one that does not answer, then one that is known to be lost
        joined.bus.adapters[2].is_deaf = True
        with pytest.raises(AckTimeout) as caught:
            one.timeout(0.3).fetch_sockets()
        assert {each.id for each in caught.value.responses} == {a.id, b.id}  # type: ignore[attr-defined]
        with pytest.raises(AckTimeout) as caught:
            one.server_side_call("how are you", "then", timeout=0.3)
        assert caught.value.responses == ["then: 1"]
        one.server_side_emit("how are you", "now", ack=lambda *outcome: told.put(outcome))
        joined.bus.lose(2)
        assert told.get(timeout=10) == (None, ["now: 1"])
        assert {each.id for each in one.fetch_sockets()} == {a.id, b.id}

        found[b.id].disconnect()
        assert b.engine.receive() == "41/team,"
        two.disconnect_sockets(close=True)
        assert a.engine.receive() == "41/team,"
