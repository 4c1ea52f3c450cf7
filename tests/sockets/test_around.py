"""`io.around`: what your functions run inside of; and sockets of a class of your own."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import pytest

from sync_sio import ConnectRefused, Server, Socket
from sync_sio.testing import ManualTime, TestClient

where: ContextVar[str] = ContextVar("where", default="outside")


class Surrounded:
    """A server whose functions note what they run inside of."""

    def __init__(self) -> None:
        self.io = Server()
        self.seen: list[tuple[str, str]] = []
        self.told: list[tuple[Any, Any, list[Any]]] = []
        self.threads: list[tuple[int, int]] = []
        self.open = 0
        self.io.around(self.around)

    @contextmanager
    def around(self, socket: Socket | None, event: Any, args: list[Any]) -> Iterator[None]:
        self.told.append((None if socket is None else socket.id, event, args))
        entered = threading.get_ident()
        token = where.set(str(event))
        self.open += 1
        try:
            yield
        finally:
            self.open -= 1
            where.reset(token)
            self.threads.append((entered, threading.get_ident()))

    def note(self, what: str) -> None:
        self.seen.append((what, where.get()))


@pytest.fixture
def site() -> Iterator[Surrounded]:
    site = Surrounded()
    yield site
    site.io.close()
    assert site.open == 0
    assert all(entered == left for entered, left in site.threads)


def test_it_is_around_everything_that_runs_for_a_client(site: Surrounded) -> None:
    io = site.io
    io.use(lambda socket: site.note("middleware"))
    io.event("disconnecting", lambda socket: site.note("disconnecting"))
    io.event("disconnect", lambda socket: site.note("disconnect"))
    io.event("first", lambda socket, *args: site.note("event"))
    io.event("beside", lambda socket: site.note("concurrent"), concurrent=True)

    done = threading.Event()

    def answered(answer: int) -> None:
        site.note(f"answer {answer}")
        done.set()

    @io.on("connection")
    def connected(socket: Socket) -> None:
        site.note("connection")
        socket.on_any(lambda event, *args: site.note("any"))
        socket.use(lambda packet: site.note("packet middleware"))
        socket.on("first", lambda *args: site.note("own"))

    with TestClient(io) as client:
        sid = client.id
        client.call("first", 1, "two")
        client.call("beside")
        client.on("question", lambda: 5)
        client.socket.emit("question", ack=answered)
        assert done.wait(5)
    assert sorted(site.seen) == sorted([
        ("middleware", "middleware"), ("connection", "connection"),
        ("any", "first"), ("packet middleware", "first"), ("event", "first"), ("own", "first"),
        ("any", "beside"), ("packet middleware", "beside"), ("concurrent", "beside"),
        ("answer 5", "question"), ("disconnecting", "disconnecting"), ("disconnect", "disconnect"),
    ])  # fmt: skip
    assert (sid, "first", [1, "two"]) in site.told and (sid, "question", [5]) in site.told
    assert (sid, "disconnect", ["client namespace disconnect", None]) in site.told


def test_it_is_around_what_runs_for_no_client(site: Surrounded) -> None:
    io = site.io

    def rule(name: str, auth: dict[str, Any], environ: dict[str, Any]) -> bool:
        site.note("rule")
        return True

    io.of(rule)
    done = threading.Event()

    def answered(error: object, responses: list[Any]) -> None:
        site.note("all have answered")
        done.set()

    with TestClient(io, "/made"):
        io.timeout(5).emit("who", ack=answered)
        assert done.wait(5)
    assert site.seen == [("rule", "new_namespace"), ("all have answered", "who")]
    assert (None, "who", [None, []]) in site.told


def test_middleware_and_packet_middleware_that_go_on_later_go_on_inside(site: Surrounded) -> None:
    io = site.io
    later: list[Any] = []

    @io.use
    def rest(socket: Socket, next: Any) -> None:
        io.spawn(next)

    io.use(lambda socket: site.note("second"))
    io.event("go", lambda socket: site.note("event"))

    @io.on("connection")
    def connected(socket: Socket) -> None:
        socket.use(lambda packet, next: later.append(next))

    with TestClient(io) as client:
        client.emit("go")
        client.settle()
        later[0]()
        client.settle()
    assert site.seen == [("second", "middleware"), ("event", "go")]


def test_the_first_is_the_outermost_and_all_are_left_when_one_fails(site: Surrounded) -> None:
    io = site.io
    errors: list[BaseException] = []
    order: list[str] = []

    @io.around
    @contextmanager
    def inner(socket: Socket | None, event: Any, args: list[Any]) -> Iterator[None]:
        order.append(f"{event} inside {where.get()}")
        if event == "bad":
            raise RuntimeError("on purpose")
        yield

    io.on_error(lambda error, socket, event, args: errors.append(error))
    io.event("good", lambda socket: "done")
    io.event("bad", lambda socket: site.note("never"))
    with TestClient(io) as client:
        client.emit("bad")
        assert client.call("good") == "done"
    assert order == ["bad inside bad", "good inside good"]
    assert [str(error) for error in errors] == ["on purpose"] and site.seen == [] and site.open == 0


def test_a_handler_that_fails_does_not_reach_it(site: Surrounded) -> None:
    io = site.io
    left: list[object] = []

    @io.around
    @contextmanager
    def watch(socket: Socket | None, event: Any, args: list[Any]) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            left.append(error)
            raise

    @io.event
    def fail(socket: Socket) -> None:
        raise RuntimeError("on purpose")

    io.event("error", lambda socket, error: site.note(str(error)))
    with TestClient(io) as client:
        client.emit("fail")
        client.settle()
    assert left == [] and site.seen == [("on purpose", "fail")]


def test_the_client_is_answered_when_it_has_been_left() -> None:
    io = Server()
    order: list[str] = []

    @io.around
    @contextmanager
    def watch(socket: Socket | None, event: Any, args: list[Any]) -> Iterator[None]:
        assert socket is not None
        yield
        order.append(f"{event} is left")
        if event == "lost":
            raise RuntimeError("on purpose")

    io.event("plain", lambda socket: "plain answer")
    io.event("lost", lambda socket: "no answer")
    io.event("asks", lambda socket, ack: None)
    io.event("asks", lambda socket: "late answer")

    @io.on("connection")
    def connected(socket: Socket) -> None:
        socket.on_any_outgoing(lambda event, *args: order.append(event))
        socket.use(lambda packet, next: io.spawn(next) if packet[0] == "slow" else next())
        socket.on("slow", lambda: "slow answer")

    with ManualTime(io) as time, TestClient(io) as client:
        client.settle()
        order.clear()
        for event in ("plain", "asks", "slow", "lost"):
            client.emit(event, ack=lambda answer: order.append(answer))
            client.settle()
            time.settle()
    assert order == [
        "plain is left", "plain answer", "asks is left", "late answer", "slow is left", "slow is left", "slow answer", "lost is left",
    ]  # fmt: skip


def test_one_that_fails_around_middleware_refuses_the_client() -> None:
    io = Server()

    @io.around
    @contextmanager
    def fail(socket: Socket | None, event: Any, args: list[Any]) -> Iterator[None]:
        raise RuntimeError("on purpose")
        yield

    io.use(lambda socket: None)
    with pytest.raises(ConnectRefused, match="internal server error"):
        TestClient(io)
    io.close()


def test_what_is_no_function_is_refused() -> None:
    with pytest.raises(TypeError, match="around"):
        Server().around(5)  # type: ignore[type-var]


def test_sockets_are_of_the_class_that_the_server_says() -> None:
    class Guest(Socket):
        __slots__ = ()

        @property
        def name(self) -> str:
            return str(self.handshake.auth.get("name"))

    class Inn(Server):
        socket_class = Guest

    io = Inn(connection_state_recovery=True)
    io.event("who", lambda socket: socket.name)
    with ManualTime(io), TestClient(io, auth={"name": "alice"}) as client:
        assert client.call("who") == "alice"
        client.lose()
        client.connect()
        assert client.recovered and type(client.socket) is Guest
        with pytest.raises(AttributeError):
            client.socket.name = "bob"  # type: ignore[attr-defined]
