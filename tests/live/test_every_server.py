"""The same connections on every WSGI server: WebSocket, upgrade, polls that wait, polls that are ready, TLS, the end of the process."""

from __future__ import annotations

import contextlib
import json
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from . import wire
from .servers import EVERY_SERVER, Server, Servers, wait_for
from .wire import PollingClient, SocketClient, WebSocket, WebSocketClient, target_of

pytestmark = [pytest.mark.live, pytest.mark.timeout(60)]

PATH = "/engine.io/"
HOLDERS = 12
"""More connections that wait than any of the servers has threads."""
WITHOUT_KEEP_ALIVE = ("werkzeug", "flask-run", "wsgiref", "gunicorn-sync")
TLS_SERVERS = ("embedded-threads", "embedded-gevent", "gunicorn-gthread")
Opener = Callable[..., Any]


@pytest.fixture(scope="module", params=[*EVERY_SERVER, *(f"{kind}+tls" for kind in TLS_SERVERS)])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, certificate: dict[str, str]) -> Iterator[Server]:
    kind, _, tls = request.param.partition("+")
    servers = Servers(tmp_path_factory.mktemp("every"))
    try:
        yield servers.get(kind, environ=certificate if tls else None, ping_interval=1.0, ping_timeout=2.0)
    finally:
        servers.finish()


@pytest.fixture
def closing() -> Iterator[Opener]:
    with contextlib.ExitStack() as stack:
        yield lambda thing: stack.enter_context(contextlib.closing(thing))


@pytest.fixture
def websocket(server: Server, closing: Opener) -> Opener:
    return lambda path=PATH: closing(WebSocketClient(server.address, path, is_tls=server.is_tls))


@pytest.fixture
def polling(server: Server, closing: Opener) -> Opener:
    return lambda path=PATH: closing(PollingClient(server.address, path, is_tls=server.is_tls))


def socket_client(server: Server, transport: str) -> SocketClient:
    return SocketClient.connect(transport, server.address, is_tls=server.is_tls)


def test_websocket(websocket: Opener) -> None:
    client = websocket()
    for message in ("4hello", "4" + "x" * 5000, b"\x00\xff" * 40_000, "4Zoë"):
        client.send(message)
        assert client.receive() == message
    client.ws.send_frame(wire.PING, b"there?")
    assert client.ws.receive_frame()[:3] == (wire.PONG, True, b"there?")
    client.ws.send_frame(wire.CLOSE, b"\x03\xe8")
    assert client.ws.receive_frame()[0] == wire.CLOSE
    client.ws.wait_for_eof(5.0)


def test_frames_right_behind_the_upgrade_request(server: Server, closing: Opener) -> None:
    early = wire.frame(wire.TEXT, b"4early") + wire.frame(wire.BINARY, b"e" * 300)
    ws = closing(WebSocket(server.address, target_of(PATH, "websocket"), is_tls=server.is_tls, pipelined=early))
    assert ws.receive().startswith("0{")
    assert ws.receive() == "4early"
    assert ws.receive() == b"e" * 300


def test_heartbeats_while_nothing_else_happens(websocket: Opener, polling: Opener) -> None:
    ws, poll = websocket(), polling()
    poll.start_get()
    assert ws.receive(timeout=3.0, has_pings=True) == "2"
    assert poll.finish_get(3.0).text == "2"
    ws.send("3", "4still")
    poll.send("3", "4still")
    assert ws.receive() == "4still"
    assert poll.receive() == "4still"


def test_an_upgrade_with_a_poll_that_waits(server: Server, polling: Opener, closing: Opener) -> None:
    client = polling()
    client.send("4drip 60")
    received = [client.receive() for _ in range(5)]
    client.start_get()
    ws = closing(WebSocket(server.address, target_of(PATH, "websocket", sid=client.sid), is_tls=server.is_tls))
    ws.send("2probe")
    assert ws.receive() == "3probe"
    while client.has_poll or client.received:
        with contextlib.suppress(TimeoutError):
            client.received.extend(packet for packet in wire.decode_payload(client.finish_get().text) if packet != "6")
        received += client.received
        client.received.clear()
    ws.send("5")
    received += [packet for packet in iter(ws.receive, "4drip 59") if packet != "2"] + ["4drip 59"]
    assert received == [f"4drip {number}" for number in range(60)]


def test_a_poll_that_waits_is_answered(polling: Opener) -> None:
    client = polling()
    client.start_get()
    assert client.getter.is_quiet(0.1)
    client.send("4now")
    response = client.finish_get()
    assert (response.status, response.text) == (200, "4now")
    assert response.headers["content-length"] == "4"
    assert response.headers["content-type"] == "text/plain; charset=UTF-8"
    for number in range(3):
        client.start_get()
        client.send(f"4{number}")
        assert client.finish_get().text == f"4{number}"


def test_a_ready_poll_keeps_the_connection(server: Server, polling: Opener) -> None:
    if server.kind in WITHOUT_KEEP_ALIVE:
        pytest.skip("this server closes after every answer")
    client = polling()
    for number in range(10):
        client.send(f"4{number}")
        wait_for(lambda sofar=number: server.journal(client.sid).count(["worked"]) > sofar)
        assert client.get().text == f"4{number}"
    # All ten polls were ready; one that has to wait may cost its connection.
    assert (client.getter.connects, client.poster.connects) == (1, 1)


def test_small_answers_are_not_held_back(server: Server, closing: Opener) -> None:
    """Twenty answers on one connection: with Nagle's algorithm on, each would wait 40 ms for the client's ACK."""
    if not server.kind.startswith("embedded"):
        pytest.skip("what another server does with its pages is not ours")
    http = closing(server.http())
    for target in ("/plain", target_of(PATH, "polling"), target_of(PATH, "polling", sid="nope")):
        started = time.monotonic()
        for _ in range(20):
            http.request("GET", target)
        assert time.monotonic() - started < 0.6, target


def test_a_connection_serves_pages_polls_and_upgrades_alike(server: Server, closing: Opener) -> None:
    http = closing(server.http())
    sid = json.loads(http.request("GET", target_of(PATH, "polling")).text[1:])["sid"]
    target = target_of(PATH, "polling", sid=sid)
    assert http.request("POST", target, b"4a").text == "ok"
    assert http.request("GET", "/plain").text == "plain"
    assert http.request("GET", target).text == "4a"
    assert http.request("GET", target_of(PATH, "polling", sid="nope")).json()["code"] == 1
    assert http.request("GET", "/nowhere").status == 404
    assert http.request("POST", target, b"1").text == "ok"


def test_more_connections_wait_than_there_are_threads(server: Server, websocket: Opener, polling: Opener, closing: Opener) -> None:
    polls = [polling() for _ in range(HOLDERS)]
    sockets = [websocket() for _ in range(HOLDERS)]
    for client in polls:
        client.start_get()
    http = closing(server.http())
    for _ in range(5):
        started = time.monotonic()
        assert http.request("GET", "/plain").text == "plain"
        assert time.monotonic() - started < 2.5  # wsgiref's queue holds five: the kernel may ask again after a second
    for number, client in enumerate(polls):
        client.send(f"4{number}")
        assert client.receive() == f"4{number}"
    for number, client in enumerate(sockets):
        client.send(f"4{number}")
        assert client.receive() == f"4{number}"


def test_socket_io_over_both_transports(server: Server, closing: Opener) -> None:
    polling, websocket = (closing(socket_client(server, transport)) for transport in ("polling", "websocket"))
    for client in (polling, websocket):
        assert client.call("echo", "Zoë", [1], None) == ["Zoë", [1], None]
        client.call("join", "room")
    polling.call("tell", {"from": "socket", "to": "room"}, "news", 1)
    assert websocket.receive() == ["news", 1]
    websocket.call("tell", {"from": "socket", "to": "room"}, "news", 2)
    assert polling.receive() == ["news", 2]


def test_an_emit_from_a_page_reaches_a_poll_that_waits(server: Server, closing: Opener) -> None:
    client = closing(socket_client(server, "polling"))
    client.engine.start_get()
    server.page(f"/emit?to={client.id}&event=hello&value=5")
    assert client.receive() == ["hello", 5]


@pytest.mark.parametrize("transport", ["polling", "websocket"])
@pytest.mark.parametrize("how", ["abort", "leave"])
def test_a_client_that_breaks_off_is_noticed(server: Server, transport: str, how: str) -> None:
    client = socket_client(server, transport)
    if transport == "polling":
        client.engine.start_get()
        assert client.engine.getter.is_quiet(0.1)
    getattr(client.engine, how)()
    reason = server.wait_for_note(client.id, "disconnect", 1.5)[1]
    assert reason == ("transport error" if transport == "polling" else "transport close")


def test_large_bodies_and_answers(polling: Opener) -> None:
    client = polling()
    for is_chunked in (False, True):
        text = "4" + "x" * 300_000
        response = client.post(text, is_chunked=is_chunked)
        if is_chunked and response.status in (400, 411, 413, 501):
            continue  # some servers do not take chunked bodies
        assert response.text == "ok"
        assert client.receive() == text


def test_a_body_over_the_limit_is_refused(polling: Opener) -> None:
    client = polling()
    with contextlib.suppress(wire.Ended, ConnectionError):
        assert client.post("4" + "x" * 1_200_000).status == 413
    client.poster.close()
    client.send("4small")
    assert client.receive() == "4small"


def test_the_end_of_the_process(server: Server, tmp_path_factory: pytest.TempPathFactory, certificate: dict[str, str]) -> None:
    """Gone within two seconds; WebSockets are closed with 1001, polls are answered."""
    environ = certificate if server.is_tls else None
    with Servers(tmp_path_factory.mktemp("end")).fresh(server.kind, environ=environ) as ending:
        sockets = [WebSocketClient(ending.address, PATH, is_tls=ending.is_tls) for _ in range(5)]
        polls = [PollingClient(ending.address, PATH, is_tls=ending.is_tls) for _ in range(5)]
        joined = socket_client(ending, "websocket")
        for client in polls:
            client.start_get()
        for client in polls:
            assert client.getter.is_quiet(0.05)
        by_hook = server.kind.startswith(("gunicorn", "embedded", "pywsgi", "cheroot"))
        # The others die of SIGTERM before Python notices; Ctrl-C is how they are stopped.
        ending.signal(signal.SIGTERM if by_hook else signal.SIGINT)
        assert ending.wait_until_gone(5.0) < 3.0
        assert [client.ws.wait_for_end(2.0) for client in sockets] == [1001] * 5
        assert joined.engine.ws.wait_for_end(2.0) == 1001
        for client in polls:
            response = client.finish_get(2.0)
            assert response.status == 200, response
            assert response.text in ("1", "6", "6\x1e1"), response


def test_a_server_whose_sockets_cannot_be_taken_over(tmp_path_factory: pytest.TempPathFactory) -> None:
    with Servers(tmp_path_factory.mktemp("granian")).fresh("granian") as server:
        client = PollingClient(server.address, PATH)
        assert client.handshake["upgrades"] == []
        client.start_get()
        client.send("4hello")
        assert client.finish_get().text == "4hello"
        joined = SocketClient.connect("polling", server.address)
        assert joined.call("echo", 1) == [1]
        with pytest.raises(wire.Refused) as refused:
            WebSocketClient(server.address, PATH)
        assert refused.value.response.status == 400
        wait_for(lambda: [line for line in server.log.splitlines() if "WARNING sync_sio" in line and "granian" in line.lower()],
                 say=lambda: server.log)  # fmt: skip
        client.close()
        joined.close()
