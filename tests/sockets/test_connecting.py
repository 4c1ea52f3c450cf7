"""From CONNECT to the connection handlers: middleware of both signatures, refusals, what is held back, time-outs."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

from sync_sio.errors import ConnectRefused, Disconnected
from sync_sio.sockets.socket import Socket

from .fakes import World

Next = Callable[..., None]


def test_connect_is_answered_with_an_id_of_20_url_safe_characters(world: World) -> None:
    client = world.client()
    client.say("0")
    (answer,) = client.said()
    (sid,) = world.main.sockets
    assert answer == f'0{{"sid":"{sid}"}}'
    assert len(sid) == 20 and sid.replace("-", "").replace("_", "").isalnum()
    assert sid != client.connection.id


def test_each_socket_has_an_id_of_its_own(world: World) -> None:
    assert len({world.client().join().id for _ in range(100)}) == 100


@pytest.mark.parametrize("name", ["connection", "connect"])
def test_connection_handlers_run_after_the_reply(world: World, name: str) -> None:
    seen: list[Any] = []

    @world.main.on(name)
    def connected(socket: Socket) -> None:
        seen.append((socket.connected, socket.disconnected, socket.rooms == {socket.id}, client.said()[0]))
        socket.emit("welcome")

    client = world.client()
    client.say("0")
    (sid,) = world.main.sockets
    assert seen == [(True, False, True, f'0{{"sid":"{sid}"}}')]
    assert client.said() == ['2["welcome"]']


def test_without_middleware_the_reader_answers_so_that_a_full_pool_keeps_nobody_waiting(world: World) -> None:
    seen: list[str] = []
    world.main.on("connection", lambda socket: seen.append("connected"))
    client = world.client()
    client.say_only("0")
    (socket,) = world.main
    assert socket.connected and len(client.said()) == 1 and seen == []
    world.driver.settle()
    assert seen == ["connected"]


def test_an_event_that_is_pipelined_behind_connect_reaches_what_the_connection_handler_registers(world: World) -> None:
    seen: list[str] = []

    @world.main.on("connection")
    def connected(socket: Socket) -> None:
        seen.append("connected")
        socket.on("hello", lambda: seen.append("hello"))

    world.client().say("0", '2["hello"]')
    assert seen == ["connected", "hello"]


def test_an_unknown_namespace_is_refused_in_the_exact_words(world: World) -> None:
    client = world.client()
    client.say("0/nope,")
    assert client.said() == ['4/nope,{"message":"Invalid namespace"}']
    client.say("0/nope?x=1,{}")
    assert client.said() == ['4/nope?x=1,{"message":"Invalid namespace"}']
    assert client.is_open


def test_namespaces_share_a_connection_and_have_sockets_of_their_own(world: World) -> None:
    chat = world.hub.of("chat")
    client = world.client()
    first, second = client.join(), client.join("/chat", auth={"a": 1})
    assert first.id != second.id
    assert first.namespace is world.main and second.namespace is chat and second.nsp is chat
    assert first.conn is second.conn
    assert first.handshake.auth == {} and second.handshake.auth == {"a": 1}
    second.emit("hi", 1)
    assert client.said() == ['2/chat,["hi",1]']


def test_a_client_may_use_a_namespace_without_the_main_one(world: World) -> None:
    world.hub.of("/chat")
    client = world.client()
    client.say("0/chat")
    assert client.said()[0].startswith('0/chat,{"sid":"')


# -- middleware ---------------------------------------------------------------------------------------------------------------


def test_middleware_runs_in_order_before_the_reply_with_the_socket_not_connected(world: World) -> None:
    seen: list[Any] = []

    @world.main.use
    def first(socket: Socket) -> None:
        seen.append(("first", socket.connected, socket.disconnected, len(world.main), client.said()))

    @world.main.use
    def second(socket: Socket, next: Next) -> None:
        seen.append("second")
        next()

    world.main.on("connection", lambda socket: seen.append("connected"))
    client = world.client()
    client.say("0")
    assert seen == [("first", False, True, 0, []), "second", "connected"]


def test_a_refusal_tells_message_and_data_and_skips_the_rest(world: World) -> None:
    seen: list[str] = []

    @world.main.use
    def refuse(socket: Socket) -> None:
        raise ConnectRefused("not authorized", data={"content": "Please retry later"})

    world.main.use(lambda socket: seen.append("never"))
    world.main.on("connection", lambda socket: seen.append("never"))
    world.main.event("disconnect", lambda socket, reason: seen.append("never"))
    client = world.client()
    client.say("0")
    assert client.said() == ['4{"message":"not authorized","data":{"content":"Please retry later"}}']
    assert client.is_open and seen == []


def test_a_refused_client_may_try_again_on_the_same_connection(world: World) -> None:
    @world.main.use
    def check(socket: Socket) -> None:
        if not socket.handshake.auth.get("token"):
            raise ConnectRefused("no")

    client = world.client()
    client.say("0")
    assert client.said() == ['4{"message":"no"}']
    assert client.join(auth={"token": 1}).connected


def test_next_refuses_too(world: World) -> None:
    world.main.use(lambda socket, next: next(ConnectRefused("no", data=[1])))
    client = world.client()
    client.say("0")
    assert client.said() == ['4{"message":"no","data":[1]}']


def test_next_may_be_any_second_required_parameter_or_one_of_that_name(world: World) -> None:
    seen: list[str] = []

    def by_position(socket: Socket, go_on: Next) -> None:
        seen.append("position")
        go_on()

    def by_keyword(socket: Socket, *, next: Next) -> None:
        seen.append("keyword")
        next()

    def far(socket: Socket, other: int = 1, next: Next = print) -> None:
        seen.append(f"far {other}")
        next()

    def without(socket: Socket, optional: int = 1, *more: object, **named: object) -> None:
        seen.append(f"without {optional}{more}{named}")

    class Guard:
        def check(self, socket: Socket, next: Next) -> None:
            seen.append("method")
            next()

        def __call__(self, socket: Socket) -> None:
            seen.append("object")

    for fn in (by_position, by_keyword, far, without, Guard().check, Guard()):
        assert world.main.use(fn) is fn
    world.client().join()
    assert seen == ["position", "keyword", "far 1", "without 1(){}", "method", "object"]


def test_next_may_be_called_later_and_events_wait_until_then(world: World) -> None:
    later: list[Next] = []
    seen: list[Any] = []
    world.main.use(lambda socket, next: later.append(next))
    world.main.use(lambda socket: seen.append("second"))
    world.main.event("hello", lambda socket, n: seen.append(n))
    client = world.client()
    client.say("0", '2["hello",1]', '2["hello",2]')
    assert (client.said(), seen, client.connection.queued) == ([], [], 2)
    later[0]()
    later[0](ConnectRefused("ignored: the first call counts"))
    world.driver.settle()
    client.say('2["hello",3]')
    assert len(client.said()) == 1
    assert seen == ["second", 1, 2, 3]


def test_a_second_next_is_ignored(world: World) -> None:
    seen: list[str] = []

    @world.main.use
    def twice(socket: Socket, next: Next) -> None:
        next()
        next(ConnectRefused("too late"))

    world.main.use(lambda socket: seen.append("once"))
    assert world.client().join().connected
    assert seen == ["once"]


def test_a_refusal_by_a_late_next_drops_the_events_that_waited(world: World) -> None:
    later: list[Next] = []
    world.main.use(lambda socket, next: later.append(next))
    client = world.client()
    client.say("0", '2["hello",1]')
    later[0](ConnectRefused("no"))
    world.driver.settle()
    assert client.said() == ['4{"message":"no"}']


def test_a_next_that_is_never_called_refuses_after_connect_timeout(world: World) -> None:
    world.main.use(lambda socket, next: None)
    client = world.client()
    world.driver.advance(10)
    client.say("0")
    world.driver.advance(44)
    assert client.said() == []
    world.driver.advance(1)
    (answer,) = client.said()
    assert answer.startswith('4{"message":"') and client.is_open


def test_a_next_after_the_time_out_does_nothing(world: World) -> None:
    later: list[Next] = []
    world.main.use(lambda socket, next: later.append(next))
    client = world.client()
    client.say("0")
    world.driver.advance(46)
    client.said()
    later[0]()
    world.driver.settle()
    assert client.said() == [] and len(world.main) == 0


@pytest.mark.parametrize("error", [KeyError("secret"), SystemExit(3), ValueError("secret")])
def test_any_other_exception_is_logged_and_not_told(world: World, error: BaseException, caplog: pytest.LogCaptureFixture) -> None:
    @world.main.use
    def broken(socket: Socket) -> None:
        raise error

    client = world.client()
    client.say("0")
    assert client.said() == ['4{"message":"internal server error"}']
    assert caplog.records[0].exc_info is not None and caplog.records[0].exc_info[1] is error


def test_returning_false_refuses(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.main.use(lambda socket: False)
    client = world.client()
    client.say("0")
    assert client.said() == ['4{"message":"refused"}']
    assert caplog.records == []


@pytest.mark.parametrize("value", [True, "yes", 0])
def test_returning_another_value_refuses_with_a_hint(world: World, value: object, caplog: pytest.LogCaptureFixture) -> None:
    world.main.use(lambda socket: value)
    client = world.client()
    client.say("0")
    assert client.said() == ['4{"message":"refused"}']
    assert "ConnectRefused" in caplog.text and repr(value) in caplog.text


def test_refusal_data_that_cannot_be_sent_is_logged(world: World, caplog: pytest.LogCaptureFixture) -> None:
    @world.main.use
    def refuse(socket: Socket) -> None:
        raise ConnectRefused("no", data=object())

    client = world.client()
    client.say("0")
    assert client.said() == ['4{"message":"internal server error"}']
    assert "cannot be sent" in caplog.text


def test_an_emit_in_middleware_goes_out_before_the_reply(world: World) -> None:
    world.main.use(lambda socket: socket.emit("session", 1))
    client = world.client()
    client.say("0")
    first, second = client.said()
    assert first == '2["session",1]' and second.startswith('0{"sid"')


def test_call_in_middleware_raises_at_once(world: World) -> None:
    seen: list[str] = []

    @world.main.use
    def ask(socket: Socket) -> None:
        with pytest.raises(Disconnected, match="not connected yet"):
            socket.call("question")
        seen.append("raised")

    world.client().join()
    assert seen == ["raised"]


def test_rooms_joined_in_middleware_are_reached_once_connected(world: World) -> None:
    @world.main.use
    def join(socket: Socket) -> None:
        socket.join(["a", "b"])
        socket.leave("b")
        assert socket.rooms == {socket.id, "a"}
        world.main.to("a").emit("too early")

    client = world.client()
    socket = client.join()
    assert socket.rooms == {socket.id, "a"}
    world.main.to("a").emit("now")
    assert client.said() == ['2["now"]']


def test_rooms_joined_in_middleware_are_left_on_refusal(world: World) -> None:
    kept: list[Socket] = []

    @world.main.use
    def refuse(socket: Socket) -> None:
        kept.append(socket)
        socket.join("a")
        raise ConnectRefused("no")

    client = world.client()
    client.say("0")
    client.said()
    kept[0].join("b")
    world.main.to(["a", "b"]).emit("x")
    kept[0].emit("x")
    assert client.said() == [] and kept[0].rooms == set()


def test_a_client_that_leaves_while_middleware_runs_triggers_nothing(world: World) -> None:
    later: list[Next] = []
    seen: list[str] = []
    world.main.use(lambda socket, next: later.append(next))
    world.main.use(lambda socket: seen.append("middleware"))
    world.main.on("connection", lambda socket: seen.append("connection"))
    world.main.event("disconnecting", lambda socket: seen.append("disconnecting"))
    world.main.event("disconnect", lambda socket: seen.append("disconnect"))
    client = world.client()
    client.say("0", '2["hello"]')
    client.drop()
    later[0]()
    world.driver.settle()
    other = world.client()
    other.say("0")
    other.say("1")
    later[1]()
    world.driver.settle()
    assert seen == [] and other.is_open


def test_only_the_middleware_of_the_namespace_runs(world: World) -> None:
    seen: list[str] = []
    world.main.use(lambda socket: seen.append("main"))
    world.hub.of("/chat").use(lambda socket: seen.append("chat"))
    client = world.client()
    client.join("/chat")
    assert seen == ["chat"]


def test_disconnect_in_middleware_refuses(world: World) -> None:
    world.main.use(lambda socket: socket.disconnect())
    client = world.client()
    client.say("0")
    assert client.said() == ['4{"message":"refused"}']
    assert len(world.main) == 0


# -- admitted middleware -------------------------------------------------------------------------------------------------------


def test_admitted_middleware_runs_last_with_the_socket_in_its_rooms(world: World) -> None:
    seen: list[Any] = []

    @world.main.use(admitted=True)
    def late(socket: Socket) -> None:
        seen.append(("late", socket.connected))
        world.main.to(["a", socket.id]).emit("early bird")
        world.main.emit("all")

    @world.main.use
    def early(socket: Socket) -> None:
        seen.append("early")
        socket.join("a")

    client = world.client()
    client.say("0")
    assert seen == ["early", ("late", False)]
    first, second, third = client.said()
    assert (first, second) == ('2["early bird"]', '2["all"]') and third.startswith("0{")


def test_admitted_middleware_may_still_refuse(world: World) -> None:
    @world.main.use(admitted=True)
    def late(socket: Socket) -> None:
        socket.join("a")
        assert len(world.main) == 1
        raise ConnectRefused("after all")

    client = world.client()
    client.say("0")
    assert client.said() == ['4{"message":"after all"}']
    world.main.emit("x")
    world.main.to("a").emit("x")
    assert client.said() == [] and len(world.main) == 0


# -- connect_timeout ----------------------------------------------------------------------------------------------------------


def test_a_connection_that_joins_nothing_is_closed(world: World) -> None:
    client = world.client()
    world.driver.advance(44)
    assert client.is_open
    world.driver.advance(1)
    assert not client.is_open


def test_a_refused_connect_does_not_stop_that_clock(world: World) -> None:
    client = world.client()
    client.say("0/nope,")
    world.driver.advance(45)
    assert not client.is_open


def test_joining_any_namespace_stops_it_for_good(world: World) -> None:
    world.hub.of("/chat")
    client = world.client()
    client.join("/chat")
    client.say("1/chat,")
    world.driver.advance(1000)
    assert client.is_open


def test_a_failing_connection_handler_keeps_the_client_and_the_others(world: World, caplog: pytest.LogCaptureFixture) -> None:
    seen: list[Any] = []

    @world.main.on("connection")
    def broken(socket: Socket) -> None:
        socket.on("error", lambda error: seen.append(("error", str(error))))
        raise RuntimeError("oops")

    world.main.on("connection", lambda socket: seen.append("second"))
    world.main.on_error(lambda error, socket, event, args: seen.append((event, args)))
    assert world.client().join().connected
    assert seen == [("connection", []), ("error", "oops"), "second"]
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


def test_once_on_a_namespace_hears_one_client(world: World) -> None:
    seen: list[str] = []
    world.main.once("connection", lambda socket: seen.append("once"))
    for _ in range(3):
        world.client().join()
    assert seen == ["once"]
