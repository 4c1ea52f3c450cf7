"""Garbage of every kind ends the client that sent it, and nobody else.

A bystander on each transport talks before and after; the server's memory does not grow by what was refused.
"""

from __future__ import annotations

import contextlib
import os
import random
import socket
import struct
import time
import zlib
from collections.abc import Iterator
from typing import Any

import pytest

from . import wire
from .conftest import IS_REFERENCE, RUNTIMES
from .servers import Server, Servers, wait_for
from .wire import BINARY, CLOSE, PING, TEXT, Http, PollingClient, SocketClient, WebSocket, WebSocketClient, frame, target_of

pytestmark = [pytest.mark.live, pytest.mark.timeout(60), pytest.mark.skipif(IS_REFERENCE, reason="asks for more than the reference gives")]

PATH = "/engine.io/"
LIMIT = 1_000_000


@pytest.fixture(scope="module", params=[*RUNTIMES, "gunicorn-gthread"])
def server(request: pytest.FixtureRequest, servers: Servers) -> Server:
    # Sessions that a test leaves behind are known by their ping; the bystanders answer theirs after each test.
    return servers.get(request.param, send_timeout=2.0, ping_interval=4.0, ping_timeout=4.0)


@pytest.fixture(scope="module")
def bystanders(server: Server) -> Iterator[list[SocketClient]]:
    clients = [SocketClient.connect(transport, server.address) for transport in ("polling", "websocket")]
    yield clients
    for client in clients:
        client.close()


@pytest.fixture(autouse=True)
def nobody_else_is_harmed(bystanders: list[SocketClient]) -> Iterator[None]:
    yield
    for client in bystanders:
        assert client.call("echo", "still here", timeout=5.0) == ["still here"]


@pytest.fixture
def ws(server: Server) -> Iterator[WebSocket]:
    client = WebSocketClient(server.address, PATH)
    yield client.ws
    client.close()


FRAMES: dict[str, tuple[bytes, set[int]]] = {
    "unmasked": (frame(TEXT, b"4x", is_masked=False), {1002}),
    "unmasked close": (frame(CLOSE, b"", is_masked=False), {1002}),
    "first reserved bit": (frame(TEXT, b"4x", rsv=4), {1002}),
    "second reserved bit": (frame(TEXT, b"4x", rsv=2), {1002}),
    "third reserved bit": (frame(TEXT, b"4x", rsv=1), {1002}),
    "reserved data opcode": (frame(3, b"4x"), {1002}),
    "reserved control opcode": (frame(11, b""), {1002}),
    "continuation of nothing": (frame(0, b"4x"), {1002}),
    "a new message inside another": (frame(TEXT, b"4x", fin=False) + frame(TEXT, b"4y"), {1002}),
    "fragmented ping": (frame(PING, b"x", fin=False), {1002}),
    "long ping": (frame(PING, b"x" * 126), {1002}),
    "long close": (frame(CLOSE, b"\x03\xe8" + b"x" * 124), {1002}),
    "close with one byte": (frame(CLOSE, b"\x03"), {1002}),
    "close with code 0": (frame(CLOSE, struct.pack("!H", 0)), {1002}),
    "close with code 999": (frame(CLOSE, struct.pack("!H", 999)), {1002}),
    "close with code 1005": (frame(CLOSE, struct.pack("!H", 1005)), {1002}),
    "close with code 1006": (frame(CLOSE, struct.pack("!H", 1006)), {1002}),
    "close with code 1015": (frame(CLOSE, struct.pack("!H", 1015)), {1002}),
    "close with code 5000": (frame(CLOSE, struct.pack("!H", 5000)), {1002}),
    "close with bad UTF-8": (frame(CLOSE, b"\x03\xe8\xff\xfe"), {1002, 1007}),
    "bad UTF-8": (frame(TEXT, b"4\xff\xfe"), {1007}),
    "overlong UTF-8": (frame(TEXT, b"4\xc0\xaf"), {1007}),
    "surrogates in UTF-8": (frame(TEXT, b"4\xed\xa0\x80"), {1007}),
    "UTF-8 cut short": (frame(TEXT, b"4\xe2\x82"), {1007}),
    "bad UTF-8 over fragments": (frame(TEXT, b"4\xe2", fin=False) + frame(0, b"\x28\xa1"), {1007}),
    "a length with its highest bit set": (b"\x81\xff" + b"\xff" * 8 + b"\0\0\0\0", {1002, 1009}),
    "a length of 2**62": (b"\x81\xff" + struct.pack("!Q", 2**62) + b"\0\0\0\0", {1009}),
    "a length of limit + 1": (b"\x82\xff" + struct.pack("!Q", LIMIT + 1) + b"\0\0\0\0", {1009}),
    "HTTP": (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", {1002, 1009}),
}


@pytest.mark.parametrize("name", FRAMES)
def test_bad_frames(server: Server, ws: WebSocket, name: str) -> None:
    data, codes = FRAMES[name]
    ws.send_raw(data)
    assert ws.wait_for_end(5.0) in codes
    with contextlib.suppress(OSError):
        ws.sock.shutdown(socket.SHUT_WR)  # the server lingers for this, so that the close frame is not lost to a RST
        ws.wait_for_eof(5.0)


def test_a_thousand_fragments_are_bounded_by_their_sum(ws: WebSocket) -> None:
    with contextlib.suppress(OSError):
        ws.send_frame(BINARY, b"x" * 1000, fin=False)
        for _ in range(1100):
            ws.send_frame(0, b"x" * 1000, fin=False)
    assert ws.wait_for_end(5.0) == 1009


def test_fragments_without_bytes_do_not_pile_up(server: Server, ws: WebSocket) -> None:
    before = server.stats()["rss"]
    with contextlib.suppress(OSError):
        ws.send_frame(TEXT, b"4", fin=False)
        for _ in range(100):
            ws.send_raw(frame(0, b"", fin=False) * 1000)
        ws.send_frame(0, b"end")
    with contextlib.suppress(wire.Ended):
        assert ws.receive() == "4end"
    assert server.stats()["rss"] - before < 20_000_000


def test_a_message_over_the_limit_is_refused_before_it_is_buffered(server: Server, ws: WebSocket) -> None:
    before = server.stats()["rss"]
    ws.send_raw(b"\x82\xff" + struct.pack("!Q", 400_000_000) + b"\0\0\0\0")
    with contextlib.suppress(OSError):
        for _ in range(50):
            ws.send_raw(b"x" * 100_000)
    assert ws.wait_for_end(5.0) in (1009, 1006)  # 1006: the RST for what was still coming overtook the close frame
    assert server.stats()["rss"] - before < 20_000_000


@pytest.mark.parametrize("seed", range(5))
def test_random_bytes_on_a_websocket(ws: WebSocket, seed: int) -> None:
    chance = random.Random(seed)
    with contextlib.suppress(OSError):
        for _ in range(50):
            ws.send_raw(chance.randbytes(chance.randrange(1, 3000)))
    with contextlib.suppress(OSError, wire.Ended):
        ws.sock.shutdown(socket.SHUT_WR)
        ws.wait_for_end(5.0)


@pytest.mark.parametrize("seed", range(5))
def test_random_frames_on_a_websocket(ws: WebSocket, seed: int) -> None:
    chance = random.Random(seed)
    with contextlib.suppress(OSError):
        for _ in range(200):
            payload = chance.choice([b"4", b"2", b"42", b"451-", b"b", b"\x00", b"4\xff"]) + chance.randbytes(chance.randrange(40))
            ws.send_frame(chance.choice([TEXT, BINARY, PING, 0]), payload, fin=chance.random() < 0.9)
        ws.sock.shutdown(socket.SHUT_WR)
    ws.wait_for_end(5.0)


@pytest.mark.parametrize("seed", range(10))
def test_random_payloads(server: Server, seed: int) -> None:
    chance = random.Random(seed)
    client = PollingClient(server.address)
    alphabet = '0123456b\x1e[]{}",/-_placeholdernum:x \xff\u2028\U0001f600'
    for _ in range(20):
        body = "".join(chance.choice(alphabet) for _ in range(chance.randrange(1, 60)))
        with contextlib.suppress(wire.Ended, ConnectionError):
            if client.post(body).status != 200:
                break
    client.close()


@pytest.mark.parametrize(
    "body",
    [b"4\xff\xfe",
     b"\xff", b"4\xed\xa0\x80", b"\x00", b"4" + b"\x00" * 100, b"b" + b"\xff" * 50, b"\x1e" * 1000, b"4\x1e" * 500, b"3" * 5000],
)
def test_odd_bodies(server: Server, body: bytes) -> None:
    client = PollingClient(server.address, PATH)
    with contextlib.suppress(wire.Ended):
        assert client.post(body).status in (200, 400)
    client.close()


ATTACKS: dict[str, list[Any]] = {
    "attachments that never come": ['453-["message",{"_placeholder":true,"num":0}]', b"one"],
    "deep nesting": ["42" + "[" * 50_000],
    "deep nesting, closed": ['42["message",' + "[" * 50_000 + "]" * 50_000 + "]"],
    "deep objects": ['42["message",' + '{"a":' * 50_000 + "1" + "}" * 50_000 + "]"],
    "an enormous number": ['42["message",' + "9" * 100_000 + "]"],
    "an enormous exponent": ['42["message",1e999999]'],
    "an enormous ack number": ["42" + "9" * 100_000 + '["echo"]'],
    "an enormous ack": ["43" + "9" * 10_000 + "[]"],
    "an enormous namespace": ["40/" + "x" * 500_000 + ","],
    "an enormous attachment count": ["45" + "9" * 10_000 + '-["message"]'],
    "the prototype": ['42["message",{"__proto__":{"x":1},"constructor":1}]'],
    "lone surrogates": ['42["message","\\ud800"]'],
    "NaN": ['42["message",NaN]'],
    "a comment": ['42["message"/**/]'],
    "single quotes": ["42['message']"],
    "too many namespaces": [f"40/unknown{number}," for number in range(500)],
    "placeholders inside placeholders": ['451-["message",{"_placeholder":true,"num":{"_placeholder":true,"num":0}}]', b"x"],
    "a placeholder that is huge": ['451-["message",{"_placeholder":true,"num":99999999999999999999}]', b"x"],
    "binary first": [b"\x00" * 100],
    "acks that nobody asked for": [f'43{number}["x"]' for number in range(1000)],
    "reserved": ['42["disconnect"]'],
}


@pytest.mark.parametrize("transport", ["polling", "websocket"])
@pytest.mark.parametrize("name", ATTACKS)
def test_bad_packets(server: Server, transport: str, name: str) -> None:
    client = SocketClient.connect(transport, server.address)
    with contextlib.suppress(AssertionError, wire.Ended, OSError):
        for packet in ATTACKS[name]:
            client.engine.send(packet)
    # Refused or answered: both are right here, as long as it is this client's affair alone.
    with contextlib.suppress(wire.Ended, OSError, AssertionError):
        client.emit("echo", "end", ack=1)
        while client.engine.receive(timeout=0.2):
            pass
    client.close()


def test_an_attachment_that_never_comes_harms_no_memory(server: Server) -> None:
    before = server.stats()["rss"]
    clients = [SocketClient.connect("websocket", server.address) for _ in range(10)]
    for client in clients:
        client.engine.send('4510-["message",{"_placeholder":true,"num":0}]', *[b"x" * 900_000] * 9)
    for client in clients:
        with contextlib.suppress(wire.Ended, TimeoutError):
            client.engine.receive(timeout=0.1)
    # One packet may hold this much; what counts is that it goes with its client.
    assert server.stats()["rss"] - before < 9 * 10 * 900_000 * 1.5
    for client in clients:
        client.close()
        server.wait_for_note(client.id, "disconnect")


def test_attachments_are_bounded(server: Server) -> None:
    client = SocketClient.connect("websocket", server.address)
    client.engine.send('4511-["message",{"_placeholder":true,"num":0}]')
    assert client.engine.ws.wait_for_end() == 1005
    client.close()


REQUESTS = [
    b"GET\r\n\r\n",
    b"\r\n\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + os.urandom(200),
    b"GET /engine.io/?EIO=4&transport=polling HTTP/9.9\r\n\r\n",
    b"GET /engine.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: x\r\nBad Header\r\n\r\n",
    b"GET /engine.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 90 + b"\r\n",
    b"GET /engine.io/?" + b"x" * 200_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /engine.io/?EIO=4&transport=polling&\xff\xfe=%ff%fe HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST /engine.io/?EIO=4&transport=polling&sid=x HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
    b"POST /engine.io/?EIO=4&transport=polling&sid=x HTTP/1.1\r\nHost: x\r\nContent-Length: abc\r\n\r\n",
    b"POST /engine.io/?EIO=4&transport=polling&sid=x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"POST /engine.io/?EIO=4&transport=polling&sid=x HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
    b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET http://elsewhere/engine.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: x\r\n\r\n",
]


@pytest.mark.parametrize("number", range(len(REQUESTS)))
def test_bad_requests(server: Server, number: int) -> None:
    with Http(server.address, timeout=1.0) as http:
        with contextlib.suppress(OSError, wire.Ended, TimeoutError, ValueError, IndexError):
            http.send_raw(REQUESTS[number])
            http.receive()
        assert server.http().request("GET", "/plain").text == "plain"


BAD_QUERIES = ["EIO=4&transport=polling&sid=%00", "EIO=4&transport=polling&sid=" + "x" * 5000, "EIO=4&transport=polling&sid=../../etc",
               "EIO=4&transport=polling&sid=%ff%fe", "EIO=4;transport=polling", "%%%", "&&&&=", "EIO=4&transport=%F0%9F%98%80",
               "EIO[]=4&transport[]=polling", "EIO=4&transport=polling&j=0"]  # fmt: skip


@pytest.mark.parametrize("query", BAD_QUERIES)
def test_bad_queries(server: Server, query: str) -> None:
    with server.http() as http:
        response = http.request("GET", f"{PATH}?{query}")
        assert response.status in (200, 400, 414), response
        assert http.request("GET", "/plain").text == "plain"


@pytest.mark.parametrize("headers", [{"Origin": "http://é"}, {"Origin": "x" * 5000}, {"Origin": "http://a b"}, {"Cookie": "\xff" * 100},
                                     {"Host": ""}, {"Host": "a b"}, {"X-Forwarded-For": "x, y, \xff"}, {"Accept-Encoding": "gzip;q=x, ;;;"},
                                     {"Content-Type": "\xff"}])  # fmt: skip
def test_bad_headers(server: Server, headers: dict[str, str]) -> None:
    with server.http() as http, contextlib.suppress(wire.Ended):
        response = http.request("GET", target_of(PATH, "polling"), headers=headers)
        assert response.status in (200, 400, 403, 431), response


@pytest.mark.parametrize("transport", ["polling", "websocket"])
def test_a_thousand_handshakes_that_go_no_further(servers: Servers, server: Server, transport: str) -> None:
    """Sessions that join nothing are closed after `connect_timeout`, and nothing of them stays."""
    # A polling session that is being closed waits for a GET that tells it so; the ping's time-out ends that.
    server = servers.get(server.kind, connect_timeout=2.0, ping_interval=2.0, ping_timeout=1.0)
    before = server.stats()
    clients: list[Any] = []
    if transport == "polling":
        for _ in range(1000):
            with server.http() as http:
                assert http.request("GET", target_of("/socket.io/", "polling")).status == 200
    else:
        clients = [WebSocketClient(server.address) for _ in range(1000)]
    assert server.stats()["clients"] >= before["clients"] + 300
    wait_for(lambda: server.stats()["clients"] <= before["clients"], 10.0, lambda: repr(server.stats()))
    for client in clients:
        client.close()
    wait_for(lambda: server.stats()["descriptors"] <= before["descriptors"] + 8, 5.0, lambda: f"{before} {server.stats()}")


def test_connections_that_say_nothing(server: Server) -> None:
    if server.kind == "gunicorn-gthread":
        pytest.skip("gunicorn itself gives a thread to each until it speaks")
    silent = []
    for _ in range(300):
        with contextlib.suppress(OSError):
            silent.append(socket.create_connection(server.address, timeout=1.0))
    # A server with few threads may take a moment to see that these say nothing; it may not be lost to others.
    started = time.monotonic()
    client = SocketClient.connect("websocket", server.address)
    assert client.call("echo", 1) == [1]
    assert time.monotonic() - started < 5.0
    for sock in silent:
        sock.close()
    client.close()


def test_half_an_upgrade_request(server: Server) -> None:
    """Fewer than gunicorn has threads: it gives one to each."""
    socks = []
    for _ in range(3):
        sock = socket.create_connection(server.address)
        sock.sendall(f"GET {target_of(PATH, 'websocket')} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n".encode())
        socks.append(sock)
    client = WebSocketClient(server.address, PATH)
    client.send("4x")
    assert client.receive() == "4x"
    client.close()
    for sock in socks:
        sock.close()


def test_a_client_that_never_reads_is_closed_and_holds_nobody_up(server: Server) -> None:
    client = SocketClient.connect("websocket", server.address)
    client.engine.ws.sock.settimeout(0.2)
    with contextlib.suppress(TimeoutError):  # in the end the server no longer reads what it cannot answer
        for _ in range(40):
            client.emit("please emit", "large", "x" * 900_000)
    other = SocketClient.connect("websocket", server.address)
    for number in range(20):
        started = time.monotonic()
        assert other.call("echo", number) == [number]
        assert time.monotonic() - started < 2.0
    assert "max_buffered_bytes" in server.wait_for_note(client.id, "slow consumer", 10.0)[1]
    assert server.wait_for_note(client.id, "disconnect")[1] == "transport error"
    client.close()
    other.close()


def test_a_client_that_never_reads_is_closed_by_broadcasts(server: Server) -> None:
    deaf, other = SocketClient.connect("websocket", server.address), SocketClient.connect("websocket", server.address)
    for client in (deaf, other):
        client.call("join", "loud")
    for number in range(30):
        started = time.monotonic()
        other.emit("tell", {"to": "loud"}, "loud", number, "x" * 900_000)
        assert other.receive() == ["loud", number, "x" * 900_000]
        assert time.monotonic() - started < 2.0
    assert server.wait_for_note(deaf.id, "disconnect")[1] == "transport error"
    assert "bytes" in server.wait_for_note(deaf.id, "description")[2]
    deaf.close()
    other.close()


def test_a_compressed_bomb(servers: Servers, server: Server) -> None:
    kind = server.kind
    deflating = servers.get(kind, per_message_deflate=True)
    extension = {"Sec-WebSocket-Extensions": "permessage-deflate"}
    ws = WebSocket(deflating.address, target_of(PATH, "websocket"), extension)
    before = deflating.stats()["rss"]
    deflate = zlib.compressobj(wbits=-15)
    bomb = deflate.compress(b"x" * 200_000_000) + deflate.flush(zlib.Z_SYNC_FLUSH)
    ws.send_frame(BINARY, bomb[:-4], rsv=4)
    assert ws.wait_for_end(5.0) == 1009
    assert deflating.stats()["rss"] - before < 20_000_000
    ws = WebSocket(deflating.address, target_of(PATH, "websocket"), extension)
    ws.send_frame(TEXT, b"no deflate stream at all", rsv=4)
    assert ws.wait_for_end(5.0) in (1002, 1007)
