"""The end: at once for everybody else, in order for the handlers, once, with the right reason."""

from __future__ import annotations

from typing import Any

import pytest

from sync_sio.errors import Disconnected
from sync_sio.sockets.socket import Socket

from .fakes import World


def listen(world: World) -> list[Any]:
    seen: list[Any] = []

    @world.main.event
    def disconnecting(socket: Socket, reason: str, description: object) -> None:
        seen.append(("disconnecting", reason, description, sorted(socket.rooms - {socket.id}), socket.connected))

    @world.main.event
    def disconnect(socket: Socket, reason: str, description: object) -> None:
        seen.append(("disconnect", reason, description, sorted(socket.rooms), socket.connected))

    return seen


def test_the_client_disconnects_from_the_namespace(world: World) -> None:
    seen = listen(world)
    client = world.client()
    socket = client.join()
    socket.join(["a", "b"])
    client.say("1")
    reason = "client namespace disconnect"
    assert seen == [("disconnecting", reason, None, ["a", "b"], False), ("disconnect", reason, None, [], False)]
    assert client.is_open and client.said() == []


def test_the_server_disconnects_it(world: World) -> None:
    seen = listen(world)
    client = world.client()
    socket = client.join()
    socket.disconnect()
    socket.disconnect()
    assert client.said() == ["1"] and client.is_open
    world.driver.settle()
    assert [each[:2] for each in seen] == [
        ("disconnecting", "server namespace disconnect"),
        ("disconnect", "server namespace disconnect"),
    ]


def test_the_server_closes_the_whole_connection(world: World) -> None:
    seen = listen(world)
    world.hub.of("/chat").event("disconnect", lambda socket, reason: seen.append(("chat", reason)))
    client = world.client()
    socket = client.join()
    client.join("/chat")
    client.said()
    socket.disconnect(close=True)
    world.driver.settle()
    assert client.said() == ["1", "1/chat,"] and not client.is_open
    assert ("chat", "server namespace disconnect") in seen and seen[0][1] == "server namespace disconnect"


@pytest.mark.parametrize("reason", ["transport close", "transport error", "ping timeout", "parse error", "forced close"])
def test_the_connection_ends(world: World, reason: str) -> None:
    seen = listen(world)
    client = world.client()
    client.join()
    error = OSError("broken")
    client.drop(reason, error)
    assert [each[:3] for each in seen] == [("disconnecting", reason, error), ("disconnect", reason, error)]


def test_handlers_may_take_no_one_or_two_parameters(world: World) -> None:
    seen: list[Any] = []
    client = world.client()
    socket = client.join()
    socket.on("disconnect", lambda: seen.append(0))
    socket.on("disconnect", lambda reason: seen.append(reason))
    socket.once("disconnect", lambda reason, description: seen.append((reason, description)))
    socket.on("disconnecting", lambda *args: seen.append(args))
    world.main.event("disconnect", lambda socket, reason: seen.append(("shared", reason)))
    client.drop("transport close", "why")
    assert seen == [
        ("transport close", "why"),
        ("shared", "transport close"),
        0,
        "transport close",
        ("transport close", "why"),
    ]


def test_a_failing_disconnecting_handler_stops_nothing(world: World) -> None:
    seen = listen(world)
    reported: list[str] = []
    client = world.client()
    socket = client.join()
    socket.on("disconnecting", lambda: 1 / 0)
    world.main.on_error(lambda error, socket, event, args: reported.append(event))
    client.drop()
    assert len(seen) == 2 and reported == ["disconnecting"]


def test_a_leaving_socket_is_gone_before_its_handlers_know(world: World) -> None:
    seen = listen(world)
    client, other = world.client(), world.client()
    socket = client.join()
    other.join()
    socket.join("a")

    def slow() -> None:
        client.receiver.closed("transport close", None)
        client.connection.ready_state = "closed"
        assert socket.id not in world.main.sockets and len(world.main) == 1
        world.main.to(["a", socket.id]).emit("x")
        assert socket.disconnected and socket.rooms == {socket.id, "a"}
        with pytest.raises(Disconnected):
            socket.call("x")
        assert seen == []
        seen.append("slow ends")

    socket.on("slow", slow)
    client.say('2["slow"]')
    assert seen[0] == "slow ends" and len(seen) == 3


def test_events_received_before_the_end_still_run_and_see_it(world: World) -> None:
    seen: list[Any] = []
    client = world.client()
    socket = client.join()
    socket.on("x", lambda n: seen.append((n, socket.connected)) or "unheard")  # type: ignore[func-returns-value]
    socket.on("disconnect", lambda: seen.append("disconnect"))
    client.say_only('21["x",1]', '2["x",2]', "1")
    world.driver.settle()
    assert seen == [(1, False), (2, False), "disconnect"] and client.said() == []


def test_disconnect_drops_events_that_have_not_started(world: World) -> None:
    seen: list[Any] = []
    client = world.client()
    socket = client.join()

    def first() -> None:
        seen.append("first")
        socket.disconnect()

    socket.on("x", first)
    socket.on("disconnect", lambda: seen.append("disconnect"))
    client.say('2["x"]', '2["x"]')
    assert seen == ["first", "disconnect"]


def test_after_the_end_emit_and_join_do_nothing(world: World) -> None:
    client, other = world.client(), world.client()
    socket = client.join()
    other.join()
    client.say("1")
    socket.emit("x")
    socket.emit("x", ack=print)
    socket.send("x")
    socket.join("a")
    socket.leave("a")
    socket.disconnect()
    socket.disconnect(close=False)
    socket.on("y", lambda: None)
    world.main.to("a").emit("x")
    assert client.said() == [] and socket.rooms == set()
    with pytest.raises(Disconnected):
        socket.call("x")
    socket.broadcast.emit("others still get it")
    assert other.said() == ['2["others still get it"]']


def test_a_new_connect_after_the_end_is_a_new_socket(world: World) -> None:
    client = world.client()
    first = client.join()
    client.say("1")
    second = client.join()
    assert first.id != second.id and second.connected and first.disconnected


def test_a_client_that_leaves_inside_its_connection_handler_gets_its_disconnect_after_it(world: World) -> None:
    seen: list[str] = []

    @world.main.on("connection")
    def connected(socket: Socket) -> None:
        socket.on("disconnect", lambda: seen.append("disconnect"))
        client.say("1")
        seen.append("connected")

    client = world.client()
    client.say("0")
    assert seen == ["connected", "disconnect"]


def test_callers_on_other_threads_than_the_strand_get_disconnected_each(world: World) -> None:
    client = world.client()
    socket = client.join()
    caught: list[Disconnected] = []

    def nested() -> None:
        world.meanwhile(client.drop)
        with pytest.raises(Disconnected) as error:
            socket.call("inner", timeout=None)
        caught.append(error.value)

    world.meanwhile(nested)
    with pytest.raises(Disconnected) as error:
        socket.call("outer", timeout=None)
    assert len(caught) == 1 and caught[0] is not error.value


# -- io.close -----------------------------------------------------------------------------------------------------------------


def test_close_lets_all_leave_without_telling_clients_to_stay_away(world: World) -> None:
    seen = listen(world)
    clients = [world.client() for _ in range(3)]
    for client in clients:
        client.join()
    world.hub.close()
    assert len(world.main) == 0
    assert world.hub.wait_until_told(2.0)
    assert [each[1] for each in seen] == ["server shutting down"] * 6
    assert [client.said() for client in clients] == [[], [], []]


def test_waiting_for_the_handlers_ends_after_the_time_out(world: World) -> None:
    client = world.client()
    client.join().on("disconnect", lambda: world.driver.sleep(3))
    world.hub.close()
    assert not world.hub.wait_until_told(2.0)
    world.driver.advance(1)


def test_close_in_a_handler_does_not_wait_for_its_own_socket(world: World) -> None:
    seen = listen(world)
    client, other = world.client(), world.client()
    socket = client.join()
    other.join()

    @socket.on("stop")
    def stop() -> None:
        world.hub.close()
        seen.append(world.hub.wait_until_told(2.0))

    client.say('2["stop"]')
    assert [each if each is True else each[0] for each in seen] == ["disconnecting", "disconnect", True, "disconnecting", "disconnect"]


def test_with_nobody_here_nobody_is_waited_for(world: World) -> None:
    world.hub.close()
    assert world.hub.wait_until_told(2.0) and world.driver.time == 1000.0
