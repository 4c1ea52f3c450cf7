"""Clients that are cut off and come back while others emit to them, in many orders: they get everything, once and in order."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pytest

from sync_sio.sockets.socket import Socket
from sync_sio.testing.interleave import InterleaveDriver, explore

from .world import LONG_ENOUGH, Client, Refused, WebSocketEnd, World, check_empty, run

SEEDS = int(os.environ.get("SYNC_SIO_SEEDS", "100"))
OPTION = {"max_disconnection_duration": 10.0}


class RecoveringWorld(World):
    """One in which the same id belongs to several sockets, one after the other."""

    def end(self) -> None:
        for client in self.clients:
            client.vanish()
        self.driver.sleep(2 * LONG_ENOUGH)
        self.driver.settle()
        left = self.io.audit()
        assert not left, f"audit: {left}"
        for sid, story in self.story.items():
            kinds = [entry[0] for entry in story if entry[0] != "msg"]
            lives = len(kinds) // 3
            assert kinds == ["connection", "disconnecting", "disconnect"] * lives, f"{sid}: {story}"
            check_empty(self.sockets[sid].conn)


class Wire(Client):
    """One connection of a person's."""

    def __init__(self, world: World, person: Person) -> None:
        super().__init__(world, f"wire-{len(world.clients)}", (4096, 256))
        self.person = person
        self.early: list[list[Any]] = []
        self.is_given_up = False
        world.clients.append(self)

    def _take_message(self, message: str, transport: str) -> None:
        if self.is_given_up:
            return
        if message[0] == "0":
            self.socket_id = json.loads(message[1:])["sid"]
            self.person.connected(self, **json.loads(message[1:]))
        elif message[0] == "2" and message[1] == "[":
            event = json.loads(message[1:])
            if self.socket_id:
                self.person.take(event)
            else:
                self.early.append(event)
        else:
            super()._take_message(message, transport)

    def open(self) -> None:
        """Connect, with what the person remembers; then poll or read."""
        greeting = "40" + json.dumps(self.person.auth())
        try:
            if self.world.chance() < 0.5:
                self.transport = "websocket"
                self.ws = WebSocketEnd(self)
                self.ws.start_reading()
                self.send(greeting)
            else:
                body = self.get()
                if body is None or body[0] != "0":
                    return
                self.take_open(body)
                is_early = self.world.chance() < 0.5
                if is_early:
                    self.go_on()
                self.post(greeting)
                if not is_early:
                    self.go_on()
        except (Refused, EOFError, ConnectionError):
            self.is_closed = True


class Person:
    """What stays when connections break, as the JavaScript client keeps it."""

    def __init__(self, world: RecoveringWorld) -> None:
        self.world = world
        self.driver = world.driver
        self.pid: str | None = None
        self.offset: str | None = None
        self.ids: list[str] = []
        self.pids: list[str] = []
        self.got: dict[str, list[int]] = defaultdict(list)
        self.wire = Wire(world, self)

    def auth(self) -> dict[str, str]:
        known = {"pid": self.pid, "offset": self.offset}
        return {name: value for name, value in known.items() if value is not None}

    def connected(self, wire: Wire, sid: str, pid: str) -> None:
        self.pid = pid
        self.ids.append(sid)
        self.pids.append(pid)
        for event in wire.early:
            self.take(event)
        wire.early.clear()

    def take(self, event: list[Any]) -> None:
        if event[0] == "n":
            self.got[event[1]].append(event[2])
        if isinstance(event[-1], str):
            self.offset = event[-1]

    def come(self) -> None:
        self.wire.open()
        self.driver.settle()
        assert self.ids

    def come_back(self) -> None:
        """Give up the connection, in one of the ways that there are, and open another."""
        old = self.wire
        old.is_given_up = True
        way = self.driver.schedule.chance()
        if way < 0.7:
            old.vanish(reset=way < 0.3)
        else:
            old.is_mute, old.keeps_polling = True, False        # the server does not learn of it
        self.wire = Wire(self.world, self)
        self.wire.open()


def pour(world: RecoveringWorld, socket: Socket, sender: str, count: int) -> None:
    ways: tuple[Any, ...] = (socket, world.io.to("room"), world.io, world.io.to(socket.id))
    for number in range(count):
        ways[number % len(ways)].emit("n", sender, number)
        if world.chance() < 0.3:
            world.io.volatile.emit("v")
        world.driver.point("between two events")


def play_all(play: Callable[[RecoveringWorld], None], **options: Any) -> None:
    def scenario(driver: InterleaveDriver) -> None:
        run(driver, play, RecoveringWorld, **{"connection_state_recovery": OPTION, **options})

    scenario.__name__ = getattr(play, "__name__", "play")
    explore(scenario, range(SEEDS))


def check(person: Person, sent: dict[str, int]) -> None:
    world = person.world
    world.driver.sleep(3.0)
    for _ in range(3):
        # what it had sent on a connection that it gave up may be read last, and evict the one after
        if person.wire.is_closed:
            person.come_back()
        world.driver.sleep(3.0)
    world.driver.settle()
    assert set(person.ids) == {person.ids[0]} and set(person.pids) == {person.pids[0]}, "it was not recovered"
    assert person.got == {sender: list(range(count)) for sender, count in sent.items()}
    assert len(world.io.sockets) == 1 and world.sockets[person.ids[0]].rooms == {person.ids[0], "room"}


@pytest.mark.parametrize("returns", [1, 2, 3])
def test_who_comes_back_while_others_emit_gets_everything_once_and_in_order(returns: int) -> None:
    def play(world: RecoveringWorld) -> None:
        driver = world.driver
        person = Person(world)
        person.come()
        socket = world.sockets[person.ids[0]]
        socket.join("room")

        def be_unlucky() -> None:
            for _ in range(returns):
                person.come_back()
                driver.point("on a new connection")

        tasks = [driver.thread(pour, world, socket, sender, 6, name=sender) for sender in ("a", "b")]
        driver.join(driver.thread(be_unlucky, name="unlucky"), *tasks)
        check(person, {"a": 6, "b": 6})

    play_all(play)


def test_who_tries_again_while_its_middleware_runs_is_recovered() -> None:
    def play(world: RecoveringWorld) -> None:
        driver = world.driver
        person = Person(world)
        person.come()
        socket = world.sockets[person.ids[0]]
        socket.join("room")

        @world.io.use
        def slow(socket: Socket) -> None:
            assert socket.recovered
            driver.sleep(world.chance())

        def be_unlucky() -> None:
            for _ in range(3):
                person.come_back()
                driver.sleep(world.chance())

        driver.join(driver.thread(be_unlucky, name="unlucky"), driver.thread(pour, world, socket, "a", 6, name="a"))
        check(person, {"a": 6})

    play_all(play, connection_state_recovery={**OPTION, "skip_middlewares": False})


def test_a_server_that_is_closed_while_clients_come_back_leaves_nothing() -> None:
    def play(world: RecoveringWorld) -> None:
        driver = world.driver
        person = Person(world)
        person.come()
        socket = world.sockets[person.ids[0]]
        socket.join("room")
        tasks = [
            driver.thread(person.come_back, name="comes back"),
            driver.thread(pour, world, socket, "a", 4, name="a"),
            driver.thread(world.io.close, name="closes"),
        ]
        driver.join(*tasks)
        world.is_closed = True
        got = person.got["a"]
        assert got == list(range(len(got))) or len(set(person.pids)) > 1

    play_all(play)
