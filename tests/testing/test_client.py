"""The client in memory, on each runtime: what docs/testing.md promises."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sync_sio import AckTimeout, ConnectRefused, Disconnected, ProtocolError, RequestRefused, Server
from sync_sio.parsers import msgpack
from sync_sio.testing import ManualTime, TestClient

RUNTIMES = os.environ.get("SYNC_SIO_TEST_RUNTIMES", "threads gevent manual").split()
MakeServer = Callable[..., Server]


@pytest.fixture(params=RUNTIMES)
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


def test_a_handler_that_does_not_end_is_told_by_settle(io: Server) -> None:
    io.event("slow", lambda socket: io.sleep(0.5))
    client = TestClient(io, timeout=0.05)
    client.emit("slow")
    with pytest.raises(TimeoutError, match=r"a handler has not come to its end within 0\.05 s"):
        client.settle()
    client.timeout = 5
    client.disconnect()


def test_the_first_words_of_the_server_are_answered_too(make: MakeServer) -> None:
    io = make()
    answers: list[Any] = []

    @io.on("connection")
    def greet(socket: Any) -> None:
        socket.emit("hello", 1)
        answers.append(socket.call("who", timeout=5))

    with TestClient(io, on={"who": lambda: "alice"}) as client:
        client.settle()
        assert answers == ["alice"]
        assert client.received == [["hello", 1]]


def test_what_the_server_has_asked_already_is_answered_when_there_is_a_function_for_it(make: MakeServer) -> None:
    io = make()
    with TestClient(io) as client:
        client.socket.emit("question", "why", ack=lambda answer: io.emit("answered", answer))
        client.socket.emit("question", "only told")
        assert client.received == [["question", "why"], ["question", "only told"]]
        client.on("question", lambda question: question + "!")
        assert client.receive() == ["question", "only told"]
        assert client.receive(timeout=5) == ["answered", "why!"]


def test_what_was_asked_on_a_connection_that_is_gone_is_no_question_any_more(make: MakeServer) -> None:
    io = make()
    told: list[Any] = []
    client = TestClient(io)
    client.socket.emit("question", 1, ack=told.append)
    assert client.received == [["question", 1]]
    client.lose()
    client.connect()
    client.on("question", told.append)
    client.settle()
    assert told == [] and client.receive() == ["question", 1]
    client.disconnect()


@pytest.mark.parametrize("what", ["disconnect", "lose", "settle"])
def test_a_function_of_the_test_may_end_its_client_or_settle(make: MakeServer, what: str) -> None:
    io = make()
    done: list[str] = []
    with TestClient(io, timeout=1) as client:
        client.on("go", lambda: (getattr(client, what)(), done.append(what)))
        io.emit("go")
        client.settle()
        assert client.connected == (what == "settle")
    assert done == [what]


def test_what_was_sent_to_a_function_comes_in_order_and_before_settle_returns(io: Server) -> None:
    @io.event
    def burst(socket: Any) -> None:
        for number in range(100):
            socket.emit("number", number)

    for _ in range(5):
        got: list[int] = []
        with TestClient(io) as client:
            client.on("number", got.append)
            client.emit("burst")
            client.settle()
            assert got == list(range(100))


def test_settle_waits_for_a_conversation_until_both_rest(io: Server) -> None:
    @io.event
    def count(socket: Any, number: int) -> None:
        socket.emit("count" if number < 20 else "done", number + 1)

    with TestClient(io) as client:
        client.on("count", lambda number: client.emit("count", number))
        client.emit("count", 0)
        client.settle()
        assert client.received == [["done", 21]]


def test_a_time_out_names_the_handler_that_failed(io: Server) -> None:
    with TestClient(io) as client:
        with pytest.raises(AckTimeout, match=r"'fail' within 0\.05 s; the server's handler of 'fail' has failed: ValueError") as caught:
            client.call("fail", timeout=0.05)
        assert isinstance(caught.value.__cause__, ValueError)
        client.on("question", lambda: None)
        with pytest.raises(TimeoutError, match=r"no event but what the functions of 'question' are given .*'fail' has failed"):
            client.receive(timeout=0.05)


def test_whoever_waits_hears_at_once_of_an_error_that_is_to_be_raised(io: Server) -> None:
    with TestClient(io, raise_errors=True) as client:
        with pytest.raises(ValueError, match="on purpose"):
            client.call("fail", timeout=None)
        client.on("welcome", lambda name: 1 / 0)
        client.emit("hello", 1)
        with pytest.raises(ZeroDivisionError):
            client.receive(timeout=60)


def test_errors_of_connection_and_disconnect_handlers_are_raised_too(make: MakeServer) -> None:
    io = make()

    @io.on("connection")
    def connected(socket: Any) -> None:
        raise ValueError("connection")

    @io.event
    def disconnect(socket: Any, reason: str) -> None:
        raise ValueError("disconnect")

    with pytest.raises(ValueError, match="disconnect"), TestClient(io, raise_errors=True) as client:
        with TestClient(io), pytest.raises(ValueError, match="connection"):
            client.settle()
        client.settle()                     # the other client's errors are not its own


def test_an_error_of_a_function_of_the_test_is_not_lost_at_the_end(io: Server) -> None:
    def late() -> None:
        io.sleep(0.02)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), TestClient(io) as client:
        client.on("late", late)
        client.socket.emit("late")


def test_the_disconnect_handlers_of_who_was_thrown_out_are_waited_for(make: MakeServer) -> None:
    io = make()
    told: list[str] = []

    @io.event
    def disconnect(socket: Any, reason: str) -> None:
        io.sleep(0.02)
        told.append(reason)

    with TestClient(io) as client:
        client.socket.disconnect(close=True)
    assert told == ["server namespace disconnect"]


def test_nothing_is_left_of_a_client_that_was_refused(make: MakeServer) -> None:
    io = make()

    @io.use
    def refuse(socket: Any) -> None:
        raise ConnectRefused("no")

    before = len(io._hub.site.error_listeners)
    with pytest.raises(ConnectRefused):
        TestClient(io)
    assert io.engine.clients_count == 0
    assert len(io._hub.site.error_listeners) == before


def test_middleware_that_does_not_come_to_its_end_is_a_time_out(make: MakeServer) -> None:
    io = make()
    io.use(lambda socket, go_on: None)
    with pytest.raises(TimeoutError, match="is middleware still at work"):
        TestClient(io, timeout=0.05)
    assert io.engine.clients_count == 0


def test_what_was_not_received_before_a_break_still_can_be(make: MakeServer) -> None:
    io = make(connection_state_recovery=True)
    with TestClient(io) as client:
        io.emit("first", "text")
        client.lose()
        io.emit("second", "text")
        client.connect()
        assert client.recovered
        assert client.received == [["first", "text"], ["second", "text"]]


def test_a_message_over_the_limit_ends_the_connection(make: MakeServer, caplog: pytest.LogCaptureFixture) -> None:
    io = make(max_http_buffer_size=1000)
    told: list[Any] = []
    io.event("disconnect", lambda socket, reason, description: told.append((reason, str(description))))
    with TestClient(io) as client:
        client.emit("echo", "x" * 2000)
        assert not client.connected and client.reason == "transport close"
    assert told[0][0] == "transport error" and "over the limit of 1000" in told[0][1]


def test_what_is_no_packet_ends_the_client(io: Server) -> None:
    with pytest.raises(ProtocolError), TestClient(io) as client:
        client.socket.conn.send("x")
        assert not client.connected and client.reason == "parse error"
        assert client._end.wait_until(lambda: io.engine.clients_count == 0, 5), "it hangs up"


def test_what_cannot_be_encoded_is_refused_where_it_is_sent(io: Server) -> None:
    with TestClient(io) as client:
        with pytest.raises(TypeError):
            client.call("echo", object())
        with pytest.raises(TypeError, match="ack"):
            client.emit("echo", ack="no function")  # type: ignore[arg-type]
        assert client.call("echo", 1) == 1


def test_clients_of_dynamic_namespaces_leave_nothing_behind(make: MakeServer) -> None:
    io = make(cleanup_empty_child_namespaces=True)
    io.of(lambda name, auth, environ: name.startswith("/room-")).event("echo", lambda socket, *args: args)
    with TestClient(io, "room-1") as client:
        assert client.call("echo", 1) == 1
        client.socket.disconnect()
        with pytest.raises(Disconnected, match="has no socket on the server"):
            _ = client.socket
    assert "/room-1" not in io._hub.namespaces


def test_who_sends_more_than_is_handled_waits(make: MakeServer) -> None:
    io = make()
    seen: list[int] = []
    io.event("count", lambda socket, number: seen.append(number))
    with TestClient(io) as client:
        for number in range(3000):          # over a thousand at once would end the connection
            client.emit("count", number)
        client.settle()
        assert seen == list(range(3000))


def test_a_handler_that_stands_still_ends_the_wait_of_who_sends(make: MakeServer) -> None:
    io = make()
    io.event("slow", lambda socket: io.sleep(0.3))
    client = TestClient(io, timeout=0.05)
    with pytest.raises(TimeoutError, match=r"'slow' was not sent: \d+ events of .* wait for their handlers"):
        for _ in range(1000):
            client.emit("slow")
    client.socket.disconnect()              # which drops them
    client.timeout = 5
    client.disconnect()
