"""Engine.IO v4 as clients see it on the wire, row by row, at `/engine.io/`, with a ping every 0.3 s and a time-out of 0.2 s.

A test that carries the mark `improvement` asks for more than the Node server gives.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from . import wire
from .conftest import IS_REFERENCE, RUNTIMES
from .servers import Server, Servers, wait_for
from .wire import Ended, Http, PollingClient, Refused, WebSocket, WebSocketClient, target_of

pytestmark = [pytest.mark.live, pytest.mark.timeout(60)]

PATH = "/engine.io/"
INTERVAL, TIMEOUT = 0.3, 0.2
TIMES: dict[str, Any] = {"ping_interval": INTERVAL, "ping_timeout": TIMEOUT}
SLACK = 0.25
"""How late a timer may be on a busy machine, beyond what the protocol says."""

Opener = Callable[..., Any]


@pytest.fixture(scope="module", params=RUNTIMES)
def server(request: pytest.FixtureRequest, servers: Servers) -> Server:
    return servers.get(request.param, **TIMES)


@pytest.fixture(scope="module", params=RUNTIMES)
def patient(request: pytest.FixtureRequest, servers: Servers) -> Server:
    """A server whose first ping is far away: for what must not be disturbed by one."""
    return servers.get(request.param)


@pytest.fixture(scope="module", params=RUNTIMES)
def hasty(request: pytest.FixtureRequest, servers: Servers) -> Server:
    """A server that waits for no upgrade longer than 0.4 s."""
    return servers.get(request.param, upgrade_timeout=0.4)


@pytest.fixture
def closing() -> Iterator[Callable[[Any], Any]]:
    with contextlib.ExitStack() as stack:
        yield lambda thing: stack.enter_context(contextlib.closing(thing))


@pytest.fixture
def polling(server: Server, closing: Opener) -> Opener:
    return lambda **query: closing(PollingClient(server.address, PATH, **query))


@pytest.fixture
def websocket(server: Server, closing: Opener) -> Opener:
    return lambda **query: closing(WebSocketClient(server.address, PATH, **query))


@pytest.fixture(params=["polling", "websocket"])
def client(request: pytest.FixtureRequest, server: Server, closing: Opener) -> Any:
    return closing(wire.TRANSPORTS[request.param](server.address, PATH))


@pytest.fixture(params=["polling", "websocket"])
def calm_client(request: pytest.FixtureRequest, patient: Server, closing: Opener) -> Any:
    return closing(wire.TRANSPORTS[request.param](patient.address, PATH))


@pytest.fixture
def calm(patient: Server, closing: Opener) -> PollingClient:
    client: PollingClient = closing(PollingClient(patient.address, PATH))
    return client


@pytest.fixture
def http(server: Server, closing: Opener) -> Http:
    connection: Http = closing(server.http())
    return connection


def error(code: int, message: str) -> bytes:
    return json.dumps({"code": code, "message": message}, separators=(",", ":")).encode()


UNKNOWN_TRANSPORT = error(0, "Transport unknown")
UNKNOWN_SESSION = error(1, "Session ID unknown")
BAD_METHOD = error(2, "Bad handshake method")
BAD_REQUEST = error(3, "Bad request")
FORBIDDEN = error(4, "Forbidden")
UNSUPPORTED = error(5, "Unsupported protocol version")


def close_reason(server: Server, sid: str, timeout: float = 3.0) -> str:
    reason: str = server.wait_for_note(sid, "close", timeout)[1]
    return reason


def wait_for_work(server: Server, client: PollingClient, count: int) -> None:
    """Wait until this many messages were handled: then what they send is ready for a poll."""
    wait_for(lambda: server.journal(client.sid).count(["worked"]) >= count)


def upgrade_socket(client: PollingClient, closing: Opener) -> WebSocket:
    ws: WebSocket = closing(WebSocket(client.address, target_of(PATH, "websocket", sid=client.sid)))
    return ws


# -- handshake --------------------------------------------------------------------------------------------------------


def test_polling_handshake_has_exactly_the_five_fields(http: Http) -> None:
    response = http.request("GET", target_of(PATH, "polling"))
    assert response.status == 200
    assert response.headers["content-type"] == "text/plain; charset=UTF-8"
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["content-length"] == str(len(response.body))
    value = json.loads(response.text[1:])
    sid = value["sid"]
    assert response.text == (
        f'0{{"sid":"{sid}","upgrades":["websocket"],"pingInterval":300,"pingTimeout":200,"maxPayload":1000000}}'
    )
    assert len(sid) == 20
    assert sid.replace("-", "").replace("_", "").isalnum()


def test_websocket_handshake_offers_no_upgrade(websocket: Opener) -> None:
    client = websocket()
    assert list(client.handshake) == ["sid", "upgrades", "pingInterval", "pingTimeout", "maxPayload"]
    assert client.handshake["upgrades"] == []
    assert len(client.sid) == 20


def test_session_ids_differ(polling: Opener) -> None:
    assert len({polling().sid for _ in range(20)}) == 20


@pytest.mark.parametrize("path", ["/engine.io/anything/below", "/engine.io/"])
def test_everything_below_the_path_is_served(http: Http, path: str) -> None:
    assert http.request("GET", target_of(path, "polling")).status == 200


def test_the_path_without_its_slash_is_the_application_s(http: Http) -> None:
    if IS_REFERENCE:
        pytest.skip("there the page behind is Node's")
    assert http.request("GET", target_of("/socket.io", "polling")).status == 404


def test_unknown_query_parameters_are_kept_and_a_cache_buster_is_ignored(polling: Opener) -> None:
    assert polling(t="abc123", b64="1", other="x").handshake["pingInterval"] == 300


def test_an_empty_sid_is_none(http: Http) -> None:
    assert http.request("GET", target_of(PATH, "polling", sid="")).text.startswith("0{")


@pytest.mark.parametrize("version", ["", "abc", "5", "3", "04", "4.0", None])
def test_any_other_protocol_version_is_refused_over_polling(http: Http, version: str | None) -> None:
    target = f"{PATH}?transport=polling" + ("" if version is None else f"&EIO={version}")
    response = http.request("GET", target)
    assert (response.status, response.body) == (400, UNSUPPORTED)
    assert response.headers["content-type"] == "application/json"


@pytest.mark.parametrize("version", ["", "abc", "5", None])
@pytest.mark.improvement("it answers after the 101")
def test_any_other_protocol_version_is_refused_before_the_upgrade(server: Server, version: str | None) -> None:
    target = f"{PATH}?transport=websocket" + ("" if version is None else f"&EIO={version}")
    with pytest.raises(Refused) as refused:
        WebSocket(server.address, target)
    assert (refused.value.response.status, refused.value.response.body) == (400, UNSUPPORTED)


@pytest.mark.parametrize("query", ["EIO=4", "EIO=4&transport=abc", "EIO=4&transport=", "EIO=4&transport=constructor",
                                   "EIO=4&transport=__proto__", "EIO=4&transport=webtransport", "EIO=4&transport=Polling"])  # fmt: skip
def test_an_unknown_transport_is_refused(http: Http, query: str) -> None:
    response = http.request("GET", f"{PATH}?{query}")
    assert (response.status, response.body) == (400, UNKNOWN_TRANSPORT)
    assert response.headers["content-type"] == "application/json"
    assert "cache-control" not in response.headers


@pytest.mark.improvement("its refusals of upgrades are plain text")
@pytest.mark.parametrize("query", ["EIO=4", "EIO=4&transport=abc"])
def test_an_unknown_transport_is_refused_before_the_upgrade(server: Server, query: str) -> None:
    with pytest.raises(Refused) as refused:
        WebSocket(server.address, f"{PATH}?{query}")
    assert (refused.value.response.status, refused.value.response.body) == (400, UNKNOWN_TRANSPORT)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_a_handshake_is_a_get(http: Http, method: str) -> None:
    response = http.request(method, target_of(PATH, "polling"))
    assert (response.status, response.body) == (400, BAD_METHOD)


def test_a_post_without_session_and_version_is_a_bad_method_first(http: Http) -> None:
    response = http.request("POST", f"{PATH}?transport=polling", b"4")
    assert (response.status, response.body) == (400, BAD_METHOD)


def test_head_is_a_bad_method_without_a_body(http: Http) -> None:
    response = http.request("HEAD", target_of(PATH, "polling"))
    assert (response.status, response.body) == (400, b"")


def test_websocket_as_transport_needs_an_upgrade(http: Http) -> None:
    response = http.request("GET", target_of(PATH, "websocket"))
    assert (response.status, response.body) == (400, BAD_REQUEST)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_unknown_session_is_refused(http: Http, method: str) -> None:
    response = http.request(method, target_of(PATH, "polling", sid="unknown"), b"4" if method == "POST" else None)
    assert (response.status, response.body) == (400, UNKNOWN_SESSION)


@pytest.mark.improvement("its refusals of upgrades are plain text")
def test_an_unknown_session_is_refused_before_the_upgrade(server: Server) -> None:
    with pytest.raises(Refused) as refused:
        WebSocket(server.address, target_of(PATH, "websocket", sid="unknown"))
    assert (refused.value.response.status, refused.value.response.body) == (400, UNKNOWN_SESSION)


def test_the_session_of_another_protocol_version_is_refused(polling: Opener, http: Http) -> None:
    client = polling()
    response = http.request("GET", f"{PATH}?EIO=3&transport=polling&sid={client.sid}")
    assert (response.status, response.body) == (400, BAD_REQUEST)


def test_a_plain_request_for_another_transport_than_the_session_s_is_refused(polling: Opener, websocket: Opener, http: Http) -> None:
    for client, transport in ((polling(), "websocket"), (websocket(), "polling")):
        response = http.request("GET", target_of(PATH, transport, sid=client.sid))
        assert (response.status, response.body) == (400, BAD_REQUEST)
        client.send("4still here")
        assert client.receive() == "4still here"


@pytest.mark.parametrize("header", [{"Sec-WebSocket-Key": ""}, {"Sec-WebSocket-Key": "short"}, {"Sec-WebSocket-Version": ""},
                                    {"Sec-WebSocket-Version": "12"}])  # fmt: skip
def test_a_bad_websocket_request_is_refused(server: Server, header: dict[str, str]) -> None:
    with pytest.raises(Refused) as refused:
        WebSocket(server.address, target_of(PATH, "websocket"), header)
    assert refused.value.response.status in (400, 426)


def test_polling_with_upgrade_headers_does_not_open_a_websocket(server: Server) -> None:
    try:
        ws = WebSocket(server.address, target_of(PATH, "polling"))
    except Refused as refused:
        assert refused.response.status == 400
    else:
        assert ws.wait_for_end() == 1005


def test_allow_request_refuses_with_code_4(server: Server, http: Http) -> None:
    response = http.request("GET", target_of(PATH, "polling", deny="1"))
    assert (response.status, response.body) == (403, FORBIDDEN)
    response = http.request("GET", target_of(PATH, "polling", refuse="not today"))
    assert (response.status, response.body) == (403, error(4, "not today"))


@pytest.mark.improvement("always 400 there, as text")
def test_allow_request_refuses_upgrades_in_the_same_way(server: Server) -> None:
    for query, body in (({"deny": "1"}, FORBIDDEN), ({"refuse": "not today"}, error(4, "not today"))):
        with pytest.raises(Refused) as refused:
            WebSocket(server.address, target_of(PATH, "websocket", **query))
        assert (refused.value.response.status, refused.value.response.body) == (403, body)


def test_allow_request_is_asked_once_per_session(server: Server, polling: Opener, closing: Opener, http: Http) -> None:
    client = polling(mark="gate")
    client.send("4one")
    assert client.receive() == "4one"
    upgraded = closing(wire.upgrade(client))
    upgraded.send("4two")
    assert upgraded.receive() == "4two"
    asked = [entry for entry in server.journal("gate") if entry[1] == "gate"]
    assert asked == [["GET", "gate", False]]


def test_refusals_are_told_to_connection_error_listeners(server: Server, http: Http) -> None:
    mark = f"errors-{time.monotonic_ns()}"
    http.request("GET", f"{PATH}?EIO=4&transport=abc&mark={mark}")
    http.request("GET", f"{PATH}?EIO=4&transport=polling&sid=nope&mark={mark}")
    http.request("DELETE", f"{PATH}?EIO=4&transport=polling&mark={mark}")
    http.request("GET", f"{PATH}?EIO=4&transport=websocket&mark={mark}")
    http.request("GET", f"{PATH}?EIO=4&transport=polling&deny=1&mark={mark}")
    http.request("GET", f"{PATH}?EIO=3&transport=polling&mark={mark}")

    def told() -> list[Any]:
        return [entry[1:] for entry in server.journal("errors") if entry[0] == mark]

    wait_for(lambda: len(told()) == 6, say=lambda: repr(told()))
    assert told() == [
        [0, "Transport unknown", {"transport": "abc"}],
        [1, "Session ID unknown", {"sid": "nope"}],
        [2, "Bad handshake method", {"method": "DELETE"}],
        [3, "Bad request", {"name": "TRANSPORT_HANDSHAKE_ERROR"}],
        [4, "Forbidden", {"message": "Forbidden"}] if not IS_REFERENCE else told()[4],
        [5, "Unsupported protocol version", {"protocol": 3}],
    ]


# -- messages ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("packets", [["4hello"], ["4test1", "4test2", "4test3"], ["4hello", b"\x01\x02\x03\x04"],
                                     [b"", b"\x00" * 100], ["4", "4x"], ["4\U0001f600 Zoë ✓ \u2028"], [b"a", "4b", b"c"]])  # fmt: skip
def test_messages_go_there_and_back(client: Any, packets: list[Any]) -> None:
    client.send(*packets)
    assert [client.receive() for _ in packets] == packets


def test_a_payload_of_several_packets_is_answered_in_one(patient: Server, calm: PollingClient) -> None:
    assert calm.post("4hello\x1ebAQIDBA==\x1e4world").text == "ok"
    wait_for_work(patient, calm, 3)
    assert calm.get().text == "4hello\x1ebAQIDBA==\x1e4world"


def test_a_post_is_answered_with_ok(calm: PollingClient) -> None:
    response = calm.post("4hello")
    assert (response.status, response.body) == (200, b"ok")
    assert response.headers["content-type"] == "text/html"
    assert response.headers["content-length"] == "2"
    assert response.headers["cache-control"] == "no-store"


def test_a_poll_s_answer_has_its_headers(calm: PollingClient) -> None:
    assert calm.post("4Zoë").text == "ok"
    response = calm.get()
    assert response.headers["content-type"] == "text/plain; charset=UTF-8"
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["content-length"] == str(len("4Zoë".encode()))
    assert response.text == "4Zoë"


def test_a_chunked_body_is_read(calm: PollingClient) -> None:
    text = "4" + "x" * 30_000
    assert calm.post(text, is_chunked=True).text == "ok"
    assert calm.get().text == text


def test_a_base64_packet_is_accepted_in_a_text_frame(websocket: Opener) -> None:
    client = websocket()
    client.send("bAQIDBA==")
    assert client.receive() == b"\x01\x02\x03\x04"


@pytest.mark.parametrize("encoded", ["bAQIDBA", "bAQ ID\nBA==", "b!!AQIDBA=="])
def test_base64_is_read_leniently(calm_client: Any, encoded: str) -> None:
    client = calm_client
    if isinstance(client, PollingClient):
        assert client.post(encoded).text == "ok"
    else:
        client.send(encoded)
    assert client.receive() == b"\x01\x02\x03\x04"


def test_base64_that_is_no_base64_is_an_empty_message(calm_client: Any) -> None:
    if isinstance(calm_client, PollingClient):
        assert calm_client.post("b!").text == "ok"
    else:
        calm_client.send("b!")
    calm_client.send("4after")
    packets = [calm_client.receive()]
    if packets == [b""]:
        packets.append(calm_client.receive())
    assert packets[-1] == "4after"


def test_a_separator_in_a_frame_is_data(websocket: Opener) -> None:
    client = websocket()
    client.send("4one\x1e4two")
    assert client.receive() == "4one\x1e4two"


@pytest.mark.parametrize("packet", ["0", "3", "5", "6"])
def test_unsolicited_packets_are_ignored(calm_client: Any, packet: str) -> None:
    calm_client.send(packet)
    calm_client.send("4after")
    assert calm_client.receive() == "4after"


@pytest.mark.parametrize("count", [1000])
def test_many_messages_keep_their_order(client: Any, count: int) -> None:
    client.send(f"4send {count}")
    assert [client.receive() for _ in range(count)] == [f"4{number}" for number in range(count)]


@pytest.mark.parametrize("size", [124, 125, 126, 127, 65534, 65535, 65536, 70_000, 999_000])
def test_messages_of_every_frame_size(client: Any, size: int) -> None:
    text = "x" * size
    client.send("4" + text)
    assert client.receive() == "4" + text
    client.send(f"4size {size}")
    assert client.receive() == "4" + text
    if client.transport == "websocket" or size < 700_000:
        client.send(b"\xff" * size)
        assert client.receive() == b"\xff" * size


def test_fragments_with_a_ping_between_them_are_one_message(websocket: Opener) -> None:
    ws = websocket().ws
    ws.send_frame(wire.TEXT, b"4hel", fin=False)
    ws.send_frame(wire.PING, b"are you there")
    ws.send_frame(0, b"lo wor", fin=False)
    ws.send_frame(0, b"ld")
    frames = [ws.receive_frame(), ws.receive_frame()]
    assert frames == [(wire.PONG, True, b"are you there", 0), (wire.TEXT, True, b"4hello world", 0)]


def test_a_message_one_byte_at_a_time(websocket: Opener) -> None:
    ws = websocket().ws
    for byte in wire.frame(wire.TEXT, "4Zoë".encode()):
        ws.send_raw(bytes([byte]))
    assert ws.receive() == "4Zoë"


def test_many_frames_in_one_segment(websocket: Opener) -> None:
    client = websocket()
    client.send(*[f"4{number}" for number in range(200)])
    assert [client.receive() for _ in range(200)] == [f"4{number}" for number in range(200)]


@pytest.mark.improvement("there, frames that come with the request are kept too, but not by every proxy")
def test_frames_right_behind_the_upgrade_request_are_not_lost(server: Server, closing: Opener) -> None:
    ws = closing(WebSocket(server.address, target_of(PATH, "websocket"), pipelined=wire.frame(wire.TEXT, b"4early")))
    assert ws.receive().startswith("0{")
    assert ws.receive() == "4early"


# -- polling ----------------------------------------------------------------------------------------------------------


def test_a_get_with_packets_waiting_is_answered_at_once_with_all(patient: Server, calm: PollingClient) -> None:
    calm.send("4send 20")
    wait_for_work(patient, calm, 1)
    started = time.monotonic()
    assert calm.get().text == "\x1e".join(f"4{number}" for number in range(20))
    assert time.monotonic() - started < 1.0


def test_a_get_with_nothing_waiting_is_held_until_something_comes(calm: PollingClient) -> None:
    calm.start_get()
    assert calm.getter.is_quiet(0.15)
    calm.send("4now")
    assert calm.finish_get().text == "4now"


def test_a_second_get_ends_the_session(patient: Server, calm: PollingClient, closing: Opener) -> None:
    calm.start_get()
    assert calm.getter.is_quiet(0.05)
    second = closing(patient.http()).request("GET", calm.target)
    assert (second.status, second.body) == (400, b"")
    first = calm.finish_get()
    assert (first.status, first.body) == (200, b"1")
    assert close_reason(patient, calm.sid) == "transport error"
    assert calm.is_over()


def test_a_second_post_ends_the_session(patient: Server, calm: PollingClient, closing: Opener) -> None:
    first = closing(patient.http())
    first.send_raw(f"POST {calm.target} HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n4abc".encode())
    time.sleep(0.1)  # the server must be reading the first body by then; nothing tells that it does
    second = calm.post("4x")
    assert (second.status, second.body) == (400, b"")
    assert close_reason(patient, calm.sid) == "transport error"
    assert calm.is_over()


def test_a_get_that_is_aborted_ends_the_session(patient: Server, calm: PollingClient) -> None:
    calm.start_get()
    assert calm.getter.is_quiet(0.05)
    calm.getter.abort()
    assert close_reason(patient, calm.sid) == "transport error"
    assert calm.is_over()


def test_a_get_whose_client_closes_orderly_ends_the_session(patient: Server, calm: PollingClient) -> None:
    calm.start_get()
    assert calm.getter.is_quiet(0.05)
    calm.getter.close()
    assert close_reason(patient, calm.sid) == "transport error"
    assert calm.is_over()


def test_a_post_that_is_aborted_ends_the_session(patient: Server, calm: PollingClient, closing: Opener) -> None:
    first = closing(patient.http())
    first.send_raw(f"POST {calm.target} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n4abc".encode())
    time.sleep(0.05)
    first.abort()
    assert close_reason(patient, calm.sid) == "transport error"
    assert calm.is_over()


def test_a_post_of_octets_ends_the_session(patient: Server, calm: PollingClient) -> None:
    response = calm.post("4x", {"Content-Type": "application/octet-stream"})
    assert (response.status, response.body) == (400, b"")
    assert close_reason(patient, calm.sid) == "transport error"


@pytest.mark.parametrize("content_type", ["text/plain", "application/json", "application/x-www-form-urlencoded", "",
                                          "application/octet-stream; charset=binary"])  # fmt: skip
def test_every_other_content_type_is_text(calm: PollingClient, content_type: str) -> None:
    assert calm.post("4Zoë", {"Content-Type": content_type}).text == "ok"
    assert calm.get().text == "4Zoë"


@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_body_over_the_limit_is_refused_and_the_session_goes_on(calm: PollingClient, is_chunked: bool) -> None:
    with contextlib.suppress(Ended, ConnectionError):
        response = calm.post("4" + "x" * 1_000_000, is_chunked=is_chunked)
        assert (response.status, response.body) == (413, b"")
    calm.poster.close()
    calm.send("4small")
    assert calm.get().text == "4small"


def test_a_body_over_the_limit_is_refused_before_it_is_read(calm: PollingClient) -> None:
    calm.poster.send_raw(f"POST {calm.target} HTTP/1.1\r\nHost: x\r\nContent-Length: 500000000\r\n\r\n4abc".encode())
    if not IS_REFERENCE:
        assert calm.poster.receive().status == 413
        calm.poster.close()
        calm.send("4small")
        assert calm.get().text == "4small"


def test_a_body_of_exactly_the_limit_is_accepted(calm: PollingClient) -> None:
    text = "4" + "x" * 999_999
    assert calm.post(text).text == "ok"
    assert calm.receive() == text


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS"])
def test_another_method_on_a_session_is_an_error_that_harms_nobody(calm: PollingClient, method: str) -> None:
    response = calm.poster.request(method, calm.target)
    assert (response.status, response.body) == (500, b"")
    calm.send("4still here")
    assert calm.get().text == "4still here"


@pytest.mark.parametrize("body", ["", "abc", "9", "7x", "\x1e", "x4hello", "\ufeff4"])
def test_a_bad_payload_ends_the_session(patient: Server, calm: PollingClient, body: str) -> None:
    with contextlib.suppress(Ended):
        assert calm.post(body).status in (200, 400)
    assert close_reason(patient, calm.sid) == "parse error"
    assert calm.get().status == 400


def test_a_bad_payload_answers_the_waiting_poll(patient: Server, calm: PollingClient) -> None:
    calm.start_get()
    assert calm.getter.is_quiet(0.05)
    with contextlib.suppress(Ended):
        calm.post("abc")
    assert calm.finish_get().text == "1"
    assert close_reason(patient, calm.sid) == "parse error"


def test_what_comes_before_the_bad_packet_is_delivered(patient: Server, calm: PollingClient) -> None:
    with contextlib.suppress(Ended):
        calm.post("4quiet\x1eabc\x1e4never")
    assert close_reason(patient, calm.sid) == "parse error"
    messages = [entry[1] for entry in patient.journal(calm.sid) if entry[0] == "message"]
    assert messages == ["quiet"]


def test_a_poll_gets_heartbeat_while_nobody_else_asks(server: Server, polling: Opener) -> None:
    client = polling()
    response = client.get()
    assert response.text == "2"


def test_a_ready_poll_keeps_the_connection(patient: Server, calm: PollingClient) -> None:
    for number in range(20):
        calm.send(f"4{number}")
        wait_for_work(patient, calm, number + 1)
        assert calm.get().text == f"4{number}"
    assert (calm.getter.connects, calm.poster.connects) == (1, 1)


# -- heartbeat --------------------------------------------------------------------------------------------------------


def test_a_ping_comes_after_every_interval(client: Any) -> None:
    for _ in range(4):
        started = time.monotonic()
        assert client.receive(has_pings=True) == "2"
        elapsed = time.monotonic() - started
        assert INTERVAL - 0.1 <= elapsed <= INTERVAL + SLACK
        client.send("3")


def test_the_interval_begins_with_the_answer(websocket: Opener) -> None:
    client = websocket()
    assert client.receive(has_pings=True) == "2"
    time.sleep(0.12)
    client.send("3")
    started = time.monotonic()
    assert client.receive(has_pings=True) == "2"
    assert time.monotonic() - started >= INTERVAL - 0.05


def test_a_silent_polling_client_is_given_up(server: Server, polling: Opener) -> None:
    client = polling()
    time.sleep(INTERVAL + TIMEOUT)
    # As the protocol's own suite asks it: exactly then, the session is gone (one timer tick of grace for a busy machine).
    time.sleep(0.02)
    response = client.get()
    assert (response.status, response.body) == (400, UNKNOWN_SESSION)
    assert close_reason(server, client.sid) == "ping timeout"


def test_a_silent_polling_client_with_a_waiting_poll_is_given_up(server: Server, polling: Opener) -> None:
    client = polling()
    assert client.get().text == "2"
    client.start_get()
    started = time.monotonic()
    response = client.finish_get()
    assert response.text in ("1", "6\x1e1")
    assert time.monotonic() - started <= TIMEOUT + SLACK
    assert close_reason(server, client.sid) == "ping timeout"


def test_a_silent_websocket_client_is_given_up(server: Server, websocket: Opener) -> None:
    client = websocket()
    started = time.monotonic()
    assert client.receive(has_pings=True) == "2"
    assert client.ws.wait_for_end() in (1005, 1000)
    elapsed = time.monotonic() - started
    assert INTERVAL + TIMEOUT - 0.1 <= elapsed <= INTERVAL + TIMEOUT + 2 * SLACK
    assert close_reason(server, client.sid) == "ping timeout"


def test_other_traffic_extends_the_time_out_once(server: Server, websocket: Opener) -> None:
    client = websocket()
    started = time.monotonic()
    deadline = started + 3
    with contextlib.suppress(Ended, ConnectionError):
        while time.monotonic() < deadline:
            client.send("4quiet")
            if not client.ws.is_quiet(0.05):
                assert client.ws.receive() == "2"
    elapsed = time.monotonic() - started
    assert INTERVAL + TIMEOUT - 0.1 <= elapsed <= INTERVAL + 2 * TIMEOUT + 2 * SLACK
    assert close_reason(server, client.sid) == "ping timeout"


def test_a_ping_is_delivered_behind_what_waits(polling: Opener) -> None:
    client = polling()
    client.send("4send 3")
    time.sleep(INTERVAL + 0.1)
    bodies = client.get().text
    assert bodies == "40\x1e41\x1e42\x1e2"


def test_messages_do_not_disturb_the_heartbeat(client: Any) -> None:
    for number in range(40):
        client.send(f"4{number}")
        assert client.receive() == f"4{number}"
        time.sleep(0.02)


def test_a_ping_from_the_client_ends_the_session(patient: Server, calm_client: Any) -> None:
    with contextlib.suppress(AssertionError, Ended):
        calm_client.send("2")
    assert close_reason(patient, calm_client.sid) == "transport error"


# -- closing ----------------------------------------------------------------------------------------------------------


def test_a_close_packet_in_a_post_answers_the_waiting_poll_with_a_noop(patient: Server, calm: PollingClient) -> None:
    calm.start_get()
    assert calm.getter.is_quiet(0.05)
    assert calm.post("1").text == "ok"
    assert calm.finish_get().text == "6"
    assert close_reason(patient, calm.sid) == "transport close"
    assert calm.get().status == 400


def test_what_follows_a_close_packet_is_ignored(patient: Server, calm: PollingClient) -> None:
    assert calm.post("4quiet\x1e1\x1e4never").text == "ok"
    assert close_reason(patient, calm.sid) == "transport close"
    assert [entry[1] for entry in patient.journal(calm.sid) if entry[0] == "message"] == ["quiet"]


@pytest.mark.improvement("it ignores the packet until the ping times out")
def test_a_close_packet_on_a_websocket_ends_the_session_at_once(patient: Server, closing: Opener) -> None:
    client = closing(WebSocketClient(patient.address, PATH))
    client.send("1")
    assert client.ws.wait_for_end(2.0) in (1000, 1005)
    assert close_reason(patient, client.sid) == "transport close"


@pytest.mark.parametrize("payload", [b"", b"\x03\xe8", b"\x03\xe8bye", b"\x03\xe9", b"\x0f\xa0"])
def test_a_close_frame_is_answered_and_ends_the_session(patient: Server, closing: Opener, payload: bytes) -> None:
    client = closing(WebSocketClient(patient.address, PATH))
    client.ws.send_frame(wire.CLOSE, payload)
    opcode, _, answer, _ = client.ws.receive_frame()
    assert opcode == wire.CLOSE
    assert answer[:2] == payload[:2]
    client.ws.wait_for_eof(3.0)
    client.close()
    assert close_reason(patient, client.sid) == "transport close"


@pytest.mark.parametrize("how", ["abort", "close"])
def test_a_websocket_that_breaks_ends_the_session(patient: Server, how: str) -> None:
    client = WebSocketClient(patient.address, PATH)
    getattr(client, how)()
    assert close_reason(patient, client.sid) == "transport close"


def test_the_server_closes_a_websocket_with_a_close_frame_alone(patient: Server, closing: Opener) -> None:
    client = closing(WebSocketClient(patient.address, PATH))
    client.send("4please close")
    assert client.ws.receive_frame() == (wire.CLOSE, True, b"", 0)
    client.ws.send_frame(wire.CLOSE)
    client.ws.wait_for_eof(3.0)
    assert close_reason(patient, client.sid) == "forced close"


def test_the_server_closes_a_websocket_after_what_it_sent(patient: Server, closing: Opener) -> None:
    client = closing(WebSocketClient(patient.address, PATH))
    client.send("4send and close")
    assert client.receive() == "4last words"
    assert client.ws.wait_for_end() == 1005


@pytest.mark.parametrize("word", ["please close", "close from a thread"])
def test_the_server_closes_a_session_whose_poll_waits(patient: Server, calm: PollingClient, word: str) -> None:
    calm.start_get()
    assert calm.getter.is_quiet(0.05)
    calm.post("4" + word)
    assert calm.finish_get().text == "1"
    assert close_reason(patient, calm.sid) == "forced close"
    assert calm.is_over()


def test_the_server_closes_a_session_without_a_poll_at_the_next_one(patient: Server, calm: PollingClient) -> None:
    calm.post("4please close")
    wait_for(lambda: any(entry[0] == "message" for entry in patient.journal(calm.sid)))
    assert not [entry for entry in patient.journal(calm.sid) if entry[0] == "close"]
    assert calm.get().text == "6\x1e1"
    assert close_reason(patient, calm.sid) == "forced close"
    assert calm.get().status == 400


def test_what_was_sent_before_closing_is_delivered_first(patient: Server, calm: PollingClient) -> None:
    calm.post("4send and close")
    assert calm.get().text == "4last words"
    assert calm.get().text == "6\x1e1"
    assert close_reason(patient, calm.sid) == "forced close"


def test_what_was_sent_before_closing_is_delivered_to_a_waiting_poll(patient: Server, calm: PollingClient) -> None:
    calm.start_get()
    assert calm.getter.is_quiet(0.05)
    calm.post("4send and close")
    assert calm.finish_get().text == "4last words"
    assert calm.get().text in ("1", "6\x1e1")
    assert close_reason(patient, calm.sid) == "forced close"


@pytest.mark.parametrize("text", ["abc", "", "9", "x4"])
def test_a_bad_packet_on_a_websocket_ends_the_session(patient: Server, closing: Opener, text: str) -> None:
    client = closing(WebSocketClient(patient.address, PATH))
    client.ws.send(text)
    assert client.ws.wait_for_end() == 1005
    assert close_reason(patient, client.sid) == "parse error"


def test_a_message_over_the_limit_is_closed_with_1009(patient: Server, closing: Opener) -> None:
    client = closing(WebSocketClient(patient.address, PATH))
    client.ws.send_raw(wire.frame(wire.BINARY, b"x" * 1_000_001)[:2000])  # the header alone says enough
    assert client.ws.wait_for_end() == 1009
    assert close_reason(patient, client.sid) == "transport error"


def test_a_message_of_exactly_the_limit_is_accepted(patient: Server, closing: Opener) -> None:
    client = closing(WebSocketClient(patient.address, PATH))
    client.send(b"x" * 1_000_000)
    assert client.receive() == b"x" * 1_000_000


def test_fragments_that_add_up_to_more_than_the_limit_are_closed_with_1009(patient: Server, closing: Opener) -> None:
    client = closing(WebSocketClient(patient.address, PATH))
    client.ws.send_frame(wire.TEXT, b"4" + b"x" * 600_000, fin=False)
    with contextlib.suppress(ConnectionError):
        client.ws.send_frame(0, b"x" * 600_000)
    assert client.ws.wait_for_end() == 1009
    assert close_reason(patient, client.sid) == "transport error"


@pytest.mark.parametrize("kind", ["gunicorn-sync", *RUNTIMES] if not IS_REFERENCE else RUNTIMES)
def test_the_end_of_a_session_that_ends_at_once_is_told(servers: Servers, kind: str, closing: Opener) -> None:
    """The first requests of a process: the connection listener may not have run when the session is over already."""
    with servers.fresh(kind) as server:
        for _ in range(10):
            client = closing(PollingClient(server.address, PATH))
            client.post("7x")
            assert close_reason(server, client.sid) == "parse error"


# -- upgrade ----------------------------------------------------------------------------------------------------------


def test_an_upgrade(calm: PollingClient, closing: Opener) -> None:
    ws = upgrade_socket(calm, closing)
    ws.send("2probe")
    assert ws.receive() == "3probe"
    assert calm.get().text == "6"
    ws.send("5")
    ws.send("4hello")
    assert ws.receive() == "4hello"
    ws.send("4which transport")
    assert ws.receive() == "4websocket"


def test_an_upgrade_is_told_to_the_connection_s_listeners(patient: Server, calm: PollingClient, closing: Opener) -> None:
    closing(wire.upgrade(calm))
    assert patient.wait_for_note(calm.sid, "upgrade") == ["upgrade", "websocket"]


def test_the_waiting_poll_is_released_by_the_probe(calm: PollingClient, closing: Opener) -> None:
    calm.start_get()
    assert calm.getter.is_quiet(0.05)
    ws = upgrade_socket(calm, closing)
    assert calm.getter.is_quiet(0.15)
    ws.send("2probe")
    started = time.monotonic()
    assert ws.receive() == "3probe"
    assert calm.finish_get().text == "6"
    assert calm.get().text == "6"
    assert time.monotonic() - started < 0.2 + 2 * SLACK
    ws.send("5")
    ws.send("4x")
    assert ws.receive() == "4x"


def test_polling_goes_on_between_probe_and_switch(calm: PollingClient, closing: Opener) -> None:
    ws = upgrade_socket(calm, closing)
    ws.send("2probe")
    assert ws.receive() == "3probe"
    calm.send("4one")
    assert calm.receive() == "4one"
    calm.send("4buffered")
    ws.send("5")
    assert ws.receive() == "4buffered"


def test_a_poll_that_still_waits_at_the_switch_is_answered(calm: PollingClient, closing: Opener) -> None:
    ws = upgrade_socket(calm, closing)
    ws.send("2probe")
    assert ws.receive() == "3probe"
    calm.start_get()
    calm.getter.is_quiet(0.03)  # two connections: the GET must be there before the switch
    ws.send("5")
    assert calm.finish_get().text in ("1", "6")
    ws.send("4x")
    assert ws.receive() == "4x"


def test_after_the_upgrade_polling_is_refused(calm: PollingClient, closing: Opener) -> None:
    upgraded = closing(wire.upgrade(calm))
    upgraded.send("4one")
    assert upgraded.receive() == "4one"
    for response in (calm.get(), calm.post("4x")):
        assert (response.status, response.body) == (400, BAD_REQUEST)
    upgraded.send("4two")
    assert upgraded.receive() == "4two"


@pytest.mark.parametrize("is_upgraded", [False, True])
def test_a_second_websocket_for_one_session_is_closed(calm: PollingClient, closing: Opener, is_upgraded: bool) -> None:
    first = upgrade_socket(calm, closing)
    first.send("2probe")
    assert first.receive() == "3probe"
    if is_upgraded:
        first.send("5")
        first.send("4x")
        assert first.receive() == "4x"
    try:
        second = upgrade_socket(calm, closing)
    except Refused as refused:
        assert refused.response.status == 400
    else:
        assert second.wait_for_end() in (1005, 1000)
    if not is_upgraded:
        first.send("5")
    first.send("4hello")
    assert first.receive() == "4hello"


def test_a_websocket_for_a_session_that_began_as_one_is_closed(hasty: Server, closing: Opener) -> None:
    client = closing(WebSocketClient(hasty.address, PATH))
    try:
        second = WebSocket(hasty.address, target_of(PATH, "websocket", sid=client.sid))
    except Refused as refused:
        assert refused.response.status == 400
    else:
        assert second.wait_for_end() in (1005, 1000)
    client.send("4hello")
    assert client.receive() == "4hello"


def test_a_switch_without_a_probe_is_accepted(calm: PollingClient, closing: Opener) -> None:
    ws = upgrade_socket(calm, closing)
    ws.send("5")
    ws.send("4x")
    assert ws.receive() == "4x"


@pytest.mark.parametrize("first", ["2", "2foo", "4hello", "1", "abc", b"\x01"])
def test_any_other_first_packet_closes_the_websocket_alone(calm: PollingClient, closing: Opener, first: Any) -> None:
    ws = upgrade_socket(calm, closing)
    ws.send(first)
    assert ws.wait_for_end() in (1005, 1000)
    calm.send("4still here")
    assert calm.receive() == "4still here"


@pytest.mark.parametrize("has_probe", [False, True])
@pytest.mark.parametrize("how", ["abort", "close"])
def test_a_websocket_that_goes_before_the_switch_harms_nobody(calm: PollingClient, closing: Opener, has_probe: bool, how: str) -> None:
    ws = upgrade_socket(calm, closing)
    if has_probe:
        ws.send("2probe")
        assert ws.receive() == "3probe"
    getattr(ws, how)()
    calm.send("4still here")
    assert calm.receive() == "4still here"
    again = closing(wire.upgrade(calm))
    again.send("4upgraded after all")
    assert again.receive() == "4upgraded after all"


@pytest.mark.parametrize("has_probe", [False, True])
def test_an_upgrade_that_takes_too_long_is_given_up(hasty: Server, closing: Opener, has_probe: bool) -> None:
    client = closing(PollingClient(hasty.address, PATH))
    ws = upgrade_socket(client, closing)
    if has_probe:
        ws.send("2probe")
        assert ws.receive() == "3probe"
    started = time.monotonic()
    assert ws.wait_for_end() in (1005, 1000)
    assert 0.2 <= time.monotonic() - started <= 0.4 + 2 * SLACK
    client.send("4still here")
    assert client.receive() == "4still here"


def test_a_session_that_closes_takes_the_probing_websocket_with_it(patient: Server, calm: PollingClient, closing: Opener) -> None:
    ws = upgrade_socket(calm, closing)
    ws.send("2probe")
    assert ws.receive() == "3probe"
    assert calm.post("1").text == "ok"
    assert ws.wait_for_end(2.0) in (1005, 1000, 1006)
    assert close_reason(patient, calm.sid) == "transport close"


def test_a_session_that_was_closing_is_closed_by_the_switch(patient: Server, calm: PollingClient, closing: Opener) -> None:
    ws = upgrade_socket(calm, closing)
    ws.send("2probe")
    assert ws.receive() == "3probe"
    calm.post("4send and close")
    wait_for(lambda: any(entry[0] == "message" for entry in patient.journal(calm.sid)))
    ws.send("5")
    assert ws.receive() == "4last words"
    assert ws.wait_for_end() == 1005
    assert close_reason(patient, calm.sid) == "forced close"


@pytest.mark.parametrize("has_polls", [False, True])
def test_nothing_is_lost_or_reordered_over_the_switch(calm: PollingClient, closing: Opener, has_polls: bool) -> None:
    count = 150
    calm.send(f"4drip {count}")
    received = [calm.receive() for _ in range(10)]
    ws = upgrade_socket(calm, closing)
    ws.send("2probe")
    assert ws.receive() == "3probe"
    if has_polls:
        received += [calm.receive() for _ in range(30)]
    received += [packet for packet in calm.received if packet != "6"]
    calm.received.clear()
    ws.send("5")
    received += [ws.receive() for _ in range(count - len(received))]
    assert received == [f"4drip {number}" for number in range(count)]


def test_what_the_client_sends_over_the_switch_keeps_its_order(patient: Server, calm: PollingClient, closing: Opener) -> None:
    calm.send("4quiet", "4quiet")
    ws = upgrade_socket(calm, closing)
    ws.send("2probe")
    assert ws.receive() == "3probe"
    for number in range(25):
        calm.send(f"4{number}")
    ws.send("5")
    for number in range(25, 50):
        ws.send(f"4{number}")
    received: list[Any] = []
    while len(received) < 50:
        received.append(ws.receive())
    assert received == [f"4{number}" for number in range(50)]
    sent = [entry[1] for entry in patient.journal(calm.sid) if entry[0] == "message"]
    assert sent == ["quiet", "quiet", *(str(number) for number in range(50))]


def test_the_upgrade_does_not_disturb_the_heartbeat(polling: Opener, closing: Opener) -> None:
    client = polling()
    started = time.monotonic()
    upgraded = closing(wire.upgrade(client))
    assert upgraded.receive(has_pings=True) == "2"
    assert time.monotonic() - started <= INTERVAL + SLACK
    for _ in range(3):
        upgraded.send("3")
        assert upgraded.receive(has_pings=True) == "2"


# -- options ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=RUNTIMES[:1])
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def test_a_cookie_is_set_once_and_only_by_polling(servers: Servers, kind: str, closing: Opener) -> None:
    server = servers.get(kind, cookie="io", **TIMES)
    client = closing(PollingClient(server.address, PATH))
    assert client.opening.headers["set-cookie"] == f"io={client.sid}; Path=/; HttpOnly; SameSite=Lax"
    client.send("4x")
    assert "set-cookie" not in client.get().headers
    assert "set-cookie" not in closing(WebSocketClient(server.address, PATH)).ws.response.headers


def test_an_initial_packet_comes_with_the_handshake(servers: Servers, kind: str, closing: Opener) -> None:
    server = servers.get(kind, initial_packet="welcome", **TIMES)
    client = closing(PollingClient(server.address, PATH))
    assert client.opening.text.endswith("}\x1e4welcome")
    assert closing(WebSocketClient(server.address, PATH)).receive() == "4welcome"


def test_upgrades_can_be_turned_off(servers: Servers, kind: str, closing: Opener) -> None:
    server = servers.get(kind, allow_upgrades=False, **TIMES)
    assert closing(PollingClient(server.address, PATH)).handshake["upgrades"] == []


def test_transports_can_be_limited(servers: Servers, kind: str, closing: Opener) -> None:
    server = servers.get(kind, transports=["websocket"], **TIMES)
    with pytest.raises(Refused) as refused:
        PollingClient(server.address, PATH)
    assert refused.value.response.body == UNKNOWN_TRANSPORT
    client = closing(WebSocketClient(server.address, PATH))
    client.send("4x")
    assert client.receive() == "4x"
    server = servers.get(kind, transports=["polling"], **TIMES)
    assert closing(PollingClient(server.address, PATH)).handshake["upgrades"] == []
    with pytest.raises(Refused):
        WebSocketClient(server.address, PATH)


def test_the_size_limit_is_told_and_kept(servers: Servers, kind: str, closing: Opener) -> None:
    server = servers.get(kind, max_http_buffer_size=100, **TIMES)
    client = closing(PollingClient(server.address, PATH))
    assert client.handshake["maxPayload"] == 100
    assert client.post("4" + "x" * 99).text == "ok"
    assert client.receive() == "4" + "x" * 99
    assert client.post("4" + "x" * 100).status == 413
    client = closing(WebSocketClient(server.address, PATH))
    client.send("4" + "x" * 100)
    assert client.ws.wait_for_end() == 1009


def test_headers_can_be_added(servers: Servers, kind: str, closing: Opener) -> None:
    server = servers.get(kind, hooks="headers", **TIMES)
    client = closing(PollingClient(server.address, PATH))
    assert client.opening.headers["x-initial"] == "once"
    assert client.opening.headers["x-each"] == "GET"
    assert [value for name, value in client.opening.lines if name == "set-cookie"] == ["first=1", "second=2"]
    posted = client.post("4x")
    assert (posted.headers["x-each"], "x-initial" in posted.headers) == ("POST", False)
    answer = client.get()
    assert (answer.headers["x-each"], "x-initial" in answer.headers) == ("GET", False)
    client.start_get()
    assert client.getter.is_quiet(0.05)
    client.send("4late")
    assert client.finish_get().headers["x-each"] == "GET"
    response = closing(WebSocketClient(server.address, PATH)).ws.response
    assert (response.headers["x-initial"], response.headers["x-each"]) == ("once", "GET")


def test_session_ids_can_be_made_by_the_application(servers: Servers, kind: str, closing: Opener) -> None:
    server = servers.get(kind, hooks="generate_id", **TIMES)
    client = closing(PollingClient(server.address, PATH, id="my-own_id"))
    assert client.sid == "my-own_id"
    client.send("4x")
    assert client.receive() == "4x"


@pytest.mark.improvement("any string is taken there")
@pytest.mark.parametrize("bad", ["has space", "é", "a/b", "", "same"])
def test_a_bad_or_duplicate_session_id_is_refused(servers: Servers, kind: str, closing: Opener, bad: str) -> None:
    server = servers.get(kind, hooks="generate_id", **TIMES)
    if bad == "same":
        closing(WebSocketClient(server.address, PATH, id="same"))
    with pytest.raises(Refused) as refused:
        PollingClient(server.address, PATH, id=bad)
    assert (refused.value.response.status, refused.value.response.body) == (400, BAD_REQUEST)


def test_per_message_deflate_is_negotiated(servers: Servers, kind: str, closing: Opener) -> None:
    from websockets.sync.client import connect

    server = servers.get(kind, per_message_deflate=True, **TIMES)
    url = f"ws://{server.host}:{server.port}{target_of(PATH, 'websocket')}"
    with connect(url, compression="deflate", proxy=None) as ws:
        assert "permessage-deflate" in ws.response.headers["Sec-WebSocket-Extensions"]
        assert str(ws.recv()).startswith("0{")
        for message in ("4" + "abc" * 5000, b"\x00" * 50_000, "4short", "4" + "Zoë" * 2000):
            ws.send(message)
            while (answer := ws.recv(timeout=5)) == "2":
                ws.send("3")
            assert answer == message
    plain = closing(WebSocketClient(server.address, PATH))
    assert "sec-websocket-extensions" not in plain.ws.response.headers


@pytest.mark.improvement("inflated sizes are its WebSocket library's affair")
def test_a_message_that_inflates_over_the_limit_is_closed_with_1009(servers: Servers, kind: str) -> None:
    import zlib

    server = servers.get(kind, per_message_deflate=True, **TIMES)
    extension = {"Sec-WebSocket-Extensions": "permessage-deflate"}
    ws = WebSocket(server.address, target_of(PATH, "websocket"), extension)
    deflate = zlib.compressobj(wbits=-15)
    bomb = deflate.compress(b"x" * 50_000_000) + deflate.flush(zlib.Z_SYNC_FLUSH)
    ws.send_frame(wire.BINARY, bomb[:-4], rsv=4)
    assert ws.wait_for_end() == 1009


@pytest.mark.improvement("it has no such limit")
def test_connections_over_the_limit_get_503(servers: Servers, kind: str, closing: Opener) -> None:
    server = servers.get(kind, max_connections=2, **TIMES)
    clients = [closing(WebSocketClient(server.address, PATH)) for _ in range(2)]
    for open_one in (PollingClient, WebSocketClient):
        with pytest.raises(Refused) as refused:
            open_one(server.address, PATH)
        assert refused.value.response.status == 503
        assert int(refused.value.response.headers["retry-after"]) >= 1
    clients[0].close()
    wait_for(lambda: server.stats()["engine_clients"] < 2)
    closing(PollingClient(server.address, PATH))


# -- origins ----------------------------------------------------------------------------------------------------------


def is_allowed(server: Server, headers: dict[str, str], transport: str) -> bool:
    try:
        wire.TRANSPORTS[transport](server.address, PATH, headers=headers).close()
    except Refused as refused:
        assert (refused.response.status, refused.response.body) == (403, FORBIDDEN), refused.response
        return False
    return True


@pytest.mark.improvement("it lets every origin in")
@pytest.mark.parametrize("transport", ["polling", "websocket"])
def test_the_own_origin_is_allowed_and_others_are_refused(servers: Servers, kind: str, transport: str) -> None:
    server = servers.get(kind, **TIMES)
    assert is_allowed(server, {}, transport)
    assert is_allowed(server, {"Origin": f"http://{server.host}:{server.port}"}, transport)
    for origin in (f"http://{server.host}:1", "http://elsewhere.example", "null", f"http://{server.host}"):
        assert not is_allowed(server, {"Origin": origin}, transport), origin
    assert "elsewhere.example" in wait_for(lambda: server.log if "elsewhere.example" in server.log else "")


@pytest.mark.improvement("it lets every origin in")
@pytest.mark.parametrize("transport", ["polling", "websocket"])
def test_named_origins_are_allowed_beside_the_own(servers: Servers, kind: str, transport: str) -> None:
    server = servers.get(kind, cors_allowed_origins=["https://good.example", "http://also.example:8080"], **TIMES)
    for origin in ("https://good.example", "http://also.example:8080", f"http://{server.host}:{server.port}"):
        assert is_allowed(server, {"Origin": origin}, transport), origin
    for origin in ("http://good.example", "https://good.example.evil.example", "https://good.example:8443"):
        assert not is_allowed(server, {"Origin": origin}, transport), origin


def test_cors_headers_are_on_every_response(servers: Servers, kind: str) -> None:
    server = servers.get(kind, cors_allowed_origins=["https://good.example"], **TIMES)
    headers = {"Origin": "https://good.example"}
    client = PollingClient(server.address, PATH, headers=headers)
    client.send("4x")
    with contextlib.closing(server.http()) as http:
        responses = [client.opening, client.get(), client.post("4y"), http.request("GET", f"{PATH}?EIO=4&transport=abc", headers=headers),
                     http.request("GET", target_of(PATH, "polling", sid="nope"), headers=headers)]  # fmt: skip
    client.close()
    for response in responses:
        assert response.headers["access-control-allow-origin"] == "https://good.example", response
        assert response.headers["access-control-allow-credentials"] == "true", response
        assert "origin" in response.headers["vary"].lower(), response


def test_a_preflight_is_answered(servers: Servers, kind: str) -> None:
    server = servers.get(kind, cors_allowed_origins=["https://good.example"], **TIMES)
    asked = {"Origin": "https://good.example", "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-token"}
    with contextlib.closing(server.http()) as http:
        response = http.request("OPTIONS", target_of(PATH, "polling"), headers=asked)
    assert (response.status, response.body) == (204, b"")
    assert response.headers["access-control-allow-origin"] == "https://good.example"
    assert {"GET", "POST"} <= {method.strip() for method in response.headers["access-control-allow-methods"].split(",")}
    assert response.headers["access-control-allow-headers"] == "x-token"


def test_every_origin_can_be_allowed(servers: Servers, kind: str) -> None:
    server = servers.get(kind, cors_allowed_origins="*", **TIMES)
    client = PollingClient(server.address, PATH, headers={"Origin": "https://any.example"})
    assert client.opening.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in client.opening.headers
    client.close()


# -- many at once -----------------------------------------------------------------------------------------------------


def test_a_hundred_sessions_at_once_stay_apart(server: Server) -> None:
    def talk(number: int) -> None:
        client: Any = wire.TRANSPORTS["websocket" if number % 2 else "polling"](server.address, PATH)
        with contextlib.closing(client):
            if number % 4 == 0:
                client = wire.upgrade(client)
            for round in range(5):
                client.send(f"4{number}-{round}")
                assert client.receive() == f"4{number}-{round}"
            client.close()

    with concurrent.futures.ThreadPoolExecutor(25) as pool:
        list(pool.map(talk, range(100)))


def test_a_connection_that_says_nothing_harms_nobody(server: Server, client: Any) -> None:
    silent = [socket.create_connection(server.address) for _ in range(20)]
    client.send("4x")
    assert client.receive() == "4x"
    for sock in silent:
        sock.close()
