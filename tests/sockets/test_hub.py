"""Namespaces by name, life before the start, and the fork."""

from __future__ import annotations

from typing import Any

import pytest

from sync_sio.sockets.namespace import Namespace
from sync_sio.testing.manual import ManualDriver

from .fakes import World


def test_names_are_normalised_and_a_namespace_is_made_once(world: World) -> None:
    hub = world.hub
    assert hub.of("") is hub.of("/") is world.main
    assert hub.of("abc") is hub.of("/abc") and hub.of("abc").name == "/abc"


@pytest.mark.parametrize("name", [None, 5, b"/x"])
def test_a_name_is_a_str(world: World, name: Any) -> None:
    with pytest.raises(TypeError, match="namespace"):
        world.hub.of(name)


def test_a_name_with_a_comma_is_refused(world: World) -> None:
    with pytest.raises(ValueError, match="comma"):
        world.hub.of("/a,b")


def test_of_with_a_function_listens_for_connections(world: World) -> None:
    seen: list[Any] = []
    world.hub.of("/x", lambda socket: seen.append(socket.nsp.name))
    client = world.client()
    client.join("/x")
    assert seen == ["/x"]


def test_a_namespace_whose_listener_was_interrupted_is_there_all_the_same(world: World) -> None:
    @world.main.once("new_namespace")
    def interrupt(namespace: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        world.hub.of("/x")
    assert world.hub.namespaces["/x"] is world.hub.of("/x")


def test_no_namespace_is_made_for_what_cannot_listen(world: World) -> None:
    async def listener(socket: object) -> None: ...

    with pytest.raises(TypeError, match="async"):
        world.hub.of("/x", listener)
    assert "/x" not in world.hub.namespaces


def test_new_namespaces_are_told_on_the_main_one(world: World) -> None:
    seen: list[Namespace] = []
    world.main.on("new_namespace", seen.append)
    made = world.hub.of("/x")
    world.hub.of("/x")
    world.hub.of("/")
    assert seen == [made]


def test_sockets_is_a_snapshot_and_iteration_works(world: World) -> None:
    client = world.client()
    socket = client.join()
    snapshot = world.main.sockets
    snapshot.clear()
    assert world.main.sockets == {socket.id: socket} and list(world.main) == [socket] and len(world.main) == 1
    assert bool(world.hub.of("/empty")) and len(world.hub.of("/empty")) == 0


def test_before_the_start_registrations_are_kept_and_emits_reach_nobody() -> None:
    world = World()
    seen: list[Any] = []
    world.main.emit("x")
    world.main.to("a").except_("b").emit("x")
    with pytest.raises(TypeError):
        world.main.emit("x", object())
    assert (len(world.main), world.main.sockets, list(world.main)) == (0, {}, [])
    world.main.on("connection", lambda socket: seen.append("connection"))
    world.main.event("x", lambda socket: seen.append("x"))
    world.main.use(lambda socket: seen.append("use"))
    world.hub.close()
    assert world.hub.wait_until_told(1.0) and world.hub.audit() == []
    world.start()
    client = world.client()
    client.join()
    client.say('2["x"]')
    assert seen == ["use", "connection", "x"]
    world.end()


def test_a_forks_child_forgets_sockets_and_keeps_registrations(world: World) -> None:
    seen: list[Any] = []
    world.main.event("x", lambda socket: seen.append("x"))
    client = world.client()
    client.join()
    parents, world.clients = world.clients, []
    world.hub.reset()
    assert len(world.main) == 0
    world.main.emit("nobody")
    assert client.said() == []
    world.driver = ManualDriver()
    world.start()
    other = world.client()
    other.join()
    other.say('2["x"]')
    assert seen == ["x"] and len(parents) == 1


def test_made_up_event_names_do_not_fill_the_table_of_habits(world: World) -> None:
    client = world.client()
    socket = client.join()
    for number in range(2000):
        socket.once(f"reply-{number}", lambda: None)
    assert len(world.main.habits) <= 1000
    client.say(*(f'2["reply-{number}"]' for number in range(2000)))
    assert not socket._core.handlers
