"""From an event to its acknowledgement: order, results, arguments, errors, contexts, packet middleware."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, NamedTuple

import pytest

from sync_sio.errors import SlowConsumer, WrongArguments
from sync_sio.sockets.acks import Ack
from sync_sio.sockets.socket import Socket

from .fakes import World

Next = Callable[..., None]


class Point(NamedTuple):
    x: int
    y: int


@pytest.mark.parametrize(
    ("result", "answer"),
    [
        (None, "37[]"),
        ((), "37[]"),
        ((None,), "37[null]"),
        ("got it", '37["got it"]'),
        ((1, "two"), '37[1,"two"]'),
        ([1, 2], "37[[1,2]]"),
        (Point(1, 2), "37[[1,2]]"),
        (False, "37[false]"),
        (0, "37[0]"),
        ({"a": None}, '37[{"a":null}]'),
    ],
)
def test_the_result_is_the_acknowledgement(world: World, result: object, answer: str) -> None:
    client = world.client()
    client.join().on("ask", lambda: result)
    client.say('27["ask"]')
    assert client.said() == [answer]


def test_an_acknowledgement_may_be_binary(world: World) -> None:
    client = world.client()
    client.join().on("ask", lambda data: {"back": data})
    client.say('51-27["ask",{"_placeholder":true,"num":0}]'.replace("-27", "-7"), b"\x01\x02")
    assert client.said() == ['61-7[{"back":{"_placeholder":true,"num":0}}]', b"\x01\x02"]


def test_nothing_is_acknowledged_that_the_client_did_not_ask_for(world: World) -> None:
    client = world.client()
    client.join().on("tell", lambda: "ignored")
    client.say('2["tell"]')
    assert client.said() == []


def test_no_handler_no_acknowledgement(world: World) -> None:
    client = world.client()
    client.join()
    client.say('21["nobody"]')
    assert client.said() == []


def test_all_handlers_run_and_the_first_result_that_is_not_none_counts(world: World) -> None:
    seen: list[str] = []
    client = world.client()
    socket = client.join()
    world.main.event("ask", lambda socket: seen.append("shared"))
    socket.on("ask", lambda: seen.append("own") or "first")  # type: ignore[func-returns-value]
    socket.on("ask", lambda: seen.append("last") or "second")  # type: ignore[func-returns-value]
    client.say('21["ask"]')
    assert seen == ["shared", "own", "last"]
    assert client.said() == ['31["first"]']


# -- `ack` --------------------------------------------------------------------------------------------------------------------


def test_a_parameter_named_ack_may_be_called_later_and_once(world: World) -> None:
    kept: list[Ack] = []

    def ask(value: int, ack: Ack) -> str:
        kept.append(ack)
        return "ignored"

    client = world.client()
    client.join().on("ask", ask)
    client.say('25["ask",1]')
    assert client.said() == [] and kept[0].requested
    kept[0]("late", 2)
    kept[0]("again")
    assert client.said() == ['35["late",2]']


def test_ack_without_a_request_is_a_no_op(world: World) -> None:
    seen: list[bool] = []

    def ask(ack: Ack) -> None:
        ack("unheard")
        seen.append(ack.requested)

    client = world.client()
    client.join().on("ask", ask)
    client.say('2["ask"]')
    assert client.said() == [] and seen == [False]


def test_ack_is_found_wherever_it_stands(world: World) -> None:
    seen: list[Any] = []

    def first(ack: Ack, a: int, b: int = 0) -> None:
        seen.append(("first", a, b))
        ack()

    def optional(a: int, b: int = 0, ack: Ack | None = None) -> None:
        seen.append(("optional", a, b))
        assert ack is not None
        ack()

    def keyword(*args: int, ack: Ack) -> None:
        seen.append(("keyword", *args))
        ack()

    def only(ack: Ack, a: int, /) -> None:
        seen.append(("only", a))
        ack()

    def shared(socket: Socket, a: int, ack: Ack, b: int = 0) -> None:
        seen.append(("shared", a, b))
        ack()

    client = world.client()
    socket = client.join()
    for fn in (first, optional, keyword, only):
        socket.on(fn.__name__, fn)
        client.say(f'21["{fn.__name__}",1]')
    world.main.event(shared)
    client.say('21["shared",1]', '21["shared",1,2]', '21["first",1,2]', '21["keyword"]')
    assert seen == [
        ("first", 1, 0),
        ("optional", 1, 0),
        ("keyword", 1),
        ("only", 1),
        ("shared", 1, 0),
        ("shared", 1, 2),
        ("first", 1, 2),
        ("keyword",),
    ]
    assert client.said() == ["31[]"] * 8


def test_ack_and_a_result_of_another_handler_answer_once(world: World) -> None:
    kept: list[Ack] = []
    client = world.client()
    socket = client.join()

    def late(ack: Ack) -> None:
        kept.append(ack)

    socket.on("ask", late)
    socket.on("ask", lambda: "result")
    client.say('21["ask"]')
    kept[0]("late")
    assert client.said() == ['31["result"]']


def test_what_ack_cannot_send_raises_at_its_caller_and_may_be_mended(world: World) -> None:
    kept: list[Ack] = []

    def ask(ack: Ack) -> None:
        kept.append(ack)

    client = world.client()
    client.join().on("ask", ask)
    client.say('21["ask"]')
    with pytest.raises(TypeError):
        kept[0](object())
    kept[0]("mended")
    assert client.said() == ['31["mended"]']


def test_a_late_ack_after_the_end_does_nothing(world: World) -> None:
    kept: list[Ack] = []

    def ask(ack: Ack) -> None:
        kept.append(ack)

    client = world.client()
    client.join().on("ask", ask)
    client.say('21["ask"]', "1")
    kept[0]("late")
    assert client.said() == []


# -- arguments ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("event", ['["two",1]', '["two",1,2,3]', '["two"]'])
def test_wrong_arguments_are_an_error_and_no_crash(world: World, event: str) -> None:
    seen: list[Any] = []

    def two(a: int, b: int) -> None:
        seen.append("called")

    client = world.client()
    socket = client.join()
    socket.on("two", two)
    socket.on("error", seen.append)
    socket.on("next", lambda: seen.append("next"))
    client.say("21" + event, '2["next"]')
    error, then = seen
    assert isinstance(error, WrongArguments) and isinstance(error, TypeError)
    assert "'two'" in str(error) and "takes 2" in str(error)
    assert then == "next" and client.said() == [] and client.is_open


def test_a_type_error_inside_a_handler_is_no_wrong_arguments(world: World) -> None:
    seen: list[Any] = []

    def handler(a: int) -> None:
        raise TypeError("handler() missing 1 required positional argument")

    client = world.client()
    socket = client.join()
    socket.on("x", handler)
    socket.on("error", seen.append)
    client.say('2["x",1]')
    assert type(seen[0]) is TypeError


def test_arguments_are_checked_against_the_outermost_callable(world: World) -> None:
    seen: list[Any] = []

    def inner(a: int) -> None:
        seen.append(a)

    @functools.wraps(inner)
    def outer(*args: Any) -> None:
        seen.append(args)

    client = world.client()
    socket = client.join()
    socket.on("wrapped", outer)
    socket.on("partial", functools.partial(inner, 7))
    socket.on("builtin", seen.append)
    socket.on("error", lambda error: seen.append(type(error)))
    client.say('2["wrapped",1,2]', '2["partial"]', '2["partial",1]', '2["builtin",3]', '2["builtin"]')
    assert seen == [(1, 2), 7, WrongArguments, 3, WrongArguments]


def test_a_callable_without_a_signature_is_not_checked(world: World) -> None:
    client = world.client()
    socket = client.join()
    socket.on("x", max)
    client.say('21["x",1,5,3]')
    assert client.said() == ["31[5]"]


def test_defaults_and_varargs_count(world: World) -> None:
    seen: list[Any] = []

    class Object:
        def method(self, a: int, b: int = 2, *more: int) -> None:
            seen.append((a, b, *more))

        def __call__(self, a: int) -> None:
            seen.append(a)

    client = world.client()
    socket = client.join()
    socket.on("x", Object().method)
    socket.on("y", Object())
    socket.on("error", lambda error: seen.append("error"))
    client.say('2["x"]', '2["x",1]', '2["x",1,3,4,5]', '2["y",1]', '2["y"]')
    assert seen == ["error", (1, 2), (1, 3, 4, 5), 1, "error"]


# -- errors -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [ValueError("oops"), SystemExit(1), KeyboardInterrupt()])
def test_an_exception_is_logged_reported_and_emitted_and_nothing_else(
    world: World, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[Any] = []

    def broken(*args: Any) -> None:
        raise error

    client = world.client()
    socket = client.join()
    socket.on("x", broken)
    socket.on("x", lambda *args: seen.append("other") or "result")  # type: ignore[func-returns-value]
    socket.on("error", lambda e: seen.append(("error", e)))
    world.main.event("error", lambda s, e: seen.append(("shared", s, e)))
    world.main.on_error(lambda e, s, event, args: seen.append(("namespace", e, s, event, args)))
    world.hub.on_error(lambda e, s, event, args: seen.append(("server", e, s, event, args)))
    client.say('21["x",1]', '22["x",2]')
    reported = [("server", error, socket, "x", [1]), ("namespace", error, socket, "x", [1])]
    assert seen[:5] == [*reported, ("shared", socket, error), ("error", error), "other"] and len(seen) == 10
    assert client.said() == [] and client.is_open
    first = caplog.records[0]
    assert first.levelno == logging.ERROR and first.exc_info is not None and first.exc_info[1] is error
    assert socket.id in first.getMessage() and "'x'" in first.getMessage()


def test_a_failing_error_handler_is_only_logged(world: World, caplog: pytest.LogCaptureFixture) -> None:
    seen: list[str] = []

    def worse(*args: object) -> None:
        seen.append("worse")
        raise RuntimeError("worse")

    client = world.client()
    socket = client.join()
    socket.on("x", lambda: 1 / 0)
    socket.on("error", worse)
    world.main.on_error(worse)
    client.say('2["x"]')
    assert seen == ["worse", "worse"] and len(caplog.records) == 3 and client.is_open


def test_a_result_that_cannot_be_encoded_is_an_error(world: World) -> None:
    seen: list[Any] = []
    client = world.client()
    socket = client.join()
    socket.on("x", object)
    socket.on("x", lambda: object())
    socket.on("error", lambda error: seen.append(type(error)))
    client.say('21["x"]')
    assert client.said() == [] and seen == [TypeError]


def test_a_slow_client_is_no_error_of_the_handler(world: World, caplog: pytest.LogCaptureFixture) -> None:
    client = world.client()
    client.join().on("x", lambda: 1)
    client.connection.error = SlowConsumer("too slow")
    client.say('21["x"]')
    assert caplog.records == []


def test_a_clients_own_error_event_reaches_no_error_handler(world: World) -> None:
    seen: list[Any] = []
    client = world.client()
    client.join().on("error", seen.append)
    world.main.event("error", lambda socket, error: seen.append(error))
    client.say('2["error","forged"]', '21["error"]')
    assert seen == [] and client.said() == []


@pytest.mark.parametrize("name", ["disconnect", "disconnecting", "connect", "connection", "new_namespace"])
def test_clients_cannot_forge_what_only_the_server_tells(world: World, name: str) -> None:
    seen: list[str] = []
    world.client().join()
    for register in (world.main.on, world.main.event):
        for own in ("connection", "disconnect", "disconnecting", "new_namespace"):
            register(own, lambda *args: seen.append("forged"))
    client = world.client()
    client.join()
    seen.clear()
    core = next(iter(reversed(world.main.sockets.values())))._core
    from sync_sio.protocol.socketio.packet import EVENT, Packet

    client.receiver._sort(Packet(EVENT, "/", [name, {}, {}]), 10)       # as a parser that lets it through would
    world.driver.settle()
    assert seen == ([] if name != "new_namespace" else ["forged"])
    assert core.state.value == "connected"
    seen.clear()


# -- order and concurrency ----------------------------------------------------------------------------------------------------


def test_events_reach_handlers_one_at_a_time_in_order(world: World) -> None:
    seen: list[Any] = []
    client = world.client()
    socket = client.join()

    def first(n: int) -> None:
        seen.append(("begin", n))
        if n == 0:
            client.say('2["x",2]')          # arrives, and is worked on by whoever, while this one runs
        seen.append(("end", n))

    socket.on("x", first)
    client.say('2["x",0]', '2["x",1]')
    assert seen == [("begin", 0), ("end", 0), ("begin", 1), ("end", 1), ("begin", 2), ("end", 2)]


@pytest.mark.parametrize("where", ["socket", "namespace"])
def test_a_concurrent_event_does_not_wait_for_others(world: World, where: str) -> None:
    seen: list[str] = []
    client = world.client()
    socket = client.join()

    def slow() -> None:
        seen.append("slow begins")
        client.say('21["quick"]', '2["normal"]')
        seen.append("slow ends")

    socket.on("slow", slow)
    socket.on("normal", lambda: seen.append("normal"))
    if where == "socket":
        socket.on("quick", lambda: seen.append("quick") or 1, concurrent=True)  # type: ignore[func-returns-value]
    else:
        world.main.event("quick", lambda socket: seen.append("quick") or 1, concurrent=True)  # type: ignore[func-returns-value]
    client.say('2["slow"]')
    assert seen == ["slow begins", "quick", "slow ends", "normal"]
    assert client.said() == ["31[1]"]


def test_a_concurrent_event_waits_for_the_connection_handlers(world: World) -> None:
    seen: list[str] = []

    @world.main.on("connection")
    def connected(socket: Socket) -> None:
        client.say('2["quick"]')
        socket.on("quick", lambda: seen.append("quick"), concurrent=True)
        seen.append("connected")

    client = world.client()
    client.say("0")
    assert seen == ["connected", "quick"]


def test_off_ends_concurrency(world: World) -> None:
    seen: list[str] = []
    client = world.client()
    socket = client.join()
    socket.on("x", lambda: None, concurrent=True)
    world.main.event("y", lambda socket: None, concurrent=True)
    socket.off("x")
    world.main.off("y")
    socket.on("x", lambda: seen.append("x"))
    socket.on("y", lambda: seen.append("y"))

    def slow() -> None:
        client.say('2["x"]', '2["y"]')
        seen.append("slow ends")

    socket.on("slow", slow)
    client.say('2["slow"]')
    assert seen == ["slow ends", "x", "y"]


def test_once_runs_once(world: World) -> None:
    seen: list[int] = []
    client = world.client()
    socket = client.join()
    socket.once("x", seen.append)
    client.say('2["x",1]', '2["x",2]')
    assert seen == [1] and socket.listeners("x") == []


def test_handlers_removed_while_an_event_runs_still_see_it(world: World) -> None:
    seen: list[str] = []
    client = world.client()
    socket = client.join()

    def first() -> None:
        seen.append("first")
        socket.off()

    socket.on("x", first)
    socket.on("x", lambda: seen.append("second"))
    client.say('2["x"]', '2["x"]')
    assert seen == ["first", "second"]


def test_event_names_may_be_numbers(world: World) -> None:
    seen: list[int] = []
    client = world.client()
    client.join().on(7, seen.append)
    client.say("2[7,1]")
    assert seen == [1]


# -- contexts -----------------------------------------------------------------------------------------------------------------

user: ContextVar[str] = ContextVar("user", default="nobody")


def test_each_socket_has_a_context_of_its_own(world: World) -> None:
    seen: list[Any] = []

    @world.main.use
    def authenticate(socket: Socket) -> None:
        user.set(socket.handshake.auth["name"])

    @world.main.event
    def rename(socket: Socket, name: str) -> None:
        user.set(name)

    @world.main.event
    def who(socket: Socket) -> str:
        return user.get()

    @world.main.event("aside", concurrent=True)
    def aside(socket: Socket, name: str) -> str:
        before = user.get()
        user.set(name)
        return before

    world.main.event("disconnect", lambda socket: seen.append(user.get()))
    alice, bob = world.client(), world.client()
    socket = alice.join(auth={"name": "alice"})
    bob.join(auth={"name": "bob"})
    alice.say('21["who"]', '2["rename","anna"]', '22["who"]')
    bob.say('21["who"]')
    assert alice.said() == ['31["alice"]', '32["anna"]'] and bob.said() == ['31["bob"]']
    alice.say('23["aside","x"]', '24["who"]')
    assert sorted(map(str, alice.said())) == ['33["anna"]', '34["anna"]']

    def answered() -> None:
        seen.append(user.get())
        user.set("callback")

    socket.emit("q", ack=answered)
    alice.said()
    alice.say("30[]")
    alice.drop()
    assert seen == ["anna", "anna"] and user.get() == "nobody"


# -- packet middleware --------------------------------------------------------------------------------------------------------


def test_packet_middleware_sees_and_changes_the_event(world: World) -> None:
    seen: list[Any] = []
    client = world.client()
    socket = client.join()

    @socket.use
    def look(packet: list[Any]) -> None:
        seen.append(list(packet))
        packet[1] += 1
        packet.append("more")

    @socket.use
    def rename(packet: list[Any], next: Next) -> None:
        packet[0] = "y"
        next()

    socket.on("y", lambda *args: seen.append(args) or "ok")  # type: ignore[func-returns-value]
    client.say('29["x",1]')
    assert seen == [["x", 1], (2, "more")]
    assert client.said() == ['39["ok"]']


@pytest.mark.parametrize("by", ["raise", "next", "false"])
def test_a_refused_packet_fires_error_and_reaches_no_handler(world: World, by: str) -> None:
    seen: list[Any] = []
    client = world.client()
    socket = client.join()
    error = RuntimeError("no")

    def refuse(packet: list[Any], next: Next) -> Any:
        if packet[0] != "x":
            next()
        elif by == "raise":
            raise error
        elif by == "next":
            next(error)
        else:
            return False

    socket.use(refuse)
    socket.use(lambda packet: seen.append(("later", packet[0])))
    socket.on("x", lambda: seen.append("never"))
    socket.on("y", lambda: seen.append("y"))
    socket.on("error", lambda e: seen.append(("error", e)))
    client.say('21["x"]', '2["y"]')
    assert seen[1:] == [("later", "y"), "y"]
    assert seen[0] == ("error", error) or by == "false"
    assert client.said() == []


def test_a_packet_whose_next_comes_later_runs_then_and_others_pass(world: World) -> None:
    seen: list[str] = []
    later: list[Next] = []
    client = world.client()
    socket = client.join()

    @socket.use
    def delay(packet: list[Any], next: Next) -> None:
        if packet[0] == "x":
            later.append(next)
        else:
            next()

    socket.on("x", lambda: seen.append("x") or 1)  # type: ignore[func-returns-value]
    socket.on("y", lambda: seen.append("y"))
    client.say('21["x"]', '2["y"]')
    assert seen == ["y"]
    later[0]()
    later[0]()
    world.driver.settle()
    assert seen == ["y", "x"] and client.said() == ["31[1]"]


def test_a_late_next_after_the_end_does_nothing(world: World) -> None:
    seen: list[str] = []
    later: list[Next] = []
    client = world.client()
    socket = client.join()
    socket.use(lambda packet, next: later.append(next))
    socket.on("x", lambda: seen.append("x"))
    client.say('2["x"]', "1")
    later[0]()
    world.driver.settle()
    assert seen == []


def test_middleware_that_empties_a_packet_drops_it(world: World) -> None:
    client = world.client()
    socket = client.join()
    socket.use(lambda packet: packet.clear())
    socket.on("x", lambda: 1)
    client.say('21["x"]')
    assert client.said() == []


def test_acknowledgements_do_not_pass_packet_middleware(world: World) -> None:
    seen: list[Any] = []
    client = world.client()
    socket = client.join()
    socket.use(seen.append)
    socket.emit("q", ack=lambda value: seen.append(("ack", value)))
    client.say("30[5]")
    assert seen == [("ack", 5)]


# -- the mistake ----------------------------------------------------------------------------------------------------------------


def test_io_on_where_io_event_was_meant_warns_once(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.main.on("chat", lambda *args: None)
    client = world.client()
    client.join()
    for _ in range(3):
        client.say('2["chat","hi"]')
    client.say('2["unknown"]')
    (record,) = caplog.records
    assert "io.event" in record.getMessage() and "'chat'" in record.getMessage()


def test_io_on_of_the_end_warns_once(world: World, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(2):
        world.main.on("disconnect", lambda *args: None)
    (record,) = caplog.records
    assert "event('disconnect')" in record.getMessage()
