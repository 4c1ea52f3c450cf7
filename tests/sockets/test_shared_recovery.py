"""Recovery where sessions and broadcasts are kept for all servers: who gets what, where, and in which order."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from sync_sio.sockets.socket import Socket

from .fakes import Client, World
from .store import Stream


class Servers:
    def __init__(self) -> None:
        self.stream = Stream()
        self.one, self.two = self.stream.world(), self.stream.world()

    def adapter(self, world: World) -> Any:
        return world.hub.adapter

    def hand_over(self) -> None:
        for world in (self.one, self.two):
            self.adapter(world).hand_over()
            world.driver.settle()

    def socket(self, world: World, sid: str) -> Socket:
        return world.main.sockets[sid]


@pytest.fixture
def servers() -> Iterator[Servers]:
    servers = Servers()
    yield servers
    for world in (servers.one, servers.two):
        servers.adapter(world).find()
        for client in world.clients:
            client.drop()
        world.hub.close()
        world.end()


class Person:
    """A client that remembers what the JavaScript client remembers."""

    def __init__(self, servers: Servers, world: World) -> None:
        self.servers = servers
        self.pid = self.offset = self.id = ""
        self.got: list[Any] = []
        self.go_to(world)

    def go_to(self, world: World, finds: bool = True) -> list[Any]:
        self.world = world
        self.client: Client = world.client()
        said = {"pid": self.pid, **({"offset": self.offset} if self.offset else {})} if self.pid else {}
        self.client.say("0" + json.dumps(said))
        if finds and self.pid:
            self.servers.adapter(world).find()
            world.driver.settle()
        return self.read()

    def read(self) -> list[Any]:
        """Return what has come since, without offsets."""
        for text in self.client.said():
            if text[0] == "0":
                said = json.loads(text[1:])
                self.id, self.pid = said["sid"], said["pid"]
                self.got.append("connected")
            elif text[0] == "2":
                event = json.loads(text[1:])
                if isinstance(event[-1], str) and len(event) > 1:
                    self.offset = event.pop()
                self.got.append(event)
        got, self.got = self.got, []
        return got

    @property
    def socket(self) -> Socket:
        return self.world.main.sockets[self.id]


def test_what_is_broadcast_comes_in_the_order_of_the_store_and_with_its_place(servers: Servers) -> None:
    a, b = Person(servers, servers.one), Person(servers, servers.two)
    a.read(), b.read()
    servers.one.main.emit("x", 1)
    b.socket.emit("private", 2)
    servers.two.main.emit("y", 3)
    assert a.read() == b.read() == []
    servers.hand_over()
    assert a.client.said() == ['2["x",1,"1-0"]', '2["y",3,"3-0"]']
    assert b.client.said() == ['2["x",1,"1-0"]', '2["private",2,"2-0"]', '2["y",3,"3-0"]']


def test_who_comes_back_elsewhere_has_its_state_and_what_it_missed_before_connect(servers: Servers) -> None:
    person = Person(servers, servers.one)
    sid, pid = person.id, person.pid
    person.socket.join("room")
    person.socket.data["name"] = "x"
    servers.one.main.emit("seen", 1)
    servers.hand_over()
    assert person.read()[-1] == ["seen", 1]
    person.client.drop()
    for world in (servers.one, servers.two):
        world.main.to("room").emit("missed", 1)
        world.main.to("other").emit("no", 1)
        world.main.except_("room").emit("no", 2)
    servers.hand_over()
    seen: list[Any] = []
    servers.two.main.on("connection", lambda socket: seen.append((socket.recovered, socket.data, sorted(socket.rooms))))
    assert person.go_to(servers.two) == [["missed", 1], ["missed", 1], "connected"]
    assert (person.id, person.pid) == (sid, pid)
    servers.two.main.emit("live", 1)
    servers.hand_over()
    assert person.read() == [["live", 1]]
    assert seen == [(True, {"name": "x"}, sorted([sid, "room"]))]


@pytest.mark.parametrize("handed_before", range(4))
@pytest.mark.parametrize("handed_between", range(4))
def test_nothing_falls_between_what_was_found_and_what_comes(servers: Servers, handed_before: int, handed_between: int) -> None:
    """The store has found what was written up to then; the server may have been handed less, or more by the time the client is in."""
    person = Person(servers, servers.one)
    person.client.drop()
    two = servers.adapter(servers.two)
    for number in range(3):
        servers.one.main.emit("n", number)
    two.hand_over(handed_before if handed_before <= 3 else 3)
    client = servers.two.client()
    client.say("0" + json.dumps({"pid": person.pid}))
    session = two.searches.pop()
    found: list[Any] = []
    # what is found now reaches the socket later: meanwhile more is written, and handed over
    two.searches.append(session)
    two.find()
    for number in range(3, 6):
        servers.one.main.emit("n", number)
    two.hand_over(min(handed_between, len(servers.stream.entries) - two.at))
    servers.two.driver.settle()
    servers.hand_over()
    found = [json.loads(text[1:])[1] for text in client.said() if text[0] == "2"]
    assert found == list(range(6))


def test_a_ghost_leaves_and_is_told_before_its_successor_comes(servers: Servers) -> None:
    told: list[Any] = []
    servers.one.main.on("connection", lambda socket: (told.append("hello"), socket.on("disconnect", lambda reason: told.append(reason))))
    person = Person(servers, servers.one)
    ghost, sid = person.client, person.id
    person.go_to(servers.one)
    assert person.id == sid and not ghost.is_open
    assert told == ["hello", "transport close", "hello"]


def test_who_is_not_found_or_has_lost_something_begins_anew(servers: Servers) -> None:
    for break_it in ("no session", "lost", "twice"):
        person = Person(servers, servers.one)
        sid = person.id
        person.client.drop()
        if break_it == "no session":
            servers.stream.sessions.clear()
        servers.adapter(servers.two).is_lost = break_it == "lost"
        if break_it == "twice":
            other = servers.two.client()
            other.say("0" + json.dumps({"pid": person.pid}))
            person.go_to(servers.two)
            assert [json.loads(text[1:])["sid"] for text in other.said()] == [sid]
        else:
            person.go_to(servers.two)
        assert person.id != sid
        servers.adapter(servers.two).is_lost = False


def test_what_a_client_says_while_its_session_is_looked_for_is_kept(servers: Servers) -> None:
    heard: list[Any] = []
    servers.two.main.event("hi", lambda socket, number: heard.append((socket.recovered, number)))
    person = Person(servers, servers.one)
    person.client.drop()
    person.go_to(servers.two, finds=False)
    person.client.say('2["hi",1]', '2["hi",2]')
    assert heard == []
    servers.adapter(servers.two).find()
    servers.two.driver.settle()
    assert heard == [(True, 1), (True, 2)]


def test_who_goes_while_its_session_is_looked_for_may_come_back_again(servers: Servers) -> None:
    person = Person(servers, servers.one)
    sid = person.id
    person.client.drop()
    person.go_to(servers.two, finds=False)
    person.client.drop()
    servers.adapter(servers.two).find()
    servers.two.driver.settle()
    person.go_to(servers.one)
    assert person.id == sid


def test_what_was_delivered_before_it_had_a_place_is_not_delivered_twice_and_not_missed(servers: Servers) -> None:
    one = servers.adapter(servers.one)
    here = Person(servers, servers.one)
    away = Person(servers, servers.two)
    away.client.drop()
    servers.one.main.emit("early", 1)
    one.hand_over_early(7)
    assert here.read()[-1] == ["early", 1]
    one.hand_over_again(7)
    assert here.read() == []
    assert away.go_to(servers.one) == [["early", 1], "connected"]


def test_volatile_and_local_events_are_not_kept_and_leave_offsets_as_they_are(servers: Servers) -> None:
    person = Person(servers, servers.one)
    person.read()
    servers.one.main.emit("kept", 1)
    servers.hand_over()
    servers.one.main.volatile.emit("v", "text")
    servers.one.main.local.emit("l", "text")
    servers.one.main.volatile.emit("v", 1)
    assert person.client.said() == ['2["kept",1,"1-0"]', '2["v","text","1-0"]', '2["l","text","1-0"]', '2["v",1]']
    assert len(servers.stream.entries) == 1


def test_data_that_cannot_be_kept_is_said_and_the_client_begins_anew(servers: Servers, caplog: pytest.LogCaptureFixture) -> None:
    person = Person(servers, servers.one)
    sid = person.id
    person.socket.data["x"] = object()
    person.client.drop()
    assert f"socket {sid} has left and cannot be recovered" in caplog.text
    person.go_to(servers.two)
    assert person.id != sid
