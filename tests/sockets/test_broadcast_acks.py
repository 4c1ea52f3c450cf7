"""One question to many clients: `emit(…, ack=f)` and `call`: who is awaited, when it ends, and that nothing is left behind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sync_sio.errors import AckTimeout, Disconnected
from sync_sio.sockets import core as core_module

from .fakes import Client, World


class Told:
    def __init__(self) -> None:
        self.calls: list[tuple[Any, Any]] = []

    def __call__(self, error: Any, responses: Any) -> None:
        self.calls.append((error, responses))


@pytest.fixture
def clients(world: World) -> list[Client]:
    """Three clients: 0 and 1 are in room a."""
    clients = [world.client() for _ in range(3)]
    for number, client in enumerate(clients):
        socket = client.join()
        if number < 2:
            socket.join("a")
    return clients


@pytest.fixture
def told() -> Told:
    return Told()


def owed(clients: list[Client]) -> list[int]:
    return [client.connection.owed_acks for client in clients]


def timers(world: World) -> int:
    return sum(left.startswith("a timer") for left in world.driver.audit())


def test_all_have_answered(world: World, clients: list[Client], told: Told) -> None:
    world.main.emit("q", 1, ack=told)
    assert [client.said() for client in clients] == [['20["q",1]']] * 3
    clients[1].say('30["b","a second argument is not told"]')
    clients[0].say("30[]")
    assert told.calls == []
    clients[2].say('30[{"c":1}]')
    assert told.calls == [(None, ["b", None, {"c": 1}])]
    assert timers(world) == 0
    clients[2].say("30[5]")
    world.driver.advance(100)
    assert len(told.calls) == 1


def test_whom_it_asks_is_whom_a_broadcast_reaches(world: World, clients: list[Client], told: Told) -> None:
    socket = next(iter(world.main))
    for operator, asked in (
        (world.main.to("a"), [1, 1, 0]),
        (world.main.except_("a"), [0, 0, 1]),
        (socket.broadcast, [0, 1, 1]),
        (socket.to("a"), [0, 1, 0]),
        (world.main.to(["a", socket.id]).local, [1, 1, 0]),
        (socket.timeout(7).broadcast, [0, 1, 1]),
    ):
        operator.emit("q", ack=told)
        assert owed(clients) == asked
        world.driver.advance(60)
        assert owed(clients) == [0, 0, 0]


@pytest.mark.parametrize("room", ["nobody", []])
def test_nobody_there_is_an_answer_at_once(world: World, clients: list[Client], told: Told, room: Any) -> None:
    world.main.to(room).emit("q", ack=told)
    assert told.calls == []             # not inside emit: a callback is a turn of its own
    world.driver.settle()
    assert told.calls == [(None, [])]
    assert world.main.to(room).call("q") == []
    assert timers(world) == 0


def test_before_the_server_runs_there_is_nobody(told: Told) -> None:
    world = World()
    world.main.to("a").emit("q", ack=told)
    assert told.calls == [(None, [])]
    assert world.main.call("q") == []
    assert world.main.fetch_sockets() == []
    world.main.sockets_join("a")
    world.main.sockets_leave("a")
    world.main.disconnect_sockets(True)
    with pytest.raises(TypeError):
        world.main.call("q", object())


def test_a_time_out_tells_what_has_come_and_forgets_the_rest(world: World, clients: list[Client], told: Told) -> None:
    world.main.timeout(5).emit("q", ack=told)
    clients[0].say("30[1]")
    world.driver.advance(4.9)
    assert told.calls == []
    world.driver.advance(0.1)
    ((error, responses),) = told.calls
    assert isinstance(error, AckTimeout)
    assert responses == error.responses == [1]
    assert "2 clients" in str(error)
    assert owed(clients) == [0, 0, 0]
    clients[1].say("30[2]")
    assert len(told.calls) == 1 and responses == [1]


def test_without_a_time_out_it_is_a_minute(world: World, clients: list[Client], told: Told) -> None:
    world.main.emit("q", ack=told)
    world.driver.advance(59)
    assert told.calls == []
    world.driver.advance(1)
    assert isinstance(told.calls[0][0], AckTimeout)


def test_who_leaves_is_not_awaited(world: World, clients: list[Client], told: Told) -> None:
    world.main.emit("q", ack=told)
    clients[0].drop()
    clients[1].say("30[1]")
    assert told.calls == []
    clients[2].say("41")
    assert told.calls == [(None, [1])]
    assert timers(world) == 0


def test_the_end_of_the_server_ends_it(world: World, clients: list[Client], told: Told) -> None:
    world.main.emit("q", ack=told)
    clients[0].say("30[1]")
    world.hub.close()
    world.driver.settle()
    assert told.calls == [(None, [1])]


def test_who_cannot_be_sent_anything_is_not_awaited(world: World, clients: list[Client], told: Told) -> None:
    clients[0].connection.ready_state = "closing"
    clients[1].connection.is_full = True
    world.main.volatile.emit("q", ack=told)
    assert owed(clients) == [0, 0, 1]
    assert clients[1].said() == []
    clients[2].say("30[1]")
    assert told.calls == [(None, [1])]
    clients[0].connection.ready_state = "open"


def test_who_owes_too_many_is_sent_it_and_not_awaited(
    world: World, clients: list[Client], told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(core_module, "MAX_PENDING_ACKS", 1)
    next(iter(world.main)).emit("mine", ack=lambda: None)
    clients[0].said()
    world.main.emit("q", ack=told)
    assert owed(clients) == [1, 1, 1]
    assert clients[0].said() == ['21["q"]']
    clients[1].say("31[1]")
    clients[0].say("31[0]")
    clients[2].say("31[2]")
    assert told.calls == [(None, [1, 2])]


def test_call_blocks_and_returns_the_responses(world: World, clients: list[Client]) -> None:
    for number, client in enumerate(clients):
        world.meanwhile(lambda number=number, client=client: client.say(f"30[{number}]"))
    assert world.main.call("q") == [0, 1, 2]
    assert timers(world) == 0


def test_call_times_out_with_what_has_come(world: World, clients: list[Client]) -> None:
    def after(call: Callable[[], Any]) -> tuple[float, list[Any]]:
        begun = world.driver.time
        with pytest.raises(AckTimeout) as caught:
            call()
        return world.driver.time - begun, caught.value.responses

    world.meanwhile(lambda: clients[1].say('30["b"]'))
    assert after(lambda: world.main.call("q")) == (60, ["b"])
    assert after(lambda: world.main.timeout(3).call("q")) == (3, [])
    assert after(lambda: world.main.timeout(3).call("q", timeout=2)) == (2, [])
    assert after(lambda: world.main.to("a").call("q", timeout=0)) == (0, [])
    assert owed(clients) == [0, 0, 0]


def test_call_without_a_time_out_ends_when_all_have_left(world: World, clients: list[Client]) -> None:
    world.meanwhile(*[client.drop for client in clients])
    assert world.main.call("q", timeout=None) == []


def test_call_is_refused_where_nobody_may_block(world: World, clients: list[Client]) -> None:
    with pytest.raises(RuntimeError, match="ack="):
        world.in_phase_one(lambda: world.main.call("q"))
    assert owed(clients) == [0, 0, 0]


def test_a_callback_that_fails_is_logged_and_told_to_on_error(
    world: World, clients: list[Client], caplog: pytest.LogCaptureFixture
) -> None:
    told: list[Any] = []
    world.hub.on_error(lambda error, socket, event, args: told.append((str(error), socket, event)))

    def failing(error: Any, responses: Any) -> None:
        raise SystemExit("on purpose")

    world.main.to("nobody").emit("q", ack=failing)
    world.driver.settle()
    assert told == [("on purpose", None, "q")]
    assert "'q' failed" in caplog.text


def test_mistakes_ask_nobody(world: World, clients: list[Client], told: Told) -> None:
    for wrong in (
        lambda: world.main.emit("q", object(), ack=told),
        lambda: world.main.emit("q", ack="no function"),  # type: ignore[arg-type]
        lambda: world.main.call("q", object()),
        lambda: world.main.call("q", timeout="5"),  # type: ignore[arg-type]
    ):
        with pytest.raises(TypeError):
            wrong()
    for refused in (lambda: world.main.emit("connect", ack=told), lambda: world.main.call("disconnect")):
        with pytest.raises(ValueError, match="reserved"):
            refused()
    assert owed(clients) == [0, 0, 0]
    assert timers(world) == 0
    assert [client.said() for client in clients] == [[], [], []]


def test_what_an_inquiry_keeps_is_gone_when_it_has_ended(world: World, clients: list[Client], told: Told) -> None:
    world.main.timeout(5).emit("q", ack=told)
    (inquiry,) = {id(each): each for socket in world.main for each in (socket._core.acks or {}).values()}.values()
    world.driver.advance(5)
    assert inquiry._sockets == []  # type: ignore[union-attr]
    assert all(not socket._core.acks for socket in world.main)


# -- the utilities ------------------------------------------------------------------------------------------------------------


def test_fetch_sockets_describes_clients(world: World, clients: list[Client]) -> None:
    sockets = list(world.main)
    sockets[0].data["user"] = {"id": 5, "key": b"\x01", "tags": ("a", "b")}
    found = world.main.fetch_sockets()
    assert [each.id for each in found] == [socket.id for socket in sockets]
    first = found[0]
    assert first.rooms == {first.id, "a"}
    assert first.handshake == sockets[0].handshake
    assert first.data == {"user": {"id": 5, "key": b"\x01", "tags": ["a", "b"]}}
    first.data["user"]["id"] = 6
    assert sockets[0].data["user"]["id"] == 5
    assert found[1].data == {} and sockets[1]._core.data is None
    assert {each.id for each in world.main.to("a").fetch_sockets()} == {each.id for each in found[:2]}
    assert [each.id for each in sockets[0].to("a").fetch_sockets()] == [found[1].id]
    assert world.main.to("nobody").fetch_sockets() == world.main.to([]).local.fetch_sockets() == []


def test_data_that_cannot_be_sent_is_named(world: World, clients: list[Client]) -> None:
    socket = next(iter(world.main))
    socket.data["connection"] = object()
    with pytest.raises(TypeError, match=rf"{socket.id}.*\[\"connection\"\]"):
        world.main.fetch_sockets()


def test_rooms_of_many(world: World, clients: list[Client]) -> None:
    sockets = list(world.main)
    world.main.to("a").sockets_join(["b", "c"])
    world.main.except_("a").sockets_join("d")
    assert [sorted(socket.rooms - {socket.id}) for socket in sockets] == [["a", "b", "c"], ["a", "b", "c"], ["d"]]
    sockets[0].to("b").sockets_leave(("c", "a", "unknown"))
    world.main.sockets_leave("b")
    assert [sorted(socket.rooms - {socket.id}) for socket in sockets] == [["a", "c"], [], ["d"]]
    for wrong in ("", 5, [""]):
        with pytest.raises(TypeError, match="room"):
            world.main.sockets_join(wrong)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="room"):
            world.main.to("a").sockets_leave(wrong)  # type: ignore[arg-type]


def test_disconnect_sockets(world: World, clients: list[Client]) -> None:
    clients[2].join("/other")
    reasons: list[str] = []
    world.main.event("disconnect", lambda socket, reason: reasons.append(reason))
    world.main.to("a").disconnect_sockets()
    assert [client.said() for client in clients] == [["1"], ["1"], []]
    assert [client.is_open for client in clients] == [True, True, True]
    world.main.disconnect_sockets(close=True)
    assert clients[2].said() == ["1", "1/other,"]
    assert [client.is_open for client in clients] == [True, True, False]
    world.driver.settle()
    assert reasons == ["server namespace disconnect"] * 3


def test_a_remote_socket_stands_for_one_client(world: World, clients: list[Client]) -> None:
    socket, remote = next(iter(world.main)), world.main.fetch_sockets()[0]
    told = Told()
    remote.emit("plain", 1)
    remote.timeout(5).emit("q", ack=told)
    assert clients[0].said() == ['2["plain",1]', '20["q"]']
    clients[0].say('30["one",2]')
    assert told.calls == [(None, "one")]
    world.meanwhile(lambda: clients[0].say("31[[1,2]]"))
    assert remote.call("q") == [1, 2]
    remote.join(["x", "y"])
    remote.leave("y")
    assert socket.rooms == {socket.id, "a", "x"}
    remote.timeout(5).emit("q", ack=told)
    world.driver.advance(5)
    assert isinstance(told.calls[1][0], AckTimeout) and told.calls[1][1] is None
    with pytest.raises(AckTimeout):
        remote.timeout(5).call("q")
    remote.disconnect()
    assert not socket.connected and clients[0].is_open
    remote.emit("q", ack=told)
    world.driver.settle()
    assert isinstance(told.calls[2][0], Disconnected)
    with pytest.raises(Disconnected):
        remote.call("q")
    assert [client.said() for client in clients[1:]] == [[], []]
