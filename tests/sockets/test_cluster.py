"""Several servers: what reaches the clients of all, who is awaited, and what becomes of servers that do not answer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from sync_sio.adapters.base import (
    Broadcast,
    ClientCount,
    ClientGone,
    DisconnectClients,
    Fetch,
    Fetched,
    JoinRooms,
    LeaveRooms,
    ServerEvent,
    Target,
)
from sync_sio.errors import AckTimeout, Disconnected
from sync_sio.probe import Probe
from sync_sio.sockets.socket import Socket

from .bus import Bus
from .fakes import Client, World
from .test_broadcast_acks import Told


class Cluster:
    """Three servers with a client each, all in room a but the third."""

    def __init__(self, tells_who: bool | None) -> None:
        self.bus = Bus(tells_who)
        self.worlds = [self.bus.world() for _ in range(3)]
        self.clients: list[Client] = []
        self.sockets: list[Socket] = []
        for number, world in enumerate(self.worlds):
            client = world.client()
            self.sockets.append(client.join())
            self.clients.append(client)
            if number < 2:
                self.sockets[-1].join("a")
        self.main = self.worlds[0].main

    def said(self) -> list[list[Any]]:
        self.bus.pump()
        return [client.said() for client in self.clients]

    def kinds(self) -> list[type]:
        found = [type(message) for message in self.bus.log]
        self.bus.log.clear()
        return found

    def advance(self, seconds: float) -> None:
        for world in self.worlds:
            world.driver.advance(seconds)

    def owed(self) -> list[int]:
        return [client.connection.owed_acks for client in self.clients]

    def inquiries(self) -> int:
        return sum(len(world.hub.site.cluster._inquiries) for world in self.worlds if world.hub.site.cluster is not None)


@pytest.fixture(params=[True, False, None], ids=["peers known by id", "peers only counted", "peers counted afterwards"])
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    cluster = Cluster(request.param)
    yield cluster
    cluster.bus.pump()
    for world in cluster.worlds:
        world.end()
    assert cluster.inquiries() == 0


def test_broadcasts_reach_the_clients_of_all_servers_once(cluster: Cluster) -> None:
    cluster.main.emit("everybody", b"\x01")
    assert cluster.said() == [['51-["everybody",{"_placeholder":true,"num":0}]', b"\x01"]] * 3
    cluster.main.to("a").emit("room")
    cluster.sockets[0].broadcast.emit("others")
    cluster.sockets[1].to(cluster.sockets[0].id).emit("one")
    cluster.main.except_("a").volatile.emit("rest")
    assert cluster.said() == [
        ['2["room"]', '2["one"]'],
        ['2["room"]', '2["others"]'],
        ['2["others"]', '2["rest"]'],
    ]
    assert cluster.clients[2].connection.modes[-2:] == ["close", "drop"]


def test_a_broadcast_is_published_before_it_is_delivered_here(cluster: Cluster) -> None:
    order: list[str] = []
    adapter = cluster.bus.adapters[0]
    publish, send = adapter.publish, cluster.clients[0].connection.send_parcel
    adapter.publish = lambda *args: (order.append("published"), publish(*args))  # type: ignore
    cluster.clients[0].connection.send_parcel = lambda *args: (order.append("sent"), send(*args))[1]  # type: ignore
    cluster.main.emit("x")
    assert order == ["published", "sent"]


def test_the_clients_of_a_lost_server_are_not_awaited_where_the_wire_tells_whose_they_are() -> None:
    cluster = Cluster(tells_who=True)
    told = Told()
    cluster.main.emit("q", ack=told)
    cluster.said()
    cluster.clients[0].say("30[1]")
    cluster.clients[1].say("30[2]")
    cluster.bus.pump()
    assert told.calls == []
    cluster.bus.lose(2)
    cluster.advance(0)
    assert told.calls == [(None, [1, 2])]
    cluster.clients[2].say("30[3]")             # it lives, as it happens: too late
    cluster.bus.pump()
    assert len(told.calls) == 1
    for world in cluster.worlds:
        world.end()


def test_local_tells_no_other_server(cluster: Cluster) -> None:
    told = Told()
    cluster.main.local.emit("x")
    cluster.main.to("a").local.emit("q", ack=told)
    cluster.clients[0].say("30[1]")
    assert told.calls == [(None, [1])]
    cluster.sockets[0].local.emit("nobody")
    cluster.main.local.sockets_join("b")
    cluster.main.local.sockets_leave("a")
    assert [each.id for each in cluster.main.local.fetch_sockets()] == [cluster.sockets[0].id]
    assert [socket.rooms - {socket.id} for socket in cluster.sockets] == [{"b"}, {"a"}, set()]
    cluster.main.local.disconnect_sockets()
    assert [socket.connected for socket in cluster.sockets] == [False, True, True]
    assert cluster.kinds() == []


def test_what_is_for_one_client_is_not_published(cluster: Cluster) -> None:
    cluster.sockets[0].emit("x")
    cluster.sockets[0].volatile.emit("x")
    cluster.sockets[0].emit("x", ack=print)
    assert cluster.kinds() == []


def test_what_cannot_be_sent_is_published_nowhere(cluster: Cluster) -> None:
    for use in (cluster.main.emit, cluster.main.call, cluster.main.server_side_emit, cluster.main.server_side_call):
        with pytest.raises(TypeError):
            use("x", object())
    assert cluster.kinds() == [] and cluster.owed() == [0, 0, 0]


def test_what_an_adapter_refuses_leaves_nothing_behind(cluster: Cluster) -> None:
    cluster.bus.adapters[0].error = TypeError("no form for it on this wire")
    for use in (cluster.main.emit, cluster.main.call, cluster.main.server_side_emit, cluster.main.server_side_call):
        with pytest.raises(TypeError, match="wire"):
            use("x")
    with pytest.raises(TypeError, match="wire"):
        cluster.main.emit("x", ack=print)
    with pytest.raises(TypeError, match="wire"):
        cluster.main.fetch_sockets()
    assert cluster.said() == [[], [], []] and cluster.owed() == [0, 0, 0] and cluster.inquiries() == 0


def test_acknowledgements_of_all_servers(cluster: Cluster) -> None:
    told = Told()
    cluster.main.emit("q", ack=told)
    assert cluster.said() == [['20["q"]']] * 3
    assert cluster.kinds().count(ClientCount) == 2
    for number in (2, 0, 1):
        assert told.calls == []
        cluster.clients[number].say(f"30[{number}]")
        cluster.bus.pump()
    assert told.calls == [(None, [2, 0, 1])]
    assert cluster.owed() == [0, 0, 0]


def test_acknowledgements_in_any_order_with_the_counts(cluster: Cluster) -> None:
    """A client's answer may overtake its server's count, and everybody of one server may be done before another one was asked."""
    told = Told()
    cluster.main.emit("q", ack=told)
    cluster.clients[0].say("30[0]")
    cluster.bus.step()
    cluster.clients[1].say("30[1]")
    assert [type(entry) for entry in cluster.bus.log[-2:]] == [ClientCount, type(cluster.bus.log[-1])]
    cluster.bus.under_way.reverse()
    cluster.bus.pump()
    assert told.calls == []
    cluster.clients[2].say("30[2]")
    cluster.bus.pump()
    assert told.calls == [(None, [0, 1, 2])]


def test_a_client_elsewhere_that_leaves_is_not_awaited(cluster: Cluster) -> None:
    told = Told()
    cluster.main.emit("q", ack=told)
    cluster.bus.pump()
    cluster.clients[1].drop()
    cluster.clients[2].say("41")
    cluster.clients[0].say("30[0]")
    assert told.calls == []
    cluster.bus.pump()
    assert told.calls == [(None, [0])]
    assert cluster.kinds().count(ClientGone) == 2


def test_nobody_anywhere(cluster: Cluster) -> None:
    told = Told()
    cluster.main.to("nobody").emit("q", ack=told)
    assert told.calls == []
    cluster.bus.pump()
    assert told.calls == [(None, [])]


def test_a_namespace_that_another_server_does_not_know_holds_nobody_up(cluster: Cluster) -> None:
    told = Told()
    chat = cluster.worlds[0].hub.of("/chat")
    client = cluster.worlds[0].client()
    client.join("/chat")
    assert cluster.bus.adapters[0].entered == ["/", "/chat"]
    chat.emit("q", ack=told)
    client.say("3/chat,0[1]")
    cluster.bus.pump()
    assert told.calls == [(None, [1])]
    cluster.worlds[0].meanwhile(cluster.bus.pump)
    assert [each.data for each in chat.fetch_sockets()] == [{}]


def test_a_server_that_does_not_answer_is_a_time_out_with_what_has_come(cluster: Cluster) -> None:
    told = Told()
    cluster.bus.adapters[2].is_deaf = True
    cluster.main.timeout(3).emit("q", ack=told)
    cluster.bus.pump()
    cluster.clients[0].say("30[0]")
    cluster.clients[1].say("30[1]")
    cluster.bus.pump()
    assert told.calls == []
    cluster.advance(3)
    ((error, responses),) = told.calls
    assert isinstance(error, AckTimeout) and error.responses == responses == [0, 1]
    assert "1 servers" in str(error)


def test_a_time_out_forgets_the_acks_of_all_servers(cluster: Cluster) -> None:
    told = Told()
    cluster.main.timeout(3).emit("q", ack=told)
    cluster.bus.pump()
    assert cluster.owed() == [1, 1, 1]
    cluster.advance(3)
    assert cluster.owed() == [0, 0, 0]
    assert len(told.calls) == 1
    cluster.clients[1].say("30[1]")
    assert cluster.kinds().count(ClientGone) == 0
    cluster.bus.pump()
    assert len(told.calls) == 1


def test_a_server_that_leaves_is_awaited_no_longer() -> None:
    cluster = Cluster(tells_who=True)
    told, asked = Told(), Told()
    cluster.main.emit("q", ack=told)
    cluster.main.server_side_emit("e", ack=asked)
    cluster.worlds[1].main.on("e", lambda: "one")
    for _ in range(2):      # server 1 gets both; server 2 nothing
        cluster.bus.step()
        cluster.bus.under_way.popleft()
    cluster.worlds[1].driver.settle()
    cluster.clients[0].say("30[0]")
    cluster.clients[1].say("30[1]")
    while cluster.bus.under_way:
        cluster.bus.step()
    assert told.calls == asked.calls == []
    cluster.bus.lose(2)
    cluster.worlds[0].driver.settle()
    assert told.calls == [(None, [0, 1])]
    assert asked.calls == [(None, ["one"])]
    assert cluster.inquiries() == 0


def test_call_of_all_servers(cluster: Cluster) -> None:
    def answers() -> None:
        for number, client in enumerate(cluster.clients):
            client.say(f"30[{number}]")

    cluster.worlds[0].meanwhile(cluster.bus.pump, answers, cluster.bus.pump)
    assert sorted(cluster.main.call("q")) == [0, 1, 2]
    cluster.bus.adapters[1].is_deaf = True
    cluster.worlds[0].meanwhile(cluster.bus.pump, lambda: cluster.clients[2].say('31["late"]'), cluster.bus.pump)
    with pytest.raises(AckTimeout) as caught:
        cluster.main.call("q", timeout=4)
    assert caught.value.responses == ["late"]
    cluster.advance(4)


def test_rooms_and_ends_of_clients_elsewhere(cluster: Cluster) -> None:
    cluster.main.to("a").sockets_join(["b", "c"])
    cluster.main.sockets_leave("a")
    cluster.bus.pump()
    assert [socket.rooms - {socket.id} for socket in cluster.sockets] == [{"b", "c"}, {"b", "c"}, set()]
    cluster.main.to(cluster.sockets[2].id).disconnect_sockets()
    cluster.main.to("b").disconnect_sockets(close=True)
    assert cluster.said() == [["1"], ["1"], ["1"]]
    assert [client.is_open for client in cluster.clients] == [False, False, True]
    assert set(cluster.kinds()) == {JoinRooms, LeaveRooms, DisconnectClients}


def test_fetch_sockets_of_all_servers(cluster: Cluster) -> None:
    cluster.sockets[1].data["name"] = "bob"
    cluster.sockets[2].data["wrong"] = object()
    cluster.worlds[0].meanwhile(cluster.bus.pump)
    found = {each.id: each for each in cluster.main.fetch_sockets()}
    assert set(found) == {socket.id for socket in cluster.sockets}
    remote = found[cluster.sockets[1].id]
    assert remote.data == {"name": "bob"}
    assert remote.rooms == {remote.id, "a"}
    assert remote.handshake == cluster.sockets[1].handshake
    assert found[cluster.sockets[2].id].data == {}
    assert cluster.kinds() == [Fetch, Fetch, Fetched, Fetched]
    remote.emit("hello")
    remote.join("b")
    remote.leave("a")
    assert cluster.said() == [[], ['2["hello"]'], []]
    assert cluster.sockets[1].rooms == {remote.id, "b"}

    cluster.worlds[0].meanwhile(cluster.bus.pump, lambda: cluster.clients[1].say('30["yes"]'), cluster.bus.pump)
    assert remote.call("q") == "yes"
    told = Told()
    remote.timeout(2).emit("q", ack=told)
    remote.disconnect(close=True)
    cluster.bus.pump()
    assert not cluster.clients[1].is_open
    assert [type(error) for error, _ in told.calls] == [Disconnected]


def test_fetch_sockets_without_an_answer_of_all(cluster: Cluster) -> None:
    cluster.bus.adapters[2].is_deaf = True
    begun = cluster.worlds[0].driver.time
    for operator, seconds in ((cluster.main.to("a"), 5), (cluster.main.timeout(2), 2)):
        cluster.worlds[0].meanwhile(cluster.bus.pump)
        with pytest.raises(AckTimeout) as caught:
            operator.fetch_sockets()
        assert {each.id for each in caught.value.responses} == {socket.id for socket in cluster.sockets[:2]}  # type: ignore[attr-defined]
        assert cluster.worlds[0].driver.time - begun == seconds
        begun = cluster.worlds[0].driver.time


def test_nothing_is_asked_where_nobody_may_block(cluster: Cluster) -> None:
    for use in (cluster.main.fetch_sockets, lambda: cluster.main.call("q"), lambda: cluster.main.server_side_call("e")):
        with pytest.raises(RuntimeError, match="blocks"):
            cluster.worlds[0].in_phase_one(use)
    assert cluster.kinds() == [] and cluster.inquiries() == 0


# -- events of servers --------------------------------------------------------------------------------------------------------


def test_server_side_emit_reaches_the_others_in_order(cluster: Cluster) -> None:
    heard: list[Any] = []
    for number, world in enumerate(cluster.worlds):
        world.main.on("e", lambda *args, number=number: heard.append((number, *args)))
    cluster.main.server_side_emit("e", 1, {"a": b"\x01"})
    cluster.main.server_side_emit("e", 2)
    cluster.main.server_side_emit("nobody listens")
    cluster.bus.pump()
    assert sorted(heard, key=lambda each: each[0]) == [(1, 1, {"a": b"\x01"}), (1, 2), (2, 1, {"a": b"\x01"}), (2, 2)]
    assert cluster.said() == [[], [], []]


def test_server_side_events_are_answered_as_handlers_answer(cluster: Cluster) -> None:
    told = Told()
    one, two = cluster.worlds[1].main, cluster.worlds[2].main
    one.on("e", lambda value: None)
    one.on("e", lambda value: ("several", value))

    @two.on("e")
    def with_ack(value: Any, ack: Any) -> str:
        assert ack.requested
        ack(value + 1)
        ack("a second one is ignored")
        return "ignored"

    cluster.main.server_side_emit("e", 5, ack=told)
    cluster.bus.pump()
    ((error, responses),) = told.calls
    assert error is None and sorted(responses, key=str) == [6, ["several", 5]]
    cluster.worlds[0].meanwhile(cluster.bus.pump)
    assert sorted(cluster.main.server_side_call("e", 7), key=str) == [8, ["several", 7]]


def test_a_server_that_does_not_listen_or_fails_does_not_answer(cluster: Cluster, caplog: pytest.LogCaptureFixture) -> None:
    told, errors = Told(), []
    one, two = cluster.worlds[1], cluster.worlds[2]
    two.hub.on_error(lambda error, socket, event, args: errors.append((str(error), socket, event, args)))
    one.main.once("e", lambda *args: "once")

    @two.main.on("e")
    def failing(value: int) -> None:
        raise RuntimeError("on purpose")

    cluster.main.server_side_emit("e", 1, ack=told)
    cluster.main.server_side_emit("e", 2, ack=told)
    cluster.main.server_side_emit("e", "too", "many", ack=told)
    cluster.bus.pump()
    cluster.advance(5)
    assert [type(error) for error, _ in told.calls] == [AckTimeout] * 3
    assert [responses for _, responses in told.calls] == [["once"], [], []]
    assert errors[:2] == [("on purpose", None, "e", [1]), ("on purpose", None, "e", [2])]
    assert "takes 1" in errors[2][0]


def test_server_side_call_times_out_with_what_has_come(cluster: Cluster) -> None:
    cluster.worlds[1].main.on("e", lambda: 1)
    cluster.worlds[0].meanwhile(cluster.bus.pump)
    begun = cluster.worlds[0].driver.time
    with pytest.raises(AckTimeout) as caught:
        cluster.main.server_side_call("e", timeout=2)
    assert caught.value.responses == [1]
    assert cluster.worlds[0].driver.time == begun + 2


@pytest.mark.parametrize("name", ["connect", "connection", "new_namespace"])
def test_our_own_events_cannot_be_forged(cluster: Cluster, name: str) -> None:
    heard: list[Any] = []
    cluster.main.on(name, heard.append)
    for use in (cluster.main.server_side_emit, cluster.main.server_side_call):
        with pytest.raises(ValueError, match="reserved"):
            use(name)
    cluster.bus.adapters[1].publish("/", ServerEvent([name, "forged"]))
    cluster.bus.adapters[1].publish("/", ServerEvent([]))
    cluster.bus.pump()
    assert heard == []


def test_alone_servers_answer_at_once(world: World) -> None:
    told = Told()
    world.main.server_side_emit("e", ack=told)
    assert told.calls == []
    world.driver.settle()
    assert told.calls == [(None, [])]
    assert world.main.server_side_call("e", 1) == []
    world.main.server_side_emit("disconnect")       # only three names are ours among servers
    with pytest.raises(TypeError):
        world.main.server_side_emit("e", object())
    with pytest.raises(TypeError, match="seconds"):
        world.main.server_side_call("e", timeout=None)  # type: ignore[arg-type]


# -- the end ------------------------------------------------------------------------------------------------------------------


def test_closing_a_server_ends_what_it_waits_for(cluster: Cluster) -> None:
    told = Told()
    cluster.main.emit("q", ack=told)
    cluster.main.server_side_emit("e", ack=told)
    cluster.worlds[0].hub.close()
    cluster.worlds[0].hub.unlink()
    cluster.worlds[0].driver.settle()
    assert [type(error) for error, _ in told.calls] == [AckTimeout] * 2
    assert cluster.bus.adapters[0].listener is None
    cluster.bus.pump()
    cluster.advance(60)


def test_a_server_that_is_closed_while_it_asks_leaves_nothing_in_tables(cluster: Cluster) -> None:
    told = Told()
    hub = cluster.worlds[0].hub
    class Closing(Probe):
        def event_sent(self, *_: Any) -> None:
            assert hub.site.cluster is not None
            hub.site.cluster.close()

    hub.site.probes = (Closing(),)
    cluster.main.emit("q", ack=told)
    cluster.worlds[0].driver.settle()
    assert [type(error) for error, _ in told.calls] == [AckTimeout]
    assert cluster.owed()[0] == 0
    hub.site.probes = ()
    cluster.bus.pump()
    cluster.advance(60)


def test_an_adapter_is_set_before_the_server_serves() -> None:
    bus = Bus()
    world = bus.world()
    with pytest.raises(RuntimeError, match="until the server serves"):
        world.hub.set_adapter(None)
    world.hub.reset()       # the child of a fork starts anew
    assert bus.adapters[0].listener is None
    world.start()
    assert bus.adapters[0].listener is not None
    assert bus.adapters[0].entered == ["/", "/"]


def test_what_another_server_asks_and_cannot_be_done_here_is_logged(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    cluster.bus.adapters[1].publish("/", Broadcast(["x", {1, 2}], Target()))
    cluster.bus.adapters[1].publish("/", Broadcast(["x"], Target()))
    assert cluster.said() == [['2["x"]'], [], ['2["x"]']]
    cluster.bus.adapters[1].publish("/", JoinRooms(Target(), ("",)))
    cluster.bus.adapters[1].publish("/", Broadcast(["q", object], Target(), request="0"))
    cluster.bus.pump()
    assert caplog.text.count("what cannot be done in /") == 6
    assert cluster.owed() == [0, 0, 0]


def test_a_time_out_names_who_has_not_answered() -> None:
    cluster = Cluster(tells_who=None)
    told = Told()
    cluster.bus.adapters[1].is_deaf = True
    cluster.main.timeout(3).emit("q", ack=told)
    cluster.bus.pump()
    for number in (0, 2):
        cluster.clients[number].say(f"30[{number}]")
    cluster.bus.pump()
    cluster.advance(3)
    ((error, responses),) = told.calls
    assert "1 servers (server-1)" in str(error) and responses == [0, 2]
    cluster.main.server_side_emit("e", ack=told)
    cluster.advance(5)          # nobody has said how many were asked: it never went out
    assert "cannot be reached" in str(told.calls[1][0])
