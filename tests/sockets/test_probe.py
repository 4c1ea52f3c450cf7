"""What a tool hears of the sockets, and from whom."""

from __future__ import annotations

from typing import Any

import pytest

from sync_sio import ConnectRefused
from sync_sio.drivers.locks import assert_none_held
from sync_sio.probe import Probe

from .fakes import World


class Notes(Probe):
    """Remembers what it was told, in a word or two; a lock that is held while it is told is a breach."""

    def __init__(self) -> None:
        self.all: list[tuple[Any, ...]] = []

    def note(self, *what: Any) -> None:
        assert_none_held("a probe is told")
        self.all.append(what)

    def message_received(self, connection: Any, size: int) -> None:
        self.note("message", size)

    def socket_connected(self, socket: Any) -> None:
        self.note("connected", socket.id, socket.connected)

    def socket_left(self, socket: Any, reason: str, rooms: Any) -> None:
        self.note("left", socket.id, reason, set(rooms))

    def room_joined(self, home: Any, room: str, sid: str) -> None:
        self.note("joined", home.name, room, sid)

    def room_left(self, home: Any, room: str, sid: str) -> None:
        self.note("room left", home.name, room, sid)

    def event_received(self, socket: Any, data: list[Any], size: int) -> None:
        self.note("received", socket.id, list(data), size)

    def event_sent(self, sockets: Any, packet: Any, parcel: Any) -> None:
        self.note("sent", [socket.id for socket in sockets], packet.data, len(parcel.attachments))

    def ack_sent(self, home: Any, parcel: Any) -> None:
        self.note("ack", home.name, parcel.text)

    def socket_refused(self, namespace: str) -> None:
        self.note("refused", namespace)

    def ack_missed(self, asked: str) -> None:
        self.note("missed", asked)

    def reset(self) -> None:
        self.all = []


@pytest.fixture
def notes(world: World) -> Notes:
    notes = Notes()
    world.hub.site.probes = (notes,)
    return notes


def test_a_socket_comes_and_goes(world: World, notes: Notes) -> None:
    client = world.client()
    socket = client.join()
    assert notes.all == [("message", 1), ("joined", "/", socket.id, socket.id), ("connected", socket.id, True)]
    client.drop("ping timeout")
    assert notes.all[3:] == [("left", socket.id, "ping timeout", {socket.id})]


def test_one_that_is_refused_late_leaves_its_room_and_was_never_connected(world: World, notes: Notes) -> None:
    @world.main.use(admitted=True)
    def refuse(socket: Any) -> None:
        raise ConnectRefused("no")

    world.client().say("0")
    (_, joined, left, refused) = notes.all
    assert refused == ("refused", "/")
    assert joined[:2] == ("joined", "/") and left == ("room left", "/", joined[2], joined[2])


def test_one_that_is_refused_early_was_never_there(world: World, notes: Notes) -> None:
    @world.main.use
    def refuse(socket: Any) -> None:
        raise ConnectRefused("no")

    world.client().say("0")
    assert notes.all == [("message", 1), ("refused", "/")]


def test_a_namespace_that_is_not_there_refuses(world: World, notes: Notes) -> None:
    world.client().say("0/nowhere,")
    assert notes.all == [("message", 10), ("refused", "/nowhere")]


def test_answers_that_do_not_come_are_told_of_once(world: World, notes: Notes) -> None:
    client = world.client()
    socket = client.join()
    for number in range(2):
        socket.timeout(5).emit("asks", number, ack=lambda error, *answer: None)
        world.main.timeout(5).emit("asks", number, ack=lambda error, answers: None)
    client.say("30[]", "31[]")              # the first of either is answered in time
    notes.all.clear()
    world.driver.advance(10)
    assert sorted(notes.all) == [("missed", "client"), ("missed", "many")]
    client.say("32[]", "33[]")
    assert ("missed", "client") not in notes.all[2:]


def test_events_come_and_are_answered(world: World, notes: Notes) -> None:
    client = world.client()
    socket = client.join()
    socket.on("sum", lambda *numbers: sum(numbers))
    socket.on("later", lambda ack: ack("now"))
    notes.all.clear()
    client.say('20["sum",1,2]', '21["later"]', '2["nobody"]')
    assert [what for what in notes.all if what[0] != "message"] == [
        ("received", socket.id, ["sum", 1, 2], 13),
        ("received", socket.id, ["later"], 11),
        ("received", socket.id, ["nobody"], 11),
        ("ack", "/", b"30[3]"),
        ("ack", "/", b'31["now"]'),
    ]


def test_events_go_to_one_and_to_many(world: World, notes: Notes) -> None:
    one, other = world.client().join(), world.client().join()
    notes.all.clear()
    one.emit("to one", b"binary")
    one.emit("asks", ack=print)
    world.main.emit("to all", 1)
    world.main.to(other.id).emit("to other")
    world.main.to("nobody").emit("lost")
    assert notes.all == [
        ("sent", [one.id], ["to one", b"binary"], 1),
        ("sent", [one.id], ["asks"], 0),
        ("sent", [one.id, other.id], ["to all", 1], 0),
        ("sent", [other.id], ["to other"], 0),
        ("sent", [], ["lost"], 0),
    ]


def test_rooms_are_joined_and_left_by_one_and_by_many_once(world: World, notes: Notes) -> None:
    one, other = world.client().join(), world.client().join()
    notes.all.clear()
    one.join(["a", "b", "a"])
    one.join("a")
    world.main.sockets_join("a")
    one.leave("b")
    one.leave("b")
    world.main.to(one.id).sockets_leave("a")
    assert notes.all == [
        ("joined", "/", "a", one.id),
        ("joined", "/", "b", one.id),
        ("joined", "/", "a", other.id),
        ("room left", "/", "b", one.id),
        ("room left", "/", "a", one.id),
    ]


def test_rooms_joined_in_middleware_are_told_when_it_is_in_them(world: World, notes: Notes) -> None:
    @world.main.use
    def join(socket: Any) -> None:
        socket.join("early")

    socket = world.client().join()
    assert notes.all[1] == ("joined", "/", socket.id, socket.id)
    assert notes.all[2:] == [("joined", "/", "early", socket.id), ("connected", socket.id, True)]


def test_a_fork_is_told(world: World, notes: Notes) -> None:
    world.client().join()
    world.hub.site.reset()
    assert notes.all == []
    world.start()
