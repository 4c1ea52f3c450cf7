"""Broadcasts: whom they reach, that they are immutable, encoded once, and stopped by nobody."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from sync_sio.protocol.parcel import Parcel

from .fakes import Client, World


@pytest.fixture
def clients(world: World) -> list[Client]:
    """Four clients: 0 and 1 are in room a, 1 and 2 in room b, 3 in none."""
    clients = [world.client() for _ in range(4)]
    sockets = [client.join() for client in clients]
    sockets[0].join("a")
    sockets[1].join(["a", "b"])
    sockets[2].join("b")
    return clients


def who(clients: list[Client]) -> list[int]:
    return [number for number, client in enumerate(clients) for _ in client.said()]


def test_whom_a_broadcast_reaches(world: World, clients: list[Client]) -> None:
    io = world.main
    ids = [socket.id for socket in io]
    expected: list[tuple[Any, list[int]]] = [
        (io, [0, 1, 2, 3]),
        (io.to("a"), [0, 1]),
        (io.in_("a"), [0, 1]),
        (io.to("a").to("b"), [0, 1, 2]),
        (io.to(["a", "b"]), [0, 1, 2]),
        (io.to({"a"}).in_(("b", ids[3])), [0, 1, 2, 3]),
        (io.to(ids[3]), [3]),
        (io.except_("a"), [2, 3]),
        (io.except_(["a", "b"]), [3]),
        (io.except_("a").except_(ids[3]), [2]),
        (io.to("a").except_("b"), [0]),
        (io.to("a").except_(ids[0]), [1]),
        (io.to([]), []),
        (io.to([]).to("a"), [0, 1]),
        (io.to("a").to([]), [0, 1]),
        (io.except_([]), [0, 1, 2, 3]),
        (io.to("nobody"), []),
        (io.to("a").broadcast, [0, 1]),
    ]
    for operator, reached in expected:
        operator.emit("x")
        assert who(clients) == reached


def test_whom_a_sockets_broadcast_reaches(world: World, clients: list[Client]) -> None:
    socket = next(iter(world.main))
    for operator, reached in [
        (socket.broadcast, [1, 2, 3]),
        (socket.to("a"), [1]),
        (socket.in_(["a", "b"]), [1, 2]),
        (socket.except_("b"), [3]),
        (socket.broadcast.to("a").except_("b"), []),
        (socket.to([]), []),
        (socket.to(socket.id), []),
    ]:
        operator.emit("x")
        assert who(clients) == reached


def test_broadcasts_stay_in_their_namespace(world: World) -> None:
    chat = world.hub.of("/chat")
    client = world.client()
    client.join().join("a")
    client.join("/chat").join("a")
    client.said()
    chat.to("a").emit("x", 1)
    chat.send("y")
    assert client.said() == ['2/chat,["x",1]', '2/chat,["message","y"]']


def test_operators_are_immutable(world: World, clients: list[Client]) -> None:
    base = world.main.to("a")
    base.to("b")
    base.except_("b")
    base.emit("x")
    assert who(clients) == [0, 1]
    with pytest.raises((AttributeError, dataclasses.FrozenInstanceError, TypeError)):
        base.rooms = "b"  # type: ignore[attr-defined]


@pytest.mark.parametrize("wrong", ["", None, 5, ["a", 5], b"x", [""]])
def test_rooms_are_checked(world: World, wrong: Any) -> None:
    for operator in (world.main.to, world.main.in_, world.main.except_, world.main.to("a").to, world.main.to("a").except_):
        with pytest.raises(TypeError, match="room"):
            operator(wrong)


def test_all_recipients_share_one_parcel_and_none_is_waited_for(world: World, clients: list[Client]) -> None:
    world.main.emit("x", b"data")
    world.main.to(next(iter(world.main)).id).emit("x")
    parcels: set[Parcel] = {client.connection.parcels[-1] for client in clients[1:]}
    assert len(parcels) == 1
    assert all(client.connection.modes[-1] == "close" for client in clients)


def test_one_closed_recipient_stops_nobody(world: World, clients: list[Client]) -> None:
    clients[1].connection.ready_state = "closing"
    world.main.emit("x")
    assert who(clients) == [0, 2, 3]
    clients[1].connection.ready_state = "open"


def test_a_broadcast_that_cannot_be_encoded_reaches_nobody_and_raises(world: World, clients: list[Client]) -> None:
    for operator in (world.main, world.main.to("nobody"), world.main.to("a")):
        with pytest.raises(TypeError):
            operator.emit("x", b"", object())
    assert who(clients) == []


def test_send_is_message(world: World, clients: list[Client]) -> None:
    world.main.to("a").send(1, 2)
    assert clients[0].said() == ['2["message",1,2]']
