"""An `EngineServer` without Socket.IO: the public face of the engine."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from sync_sio.engine import EngineServer
from sync_sio.wsgi.embedded import EmbeddedServer

from .conftest import UPGRADE, Rig, frame


def test_it_lists_and_counts_its_clients(rig: Rig) -> None:
    assert (rig.server.clients_count, rig.server.clients) == (0, {})
    rig.request()
    connection, _ = rig.websocket()
    first = rig.connections[0]
    clients = rig.server.clients
    assert clients == {first.id: first, connection.id: connection} and rig.server.clients_count == 2
    first.close(discard=True)
    assert rig.server.clients_count == 1 and len(clients) == 2


def test_close_ends_every_connection_and_serves_on(rig: Rig) -> None:
    rig.request()
    _, client = rig.websocket()
    rig.waiting_poll(rig.connections[0].id)
    poll = rig._taken
    assert poll is not None
    rig.server.close()
    rig.driver.settle()
    assert (poll.recv() or b"").endswith(b"\r\n\r\n1")
    assert (client.recv() or b"")[-2:] == b"\x88\x00"
    assert rig.closed == [("forced close", None)] * 2
    assert rig.request()[0] == 200


def test_listeners_come_in_order_once_and_go(rig: Rig) -> None:
    told: list[str] = []

    @rig.server.on("connection")
    def each(connection: Any) -> None:
        told.append("each")

    @rig.server.once("connection")
    def once(connection: Any) -> None:
        told.append("once")

    rig.request()
    rig.request()
    rig.server.off("connection", each)
    rig.request()
    assert told == ["each", "once", "each"]


def test_a_listener_for_what_never_happens_is_a_mistake(rig: Rig) -> None:
    with pytest.raises(ValueError, match="unknown event 'connect': there are 'connection'"):
        rig.server.on("connect", print)
    connection, _ = rig.websocket()
    with pytest.raises(ValueError, match="unknown event 'flush': there are 'message'"):
        connection.on("flush", print)
    with pytest.raises(TypeError, match="str or bytes, not dict"):
        connection.send({"a": 1})  # type: ignore[arg-type]


@pytest.mark.parametrize("how", ["raises", "is no str", "is no id", "is taken"])
def test_an_id_that_cannot_be_is_refused_with_code_3_and_logged(rig: Rig, caplog: pytest.LogCaptureFixture, how: str) -> None:
    errors: list[Any] = []
    answers: dict[str, Callable[[Any], Any]] = {
        "raises": lambda environ: 1 / 0,
        "is no str": lambda environ: 5,
        "is no id": lambda environ: "a b",
        "is taken": lambda environ: "same",
    }
    rig.server.on("connection_error", errors.append)
    rig.server.generate_id = answers[how]
    if how == "is taken":
        assert rig.request()[0] == 200
    status, _, body = rig.request()
    assert (status, json.loads(body)) == (400, {"code": 3, "message": "Bad request"})
    [error] = errors
    assert (error.code, error.message, error.context) == (3, "Bad request", {"name": "ID_GENERATION_ERROR"})
    assert error.request["QUERY_STRING"] == "EIO=4&transport=polling"
    assert "generate_id" in caplog.text


def test_what_is_not_its_own_goes_to_the_application_behind() -> None:
    def pages(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Length", "4")])
        return [b"page"]

    engine = EngineServer(pages, path="/deep/engine", runtime="threads", cookie="id", http_compression={"threshold": 10})

    @engine.on("connection")
    def connected(connection: Any) -> None:
        connection.send("welcome")
        connection.on("message", connection.send)

    server = EmbeddedServer(engine, "127.0.0.1", 0, "threads")
    server.start()
    try:
        page = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        page.request("GET", "/deep/engineer")
        assert page.getresponse().read() == b"page"
        page.request("GET", "/deep/engine/?EIO=4&transport=polling")
        opened = page.getresponse()
        sid = json.loads(opened.read()[1:])["sid"]
        assert opened.headers["Set-Cookie"] == f"id={sid}; Path=/; HttpOnly; SameSite=Lax"
        page.request("POST", f"/deep/engine/?EIO=4&transport=polling&sid={sid}", b"1")
        assert page.getresponse().read() == b"ok"
        page.close()
        with connect(f"ws://127.0.0.1:{server.port}/deep/engine/?EIO=4&transport=websocket", proxy=None) as client:
            assert str(client.recv()).startswith("0{") and client.recv() == "4welcome"
            client.send(b"\x01\x02")
            assert client.recv() == b"\x01\x02"
            engine.close()
            with pytest.raises(ConnectionClosed):
                client.recv(timeout=5)
    finally:
        engine.stop()
        server.stop()


def test_messages_are_heard_by_listeners_that_the_connection_listener_adds(rig: Rig) -> None:
    heard: list[object] = []
    rig.server.on("connection", lambda connection: connection.on("message", heard.append))
    _, client = rig.websocket()
    client.send(frame(b"4early"))
    rig.driver.settle()
    assert heard == ["early"]


def test_websocket_only_and_polling_only(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(transports=["websocket"])
    assert json.loads(rig.request()[2]) == {"code": 0, "message": "Transport unknown"}
    assert rig.request("GET", "EIO=4&transport=websocket", headers=UPGRADE)[0] == 101
    rig = make_rig(transports=["polling"])
    assert b'"upgrades":[]' in rig.request()[2]
    sid = rig.connections[0].id
    assert rig.request("GET", f"EIO=4&transport=websocket&sid={sid}", headers=UPGRADE)[0] == 400


def test_an_initial_packet_may_be_binary(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(initial_packet=b"\x01\x02")
    assert rig.request()[2].endswith(b"}\x1ebAQI=")
    rig.request("GET", "EIO=4&transport=websocket", headers=UPGRADE)
    assert rig._taken is not None and (rig._taken.recv() or b"").endswith(b"\x82\x02\x01\x02")
    with pytest.raises(TypeError, match="initial_packet=5"):
        EngineServer(initial_packet=5)
