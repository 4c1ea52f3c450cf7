"""Connection state recovery: who gets what back, in which order, and what is forgotten."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import pytest

from sync_sio import ConnectRefused, Server
from sync_sio.sockets.socket import Socket

from .fakes import Client, World


@pytest.fixture
def world() -> Iterator[World]:
    world = recovering()
    yield world
    end(world)


def recovering(**settings: Any) -> World:
    world = World(connection_state_recovery=settings or True)
    world.start()
    return world


def end(world: World) -> None:
    for client in world.clients:
        client.drop()
    world.hub.close()
    world.end()


class Person:
    """A client that keeps what the JavaScript client keeps: its `pid`, and the last argument of an event when that is a str."""

    def __init__(self, world: World, namespace: str = "/") -> None:
        self.world = world
        self.prefix = "" if namespace == "/" else namespace + ","
        self.namespace = namespace
        self.pid: str | None = None
        self.offset: str | None = None
        self.id = ""
        self.got: list[Any] = []
        self.order: list[str] = []
        self.connect()

    def connect(self) -> bool:
        """Returns whether it was recovered."""
        self.client: Client = self.world.client()
        auth = {"pid": self.pid, "offset": self.offset} if self.pid else {}
        self.client.say(f"0{self.prefix}" + json.dumps({name: value for name, value in auth.items() if value is not None}))
        before = self.pid
        self.read()
        return before is not None and self.pid == before

    def read(self) -> list[Any]:
        """Take what was sent; return the events that came just now, less their offsets."""
        came: list[Any] = []
        for text in self.client.said():
            body = text[1:].removeprefix(self.prefix)
            self.order.append(text[0])
            if text[0] == "0":
                self.id, self.pid = json.loads(body)["sid"], json.loads(body)["pid"]
            elif text[0] == "2" and body.startswith("["):
                event = json.loads(body)
                if self.pid and len(event) > 1 and isinstance(event[-1], str):
                    self.offset = event[-1]
                    event = event[:-1] if "." in event[-1] else event
                came.append(event)
        self.got += came
        return came

    def lose(self, reason: str = "transport close") -> None:
        """The connection breaks; what was not read is lost."""
        self.client.said()
        self.client.drop(reason)

    @property
    def socket(self) -> Socket:
        return self.world.hub.of(self.namespace).sockets[self.id]


def test_a_client_gets_its_id_rooms_data_and_what_it_missed(world: World) -> None:
    seen: list[Any] = []
    world.main.on("connection", lambda socket: seen.append((socket.id, socket.recovered)))
    person, other = Person(world), Person(world)
    first = person.socket
    first.join(["room", "other room"])
    first.data["name"] = "Ada"
    world.main.emit("seen")
    person.read()
    sid = person.id
    person.lose()
    world.main.emit("for all", 1)
    world.main.to("room").emit("for the room")
    world.main.to("elsewhere").emit("for others")
    world.main.except_("room").emit("not for the room")
    world.main.to(sid).emit("for it alone")
    person.order.clear()
    assert person.connect()
    assert person.got == [["seen"], ["for all", 1], ["for the room"], ["for it alone"]]
    assert person.order == ["2", "2", "2", "0"]
    again = person.socket
    assert again is not first and person.id == sid
    assert again.recovered and again.connected and not first.recovered
    assert again.rooms == {sid, "room", "other room"}
    assert again.data == {"name": "Ada"}
    world.main.to("room").emit("later")
    assert person.read() == [["later"]]
    assert seen == [(sid, False), (other.id, False), (sid, True)]


def test_a_client_that_had_received_nothing_yet_is_recovered(world: World) -> None:
    person = Person(world)
    person.lose()
    world.main.emit("missed")
    assert person.connect() and person.got == [["missed"]]


def test_what_was_lost_on_the_way_is_sent_again_and_nothing_twice(world: World) -> None:
    person = Person(world)
    for number in range(10):
        world.main.emit("n", number)
        if number == 4:
            person.read()
    person.lose()
    world.main.emit("n", 10)
    assert person.connect()
    assert person.got == [["n", number] for number in range(11)]


def test_without_the_option_nothing_is_kept(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    world.start()
    client = world.client()
    client.say('0{"pid":"x","offset":"y"}')
    (reply,) = client.said()
    assert set(json.loads(reply[1:])) == {"sid"}
    world.main.emit("x", 1)
    assert client.said() == ['2["x",1]']
    world.end()


def test_an_offset_travels_behind_the_arguments_but_not_with_volatile_events_and_questions(world: World) -> None:
    person = Person(world)
    seen: list[Any] = []
    person.socket.on_any_outgoing(lambda *args: seen.append(args))
    person.socket.emit("a", 1)
    world.main.emit("b")
    person.socket.volatile.emit("c", 1)
    person.socket.emit("d", "text", ack=lambda *args: None)
    world.main.volatile.emit("e", 2)
    texts = person.client.said()
    assert [len(json.loads(text.lstrip("0123456789"))) for text in texts] == [3, 2, 2, 2, 2]
    assert seen == [("a", 1), ("b",), ("c", 1), ("d", "text"), ("e", 2)]


def test_volatile_events_are_not_kept_and_do_not_confuse_the_client(world: World) -> None:
    person = Person(world)
    world.main.emit("a")
    world.main.volatile.emit("v", "a text at the end")
    person.read()
    person.lose()
    world.main.volatile.emit("w", "text")
    world.main.emit("b")
    assert person.connect()
    assert person.got == [["a"], ["v", "a text at the end"], ["b"]]


def test_an_emit_to_a_socket_that_is_away_is_kept_for_it(world: World) -> None:
    person = Person(world)
    socket = person.socket
    person.lose()
    socket.emit("while away", 1)
    assert person.connect() and person.got == [["while away", 1]]
    socket.emit("after")
    assert person.read() == [["after"]]


def test_a_session_is_used_once(world: World) -> None:
    person = Person(world)
    person.lose()
    pid = person.pid
    thief = world.client()
    assert person.connect()
    person.lose("client namespace disconnect")
    thief.say(f'0{{"pid":"{pid}"}}')
    assert json.loads(thief.said()[0][1:])["pid"] != pid


@pytest.mark.parametrize("reason", ["transport close", "transport error", "ping timeout", "forced close", "forced server close"])
def test_after_these_ends_a_client_may_come_back(world: World, reason: str) -> None:
    person = Person(world)
    person.lose(reason)
    assert person.connect()


def test_who_said_goodbye_or_was_told_to_go_begins_anew(world: World) -> None:
    one, two, three = Person(world), Person(world), Person(world)
    one.client.say("1")
    one.lose()
    two.socket.disconnect()
    two.lose()
    three.lose("parse error")
    assert not one.connect() and not two.connect() and not three.connect()


@pytest.mark.parametrize("auth", ['{"pid":5}', '{"pid":null,"offset":"x"}', '{"pid":"unknown","offset":"1.x"}', '{"offset":"x"}'])
def test_a_pid_that_is_none_gives_a_new_session(world: World, auth: str) -> None:
    client = world.client()
    client.say("0" + auth)
    assert client.said()[0].startswith('0{"sid":')
    (socket,) = world.main
    assert not socket.recovered


@pytest.mark.parametrize("offset", ["x", "zz.", "1.other", 5])
def test_an_offset_that_is_none_of_ours_is_no_error(world: World, offset: Any) -> None:
    unread, read = Person(world), Person(world)
    unread.lose()
    unread.offset = offset
    world.main.emit("a")
    assert unread.connect() and unread.got == [["a"]]      # nothing was sent to it, so it cannot have seen anything
    read.read()
    read.lose()
    read.offset = offset
    assert not read.connect()


def test_who_comes_back_too_late_begins_anew() -> None:
    world = recovering(max_disconnection_duration=10)
    person, quick = Person(world), Person(world)
    person.lose()
    quick.lose()
    world.driver.advance(9)
    assert quick.connect()
    world.driver.advance(2)
    assert not person.connect()
    end(world)


def test_one_who_idles_for_long_is_recovered_though_others_are_talked_to(world: World) -> None:
    person, other = Person(world), Person(world)
    person.socket.join("quiet")
    world.main.to("quiet").emit("a")
    person.read()
    for _ in range(100):
        world.driver.advance(10)
        world.main.to(other.id).emit("noise")
    person.lose()
    world.main.to("quiet").emit("b")
    assert person.connect() and person.got == [["a"], ["b"]]


def test_what_is_kept_is_bounded_and_who_lost_some_of_it_begins_anew() -> None:
    world = recovering(max_packets=10)
    person, late = Person(world), Person(world)
    person.lose()
    late.lose()
    for number in range(10):
        world.main.emit("n", number)
    assert person.connect() and len(person.got) == 10
    world.main.emit("n", 10)
    assert not late.connect()
    end(world)


def test_bytes_and_sessions_are_bounded() -> None:
    world = recovering(max_bytes=10_000, max_sessions=2)
    recovery = world.main.recovery
    assert recovery is not None
    for _ in range(100):
        world.main.emit("x", "y" * 1000)
    assert recovery._log.size <= 10_000 and len(recovery._log.notes) == len(recovery._log.places) < 10
    people = [Person(world) for _ in range(3)]
    for person in people:
        person.lose()
    assert [person.connect() for person in people] == [False, True, True]
    end(world)


def test_nothing_is_kept_for_ever(world: World) -> None:
    recovery = world.main.recovery
    assert recovery is not None
    person = Person(world)
    world.main.emit("x")
    person.lose()
    for _ in range(10):
        world.driver.advance(60)
    assert not recovery._sessions and not recovery._log.notes
    assert world.driver.audit() == []


def test_what_cannot_be_sent_is_not_kept(world: World) -> None:
    person = Person(world)
    person.lose()
    with pytest.raises(TypeError):
        world.main.emit("x", object())
    world.main.emit("y")
    assert person.connect() and person.got == [["y"]]


def test_a_ghost_is_evicted_and_told_before_the_socket_that_continues_it(world: World) -> None:
    told: list[Any] = []

    @world.main.on("connection")
    def connected(socket: Socket) -> None:
        told.append(("connection", socket.recovered))
        socket.on("disconnect", lambda reason: told.append(("disconnect", reason)))
        socket.on("e", lambda number: told.append(number))

    person = Person(world)
    ghost = person.socket
    old = person.client
    old.say_only('2["e",1]')
    world.main.emit("in flight")
    new = world.client()
    new.say_only(f'0{{"pid":"{person.pid}"}}', '2["e",2]')
    assert not old.is_open and not ghost.connected
    assert len(world.main) == 1
    said = new.said()
    assert [text[0] for text in said] == ["2", "0"] and json.loads(said[1][1:])["sid"] == ghost.id
    world.driver.settle()
    assert told == [("connection", False), 1, ("disconnect", "transport close"), ("connection", True), 2]


def test_middleware_is_skipped_for_who_is_recovered(world: World) -> None:
    ran: list[bool] = []
    world.main.use(lambda socket: ran.append(socket.recovered))
    person = Person(world)
    person.lose()
    assert person.connect()
    assert ran == [False]


def test_middleware_runs_if_that_is_wanted_and_a_refusal_uses_the_session_up() -> None:
    world = recovering(skip_middlewares=False)
    ran: list[bool] = []
    refuses = False

    @world.main.use
    def check(socket: Socket) -> None:
        ran.append(socket.recovered)
        if refuses:
            raise ConnectRefused("no")

    world.main.use(lambda socket: ran.append(socket.recovered), admitted=True)
    person = Person(world)
    person.lose()
    world.main.emit("missed")
    person.order.clear()
    assert person.connect()
    assert ran == [False, False, True, True] and person.got == [["missed"]] and person.order == ["2", "0"]
    person.lose()
    refuses = True
    pid = person.pid
    person.connect()
    refuses = False
    person.pid = pid
    assert not person.connect()
    end(world)


def test_one_whose_connection_breaks_while_its_middleware_runs_may_try_again() -> None:
    world = recovering(skip_middlewares=False)
    person = Person(world)
    nexts: list[Any] = []
    world.main.use(lambda socket, next: nexts.append(next))
    person.lose()
    world.main.emit("missed")
    client = world.client()
    client.say(f'0{{"pid":"{person.pid}"}}')
    client.drop()
    person.client = client = world.client()
    client.say(f'0{{"pid":"{person.pid}"}}')
    for next in nexts:
        next()
    world.driver.settle()
    pid = person.pid
    person.read()
    assert person.pid == pid and person.got == [["missed"]]
    end(world)


def test_namespaces_are_recovered_each_for_itself(world: World) -> None:
    world.hub.of("/a")
    one, two = Person(world), Person(world, "/a")
    one.lose()
    two.lose()
    world.hub.of("/a").emit("a")
    assert two.connect() and one.connect()
    assert two.got == [["a"]] and one.got == []


def test_a_dynamic_namespace_lives_while_somebody_may_come_back() -> None:
    import re

    world = World(connection_state_recovery={"max_disconnection_duration": 10}, cleanup_empty_child_namespaces=True)
    world.start()
    parent = world.hub.of(re.compile("^/d"))
    person = Person(world, "/d1")
    person.lose()
    parent.emit("missed")
    assert person.connect() and person.got == [["missed"]]
    person.lose()
    world.driver.advance(60)
    world.driver.advance(60)
    assert "/d1" not in world.hub.namespaces
    end(world)


@pytest.mark.parametrize(
    ("option", "error", "says"),
    [
        ("yes", TypeError, "connection_state_recovery='yes'"),
        ({"max_duration": 1}, TypeError, "unknown 'max_duration'"),
        ({"max_disconnection_duration": 0}, ValueError, "max_disconnection_duration"),
        ({"skip_middlewares": "no"}, TypeError, "skip_middlewares"),
        ({"max_packets": "many"}, TypeError, "max_packets"),
        ({"max_bytes": -1}, ValueError, "max_bytes"),
    ],
)
def test_impossible_settings_raise_and_are_named(option: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        Server(connection_state_recovery=option)
    assert Server(connection_state_recovery={}).options.connection_state_recovery == {}


def test_an_event_without_arguments_or_before_connect_does_not_confuse_the_client() -> None:
    world = recovering()
    world.main.use(lambda socket: socket.emit("from middleware", "a text at the end"))
    person = Person(world)
    assert person.got[0][:2] == ["from middleware", "a text at the end"]
    world.main.emit("a")
    world.main.volatile.emit("v")
    person.read()
    assert person.offset is not None and person.offset != "v"
    person.lose()
    world.main.emit("b")
    assert person.connect() and person.got[1:] == [["a"], ["v"], ["b"]]
    end(world)


def test_what_is_no_longer_kept_when_slow_middleware_goes_on_makes_it_a_new_client() -> None:
    world = recovering(skip_middlewares=False, max_packets=10)
    nexts: list[Any] = []
    person = Person(world)
    person.socket.join("room")
    world.main.use(lambda socket, next: nexts.append(next))
    person.lose()
    world.main.emit("missed")
    client = world.client()
    client.say(f'0{{"pid":"{person.pid}"}}')
    for number in range(10):
        world.main.emit("n", number)
    nexts.pop()()
    world.driver.settle()
    (reply,) = client.said()
    assert json.loads(reply[1:])["pid"] != person.pid
    (socket,) = world.main
    assert not socket.recovered and socket.connected and socket.rooms == {socket.id}
    world.main.emit("later")
    assert len(client.said()) == 1
    end(world)


@pytest.mark.parametrize("greets", [True, False])
def test_a_new_client_that_kept_its_old_id_waits_for_the_old_sockets_end_too(greets: bool) -> None:
    world = recovering(skip_middlewares=False, max_packets=10)
    order: list[str] = []
    nexts: list[Any] = []
    person = Person(world)
    if greets:
        world.main.on("connection", lambda socket: order.append("connection"))
    world.main.event("event", lambda socket: order.append("event"))
    world.main.use(lambda socket, next: nexts.append(next))

    @person.socket.on("disconnect")
    def left() -> None:
        client = world.client()
        client.say(f'0{{"pid":"{person.pid}"}}')
        for number in range(11):
            world.main.emit("n", number)
        nexts.pop()()
        world.driver.settle()
        (reply,) = client.said()
        assert json.loads(reply[1:])["sid"] == person.id
        client.say('2["event"]')
        order.append("told")

    person.lose()
    assert order == ["told", *(["connection"] if greets else []), "event"]
    end(world)


def test_a_client_that_gives_up_an_attempt_that_waits_for_middleware_is_recovered_by_the_next() -> None:
    world = recovering(skip_middlewares=False)
    nexts: list[Any] = []
    person = Person(world)
    world.main.use(lambda socket, next: nexts.append(next))
    person.lose()
    world.main.emit("missed")
    first, second = world.client(), world.client()
    first.say(f'0{{"pid":"{person.pid}"}}')
    second.say(f'0{{"pid":"{person.pid}"}}')
    assert not first.is_open
    for next in nexts:
        next()
    world.driver.settle()
    assert first.said() == []
    missed, reply = second.said()
    assert missed.startswith('2["missed"') and json.loads(reply[1:])["pid"] == person.pid
    end(world)


def test_middleware_and_handlers_of_one_who_comes_back_share_a_context() -> None:
    world = recovering(skip_middlewares=False)
    user: ContextVar[str] = ContextVar("user")
    seen: list[str] = []
    world.main.use(lambda socket: user.set("Ada") and None)
    world.main.on("connection", lambda socket: seen.append(user.get()))
    person = Person(world)
    person.lose()
    assert person.connect()
    assert seen == ["Ada", "Ada"]
    end(world)


def test_the_old_socket_of_one_who_is_back_changes_nothing(world: World) -> None:
    rooms: list[Any] = []
    person = Person(world)
    old = person.socket
    old.join("room")
    old.on("disconnecting", lambda: rooms.append(old.rooms))
    old.on("disconnect", lambda: old.data.update(last=1))
    person.lose()
    assert person.connect()
    old.join("late")
    old.leave("room")
    assert rooms == [{person.id, "room"}] and old.rooms == set()
    assert person.socket.rooms == {person.id, "room"} and person.socket.data == {"last": 1}


def test_who_takes_leave_while_its_middleware_runs_has_used_its_session_up() -> None:
    world = recovering(skip_middlewares=False)
    nexts: list[Any] = []
    person = Person(world)
    world.main.use(lambda socket, next: nexts.append(next))
    person.lose()
    client = world.client()
    client.say(f'0{{"pid":"{person.pid}"}}', "1")
    recovery = world.main.recovery
    assert recovery is not None and not recovery._sessions
    end(world)
