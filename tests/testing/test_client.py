"""The client in memory, on each runtime: what docs/testing.md promises."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sync_sio import AckTimeout, ConnectRefused, Disconnected, RequestRefused, Server
from sync_sio.parsers import msgpack
from sync_sio.testing import ManualTime, TestClient

MakeServer = Callable[..., Server]


@pytest.fixture(params=["threads", "gevent", "manual"])
def make(request: pytest.FixtureRequest) -> Iterator[MakeServer]:
    """Servers on each runtime; nothing may be left of their clients."""
    made: list[Server] = []

    def make(**options: Any) -> Server:
        io = Server(runtime="auto" if request.param == "manual" else request.param, **options)
        if request.param == "manual":
            ManualTime(io)
        made.append(io)
        return io

    yield make
    for io in made:
        left = leftovers(io)
        io.close()
        assert left == []


def leftovers(io: Server) -> list[str]:
    if io.engine.is_closed:
        return io._hub.audit()
    for _ in range(100):
        left = [what for what in io.audit() if "Recovery._tick" not in what]
        if not left:
            break
        io.sleep(0.01)                      # the loop is about to see to it
    return left


@pytest.fixture
def io(make: MakeServer) -> Server:
    io = make()

    @io.event
    def hello(socket: Any, number: int) -> str:
        socket.emit("welcome", "alice")
        return "got it"

    @io.event
    def echo(socket: Any, *args: Any) -> Any:
        return args

    @io.event
    def join(socket: Any, room: str) -> None:
        socket.join(room)

    @io.event
    def ask(socket: Any, *args: Any) -> Any:
        return ("answer", socket.call("question", *args, timeout=5))

    @io.event
    def fail(socket: Any) -> None:
        raise ValueError("on purpose")

    return io


def test_the_example_of_the_documentation(io: Server) -> None:
    with TestClient(io, namespace="/", auth={"token": "x"}) as client:
        client.on("question", lambda q: q + "!")
        client.emit("hello", 1)
        assert client.call("hello", 2) == "got it"
        assert client.receive(timeout=1) == ["welcome", "alice"]
        assert client.call("ask", "why") == ("answer", "why!")
        assert client.connected and client.id == client.socket.id
        assert client.socket.handshake.auth == {"token": "x"}
    assert not client.connected and client.reason == "io client disconnect"


def test_none_one_and_several_values_and_binary_come_back(io: Server) -> None:
    with TestClient(io) as client:
        assert client.call("echo") is None
        assert client.call("echo", 1) == 1
        assert client.call("echo", 1, b"two", {"three": [b"3"]}) == (1, b"two", {"three": [b"3"]})
        client.socket.emit("binary", b"x" * 1000, [b"y"])
        assert client.receive() == ["binary", b"x" * 1000, [b"y"]]


def test_a_refusal_raises_with_message_and_data(make: MakeServer) -> None:
    io = make()

    @io.use
    def refuse(socket: Any) -> None:
        raise ConnectRefused("not authorized", data={"content": "later"})

    with pytest.raises(ConnectRefused, match="not authorized") as caught:
        TestClient(io)
    assert caught.value.data == {"content": "later"}
    with pytest.raises(ConnectRefused, match="Invalid namespace"):
        TestClient(io, "/nowhere")


def test_a_refused_request_raises(make: MakeServer) -> None:
    seen: list[str] = []

    def gate(environ: dict[str, Any]) -> None:
        seen.append(environ["HTTP_X_TEST"] + environ["QUERY_STRING"] + environ["mine"])
        raise RequestRefused("not today")

    io = make(allow_request=gate)
    with pytest.raises(RequestRefused, match="not today"):
        TestClient(io, headers={"X-Test": "yes"}, query={"a": "1"}, environ={"mine": "!"})
    assert seen == ["yesEIO=4&transport=websocket&a=1!"]
    with pytest.raises(RequestRefused, match=r"https://evil\.example"):
        TestClient(io, headers={"Origin": "https://evil.example"})
    assert io.engine.clients_count == 0


def test_what_a_client_did_not_get_can_be_told_without_waiting(io: Server) -> None:
    with TestClient(io) as one, TestClient(io) as two:
        one.emit("join", "room")
        one.settle()
        io.to("room").emit("news", 1)
        assert one.received == [["news", 1]]
        assert two.received == []
        two.emit("hello", 1)
        two.settle()
        assert two.received == [["welcome", "alice"]]
        assert one.received == [["news", 1]]


def test_nothing_to_receive_is_a_time_out_that_says_so(io: Server) -> None:
    with TestClient(io) as client:
        with pytest.raises(TimeoutError, match=r"received no event within 0\.05 s"):
            client.receive(timeout=0.05)
        client.emit("hello", 1)
        assert client.receive() == ["welcome", "alice"]
        client.socket.disconnect()
        with pytest.raises(Disconnected, match="io server disconnect"):
            client.receive()


def test_an_acknowledgement_that_does_not_come_is_a_time_out(io: Server) -> None:
    with TestClient(io) as client:
        with pytest.raises(AckTimeout, match="'nobody'"):
            client.call("nobody", timeout=0.05)
        assert client.call("echo", 1) == 1


def test_an_acknowledgement_may_call_back(io: Server) -> None:
    got: list[Any] = []
    with TestClient(io) as client:
        client.emit("echo", 1, 2, ack=lambda *response: got.append(response))
        client.settle()
    assert got == [(1, 2)]


def test_the_server_disconnects_the_client(io: Server) -> None:
    with TestClient(io) as client:
        client.socket.disconnect()
        assert not client.connected
        assert client.reason == "io server disconnect"
        with pytest.raises(Disconnected):
            client.emit("hello", 1)
        with pytest.raises(Disconnected):
            client.call("hello", 1)


def test_the_end_waits_for_the_servers_handlers_and_tells_them_why(make: MakeServer) -> None:
    io = make()
    told: list[Any] = []

    @io.event
    def disconnect(socket: Any, reason: str) -> None:
        io.sleep(0.02)
        told.append(reason)

    with TestClient(io):
        pass
    assert told == ["client namespace disconnect"]
    client = TestClient(io)
    client.lose("ping timeout")
    assert told[1:] == ["ping timeout"] and client.reason == "transport close"
    client.disconnect()


def test_what_a_function_of_the_test_raises_is_raised_in_the_test(io: Server) -> None:
    with pytest.raises(ZeroDivisionError), TestClient(io) as client:
        client.on("welcome", lambda name: 1 / 0)
        client.emit("hello", 1)
        client.settle()


def test_errors_of_the_server_are_raised_if_that_is_wanted(io: Server) -> None:
    with TestClient(io) as client:
        client.emit("fail")
        client.settle()
    with pytest.raises(ValueError, match="on purpose"), TestClient(io, raise_errors=True) as client:
        client.emit("fail")
        client.settle()


def test_an_error_of_the_test_itself_is_not_hidden(io: Server) -> None:
    with pytest.raises(KeyError), TestClient(io, raise_errors=True) as client:
        client.emit("fail")
        raise KeyError


def test_the_engine_counts_the_client_and_tells_of_it(make: MakeServer) -> None:
    io = make(max_connections=1)
    seen: list[Any] = []
    io.engine.on("connection", lambda connection: seen.append(connection.transport.name))
    with TestClient(io) as client:
        assert io.engine.clients_count == 1
        with pytest.raises(RequestRefused, match="max_connections"):
            TestClient(io)
        client.socket.conn.on("close", lambda reason, description: seen.append(reason))
        client.settle()
    assert io.engine.clients_count == 0
    assert seen[0] == "websocket"


def test_closing_the_server_ends_the_client(io: Server) -> None:
    client = TestClient(io)
    io.close()
    assert not client.connected and client.reason == "transport close"
    with pytest.raises(RequestRefused, match="closed"):
        TestClient(io)


def test_it_speaks_the_parser_of_the_server(make: MakeServer) -> None:
    io = make(parser=msgpack)
    io.event("echo", lambda socket, *args: args)
    with TestClient(io) as client:
        assert client.call("echo", b"bytes", {"a": [1, None]}) == (b"bytes", {"a": [1, None]})


def test_recovery_gives_back_what_was_missed(make: MakeServer) -> None:
    io = make(connection_state_recovery=True)
    client = TestClient(io)
    sid = client.id
    client.socket.join("room")
    io.to("room").emit("seen", 1)
    assert client.receive() == ["seen", 1]
    client.lose()
    io.to("room").emit("missed", 2)
    client.connect()
    assert client.recovered and client.id == sid
    assert client.receive() == ["missed", 2]
    client.disconnect()


def test_clients_may_be_used_from_many_threads_at_once(make: MakeServer, request: pytest.FixtureRequest) -> None:
    io = make()
    io.event("echo", lambda socket, *args: args)
    if "manual" in request.node.name:
        return                              # that runtime has one thread
    with TestClient(io) as client:
        problems: list[BaseException] = []

        def work(thread: int) -> None:
            try:
                for number in range(50):
                    assert client.call("echo", thread, number, b"x") == (thread, number, b"x")
            except BaseException as problem:
                problems.append(problem)

        if "gevent" in request.node.name:
            import gevent

            gevent.joinall([gevent.spawn(work, thread) for thread in range(4)])
        else:
            threads = [threading.Thread(target=work, args=(thread,)) for thread in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert problems == []


def test_a_handler_that_does_not_end_is_told_by_settle(io: Server) -> None:
    io.event("slow", lambda socket: io.sleep(0.5))
    client = TestClient(io, timeout=0.05)
    client.emit("slow")
    with pytest.raises(TimeoutError, match=r"a handler has not come to its end within 0\.05 s"):
        client.settle()
    client.timeout = 5
    client.disconnect()
