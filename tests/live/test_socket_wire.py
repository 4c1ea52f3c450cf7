"""Socket.IO v5 as clients see it on the wire, row by row, at `/socket.io/`, over polling and over WebSocket."""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from . import wire
from .conftest import IS_REFERENCE, RUNTIMES
from .servers import Server, Servers, wait_for
from .wire import Ended, PollingClient, SocketClient, WebSocketClient

pytestmark = [pytest.mark.live, pytest.mark.timeout(60)]

TIMES: dict[str, Any] = {"ping_interval": 0.3, "ping_timeout": 0.2}
RESERVED = ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"]
Opener = Callable[..., Any]


@pytest.fixture(scope="module", params=RUNTIMES)
def server(request: pytest.FixtureRequest, servers: Servers) -> Server:
    return servers.get(request.param, connect_timeout=0.5, **TIMES)


@pytest.fixture(params=["polling", "websocket"])
def transport(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def closing() -> Iterator[Opener]:
    with contextlib.ExitStack() as stack:
        yield lambda thing: stack.enter_context(contextlib.closing(thing))


@pytest.fixture
def raw(server: Server, transport: str, closing: Opener) -> Any:
    """An engine session that has joined no namespace."""
    return closing(wire.TRANSPORTS[transport](server.address))


@pytest.fixture
def connect(server: Server, transport: str, closing: Opener) -> Opener:
    return lambda namespace="/", auth=None, **query: closing(
        SocketClient.connect(transport, server.address, namespace, auth, **query)
    )


@pytest.fixture
def client(connect: Opener) -> SocketClient:
    joined: SocketClient = connect()
    return joined


def join(engine: Any, namespace: str = "/") -> str:
    """Join on an engine session that others look at; return the socket's id."""
    prefix = "" if namespace == "/" else namespace + ","
    engine.send(f"40{prefix}")
    packet = engine.receive()
    assert packet.startswith(f"40{prefix}{{"), packet
    assert engine.receive() == f'42{prefix}["auth",{{}}]'
    identifier: str = json.loads(packet[2 + len(prefix) :])["sid"]
    return identifier


def assert_closed(engine: Any, server: Server, reason: str = "") -> None:
    """The server ended this engine session; nothing but what was under way came before."""
    if isinstance(engine, WebSocketClient):
        assert engine.ws.wait_for_end() == 1005
    else:
        engine.wait_for_end()
        assert engine.is_over()
    if reason:
        assert server.wait_for_note(engine.sid, "close")[1] == reason


def disconnect_reason(server: Server, identifier: str) -> str:
    reason: str = server.wait_for_note(identifier, "disconnect")[1]
    return reason


# -- connect ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("packet", ["40", "40/,", "40{}", "40/,{}", "40/"])
def test_connect_to_the_main_namespace(raw: Any, packet: str) -> None:
    raw.send(packet)
    answer = raw.receive()
    assert re.fullmatch(r'40\{"sid":"[\w-]{20}"\}', answer), answer
    assert raw.receive() == '42["auth",{}]'


def test_connect_with_a_payload(raw: Any) -> None:
    raw.send('40{"token":"123","deep":{"ü":[1,null]}}')
    assert raw.receive().startswith('40{"sid":"')
    assert raw.receive() == '42["auth",{"token":"123","deep":{"ü":[1,null]}}]'


@pytest.mark.parametrize("packet", ["40/custom,", "40/custom"])
def test_connect_to_a_namespace(raw: Any, packet: str) -> None:
    raw.send(packet)
    answer = raw.receive()
    assert re.fullmatch(r'40/custom,\{"sid":"[\w-]{20}"\}', answer), answer
    assert raw.receive() == '42/custom,["auth",{}]'


def test_connect_to_a_namespace_with_a_payload(raw: Any) -> None:
    raw.send('40/custom,{"token":"abc"}')
    assert raw.receive().startswith('40/custom,{"sid":"')
    assert raw.receive() == '42/custom,["auth",{"token":"abc"}]'


def test_the_socket_s_id_is_not_the_session_s(raw: Any) -> None:
    assert join(raw) != raw.sid
    assert join(raw, "/custom") != raw.sid


def test_several_namespaces_share_a_connection_with_their_own_auth(raw: Any) -> None:
    raw.send('40{"who":"main"}')
    assert raw.receive().startswith('40{"sid":"')
    assert raw.receive() == '42["auth",{"who":"main"}]'
    raw.send('40/custom,{"who":"custom"}')
    assert raw.receive().startswith('40/custom,{"sid":"')
    assert raw.receive() == '42/custom,["auth",{"who":"custom"}]'
    raw.send('42["message",1]', '42/custom,["message",2]')
    assert sorted((raw.receive(), raw.receive())) == ['42/custom,["message-back",2]', '42["message-back",1]']


@pytest.mark.parametrize("name", ["/random", "/random?x=1", "/", "/Custom", "/custom/", "/cust"])
def test_an_unknown_namespace_is_refused_and_the_connection_goes_on(raw: Any, name: str) -> None:
    if name == "/":
        pytest.skip("the main namespace is always there")
    raw.send(f"40{name},")
    assert raw.receive() == f'44{name},{{"message":"Invalid namespace"}}'
    join(raw)


def test_a_query_in_the_namespace_s_name_is_part_of_it(raw: Any) -> None:
    raw.send("40/custom?token=abc,")
    assert raw.receive() == '44/custom?token=abc,{"message":"Invalid namespace"}'


def test_middleware_refuses_with_data_and_the_client_may_try_again(raw: Any) -> None:
    raw.send("40/refusing,")
    assert raw.receive() == '44/refusing,{"message":"not authorized","data":{"content":"Please retry later"}}'
    raw.send('40/refusing,{"token":"let me in"}')
    assert raw.receive().startswith('40/refusing,{"sid":"')


def test_an_emit_in_middleware_goes_out_before_the_reply(raw: Any) -> None:
    raw.send("40/early,")
    assert raw.receive() == '42/early,["early",1]'
    assert raw.receive().startswith('40/early,{"sid":"')


def test_an_emit_in_middleware_that_refuses_goes_out_before_the_refusal(raw: Any) -> None:
    raw.send('40/early,{"refuse":1}')
    assert raw.receive() == '42/early,["early",1]'
    assert raw.receive() == '44/early,{"message":"too early"}'


@pytest.mark.improvement("such handlers are the acceptance application's alone")
def test_the_other_ways_to_refuse(raw: Any) -> None:
    for name, message in (("/broken", "internal server error"), ("/later", "no, after all")):
        raw.send(f'40{name},{{"refuse":1}}')
        assert raw.receive() == f'44{name},{{"message":"{message}"}}'
    raw.send("40/false,")
    answer = raw.receive()
    assert answer.startswith('44/false,{"message":"'), answer
    raw.send("40/later,")
    assert raw.receive().startswith('40/later,{"sid":"')


def test_a_connection_that_joins_nothing_is_closed(raw: Any, server: Server) -> None:
    started = time.monotonic()
    assert_closed(raw, server, "forced close")
    assert 0.4 <= time.monotonic() - started <= 2.0


def test_a_refusal_does_not_stop_the_clock(raw: Any, server: Server) -> None:
    started = time.monotonic()
    raw.send("40/random,")
    assert raw.receive().startswith("44/random,")
    assert_closed(raw, server, "forced close")
    assert time.monotonic() - started <= 2.0


@pytest.mark.improvement("never called, a middleware holds its client for ever there")
def test_middleware_that_never_decides_is_a_refusal(raw: Any) -> None:
    join(raw)
    raw.send("40/silent,")
    answer = raw.receive(timeout=3.0)
    assert answer.startswith('44/silent,{"message":"'), answer


def test_a_client_that_joined_may_stay(raw: Any) -> None:
    join(raw)
    deadline = time.monotonic() + 0.8
    with contextlib.suppress(TimeoutError):
        raw.receive(timeout=0.8)
    assert time.monotonic() >= deadline - 0.1
    raw.send('42["message","still"]')
    assert raw.receive() == '42["message-back","still"]'


@pytest.mark.improvement("a client must wait for the reply there")
def test_events_right_behind_the_connect_are_delivered(raw: Any) -> None:
    raw.send("40", '42["message",1]', '42["message",2]')
    assert raw.receive().startswith('40{"sid"')
    assert [raw.receive() for _ in range(3)] == ['42["auth",{}]', '42["message-back",1]', '42["message-back",2]']


@pytest.mark.improvement("handlers that are registered late miss events there")
def test_events_wait_until_the_connection_handlers_are_through(server: Server, transport: str, closing: Opener) -> None:
    engine = closing(wire.TRANSPORTS[transport](server.address, tardy="0.2"))
    engine.send("40", '421["local",5]')
    assert engine.receive().startswith('40{"sid"')
    assert engine.receive() == '42["auth",{}]'
    assert engine.receive() == '431[["local",5]]'


# -- disconnect -------------------------------------------------------------------------------------------------------


def test_disconnect_from_the_main_namespace_keeps_the_connection(raw: Any, server: Server) -> None:
    identifier = join(raw)
    raw.send("41")
    assert disconnect_reason(server, identifier) == "client namespace disconnect"
    assert raw.receive(has_pings=True) == "2"


def test_after_a_disconnect_the_client_may_connect_again(raw: Any, server: Server) -> None:
    first = join(raw)
    raw.send("41")
    if IS_REFERENCE:
        disconnect_reason(server, first)  # it needs a moment; here the next packet may follow at once
    assert join(raw) != first
    raw.send('42["message","again"]')
    assert raw.receive() == '42["message-back","again"]'


@pytest.mark.parametrize("packet", ["41/custom,", "41/custom"])
def test_disconnect_from_one_namespace_leaves_the_others(raw: Any, server: Server, packet: str) -> None:
    join(raw)
    identifier = join(raw, "/custom")
    raw.send(packet, '42["message","to the main namespace"]')
    assert raw.receive() == '42["message-back","to the main namespace"]'
    assert disconnect_reason(server, identifier) == "client namespace disconnect"


def test_the_server_disconnects_a_socket(raw: Any, server: Server) -> None:
    join(raw)
    identifier = join(raw, "/custom")
    raw.send('42/custom,["quit"]')
    assert raw.receive() == '42/custom,["farewell"]'
    assert raw.receive() == "41/custom,"
    assert disconnect_reason(server, identifier) == "server namespace disconnect"
    raw.send('42["message","still"]')
    assert raw.receive() == '42["message-back","still"]'


def test_the_server_disconnects_the_whole_client(raw: Any, server: Server) -> None:
    main, custom = join(raw), join(raw, "/custom")
    raw.send('42["quit",true]')
    packets = [packet for packet in raw.wait_for_end() if packet != "6"]
    assert packets[0] == '42["farewell"]'
    assert sorted(packets[1:]) == ["41", "41/custom,"]
    assert disconnect_reason(server, main) == "server namespace disconnect"
    assert disconnect_reason(server, custom) == "server namespace disconnect"


@pytest.mark.improvement("it leaks emits of a socket that has left")
def test_nothing_is_sent_to_a_socket_that_left(raw: Any) -> None:
    join(raw)
    join(raw, "/custom")
    raw.send('42/custom,["quit"]')
    assert [raw.receive(), raw.receive()] == ['42/custom,["farewell"]', "41/custom,"]
    raw.send('42["message","next"]')
    assert raw.receive() == '42["message-back","next"]'


def test_disconnecting_still_sees_the_rooms(raw: Any, server: Server) -> None:
    identifier = join(raw)
    raw.send('421["join",["a","b"]]')
    assert raw.receive() == "431[]"
    raw.send("41")
    assert server.wait_for_note(identifier, "disconnect") == ["disconnect", "client namespace disconnect", [], False]
    assert server.wait_for_note(identifier, "disconnecting")[2] == sorted([identifier, "a", "b"])
    words = [entry[0] for entry in server.journal(identifier)]
    assert words.index("disconnecting") < words.index("disconnect")
    assert words.count("disconnecting") == words.count("disconnect") == 1


@pytest.mark.parametrize("how", ["abort", "leave", "packet"])
def test_the_reasons_when_the_client_goes(server: Server, transport: str, closing: Opener, how: str) -> None:
    engine = closing(wire.TRANSPORTS[transport](server.address))
    identifier = join(engine)
    expected = "transport close"
    if how == "packet" and IS_REFERENCE and transport == "websocket":
        pytest.skip("it ignores the packet")
    if how == "packet":
        engine.send("1")
    elif transport == "polling":
        engine.start_get()
        assert engine.getter.is_quiet(0.05)
        getattr(engine, how)()
        expected = "transport error"
    else:
        getattr(engine, how)()
    assert disconnect_reason(server, identifier) == expected


def test_the_reason_of_a_silent_client(raw: Any, server: Server) -> None:
    identifier = join(raw)
    assert disconnect_reason(server, identifier) == "ping timeout"


def test_the_reason_when_the_server_closes_the_connection(raw: Any, server: Server) -> None:
    identifier = join(raw)
    raw.send('42["close connection"]')
    assert_closed(raw, server, "forced close")
    assert disconnect_reason(server, identifier) == "forced close"


def test_the_reason_of_a_bad_engine_packet(raw: Any, server: Server) -> None:
    identifier = join(raw)
    with contextlib.suppress(AssertionError, Ended):
        raw.send("xyz")
    assert disconnect_reason(server, identifier) == "parse error"


# -- events and acks --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "args",
    ['1,"2",{"3":[true]}', "null,false,1.5,-3,1e21", '"Zoë ✓ \U0001f600 \u2028 \\" \\\\ \\n"', '{"_placeholder":false,"num":0}',
     "[[[[]]]],{}", '""'],
)
def test_an_event_is_answered_byte_for_byte(raw: Any, args: str) -> None:
    join(raw)
    raw.send(f'42["message",{args}]')
    answer = raw.receive()
    expected = f'42["message-back",{args}]'
    assert answer == expected or (json.loads(answer[2:]) == json.loads(expected[2:]) and "1e21" in args), answer


@pytest.mark.parametrize("packet", ['42/,["message",1]', '42["message",1]', '42 ["message",1]', '42["message", 1 ]'])
def test_forms_of_an_event(raw: Any, packet: str) -> None:
    join(raw)
    if packet == '42 ["message",1]':
        pytest.skip("a quirk: a space counts as a digit there, and is refused or accepted here")
    raw.send(packet)
    assert raw.receive() == '42["message-back",1]'


def test_text_beyond_ascii_is_sent_raw(raw: Any) -> None:
    join(raw)
    raw.send('42["message","\\u00e9\\ud83d\\ude00"]')
    assert raw.receive() == '42["message-back","é\U0001f600"]'


@pytest.mark.parametrize(("number", "answer"), [("0", "0"), ("456", "456"), ("007", "7"), ("999999999", "999999999")])
def test_an_ack_has_the_number_of_its_event(raw: Any, number: str, answer: str) -> None:
    join(raw)
    raw.send(f'42{number}["message-with-ack",1,"2",{{"3":[false]}}]')
    assert raw.receive() == f'43{answer}[1,"2",{{"3":[false]}}]'


def test_an_ack_in_a_namespace(raw: Any) -> None:
    join(raw, "/custom")
    raw.send('42/custom,12["echo","x"]')
    assert raw.receive() == '43/custom,12["x"]'


@pytest.mark.parametrize(
    ("kind", "ack"),
    [("none", "[]"), ("empty", "[]"), ("null", "[null]"), ("one", '["one"]'), ("false", "[false]"), ("zero", "[0]"), ("list", "[[1,2,3]]")],
)
def test_what_handlers_return_is_the_ack(raw: Any, kind: str, ack: str) -> None:
    join(raw)
    raw.send(f'423["answer with","{kind}"]')
    assert raw.receive() == f"433{ack}"


def test_an_ack_of_several_values_with_binary(raw: Any) -> None:
    join(raw)
    raw.send('423["answer with","several"]')
    assert raw.receive() == '461-3["a",{"b":[true,null]},{"_placeholder":true,"num":0}]'
    assert raw.receive() == b"\x01\x02"


def test_an_ack_with_binary_deep_inside(raw: Any) -> None:
    join(raw)
    raw.send('423["answer with","binary"]')
    holder = '{"_placeholder":true,"num":%d}'
    assert raw.receive() == f'463-3[{{"deep":[{holder % 0},{{"deeper":{holder % 1}}}],"view":{holder % 2}}}]'
    assert [raw.receive() for _ in range(3)] == [b"\x00\xff", b"abc", b"view"]


@pytest.mark.improvement("Python's types")
def test_values_that_only_python_has(raw: Any) -> None:
    join(raw)
    raw.send('423["answer with","typed"]')
    big, uuid = 2**70, "00000000-0000-0000-0000-000000000005"
    assert raw.receive() == f'433[["2026-02-03","{uuid}",{big},null,"Zoë ✓ \U0001f600"]]'
    raw.send('424["answer with","keys"]')
    answer = raw.receive()
    assert json.loads(answer[3:])[0]["1.5"] == "float", answer


def test_a_handler_without_an_ack_asked_for_sends_none(client: SocketClient) -> None:
    client.emit("echo", 1)
    assert client.call("echo", 2) == [2]
    assert not client.acks


def test_an_event_nobody_handles_is_not_acknowledged(client: SocketClient) -> None:
    client.emit("nobody handles this", 1, ack=900)
    assert client.call("echo", 2) == [2]
    assert 900 not in client.acks


def test_acks_that_the_server_asks_for_are_numbered_from_0(servers: Servers, server: Server, closing: Opener) -> None:
    # A server of its own: the numbers are counted per namespace.
    fresh = servers.get(server.kind, hooks="numbers", **TIMES)
    client = closing(SocketClient.connect("websocket", fresh.address))
    for number in range(3):
        client.emit("emit with ack", "question", number)
        assert client.engine.receive() == f'42{number}["question",{number}]'
        client.answer(number, "answer", number)
        assert client.receive() == ["acked", "answer", number]


def test_an_ack_counts_once_and_unknown_ones_do_not(client: SocketClient) -> None:
    client.emit("emit with ack", "question")
    _, number = client.receive()
    client.answer(number + 1_000_000, "unknown")
    client.answer(number, "first", 2, None)
    client.answer(number, "second")
    client.emit("message", "end")
    answers = [client.receive(), client.receive()]
    assert ["acked", "first", 2, None] in answers
    assert ["message-back", "end"] in answers


@pytest.mark.parametrize("packet", ['43["x"]', "4399999[]", '43/,12345["x"]'])
def test_acks_without_a_question_are_ignored(raw: Any, packet: str) -> None:
    join(raw)
    raw.send(packet, '42["message","after"]')
    assert raw.receive() == '42["message-back","after"]'


def test_an_ack_with_binary_reaches_the_server(client: SocketClient) -> None:
    client.emit("emit with ack", "question")
    _, number = client.receive()
    client.engine.send(f'461-{number}["x",{{"_placeholder":true,"num":0}}]', b"\x01\x02")
    assert client.receive() == ["acked", "x", b"\x01\x02"]


@pytest.mark.parametrize("count", [1, 2, 10])
def test_binary_goes_there_and_back(raw: Any, count: int) -> None:
    join(raw)
    holders = ",".join(f'{{"_placeholder":true,"num":{number}}}' for number in range(count))
    attachments = [bytes([number]) * (number + 1) for number in range(count)]
    raw.send(f'45{count}-["message",{holders}]', *attachments)
    assert raw.receive() == f'45{count}-["message-back",{holders}]'
    assert [raw.receive() for _ in range(count)] == attachments


def test_binary_in_a_namespace_with_an_ack(raw: Any) -> None:
    join(raw, "/custom")
    raw.send('452-/custom,789["echo",{"deep":[{"_placeholder":true,"num":1}]},{"_placeholder":true,"num":0}]', b"\x01", b"\x02\x03")
    holder = '{"_placeholder":true,"num":%d}'
    assert raw.receive() == f'462-/custom,789[{{"deep":[{holder % 0}]}},{holder % 1}]'
    assert [raw.receive(), raw.receive()] == [b"\x02\x03", b"\x01"]


def test_attachments_may_be_empty_unused_or_used_twice(raw: Any) -> None:
    join(raw)
    raw.send('452-["message",{"_placeholder":true,"num":1}]', b"unused", b"")
    assert raw.receive() == '451-["message-back",{"_placeholder":true,"num":0}]'
    assert raw.receive() == b""


def test_a_placeholder_in_a_plain_event_is_an_object(client: SocketClient) -> None:
    client.engine.send('42["message",{"_placeholder":true,"num":0}]')
    assert client.engine.receive() == '42["message-back",{"_placeholder":true,"num":0}]'


def test_other_traffic_may_not_come_between_a_packet_s_parts_but_heartbeats_may(raw: Any) -> None:
    join(raw)
    raw.send('452-["message",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]', b"one")
    assert raw.receive(has_pings=True) == "2"
    raw.send("3", b"two")
    assert raw.receive().startswith("452-")
    assert [raw.receive(), raw.receive()] == [b"one", b"two"]


def test_events_are_answered_in_the_order_sent(client: SocketClient) -> None:
    client.engine.send(*[f'42["message",{number}]' for number in range(500)])
    assert [client.receive()[1] for _ in range(500)] == list(range(500))


def test_a_burst_from_the_server_keeps_its_order(client: SocketClient) -> None:
    client.emit("please emit many", "number", 2000)
    assert [client.receive()[1] for _ in range(2000)] == list(range(2000))


def test_connection_and_error_are_names_like_any_other(client: SocketClient) -> None:
    client.emit("connection", 1)
    client.emit("error", "from the client")
    assert client.call("echo", "still here") == ["still here"]


def test_an_event_s_name_may_be_a_number(client: SocketClient) -> None:
    client.engine.send("42[1,2]", '42["message","after"]')
    assert client.receive() == ["message-back", "after"]


def test_the_handshake_is_told(server: Server, transport: str, closing: Opener) -> None:
    engine = closing(wire.TRANSPORTS[transport](server.address, headers={"X-Custom": "Yes", "User-Agent": "test"}, mark="m n", t="abc"))
    client = SocketClient(engine, "/", {"token": 5})
    client.wait_until_connected()
    client.receive()
    (told,) = client.call("whoami")
    assert told["headers"]["x-custom"] == "Yes"
    assert told["headers"]["user-agent"] == "test"
    assert told["query"] == {"EIO": "4", "transport": transport, "mark": "m n", "t": "abc"}
    assert told["auth"] == {"token": 5}
    assert told["url"] == f"/socket.io/?EIO=4&transport={transport}&mark=m%20n&t=abc"
    assert told["address"].endswith("127.0.0.1")
    assert (told["xdomain"], told["secure"]) == (False, False)
    assert abs(told["issued"] / 1000 - time.time()) < 30
    assert isinstance(told["issued"], int)
    assert told["time"]
    assert (told["id"], told["engine"], told["protocol"]) == (client.id, engine.sid, 4)
    assert told["connected"] == [True, False]
    assert told["transport"] == transport


def test_repeated_query_keys_the_last_one_counts(server: Server, closing: Opener) -> None:
    target = "/socket.io/?EIO=4&transport=websocket&a=1&a=2&empty="
    engine = WebSocketClient.__new__(WebSocketClient)
    engine.ws = closing(wire.WebSocket(server.address, target))
    engine.sid = json.loads(str(engine.ws.receive())[1:])["sid"]
    client = SocketClient(engine)
    client.wait_until_connected()
    client.receive()
    (told,) = client.call("whoami")
    assert told["query"] == {"EIO": "4", "transport": "websocket", "a": "2", "empty": ""}


# -- rooms ------------------------------------------------------------------------------------------------------------


def test_rooms_and_who_gets_what(connect: Opener) -> None:
    # The acceptance application alone has `tell`; the JavaScript client's tests go deeper.
    if IS_REFERENCE:
        pytest.skip("rooms are tested with the JavaScript client")
    a, b, c = connect(), connect(), connect()
    room = f"room {a.id}"
    for member in (a, b):
        member.call("join", room)
    assert a.call("rooms") == [sorted([a.id, room])]
    a.call("tell", {"to": room}, "news", 1)
    assert [a.receive(), b.receive()] == [["news", 1], ["news", 1]]
    a.call("tell", {"from": "socket", "to": [room, c.id]}, "news", 2)
    assert [b.receive(), c.receive()] == [["news", 2], ["news", 2]]
    b.call("leave", room)
    c.call("tell", {"to": room}, "news", 3)
    assert a.receive() == ["news", 3]
    assert [client.call("echo", "end") for client in (a, b, c)] == [["end"]] * 3
    assert not a.events
    assert not b.events
    assert not c.events


# -- garbage ----------------------------------------------------------------------------------------------------------

DECODE_ERRORS = [
    "4", "4abc", "47", "49", "4x[]", "40[]", '40"x"', "40null", "40{", "40{]", "41{}", '41"x"', "42{}", "42[]", "42[null]", "42[true]",
    '42[{"a":1}]', '42["message"', '42["message",}]', "42{\"a\":1}", "43{}", "43[", '42abc["message"]', '42-1["message"]',
    '421.5["message"]', "45", "451", "45a-", "451.23-", "45-", "45-1-", "450-[]", '450-["message"]', '4511-["message"]',
    "45999999999999-[]",
    '45-1-["message"]', "46", "460-1[]", '42["message"]trailing',
    *[f'42["{name}"]' for name in RESERVED],
]  # fmt: skip


@pytest.mark.parametrize("packet", DECODE_ERRORS)
def test_what_cannot_be_decoded_ends_its_sender(raw: Any, server: Server, packet: str) -> None:
    if packet == "450-[]" and IS_REFERENCE:
        pytest.skip("no name, no event")
    identifier = join(raw)
    with contextlib.suppress(AssertionError, Ended):
        raw.send(packet)
    assert_closed(raw, server)
    assert disconnect_reason(server, identifier) == "forced close"
    words = [entry[0] for entry in server.journal(identifier)]
    assert "error" in words, words
    assert words.index("error") < words.index("disconnecting")


@pytest.mark.parametrize(
    "packets",
    [
        (b"\x01",),
        ('451-["message",{"_placeholder":true,"num":0}]', '42["message"]'),
        ('451-["message",{"_placeholder":true,"num":1}]', b"\x01"),
        ('451-["message",{"_placeholder":true,"num":-1}]', b"\x01"),
        ('451-["message",{"_placeholder":true,"num":"0"}]', b"\x01"),
        ('451-["message",{"_placeholder":true}]', b"\x01"),
        ('451-["message",{"_placeholder":true,"num":0}]', b"\x01", b"\x02"),
    ],
)
def test_wrong_attachments_end_their_sender(raw: Any, server: Server, packets: tuple[Any, ...]) -> None:
    identifier = join(raw)
    with contextlib.suppress(AssertionError, Ended):
        raw.send(*packets)
    assert_closed(raw, server)
    assert disconnect_reason(server, identifier) == "forced close"
    assert "error" in [entry[0] for entry in server.journal(identifier)]


@pytest.mark.parametrize("packet", ["40", '42/custom,["message"]', "41/custom,", '43/custom,1["x"]', '42/random,["message"]',
                                    '44{"message":"x"}', '44"x"'])  # fmt: skip
def test_what_the_state_forbids_ends_its_sender_without_an_error_event(raw: Any, server: Server, packet: str) -> None:
    identifier = join(raw)
    with contextlib.suppress(AssertionError, Ended):
        raw.send(packet)
    assert_closed(raw, server)
    assert disconnect_reason(server, identifier) in ("forced close", "forced server close")
    assert "error" not in [entry[0] for entry in server.journal(identifier)]


def test_a_violation_that_the_client_hears_of_later_ends_its_sockets_at_once(server: Server, closing: Opener) -> None:
    """A client that polls, and does not wait for an answer now."""
    engine = closing(PollingClient(server.address))
    sockets = [join(engine), join(engine, "/custom")]
    with contextlib.suppress(AssertionError, Ended):
        engine.send("40")
    assert [disconnect_reason(server, socket) for socket in sockets] == ["forced server close"] * 2
    assert_closed(engine, server, "forced close")


@pytest.mark.parametrize("packet", ['42["message"]', "41", '43["x"]', '431["x"]', "4abc"])
def test_what_is_sent_before_joining_ends_its_sender(raw: Any, server: Server, packet: str) -> None:
    with contextlib.suppress(AssertionError, Ended):
        raw.send(packet)
    assert_closed(raw, server)


def test_after_leaving_its_packets_end_the_sender(raw: Any, server: Server) -> None:
    join(raw, "/custom")
    join(raw)
    raw.send("41")
    with contextlib.suppress(AssertionError, Ended):
        raw.send('42["message"]')
    assert_closed(raw, server)


@pytest.mark.improvement("it does not notice")
def test_a_second_connect_while_the_first_is_undecided_ends_its_sender(raw: Any, server: Server) -> None:
    with contextlib.suppress(AssertionError, Ended):
        raw.send("40/slow,", "40/slow,")
    assert_closed(raw, server)


def test_an_event_with_no_name_is_harmless(raw: Any) -> None:
    join(raw)
    if not IS_REFERENCE:
        pytest.skip("may be refused: no client sends it")
    raw.send("42", '42["message","after"]')
    assert raw.receive() == '42["message-back","after"]'


def test_the_violation_of_one_client_is_nobody_else_s(connect: Opener, raw: Any, server: Server) -> None:
    others = [connect() for _ in range(3)]
    join(raw)
    with contextlib.suppress(AssertionError, Ended):
        raw.send("4abc")
    assert_closed(raw, server)
    for client in others:
        assert client.call("echo", 1) == [1]


@pytest.mark.improvement("it closes a polling client only at its next poll, as told, with another reason")
def test_a_violation_closes_all_namespaces_of_the_client(raw: Any, server: Server) -> None:
    sockets = [join(raw), join(raw, "/custom")]
    with contextlib.suppress(AssertionError, Ended):
        raw.send("42{}")
    assert_closed(raw, server)
    assert [disconnect_reason(server, socket) for socket in sockets] == ["forced close"] * 2


# -- upgrade ----------------------------------------------------------------------------------------------------------


def test_the_upgrade_keeps_socket_rooms_and_order(server: Server, closing: Opener) -> None:
    engine = closing(PollingClient(server.address))
    client = SocketClient(engine)
    client.wait_until_connected()
    client.receive()
    identifier = client.id
    client.engine = closing(wire.upgrade(engine))
    assert client.call("rooms") in ([[identifier]], [identifier])
    (told,) = client.call("whoami")
    assert (told["id"], told["transport"], told["query"]["transport"]) == (identifier, "websocket", "polling")
    wait_for(lambda: ["upgrade", "websocket"] in server.journal(engine.sid))
