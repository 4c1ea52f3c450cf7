"""`ws_engine="simple-websocket"`: a thread per WebSocket, on that library."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from . import wire
from .servers import Server, Servers
from .wire import PollingClient, SocketClient, WebSocketClient

PATH = "/engine.io/"


@pytest.fixture(scope="module", params=["werkzeug", "gunicorn-gthread", "gunicorn-gevent"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    servers = Servers(tmp_path_factory.mktemp("simple"))
    try:
        yield servers.get(request.param, ws_engine="simple-websocket", ping_interval=1.0, ping_timeout=2.0)
    finally:
        servers.finish()


def test_messages_both_ways_and_a_close_frame(server: Server) -> None:
    with contextlib.closing(WebSocketClient(server.address, PATH)) as client:
        for message in ("4hello", "4" + "x" * 5000, b"\x00\xff" * 10_000, "4Zoë"):
            client.send(message)
            assert client.receive() == message
        client.ws.send_frame(wire.CLOSE, b"\x03\xe8")
        assert client.ws.receive_frame()[0] == wire.CLOSE


def test_heartbeats_go_on(server: Server) -> None:
    with contextlib.closing(WebSocketClient(server.address, PATH)) as client:
        for _ in range(3):
            assert client.receive(timeout=3, has_pings=True) == "2"
            client.send("3")
        client.send("4still here")
        assert client.receive() == "4still here"


def test_a_client_that_answers_no_ping_is_closed(server: Server) -> None:
    with contextlib.closing(WebSocketClient(server.address, PATH)) as client:
        assert client.receive(timeout=3, has_pings=True) == "2"
        client.ws.wait_for_end(5)
    with contextlib.closing(WebSocketClient(server.address, PATH)) as client:
        client.send("4another")
        assert client.receive() == "4another"


def test_an_upgrade_keeps_the_session(server: Server) -> None:
    with contextlib.closing(PollingClient(server.address, PATH)) as client:
        client.send("4before")
        assert client.receive() == "4before"
        with contextlib.closing(wire.upgrade(client)) as upgraded:
            for number in range(20):
                upgraded.send(f"4{number}")
            assert [upgraded.receive() for _ in range(20)] == [f"4{number}" for number in range(20)]


def test_events_acks_calls_and_attachments(server: Server) -> None:
    with contextlib.closing(SocketClient.connect("websocket", server.address)) as client:
        assert client.call("echo", {"a": [1, "Zoë"]}) == [{"a": [1, "Zoë"]}]
        client.engine.send('451-8["echo",{"_placeholder":true,"num":0}]', b"\x01\x02")
        assert client.wait_for_ack(8) == [b"\x01\x02"]
        client.emit("call back", "question", ack=7)
        *event, number = client.receive()
        assert event == ["question"]
        client.answer(number, "answered")
        assert client.wait_for_ack(7) == ["answered"]


@pytest.mark.parametrize("kind", ["embedded-threads", "embedded-gevent"])
def test_the_embedded_server_has_websockets_of_its_own(servers: Servers, kind: str) -> None:
    server = servers.get(kind, ws_engine="simple-websocket")
    with contextlib.closing(SocketClient.connect("websocket", server.address)) as client:
        assert client.call("echo", "x") == ["x"]


def test_a_web_server_that_the_library_does_not_know_is_logged(servers: Servers) -> None:
    server = servers.get("wsgiref", ws_engine="simple-websocket")
    with pytest.raises(wire.Refused):
        SocketClient.connect("websocket", server.address)
    assert 'no WebSocket is possible with ws_engine="simple-websocket"' in server.log
    with contextlib.closing(SocketClient.connect("polling", server.address)) as client:
        assert client.call("echo", "x") == ["x"]
