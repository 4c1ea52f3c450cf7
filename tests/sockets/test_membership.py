"""`namespace.adapter`: who is in which room, and what is told about changes."""

from __future__ import annotations

from typing import Any

import pytest

from sync_sio.sockets import membership

from .fakes import World

EVENTS = ("create-room", "join-room", "leave-room", "delete-room")


@pytest.fixture
def heard(world: World) -> list[tuple[Any, ...]]:
    heard: list[tuple[Any, ...]] = []
    for event in EVENTS:
        world.main.adapter.on(event, lambda *args, event=event: heard.append((event, *args)))
    return heard


def test_rooms_and_sids_are_snapshots(world: World) -> None:
    assert world.main.adapter.rooms == world.main.adapter.sids == {}
    one, two = world.client().join(), world.client().join()
    one.join(["a", "b"])
    two.join("b")
    rooms = {"a": {one.id}, "b": {one.id, two.id}, one.id: {one.id}, two.id: {two.id}}
    assert world.main.adapter.rooms == rooms
    assert world.main.adapter.sids == {one.id: {one.id, "a", "b"}, two.id: {two.id, "b"}}
    snapshot = world.main.adapter.rooms
    snapshot.clear()
    assert world.main.adapter.rooms == rooms


def test_before_the_server_runs_it_is_empty_and_may_be_listened_to() -> None:
    world = World()
    heard: list[str] = []
    world.main.adapter.on("create-room", heard.append)
    assert world.main.adapter.rooms == world.main.adapter.sids == {}
    world.start()
    socket = world.client().join()
    world.driver.settle()
    assert heard == [socket.id]


def test_changes_are_told_in_order(world: World, heard: list[tuple[Any, ...]]) -> None:
    client, other = world.client(), world.client()
    socket = client.join()
    sid = socket.id
    assert heard == [("create-room", sid), ("join-room", sid, sid)]
    heard.clear()
    socket.join("a")
    socket.join(["a", "b"])
    assert heard == []              # not on the thread that joins
    world.driver.settle()
    assert heard == [("create-room", "a"), ("join-room", "a", sid), ("create-room", "b"), ("join-room", "b", sid)]
    two = other.join()
    two.join("a")
    world.driver.settle()
    heard.clear()
    socket.leave("a")
    socket.leave("a")
    socket.leave("unknown")
    socket.leave("b")
    world.driver.settle()
    assert heard == [("leave-room", "a", sid), ("leave-room", "b", sid), ("delete-room", "b")]
    heard.clear()
    other.drop()
    assert heard == [("leave-room", two.id, two.id), ("delete-room", two.id), ("leave-room", "a", two.id), ("delete-room", "a")]


def test_a_room_of_somebodys_id_is_one_room(world: World, heard: list[tuple[Any, ...]]) -> None:
    one, two = world.client(), world.client()
    first, second = one.join(), two.join()
    heard.clear()
    second.join(first.id)
    world.driver.settle()
    assert heard == [("join-room", first.id, second.id)]
    assert world.main.adapter.rooms[first.id] == {first.id, second.id}
    heard.clear()
    one.drop()
    assert heard == [("leave-room", first.id, first.id)]
    second.leave(first.id)
    world.driver.settle()
    assert heard[1:] == [("leave-room", first.id, second.id), ("delete-room", first.id)]


def test_what_middleware_joins_is_told_when_the_client_is_admitted(world: World, heard: list[tuple[Any, ...]]) -> None:
    world.main.use(lambda socket: socket.join("a"))
    socket = world.client().join()
    assert heard == [("create-room", socket.id), ("join-room", socket.id, socket.id), ("create-room", "a"), ("join-room", "a", socket.id)]


def test_listeners_come_and_go(world: World) -> None:
    heard: list[Any] = []
    adapter = world.main.adapter
    client = world.client()
    socket = client.join()

    @adapter.once("join-room")
    def once(room: str, sid: str) -> None:
        heard.append(("once", room))

    @adapter.on("join-room")
    def always(room: str, sid: str) -> None:
        heard.append(("always", room))

    assert adapter.listeners("join-room") == [once, always]
    socket.join("a")
    socket.join("b")
    world.driver.settle()
    assert heard == [("once", "a"), ("always", "a"), ("always", "b")]
    assert world.main.rooms.watch is not None
    adapter.off("join-room", always)
    assert world.main.rooms.watch is None       # nobody listens, so it costs nothing
    adapter.on("leave-room", always)
    adapter.off()
    socket.leave("a")
    world.driver.settle()
    assert len(heard) == 3
    with pytest.raises(ValueError, match="join-room"):
        adapter.on("join_room", always)
    with pytest.raises(TypeError):
        adapter.on("join-room", 5)  # type: ignore[call-overload]


def test_a_listener_that_fails_stops_nobody(world: World, heard: list[tuple[Any, ...]], caplog: pytest.LogCaptureFixture) -> None:
    world.main.adapter.off("join-room")

    @world.main.adapter.on("join-room")
    def failing(room: str, sid: str) -> None:
        raise RuntimeError("on purpose")

    socket = world.client().join()
    socket.leave(socket.id)
    socket.join("a")
    world.driver.settle()
    assert [event for event, *_ in heard] == ["create-room", "create-room"]
    assert caplog.text.count("'join-room' failed") == 2


def test_news_for_a_listener_that_is_too_slow_are_bounded(
    world: World, heard: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(membership, "MAX_WAITING", 3)
    socket = world.client().join()
    heard.clear()
    socket.join([str(number) for number in range(10)])
    world.driver.settle()
    assert len(heard) == 3
    assert "17 changes" in caplog.text
