"""What a user holds in hand: attributes, handshake, emit, call."""

from __future__ import annotations

import dataclasses
import gc
import json
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from sync_sio.errors import AckTimeout, Disconnected, SlowConsumer, SyncSioError
from sync_sio.sockets import core as core_module
from sync_sio.sockets.socket import Socket

from .fakes import World

RESERVED = ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"]

OURS = [
    "id", "handshake", "rooms", "data", "conn", "request", "namespace", "nsp", "connected", "disconnected", "recovered", "emit", "call",
    "send", "on", "once", "off", "join", "leave", "use", "to", "in_", "except_", "broadcast", "disconnect", "listeners",
    "remove_listener", "remove_all_listeners",
]  # fmt: skip


# -- attributes ---------------------------------------------------------------------------------------------------------------


def test_attributes_say_who_it_is(world: World) -> None:
    client = world.client()
    socket = client.join()
    assert socket.namespace is world.main and socket.nsp is world.main and world.main.server is world.io
    assert socket.conn is client.connection and socket.request is client.connection.request  # type: ignore[comparison-overlap]
    assert (socket.connected, socket.disconnected, socket.recovered) == (True, False, False)
    assert socket.data == {} and socket.data is socket.data
    assert socket.id in repr(socket) and "/" in repr(socket)


def test_any_other_attribute_may_be_set(world: World) -> None:
    client = world.client()
    socket: Any = client.join()
    socket.user = "alice"
    socket._state = 1
    assert (socket.user, socket._state) == ("alice", 1)
    del socket.user
    assert not hasattr(socket, "user")


@pytest.mark.parametrize("name", OURS)
def test_assigning_to_one_of_ours_is_an_attribute_error(world: World, name: str) -> None:
    client = world.client()
    socket = client.join()
    before = getattr(socket, name)
    with pytest.raises(AttributeError, match=name):
        setattr(socket, name, "mine")
    with pytest.raises(AttributeError, match=name):
        delattr(socket, name)
    assert getattr(socket, name) == before


def test_rooms_is_a_snapshot_with_the_own_id(world: World) -> None:
    client = world.client()
    socket = client.join()
    rooms = socket.rooms
    rooms.add("x")
    assert socket.rooms == {socket.id}
    socket.join("a")
    socket.join(["b", "c"])
    socket.join("b")
    socket.leave("c")
    socket.leave("unknown")
    socket.leave(socket.id)
    assert socket.rooms == {socket.id, "a", "b"}


@pytest.mark.parametrize("wrong", ["", None, 5, ["a", 5], b"x"])
def test_what_is_no_room_cannot_be_joined(world: World, wrong: Any) -> None:
    client = world.client()
    socket = client.join()
    with pytest.raises(TypeError, match="room"):
        socket.join(wrong)
    assert socket.rooms == {socket.id}


def test_a_gone_socket_is_freed_at_once(world: World) -> None:
    class Token: ...

    def use_it(socket: Any) -> weakref.ref[Token]:
        socket.token = Token()
        socket.on("x", lambda: socket)
        socket.data["me"] = socket.handshake
        return weakref.ref(socket.token)

    client = world.client()
    alive = use_it(client.join())
    assert alive() is not None
    gc.disable()
    try:
        client.say('2["x"]', "1")
        assert alive() is None
    finally:
        gc.enable()


# -- handshake ----------------------------------------------------------------------------------------------------------------


def test_the_handshake_is_what_the_first_request_said(world: World) -> None:
    client = world.client(
        SCRIPT_NAME="",
        PATH_INFO="/socket.io/",
        QUERY_STRING="EIO=4&transport=polling&t=abc&who=a&who=b%20c&empty=",
        HTTP_USER_AGENT="test",
        HTTP_X_FORWARDED_FOR="1.2.3.4",
        HTTP_ORIGIN="http://a",
        CONTENT_TYPE="text/plain",
        **{"wsgi.url_scheme": "https"},
    )
    handshake = client.join(auth={"token": "x"}).handshake
    assert handshake.headers == {"user-agent": "test", "x-forwarded-for": "1.2.3.4", "origin": "http://a", "content-type": "text/plain"}
    assert handshake.query == {"EIO": "4", "transport": "polling", "t": "abc", "who": "b c", "empty": ""}
    assert handshake.url == "/socket.io/?EIO=4&transport=polling&t=abc&who=a&who=b%20c&empty="
    assert handshake.auth == {"token": "x"}
    assert handshake.issued == 1_700_000_000_250
    assert handshake.time == "Tue Nov 14 2023 22:13:20 GMT+0000 (Coordinated Universal Time)"
    assert (handshake.address, handshake.xdomain, handshake.secure) == ("192.0.2.7", True, True)


def test_a_plain_handshake(world: World) -> None:
    client = world.client()
    socket = client.join()
    handshake = socket.handshake
    assert (handshake.auth, handshake.headers, handshake.xdomain, handshake.secure) == ({}, {}, False, False)
    assert socket.handshake is handshake
    json.dumps(dataclasses.asdict(handshake))


def test_the_handshake_is_frozen(world: World) -> None:
    client = world.client()
    handshake = client.join().handshake
    with pytest.raises(dataclasses.FrozenInstanceError):
        handshake.address = "other"  # type: ignore[misc]


# -- emit ---------------------------------------------------------------------------------------------------------------------


def test_emit_sends_every_argument_and_binary_anywhere(world: World) -> None:
    client = world.client()
    socket = client.join()
    socket.emit("ev")
    socket.emit("ev", 1, None, {"a": [b"x", bytearray(b"y")]})
    socket.send("hello", 2)
    assert client.said() == [
        '2["ev"]',
        '52-["ev",1,null,{"a":[{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]}]',
        b"x",
        b"y",
        '2["message","hello",2]',
    ]


@pytest.mark.parametrize("name", RESERVED)
def test_reserved_names_cannot_be_emitted(world: World, name: str) -> None:
    client = world.client()
    socket = client.join()
    emits: list[Callable[[str], object]] = [
        socket.emit,
        socket.call,
        world.main.emit,
        world.main.to("a").emit,
        socket.broadcast.emit,
    ]
    for emit in emits:
        with pytest.raises(ValueError, match="reserved"):
            emit(name)
    assert client.said() == []


def test_connection_and_error_may_be_emitted(world: World) -> None:
    client = world.client()
    socket = client.join()
    socket.emit("connection")
    socket.emit("error", "e")
    assert client.said() == ['2["connection"]', '2["error","e"]']


def test_what_cannot_be_sent_names_the_path_and_sends_nothing(world: World) -> None:
    client = world.client()
    socket = client.join()
    calls: list[Callable[..., object]] = [socket.emit, socket.call, world.main.emit, world.main.to(socket.id).emit]
    for emit in calls:
        with pytest.raises(TypeError, match=r"args\[1\]\[\"when\"\]"):
            emit("ev", b"attachment", {"when": object()})
    with pytest.raises(TypeError):
        socket.emit("ev", object(), ack=print)
    assert client.said() == [] and client.connection.owed_acks == 0


def test_a_slow_consumer_raises_at_the_emitter(world: World) -> None:
    client = world.client()
    socket = client.join()
    client.connection.error = SlowConsumer("too slow")
    with pytest.raises(SlowConsumer):
        socket.emit("ev")


def test_more_attachments_than_clients_take_warn_once(world: World, caplog: pytest.LogCaptureFixture) -> None:
    client = world.client()
    socket = client.join()
    socket.emit("ev", *[b"x"] * 10)
    assert caplog.records == []
    for _ in range(2):
        socket.emit("ev", *[b"x"] * 11)
    (record,) = caplog.records
    assert "max_attachments" in record.getMessage()


# -- acknowledgements that clients give ---------------------------------------------------------------------------------------------


def test_ack_ids_count_from_0_per_namespace(world: World) -> None:
    chat = world.hub.of("/chat")
    one, two = world.client(), world.client()
    first, second, third = one.join(), two.join(), one.join("/chat")
    for socket in (first, second, third, first):
        socket.emit("q", ack=lambda *args: None)
    assert one.said() == ['20["q"]', '2/chat,0["q"]', '22["q"]'] and two.said() == ['21["q"]']
    assert one.connection.owed_acks == 3
    assert chat.name == "/chat"


def test_the_callback_gets_the_clients_arguments_once(world: World) -> None:
    seen: list[Any] = []
    client = world.client()
    client.join().emit("q", ack=lambda *args: seen.append(args))
    client.say('30[1,"two"]', "30[3]")
    assert seen == [(1, "two")] and client.connection.owed_acks == 0


def test_the_callback_runs_beside_the_strand(world: World) -> None:
    seen: list[Any] = []
    client = world.client()
    socket = client.join()

    def handler() -> None:
        socket.emit("q", ack=seen.append)
        client.say("30[5]")
        seen.append("handler ends")

    socket.on("x", handler)
    client.say('2["x"]')
    assert seen == [5, "handler ends"]


def test_a_binary_acknowledgement(world: World) -> None:
    seen: list[Any] = []
    client = world.client()
    client.join().emit("q", ack=seen.append)
    client.say('61-0[{"_placeholder":true,"num":0}]', b"data")
    assert seen == [b"data"]


def test_a_callback_may_have_a_parameter_named_ack(world: World) -> None:
    seen: list[Any] = []
    client = world.client()
    client.join().emit("q", ack=lambda ack: seen.append(ack))
    client.say("30[5]")
    assert seen == [5]


def test_a_failing_or_wrong_callback_is_an_error(world: World) -> None:
    seen: list[str] = []
    client = world.client()
    socket = client.join()
    socket.on("error", lambda error: seen.append(type(error).__name__))
    socket.emit("q", ack=lambda: 1 / 0)
    socket.emit("q", ack=lambda a, b: None)
    client.say("30[]", "31[]")
    assert seen == ["ZeroDivisionError", "WrongArguments"]


def test_unknown_acks_and_acks_without_an_id_are_ignored(world: World) -> None:
    client = world.client()
    client.join()
    client.say("399[1]", "3[]", '3["x"]')
    assert client.is_open


def test_a_callback_is_dropped_when_the_client_goes(world: World) -> None:
    seen: list[Any] = []
    client = world.client()
    socket = client.join()
    socket.emit("q", ack=seen.append)
    client.say("1")
    client.join()
    client.say("30[1]")
    assert seen == [] and client.connection.owed_acks == 0


def test_pending_acknowledgements_are_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core_module, "MAX_PENDING_ACKS", 2)
    client = world.client()
    socket = client.join()
    for _ in range(2):
        socket.emit("q", ack=lambda: None)
    client.said()
    with pytest.raises(SyncSioError, match="2 acknowledgements"):
        socket.emit("q", ack=lambda: None)
    assert client.said() == [] and client.connection.owed_acks == 2


# -- call ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("answer", "result"), [("[]", None), ("[null]", None), ("[5]", 5), ("[[1]]", [1]), ("[1,2]", (1, 2))])
def test_call_returns_the_acknowledgement(world: World, answer: str, result: object) -> None:
    client = world.client()
    socket = client.join()
    world.meanwhile(lambda: client.say("30" + answer))
    assert socket.call("q", 1) == result
    assert client.said() == ['20["q",1]'] and client.connection.owed_acks == 0


def test_call_works_in_a_handler_and_in_a_connection_handler(world: World) -> None:
    seen: list[Any] = []

    @world.main.on("connection")
    def connected(socket: Socket) -> None:
        world.meanwhile(lambda: client.say('30["blue"]'))
        seen.append(socket.call("color"))

        @socket.on("x")
        def x() -> Any:
            world.meanwhile(lambda: client.say('31["red"]'))
            return socket.call("color")

    client = world.client()
    client.say("0")
    client.said()
    client.say('27["x"]')
    assert seen == ["blue"] and client.said() == ['21["color"]', '37["red"]']


def test_call_times_out_and_a_late_answer_is_ignored(world: World) -> None:
    client = world.client()
    socket = client.join()
    with pytest.raises(AckTimeout, match=r"'q' within 5 s$") as caught:
        socket.call("q", timeout=5)
    assert isinstance(caught.value, TimeoutError) and caught.value.responses == []
    client.say("30[1]")
    assert client.connection.owed_acks == 0 and client.is_open


def test_the_time_out_names_an_event_that_waits_behind_the_caller(world: World) -> None:
    seen: list[str] = []
    client = world.client()
    socket = client.join()

    @socket.on("x")
    def x() -> None:
        client.say_only('2["answer",1]')
        with pytest.raises(AckTimeout, match="event 'answer' of this client waits behind"):
            socket.call("q", timeout=1)
        seen.append("x")

    client.say('2["x"]')
    world.driver.advance(1)
    assert seen == ["x"]


def test_it_names_none_when_the_caller_is_not_on_the_strand(world: World) -> None:
    client, other = world.client(), world.client()
    socket, caller = client.join(), other.join()

    @caller.on("x")
    def x() -> str:
        client.say_only('2["unrelated"]')
        with pytest.raises(AckTimeout) as caught:
            socket.call("q", timeout=1)
        return str(caught.value)

    other.say('21["x"]')
    world.driver.advance(1)
    assert "waits behind" not in str(other.said()[0])


def test_call_raises_at_once_when_the_client_goes(world: World) -> None:
    client = world.client()
    socket = client.join()
    world.meanwhile(lambda: client.drop("ping timeout"))
    with pytest.raises(Disconnected, match="ping timeout") as caught:
        socket.call("q", timeout=None)
    assert caught.value.reason == "ping timeout" and isinstance(caught.value, ConnectionError)
    with pytest.raises(Disconnected) as caught:
        socket.call("q")
    assert caught.value.reason == "ping timeout"


def test_call_on_a_connection_that_is_closing_raises_at_once(world: World) -> None:
    client = world.client()
    socket = client.join()
    client.connection.ready_state = "closing"
    with pytest.raises(Disconnected):
        socket.call("q")
    assert client.connection.owed_acks == 0


def test_call_where_nothing_may_block_says_so(world: World) -> None:
    client = world.client()
    socket = client.join()
    with pytest.raises(RuntimeError, match="may not"):
        world.in_phase_one(lambda: socket.call("q"))
