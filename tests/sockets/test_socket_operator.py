"""`socket.volatile`, `.compress()`, `.timeout()`: what they change, that they leak nowhere, and how every ack ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sync_sio.errors import AckTimeout, Disconnected, SyncSioError
from sync_sio.sockets import core as core_module
from sync_sio.sockets.socket import Socket

from .fakes import Client, World


@pytest.fixture
def client(world: World) -> Client:
    client = world.client()
    client.join()
    return client


@pytest.fixture
def socket(world: World, client: Client) -> Socket:
    return next(iter(world.main))


class Told:
    """An ack callback that remembers."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def __call__(self, *args: Any) -> None:
        self.calls.append(args)

    @property
    def errors(self) -> list[type]:
        return [type(args[0]) for args in self.calls]


def waits(socket: Socket) -> int:
    return len(socket._core.acks or ())


def test_flags_hold_for_the_operator_they_are_given_to_and_leak_nowhere(client: Client, socket: Socket) -> None:
    volatile = socket.volatile
    volatile.compress(False).emit("both")
    volatile.emit("volatile")
    socket.compress(False).send("plain text")
    socket.emit("plain")
    sent = [(mode, parcel.may_compress) for mode, parcel in zip(client.connection.modes[1:], client.connection.parcels[1:], strict=True)]
    assert sent == [("drop", False), ("drop", True), ("wait", False), ("wait", True)]
    assert client.said() == ['2["both"]', '2["volatile"]', '2["message","plain text"]', '2["plain"]']


def test_flags_go_along_into_a_broadcast_without_the_sender(world: World, client: Client, socket: Socket) -> None:
    other = world.client()
    other.join().join("a")
    for operator in (
        socket.volatile.broadcast,
        socket.volatile.to("a"),
        socket.volatile.in_(["a"]),
        socket.volatile.except_("b"),
        socket.local.volatile,
        socket.volatile.local,
    ):
        operator.emit("x")
        assert other.said() == ['2["x"]']
        assert other.connection.modes[-1] == "drop"
        assert client.said() == []


def test_a_volatile_event_is_dropped_for_who_cannot_take_it_and_later_ones_arrive(client: Client, socket: Socket) -> None:
    client.connection.is_full = True
    socket.volatile.emit("lost", b"with an attachment")
    socket.emit("kept")
    client.connection.is_full = False
    socket.volatile.emit("taken")
    assert client.said() == ['2["kept"]', '2["taken"]']


def test_a_dropped_volatile_event_leaves_nobody_waiting(world: World, client: Client, socket: Socket) -> None:
    before = world.driver.audit()
    client.connection.is_full = True
    without_error, with_error = Told(), Told()
    socket.volatile.emit("x", ack=without_error)
    socket.volatile.timeout(5).emit("x", ack=with_error)
    assert waits(socket) == client.connection.owed_acks == 0
    world.driver.settle()
    assert without_error.calls == []
    assert with_error.errors == [AckTimeout]
    with pytest.raises(AckTimeout, match="volatile"):
        socket.volatile.call("x")
    assert world.driver.audit() == before


def test_a_timed_ack_gets_no_error_and_the_response(world: World, client: Client, socket: Socket) -> None:
    told = Told()
    socket.timeout(5).emit("x", 1, ack=told)
    assert client.said() == ['20["x",1]']
    client.say("30[1,[2]]", "30[3]")
    assert told.calls == [(None, 1, [2])]
    world.driver.advance(10)
    assert told.calls == [(None, 1, [2])]


@pytest.mark.parametrize("seconds", [0, 0.5, 5])
def test_a_timed_ack_that_does_not_come_is_told_and_a_late_one_ignored(
    world: World, client: Client, socket: Socket, seconds: float
) -> None:
    told = Told()
    socket.timeout(seconds).emit("x", ack=told)
    world.driver.advance(seconds)
    assert told.errors == [AckTimeout]
    assert waits(socket) == client.connection.owed_acks == 0
    client.say("30[1]")
    assert len(told.calls) == 1


@pytest.mark.parametrize("leave", ["drop", "41", "disconnect"])
def test_a_timed_ack_hears_at_once_that_the_client_went(world: World, client: Client, socket: Socket, leave: str) -> None:
    told, untimed = Told(), Told()
    socket.timeout(5).emit("x", ack=told)
    socket.emit("x", ack=untimed)
    if leave == "drop":
        client.drop()
    elif leave == "41":
        client.say("41")
    else:
        socket.disconnect()
        world.driver.settle()
    assert told.errors == [Disconnected]
    assert told.calls[0][0].reason == socket._core.reason
    world.driver.advance(60)
    assert len(told.calls) == 1
    assert untimed.calls == []


def test_a_timed_ack_of_somebody_gone_or_being_closed_is_told_so(world: World, client: Client, socket: Socket) -> None:
    closing, gone = Told(), Told()
    client.connection.ready_state = "closing"
    socket.timeout(5).emit("x", ack=closing)
    socket.volatile.timeout(5).emit("x", ack=closing)
    assert waits(socket) == 0
    client.connection.ready_state = "open"
    socket.disconnect()
    socket.timeout(5).emit("x", ack=gone)
    world.driver.settle()
    assert closing.errors == [Disconnected, Disconnected]
    assert gone.errors == [Disconnected]


def test_a_function_that_needs_a_response_gets_none_beside_an_error(world: World, client: Client, socket: Socket) -> None:
    calls: list[Any] = []

    def two(error: Exception | None, value: Any) -> None:
        calls.append((type(error), value))

    def one(error: Exception | None) -> None:
        calls.append(type(error))

    for fn in (two, one):
        socket.timeout(0).emit("x", ack=fn)
    world.driver.advance(0)
    assert calls == [(AckTimeout, None), AckTimeout]


def test_ack_callbacks_run_beside_the_strand_and_one_that_raises_is_told_as_a_handlers_error(
    world: World, client: Client, socket: Socket, caplog: pytest.LogCaptureFixture
) -> None:
    errors: list[BaseException] = []
    socket.on("error", errors.append)

    def failing(*args: Any) -> None:
        raise RuntimeError("on purpose")

    socket.timeout(5).emit("x", ack=failing)
    socket.timeout(0).emit("x", ack=failing)
    client.say("30[]")
    world.driver.advance(0)
    assert [str(error) for error in errors] == ["on purpose", "on purpose"]


def test_the_keyword_of_call_beats_timeout_and_without_both_it_is_a_minute(world: World, socket: Socket) -> None:
    def after(call: Callable[[], Any]) -> float:
        begun = world.driver.time
        with pytest.raises(AckTimeout):
            call()
        return world.driver.time - begun

    assert after(lambda: socket.timeout(7).call("x")) == 7
    assert after(lambda: socket.timeout(7).call("x", timeout=3)) == 3
    assert after(lambda: socket.compress(False).call("x")) == 60
    assert after(lambda: socket.call("x")) == 60
    assert after(lambda: socket.timeout(0).call("x")) == 0


def test_an_operators_call_returns_the_answer(world: World, client: Client, socket: Socket) -> None:
    world.meanwhile(lambda: client.say('30["a",1]'))
    assert socket.volatile.timeout(5).call("x") == ("a", 1)


@pytest.mark.parametrize("wrong", [-1, float("nan"), 1e10, "5", True, None])
def test_a_timeout_is_a_number_of_seconds(socket: Socket, wrong: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="seconds"):
        socket.timeout(wrong)
    if wrong is not None:
        with pytest.raises((TypeError, ValueError), match="seconds"):
            socket.call("x", timeout=wrong)


@pytest.mark.parametrize("name", ["connect", "disconnecting"])
def test_operators_refuse_reserved_names(socket: Socket, name: str) -> None:
    for use in (socket.volatile.emit, socket.timeout(5).call, socket.compress(True).emit):
        with pytest.raises(ValueError, match="reserved"):
            use(name)
    with pytest.raises(ValueError, match="reserved"):
        socket.timeout(5).emit(name, ack=print)


def test_what_cannot_be_sent_leaves_no_ack_and_no_timer(world: World, client: Client, socket: Socket) -> None:
    with pytest.raises(TypeError):
        socket.timeout(5).emit("x", object(), ack=print)
    with pytest.raises(TypeError):
        socket.timeout(5).emit("x", ack="no function")  # type: ignore[arg-type]
    assert waits(socket) == 0
    assert client.said() == []


def test_acks_of_a_client_are_bounded(world: World, client: Client, socket: Socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core_module, "MAX_PENDING_ACKS", 2)
    for _ in range(2):
        socket.timeout(5).emit("x", ack=Told())
    client.said()
    with pytest.raises(SyncSioError, match="2 acknowledgements"):
        socket.timeout(5).emit("x", ack=Told())
    assert client.said() == []
    world.driver.advance(5)
    assert waits(socket) == client.connection.owed_acks == 0


def test_answers_that_wait_for_their_callbacks_count_too(
    world: World, client: Client, socket: Socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(core_module, "MAX_PENDING_ACKS", 2)
    for _ in range(2):
        socket.emit("x", ack=Told())
    client.say_only("30[]")
    with pytest.raises(SyncSioError, match="2 acknowledgements"):
        socket.emit("x", ack=Told())
    assert client.connection.queued == 0        # and the client is not blamed for them
    world.driver.settle()
    socket.emit("x", ack=Told())
    assert waits(socket) == 2
