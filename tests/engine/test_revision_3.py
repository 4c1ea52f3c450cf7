"""Clients of Engine.IO's third revision, where they are allowed: handshake, polling, WebSocket, heartbeat, JSONP."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from sync_sio import Server
from sync_sio.engine import EngineServer
from sync_sio.protocol.parcel import Parcel
from sync_sio.testing import ManualTime

from .conftest import UPGRADE, Rig, frames


class Http:
    """Requests to an application, one at a time."""

    def __init__(self, application: Any) -> None:
        self.application = application

    def __call__(self, method: str = "GET", body: bytes = b"", content_type: str = "", **query: str) -> tuple[str, dict[str, str], bytes]:
        from io import BytesIO
        from urllib.parse import urlencode

        answer: list[Any] = []
        environ = {
            "REQUEST_METHOD": method,
            "PATH_INFO": "/engine.io/",
            "QUERY_STRING": urlencode({"EIO": "3", "transport": "polling", **query}),
            "CONTENT_LENGTH": str(len(body)),
            "CONTENT_TYPE": content_type,
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "80",
            "REMOTE_ADDR": "127.0.0.1",
            "wsgi.input": BytesIO(body),
            "wsgi.url_scheme": "http",
        }
        data = b"".join(self.application(environ, lambda status, headers: answer.extend((status, dict(headers)))))
        return answer[0][:3], answer[1], data

    def open(self, **query: str) -> dict[str, Any]:
        _, _, body = self(**query)
        _, _, packet = body.decode().partition(":")
        found: dict[str, Any] = json.loads(packet[1:])
        return found


@pytest.fixture
def engine() -> EngineServer:
    engine = EngineServer(allow_eio3=True)

    @engine.on("connection")
    def connected(connection: Any) -> None:
        connection.on("message", lambda data: connection.send(data))

    return engine


def test_it_is_refused_unless_it_is_allowed() -> None:
    status, _, body = Http(EngineServer())()
    assert status == "400" and json.loads(body) == {"code": 5, "message": "Unsupported protocol version"}


def test_a_handshake_is_framed_by_its_length(engine: EngineServer) -> None:
    status, headers, body = Http(engine)()
    length, _, packet = body.decode().partition(":")
    assert status == "200" and int(length) == len(packet) and packet[0] == "0"
    assert headers["Content-Type"] == "text/plain; charset=UTF-8"
    (connection,) = engine.connections.values()
    assert connection.protocol == 3
    engine.stop()


def test_a_session_stays_with_its_revision(engine: EngineServer) -> None:
    http = Http(engine)
    status, _, body = http(sid=http.open()["sid"], EIO="4")
    assert status == "400" and json.loads(body)["code"] == 3
    engine.stop()


def test_messages_come_back_as_text_bytes_or_base64(engine: EngineServer) -> None:
    http = Http(engine)
    as_bytes, as_text = b"\x00\x02\xff4a\x01\x03\xff\x04\x01\x02", b"2:4a6:b4AQI="
    for query, expected in (({}, as_bytes), ({"b64": ""}, as_bytes), ({"b64": "1"}, as_text)):
        sid = http.open(**query)["sid"]
        connection = engine.connections[sid]
        assert http("POST", b"2:4a6:b4AQI=", sid=sid)[2] == b"ok"
        for _ in range(200):
            if connection.outbox is not None and len(connection.outbox) == 2:
                break
            engine.driver.sleep(0.005)
        _, headers, body = http(sid=sid)
        assert body == expected
        assert headers["Content-Type"] == ("text/plain; charset=UTF-8" if expected is as_text else "application/octet-stream")
    engine.stop()


def test_a_post_may_be_bytes_and_a_bad_one_ends_the_session(engine: EngineServer) -> None:
    http = Http(engine)
    sid = http.open()["sid"]
    assert http("POST", b"\x00\x01\xff2", "application/octet-stream", sid=sid)[0] == "200"
    assert http(sid=sid)[2] == b"1:3"
    assert http("POST", b"9:4", sid=sid)[0] == "200"
    assert http(sid=sid)[0] == "400"
    engine.stop()


def test_a_page_that_polls_by_scripts_gets_javascript(engine: EngineServer) -> None:
    http = Http(engine)
    _, _, body = http(j="7x")
    assert body.startswith(b'___eio[7]("') and body.endswith(b'");')
    (sid,) = engine.connections
    assert http("POST", b"d=1%3A2", "application/x-www-form-urlencoded", sid=sid)[2] == b"ok"
    assert http(sid=sid)[2] == b'___eio[7]("1:3");'
    engine.stop()


def test_the_client_pings_and_one_that_does_not_is_given_up() -> None:
    io = Server(allow_eio3=True, path="/engine.io", ping_interval=25, ping_timeout=20)
    with ManualTime(io) as time:
        http = Http(io)
        sid = http.open()["sid"]
        http(sid=sid)                               # what the namespace says
        time.advance(40)
        assert http("POST", b"1:2", sid=sid)[2] == b"ok"
        assert http(sid=sid)[2] == b"1:3"
        time.advance(44)
        assert sid in io.engine.connections
        time.advance(2)
        assert sid not in io.engine.connections


def test_a_pong_from_the_client_is_an_error() -> None:
    io = Server(allow_eio3=True, path="/engine.io")
    with ManualTime(io):
        http = Http(io)
        sid = http.open()["sid"]
        http("POST", b"1:3", sid=sid)
        assert sid not in io.engine.connections


def test_a_socket_of_v2_is_in_the_main_namespace_without_asking() -> None:
    io = Server(allow_eio3=True, path="/engine.io")
    with ManualTime(io) as time:
        http = Http(io)
        sid = http.open()["sid"]
        time.settle()
        assert http(sid=sid)[2] == b"2:40"
        assert list(io.sockets.sockets) == [sid]
        http("POST", b"8:40/nope,", sid=sid)
        time.settle()
        assert http(sid=sid)[2].decode().endswith('44/nope,{"message":"Invalid namespace"}')


def test_a_query_is_no_part_of_a_namespaces_name_and_who_left_may_come_again() -> None:
    io = Server(allow_eio3=True, path="/engine.io")
    came = []

    @io.of(re.compile(r"^/room-\d+$")).on("connection")
    def connected(socket: Any) -> None:
        came.append((socket.namespace.name, socket.id, socket.handshake.auth))
        socket.emit("hello")

    with ManualTime(io) as time:
        http = Http(io)
        sid = http.open()["sid"]
        time.settle()
        assert http(sid=sid)[2] == b"2:40"
        for body in (b"25:40/room-7?token=a%20b&x=,", b"10:41/room-7,16:40/room-7?x=%3F,"):
            http("POST", body, sid=sid)
            time.settle()
            assert http(sid=sid)[2] == b'10:40/room-7,19:42/room-7,["hello"]'
        name, of_namespace = "/room-7", f"/room-7#{sid}"
        assert came == [(name, of_namespace, {"token": "a b", "x": ""}), (name, of_namespace, {"x": "?"})]
        http("POST", b"14:40/room-7?x=2,", sid=sid)         # a second, while it is there
        time.settle()
        assert not io.of(name).sockets


def test_forms_of_a_parcel_are_made_once_and_shared() -> None:
    parcel, plain = Parcel(b'51-["x",{}]', (b"ab",)), Parcel(b'2["x"]')
    assert plain.for_revision_3 is plain
    assert parcel.for_revision_3 is parcel.for_revision_3
    assert parcel.for_revision_3.for_revision_3 is parcel.for_revision_3
    assert plain.as_text is plain
    assert parcel.as_text is parcel.as_text is parcel.for_revision_3.as_text
    assert [data for _, data in parcel.for_revision_3.packets()] == [b'451-["x",{}]', b"\x04ab"]
    assert [data for _, data in parcel.as_text.packets()] == [b'451-["x",{}]', b"b4YWI="]


@pytest.mark.parametrize(
    ("query", "as_frame", "as_body"), [("", (2, b"\x04\x01\x02"), b"\x01\x03\xff\x04\x01\x02"), ("&b64=1", (1, b"b4AQI="), b"6:b4AQI=")]
)
def test_a_binary_initial_packet_bears_its_type_on_each_transport(
    make_rig: Callable[..., Rig], query: str, as_frame: tuple[int, bytes], as_body: bytes
) -> None:
    rig = make_rig(allow_eio3=True, initial_packet=b"\x01\x02")
    assert rig.request(query=f"EIO=3&transport=polling{query}")[2].endswith(as_body)
    assert rig.request(query=f"EIO=3&transport=websocket{query}", headers=UPGRADE)[0] == 101
    assert rig._taken is not None
    _, _, opened = (rig._taken.recv() or b"").partition(b"\r\n\r\n")
    assert frames(opened)[1:] == [as_frame]


@pytest.mark.parametrize(("query", "body"), [("", "3:4a\ufffd5:4next"), ("&j=0", '___eio[0]("3:4a\\ufffd5:4next");')])
def test_text_that_utf_8_cannot_say_harms_nothing_beside_it(make_rig: Callable[..., Rig], query: str, body: str) -> None:
    rig = make_rig(allow_eio3=True)
    rig.request(query=f"EIO=3&transport=polling{query}")
    (connection,) = rig.connections
    connection.send("a\ud83d")
    connection.send("next")
    assert rig.request(query=f"EIO=3&transport=polling&sid={connection.id}")[2].decode() == body
