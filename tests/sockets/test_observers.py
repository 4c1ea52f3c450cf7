"""Catch-all listeners: who sees what, in which order, and what a failing one does."""

from __future__ import annotations

from typing import Any

import pytest

from sync_sio.sockets.socket import Socket

from .fakes import World


def test_a_catch_all_listener_sees_each_event_before_middleware_and_handlers(world: World) -> None:
    client = world.client()
    socket = client.join()
    seen: list[Any] = []
    socket.on_any(lambda event, *args: seen.append(("any", event, args)))
    socket.use(lambda packet: seen.append(("use", packet[0])))
    socket.on("known", lambda *args: seen.append(("on", *args)))
    client.say('2["known",1,[2]]', '2["unknown"]')
    assert seen == [("any", "known", (1, [2])), ("use", "known"), ("on", 1, [2]), ("any", "unknown", ()), ("use", "unknown")]


def test_catch_all_listeners_run_in_order_and_can_be_put_first(world: World) -> None:
    client = world.client()
    socket = client.join()
    seen: list[str] = []

    @socket.on_any
    def second(*args: Any) -> None:
        seen.append("second")

    @socket.prepend_any()
    def first(*args: Any) -> None:
        seen.append("first")

    assert socket.listeners_any() == [first, second]
    client.say('2["x"]')
    assert seen == ["first", "second"]


def test_off_any_removes_the_first_of_two_equal_ones_or_all(world: World) -> None:
    socket = world.client().join()
    for fn in (print, len, print):
        socket.on_any(fn)
        socket.on_any_outgoing(fn)
    socket.off_any(print)
    socket.off_any_outgoing(print)
    socket.off_any(max)
    assert socket.listeners_any() == socket.listeners_any_outgoing() == [len, print]
    socket.off_any()
    socket.off_any_outgoing()
    assert socket.listeners_any() == socket.listeners_any_outgoing() == []


def test_a_listener_that_is_removed_while_an_event_runs_still_sees_that_event(world: World) -> None:
    client = world.client()
    socket = client.join()
    seen: list[int] = []

    def last(*args: Any) -> None:
        seen.append(1)

    socket.on_any(lambda *args: socket.off_any())
    socket.on_any(last)
    client.say('2["x"]', '2["x"]')
    assert seen == [1]


def test_a_clients_own_error_event_reaches_catch_all_listeners_only(world: World) -> None:
    client = world.client()
    socket = client.join()
    seen: list[Any] = []
    socket.on("error", lambda error: seen.append("error"))
    socket.on_any(lambda *args: seen.append(args))
    client.say('2["error","mine"]')
    assert seen == [("error", "mine")]


def test_a_failing_catch_all_listener_is_an_error_and_stops_nothing(world: World, caplog: pytest.LogCaptureFixture) -> None:
    client = world.client()
    socket = client.join()
    seen: list[Any] = []
    socket.on("error", lambda error: seen.append(str(error)))

    @socket.on_any
    def failing(*args: Any) -> None:
        raise ValueError("on purpose")

    socket.on("x", lambda: "done")
    client.say('21["x"]')
    assert seen == ["on purpose"]
    assert client.said() == ['31["done"]']
    assert "a handler of 'x' failed" in caplog.text


def test_acknowledgements_are_no_events(world: World) -> None:
    client = world.client()
    socket = client.join()
    seen: list[Any] = []
    socket.on_any(lambda *args: seen.append(args))
    socket.on_any_outgoing(lambda *args: seen.append(args))
    socket.on("ask", lambda: "answer")
    socket.emit("question", ack=lambda *args: None)
    client.say('30["x"]', '21["ask"]')
    assert seen == [("question",), ("ask",)]


def outgoing(socket: Socket) -> list[Any]:
    seen: list[Any] = []
    socket.on_any_outgoing(lambda *args: seen.append(args))
    return seen


def test_an_outgoing_listener_sees_emits_and_the_broadcasts_that_reach_its_socket(world: World) -> None:
    one, two = world.client().join(), world.client().join()
    seen, other = outgoing(one), outgoing(two)
    one.join("room")
    one.emit("a", b"bytes", {"deep": [b"x"]})
    one.volatile.emit("b")
    one.timeout(1).emit("c", ack=lambda *args: None)
    world.main.emit("d", 1)
    world.main.to("room").emit("e")
    one.broadcast.emit("f")
    world.main.emit("g", ack=lambda *args: None)
    world.driver.advance(100)
    assert seen == [("a", b"bytes", {"deep": [b"x"]}), ("b",), ("c",), ("d", 1), ("e",), ("g",)]
    assert other == [("d", 1), ("f",), ("g",)]


def test_what_is_not_sent_is_not_seen(world: World) -> None:
    client = world.client()
    socket = client.join()
    seen = outgoing(socket)
    with pytest.raises(TypeError):
        socket.emit("x", object())
    client.connection.ready_state = "closing"
    socket.emit("y")
    world.main.emit("z")
    client.connection.ready_state = "open"
    assert seen == []


def test_a_failing_outgoing_listener_is_logged_and_fails_no_emit(world: World, caplog: pytest.LogCaptureFixture) -> None:
    client = world.client()
    socket = client.join()

    @socket.on_any_outgoing
    def failing(*args: Any) -> None:
        raise ValueError("on purpose")

    seen = outgoing(socket)
    socket.emit("x")
    world.main.emit("y")
    assert client.said() == ['2["x"]', '2["y"]']
    assert seen == [("x",), ("y",)]
    assert caplog.text.count("a listener of on_any_outgoing failed") == 2


def test_listeners_may_emit_and_change_listeners(world: World) -> None:
    client = world.client()
    socket = client.join()

    @socket.on_any_outgoing
    def once(event: str, *args: Any) -> None:
        socket.off_any_outgoing(once)
        socket.emit("more")

    socket.emit("x")
    assert client.said() == ['2["x"]', '2["more"]']


def test_async_listeners_are_refused(world: World) -> None:
    socket = world.client().join()

    async def later(*args: Any) -> None: ...

    for register in (socket.on_any, socket.prepend_any, socket.on_any_outgoing, socket.prepend_any_outgoing):
        with pytest.raises(TypeError, match="is async"):
            register(later)
