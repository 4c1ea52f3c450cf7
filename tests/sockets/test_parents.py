"""Dynamic namespaces: which are made, what children share with their parent, and when they are let go."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from sync_sio import ConnectRefused
from sync_sio.sockets.namespace import Namespace
from sync_sio.sockets.parents import ParentNamespace

from .fakes import Client, World

DYNAMIC = re.compile(r"^/dynamic-\d+$")


@pytest.fixture
def cleaning() -> Iterator[World]:
    world = World(cleanup_empty_child_namespaces=True)
    world.start()
    yield world
    world.end()


def child(world: World, name: str) -> Namespace:
    found = world.hub.namespaces[name]
    assert isinstance(found, Namespace)
    return found


def joined(client: Client, name: str) -> Any:
    client.say(f"0{name},")
    (reply,) = client.said()
    assert reply.startswith(f'0{name},{{"sid":'), reply
    (socket,) = [each for each in child(client.world, name) if each._core.client is client.receiver]
    return socket


def test_a_child_is_made_for_the_first_client_whose_name_matches(world: World) -> None:
    made: list[str] = []
    world.main.on("new_namespace", lambda namespace: made.append(namespace.name))
    parent = world.hub.of(DYNAMIC)
    one, two = world.client(), world.client()
    joined(one, "/dynamic-1")
    joined(two, "/dynamic-1")
    assert made == ["/dynamic-1"] == list(parent.children)
    one.say("0/other,")
    assert one.said() == ['4/other,{"message":"Invalid namespace"}']
    assert one.is_open


def test_a_pattern_matches_anywhere_in_the_name(world: World) -> None:
    world.hub.of(re.compile("room"))
    joined(world.client(), "/a-room-b")


def test_a_function_sees_name_auth_and_environ_and_decides(world: World) -> None:
    seen: list[Any] = []

    def rule(name: str, auth: dict[str, Any], environ: dict[str, Any]) -> bool:
        seen.append((name, auth, environ["QUERY_STRING"]))
        return auth.get("token") == "good"

    world.hub.of(rule)
    client = world.client()
    client.say('0/x,{"token":"bad"}')
    client.say("0/x,")
    assert client.said() == ['4/x,{"message":"Invalid namespace"}'] * 2
    client.say('0/x,{"token":"good"}')
    assert client.said()[0].startswith('0/x,{"sid"')
    assert [auth for _, auth, _ in seen] == [{"token": "bad"}, {}, {"token": "good"}]
    assert seen[0][0] == "/x" and "EIO=4" in seen[0][2]


def test_parents_are_asked_in_the_order_in_which_they_were_registered(world: World) -> None:
    asked: list[str] = []

    def rule(name: str, auth: Any, environ: Any) -> bool:
        asked.append(name)
        return False

    world.hub.of(rule)
    first, second = world.hub.of(DYNAMIC), world.hub.of(re.compile("dyn"))
    joined(world.client(), "/dynamic-1")
    assert asked == ["/dynamic-1"]
    assert list(first.children) == ["/dynamic-1"] and not second.children


def test_a_failing_function_is_logged_and_means_no(world: World, caplog: pytest.LogCaptureFixture) -> None:
    def rule(name: str, auth: Any, environ: Any) -> bool:
        raise RuntimeError("on purpose")

    world.hub.of(rule)
    client = world.client()
    client.say("0/x,")
    assert client.said() == ['4/x,{"message":"Invalid namespace"}']
    assert "the function of a dynamic namespace failed, asked for '/x'" in caplog.text


def test_children_share_what_is_registered_with_the_parent_before_and_after(world: World) -> None:
    seen: list[Any] = []
    parent = world.hub.of(DYNAMIC)
    parent.use(lambda socket: seen.append("use"))
    parent.on("connection", lambda socket: seen.append(("connection", socket.namespace.name)))
    first = world.client()
    joined(first, "/dynamic-1")
    parent.event("hello", lambda socket, *args: seen.append(args))
    parent.use(lambda socket: seen.append("late use"))
    first.say('2/dynamic-1,["hello",1]')
    joined(world.client(), "/dynamic-2")
    assert seen == ["use", ("connection", "/dynamic-1"), (1,), "use", "late use", ("connection", "/dynamic-2")]


def test_what_is_taken_from_the_parent_is_taken_from_its_children(world: World) -> None:
    seen: list[int] = []
    parent = world.hub.of(DYNAMIC)
    handler = parent.event("hello", lambda socket: seen.append(1))
    client = world.client()
    joined(client, "/dynamic-1")
    parent.off("hello", handler)
    client.say('2/dynamic-1,["hello"]')
    assert seen == []


@pytest.mark.parametrize("of_what", [("hello",), ()])
def test_what_a_child_has_registered_itself_stays_when_the_parent_removes_its_own(world: World, of_what: tuple[str, ...]) -> None:
    parent = world.hub.of(DYNAMIC)
    child = world.hub.of("/dynamic-1")
    parent.event("hello", lambda socket: None, concurrent=True)
    own = child.event("hello", lambda socket: None)
    greet = child.on("connection", lambda socket: None)
    parent.off(*of_what)
    assert child.listeners("hello") == [own] and child.listeners("connection") == [greet]
    assert not parent.listeners("hello") and not child.concurrent
    child.off(*of_what)
    assert not child.listeners("hello")


def test_a_child_may_be_rid_of_what_is_its_parents(world: World) -> None:
    parent = world.hub.of(DYNAMIC)
    one, two = world.hub.of("/dynamic-1"), world.hub.of("/dynamic-2")
    shared = parent.event("hello", lambda socket: None)
    one.off("hello")
    assert not one.listeners("hello") and two.listeners("hello") == parent.listeners("hello") == [shared]


def test_a_listener_of_new_namespace_that_ends_its_thread_leaves_nobody_waiting(world: World) -> None:
    @world.main.once("new_namespace")
    def leave_early(namespace: Namespace) -> None:
        raise SystemExit(1)

    world.hub.of(DYNAMIC)
    joined(world.client(), "/dynamic-1")
    joined(world.client(), "/dynamic-1")


def test_once_on_a_parent_is_once_in_the_whole_family(world: World) -> None:
    seen: list[str] = []
    world.hub.of(DYNAMIC).once("connection", lambda socket: seen.append(socket.namespace.name))
    joined(world.client(), "/dynamic-1")
    joined(world.client(), "/dynamic-2")
    joined(world.client(), "/dynamic-1")
    assert seen == ["/dynamic-1"]


def test_a_child_may_have_functions_of_its_own(world: World) -> None:
    seen: list[str] = []
    world.hub.of(DYNAMIC)

    @world.main.on("new_namespace")
    def made(namespace: Namespace) -> None:
        if namespace.name == "/dynamic-1":
            namespace.event("hello", lambda socket: seen.append(namespace.name))

    for name in ("/dynamic-1", "/dynamic-2"):
        client = world.client()
        joined(client, name)
        client.say(f'2{name},["hello"]')
    assert seen == ["/dynamic-1"]


def test_errors_of_children_are_told_to_the_parents_on_error(world: World) -> None:
    seen: list[str] = []
    parent = world.hub.of(DYNAMIC)
    parent.on_error(lambda error, socket, event, args: seen.append(f"{socket.namespace.name} {event} {error}"))

    @parent.event
    def fail(socket: Any) -> None:
        raise ValueError("on purpose")

    client = world.client()
    joined(client, "/dynamic-1")
    client.say('2/dynamic-1,["fail"]')
    assert seen == ["/dynamic-1 fail on purpose"]


def test_a_namespace_made_by_hand_is_a_child_of_the_pattern_that_it_matches(world: World) -> None:
    parent = world.hub.of(DYNAMIC)
    parent.event("hello", lambda socket: "hi")
    made = world.hub.of("/dynamic-7")
    assert parent.children == {"/dynamic-7": made}
    client = world.client()
    assert joined(client, "/dynamic-7").namespace is made
    client.say('2/dynamic-7,1["hello"]')
    assert client.said() == ['3/dynamic-7,1["hi"]']


def test_the_parents_own_name_cannot_be_connected_to(world: World) -> None:
    parent = world.hub.of(DYNAMIC)
    client = world.client()
    client.say(f"0{parent.name},")
    assert client.said() == [f'4{parent.name},{{"message":"Invalid namespace"}}']


def test_a_parents_broadcast_reaches_all_children(world: World) -> None:
    parent = world.hub.of(DYNAMIC)
    one, two, other = world.client(), world.client(), world.client()
    in_room = joined(one, "/dynamic-1")
    in_room.join("room")
    joined(two, "/dynamic-2")
    other.join()
    parent.emit("news", 1)
    parent.to("room").emit("room news")
    assert one.said() == ['2/dynamic-1,["news",1]', '2/dynamic-1,["room news"]']
    assert two.said() == ['2/dynamic-2,["news",1]']
    assert other.said() == []
    with pytest.raises(TypeError):
        parent.emit("news", object())


def test_a_parents_questions_are_answered_by_all_children(world: World) -> None:
    parent = world.hub.of(DYNAMIC)
    told: list[Any] = []
    parent.emit("q", ack=lambda error, responses: told.append((error, responses)))
    assert parent.call("q") == []
    one, two = world.client(), world.client()
    joined(one, "/dynamic-1")
    joined(two, "/dynamic-2")
    assert told == [(None, [])]
    parent.emit("q", ack=lambda error, responses: told.append((error, sorted(responses))))
    one.say('3/dynamic-1,0["a"]')
    two.say('3/dynamic-2,0["b"]')
    assert told[1:] == [(None, ["a", "b"])]
    world.meanwhile(lambda: two.say('3/dynamic-2,1["b"]'))
    with pytest.raises(TimeoutError) as caught:
        parent.timeout(5).call("q")
    assert caught.value.responses == ["b"]  # type: ignore[attr-defined]


def test_the_utilities_of_a_parent_are_for_all_children(world: World) -> None:
    parent = world.hub.of(DYNAMIC)
    one, two = world.client(), world.client()
    sockets = [joined(one, "/dynamic-1"), joined(two, "/dynamic-2")]
    assert {each.id for each in parent.fetch_sockets()} == {each.id for each in sockets}
    parent.sockets_join("room")
    assert all("room" in each.rooms for each in sockets)
    parent.in_("room").sockets_leave("room")
    assert not any("room" in each.rooms for each in sockets)
    parent.disconnect_sockets()
    assert one.said() == ["1/dynamic-1,"] and two.said() == ["1/dynamic-2,"]
    world.driver.settle()


def test_events_and_an_end_that_come_while_a_rule_is_asked_are_kept_in_order(world: World) -> None:
    seen: list[Any] = []
    parent = world.hub.of(DYNAMIC)
    parent.on("connection", lambda socket: seen.append("connection"))
    parent.event("e", lambda socket, number: seen.append(number))
    parent.event("disconnect", lambda socket, reason: seen.append(reason))
    client = world.client()
    client.say_only("0/dynamic-1,", '2/dynamic-1,["e",1]', '2/dynamic-1,["e",2]')
    assert client.connection.queued == 3
    world.driver.settle()
    client.say('2/dynamic-1,["e",3]', "1/dynamic-1,")
    assert seen == ["connection", 1, 2, 3, "client namespace disconnect"]


def test_a_client_that_leaves_while_a_rule_is_asked_is_never_there(world: World) -> None:
    seen: list[Any] = []
    parent = world.hub.of(lambda name, auth, environ: True)
    parent.on("connection", lambda socket: seen.append(socket))
    one, two = world.client(), world.client()
    one.say_only("0/x,", '2/x,["e"]', "1/x,")
    two.say_only("0/x,", '2/x,["e"]')
    two.drop()
    world.driver.settle()
    assert seen == [] and one.said() == [] and one.is_open
    joined(one, "/x")


def test_a_second_connect_while_a_rule_is_asked_ends_its_sender(world: World) -> None:
    world.hub.of(DYNAMIC)
    client = world.client()
    client.say("0/dynamic-1,", "0/dynamic-1,")
    assert not client.is_open


def test_two_clients_at_once_make_one_child(world: World) -> None:
    made: list[str] = []
    world.main.on("new_namespace", lambda namespace: made.append(namespace.name))
    parent = world.hub.of(DYNAMIC)
    clients = [world.client() for _ in range(3)]
    for client in clients:
        client.say_only("0/dynamic-1,")
    world.driver.settle()
    assert made == ["/dynamic-1"]
    assert len(parent.children["/dynamic-1"]) == 3


def test_an_empty_child_is_let_go_when_the_last_client_has_left(cleaning: World) -> None:
    world = cleaning
    parent = world.hub.of(DYNAMIC)
    one, two = world.client(), world.client()
    joined(one, "/dynamic-1")
    joined(two, "/dynamic-1")
    one.say("1/dynamic-1,")
    assert "/dynamic-1" in world.hub.namespaces
    two.drop()
    assert "/dynamic-1" not in world.hub.namespaces and not parent.children
    joined(one, "/dynamic-1")
    assert list(parent.children) == ["/dynamic-1"]


def test_a_child_whose_only_client_was_refused_is_let_go(cleaning: World) -> None:
    world = cleaning

    @world.hub.of(DYNAMIC).use
    def refuse(socket: Any) -> None:
        raise ConnectRefused("no")

    client = world.client()
    client.say("0/dynamic-1,")
    assert client.said() == ['4/dynamic-1,{"message":"no"}']
    assert "/dynamic-1" not in world.hub.namespaces


def test_children_stay_without_the_option_and_static_namespaces_always(world: World, cleaning: World) -> None:
    for each in (world, cleaning):
        each.hub.of("/static")
        each.hub.of(DYNAMIC)
        client = each.client()
        joined(client, "/static")
        joined(client, "/dynamic-1")
        client.drop()
        assert "/static" in each.hub.namespaces
    assert "/dynamic-1" in world.hub.namespaces and "/dynamic-1" not in cleaning.hub.namespaces


def test_more_namespaces_than_allowed_are_refused() -> None:
    world = World(max_namespaces=3)
    world.start()
    world.hub.of(DYNAMIC)
    client = world.client()
    client.join()
    joined(client, "/dynamic-1")
    joined(client, "/dynamic-2")
    client.say("0/dynamic-3,")
    assert client.said() == ['4/dynamic-3,{"message":"Too many namespaces on one connection"}']
    client.say("1/dynamic-1,")
    joined(client, "/dynamic-3")
    world.end()


def test_what_is_neither_name_nor_rule_is_refused(world: World) -> None:
    for wrong in (1, None, re.compile(b"x")):
        with pytest.raises(TypeError, match=re.escape(f"of({wrong!r})")):
            world.hub.of(wrong)  # type: ignore[call-overload]

    async def rule(name: str, auth: Any, environ: Any) -> bool:
        return True

    with pytest.raises(TypeError, match="is async"):
        world.hub.of(rule)


def test_a_parent_has_a_name_and_a_server(world: World) -> None:
    parent = world.hub.of(DYNAMIC)
    assert isinstance(parent, ParentNamespace)
    assert parent.server is world.io and "0 children" in repr(parent)
    assert world.hub.of(DYNAMIC).name != parent.name
