"""When an answer to a poll is compressed, what its headers say, and that nobody waits for it meanwhile."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from sync_sio.engine import EngineServer
from sync_sio.engine.connection import Connection
from sync_sio.engine.state import CLOSE
from sync_sio.protocol.parcel import Parcel
from sync_sio.testing.manual import ManualStream
from sync_sio.wsgi.compression import SLICE

from .conftest import Rig

GZIP = {"HTTP_ACCEPT_ENCODING": "gzip, deflate"}
LONG = "compress me " * 200


def opened(rig: Rig) -> Connection:
    rig.request()
    return rig.connections[-1]


def poll(rig: Rig, connection: Connection, headers: dict[str, str] = GZIP) -> tuple[int, dict[str, str], bytes]:
    return rig.request("GET", f"EIO=4&transport=polling&sid={connection.id}", headers=headers)


def response(stream: ManualStream) -> tuple[dict[str, str], bytes]:
    data = b""
    while more := stream.recv():
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert lines[0] == "HTTP/1.1 200 OK"
    headers: dict[str, str] = dict(line.split(": ", 1) for line in lines[1:])
    assert len(body) == int(headers["Content-Length"])
    return headers, body


def test_a_poll_that_is_ready_is_compressed(rig: Rig) -> None:
    connection = opened(rig)
    connection.send(LONG)
    _, headers, body = poll(rig, connection)
    assert headers["Content-Encoding"] == "gzip" and headers["Vary"] == "Accept-Encoding"
    assert headers["Content-Length"] == str(len(body)) and headers["Content-Type"] == "text/plain; charset=UTF-8"
    assert gzip.decompress(body) == b"4" + LONG.encode()


def test_a_poll_that_waited_is_compressed(rig: Rig) -> None:
    connection = opened(rig)
    poll(rig, connection)
    stream = rig._taken
    assert stream is not None
    connection.send(LONG)
    rig.driver.settle()
    headers, body = response(stream)
    assert (headers["Content-Encoding"], headers["Vary"]) == ("gzip", "Accept-Encoding")
    assert gzip.decompress(body) == b"4" + LONG.encode()


def test_the_client_says_how(rig: Rig) -> None:
    connection = opened(rig)
    for accept, decode in (("deflate", zlib.decompress), ("gzip;q=0.5, deflate", zlib.decompress), ("*", gzip.decompress)):
        connection.send(LONG)
        assert decode(poll(rig, connection, {"HTTP_ACCEPT_ENCODING": accept})[2]) == b"4" + LONG.encode()  # type: ignore[operator]
    for accept in ("", "br", "identity", "gzip;q=0"):
        connection.send(LONG)
        _, headers, body = poll(rig, connection, {"HTTP_ACCEPT_ENCODING": accept})
        assert (body, headers.get("Content-Encoding"), headers["Vary"]) == (b"4" + LONG.encode(), None, "Accept-Encoding")


@pytest.mark.parametrize(
    ("option", "size", "is_compressed"),
    [
        (True, 1022, False),
        (True, 1023, True),
        (False, 5000, False),
        ({"threshold": 100}, 100, True),
        ({"threshold": 6000}, 5000, False),
        ({}, 5000, True),
    ],
)
def test_the_threshold_is_the_option_s(make_rig: Callable[..., Rig], option: Any, size: int, is_compressed: bool) -> None:
    rig = make_rig(http_compression=option)
    connection = opened(rig)
    connection.send("x" * size)
    _, headers, body = poll(rig, connection)
    assert ("Content-Encoding" in headers, "Vary" in headers) == (is_compressed,) * 2
    assert (gzip.decompress(body) if is_compressed else body) == b"4" + b"x" * size


def test_a_body_is_compressed_when_one_of_its_messages_may_be(rig: Rig) -> None:
    connection = opened(rig)
    connection.send(LONG, compress=False)
    _, headers, body = poll(rig, connection)
    assert (body, "Content-Encoding" in headers, "Vary" in headers) == (b"4" + LONG.encode(), False, False)
    connection.send(LONG, compress=False)
    connection.send("short")
    _, headers, body = poll(rig, connection)
    assert gzip.decompress(body) == b"4" + LONG.encode() + b"\x1e4short"


def test_a_ping_makes_nothing_compressible(rig: Rig) -> None:
    connection = opened(rig)
    connection.send_parcel(Parcel(LONG.encode(), (), may_compress=False), CLOSE)
    rig.driver.advance(25.1)
    _, headers, body = poll(rig, connection)
    assert body.endswith(b"\x1e2") and "Content-Encoding" not in headers


def test_one_line_tells_all_that_an_answer_varies_by(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(cors_allowed_origins=["https://a.example"])
    connection = opened(rig)
    connection.send(LONG)
    _, headers, _ = poll(rig, connection, {**GZIP, "HTTP_ORIGIN": "https://a.example"})
    assert headers["Vary"] == "Origin, Accept-Encoding" and headers["Access-Control-Allow-Origin"] == "https://a.example"


def test_a_long_initial_packet_is_compressed_with_the_handshake(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(initial_packet=LONG)
    _, headers, body = rig.request(headers=GZIP)
    assert headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(body).endswith(b"\x1e4" + LONG.encode())


def test_a_large_answer_does_not_hold_up_the_loop(rig: Rig) -> None:
    connection = opened(rig)
    poll(rig, connection)
    stream = rig._taken
    assert stream is not None
    text = LONG * 200
    rounds = 0

    def count() -> None:
        nonlocal rounds
        rounds += 1
        if not stream.is_readable():
            rig.driver.post(count)

    connection.send(text)
    rig.driver.post(count)
    rig.driver.settle()
    assert rounds >= len(text) // SLICE
    assert gzip.decompress(response(stream)[1]) == b"4" + text.encode()


def test_a_large_answer_that_is_ready_lets_others_have_their_turn(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = opened(rig)
    connection.send(LONG * 200)
    turns = []
    monkeypatch.setattr(rig.driver, "sleep", turns.append)
    assert gzip.decompress(poll(rig, connection)[2]) == b"4" + (LONG * 200).encode()
    assert turns == [0] * (len(LONG * 200) // SLICE)


def test_a_client_that_goes_while_its_answer_is_compressed_harms_nobody(rig: Rig) -> None:
    connection = opened(rig)
    poll(rig, connection)
    stream = rig._taken
    assert stream is not None
    connection.send(LONG * 200)
    rig.driver.post(stream.shutdown)
    rig.driver.settle()
    assert rig.server.connections == {connection.id: connection}


def test_closing_answers_what_is_being_compressed(rig: Rig) -> None:
    connection = opened(rig)
    poll(rig, connection)
    stream = rig._taken
    assert stream is not None
    connection.send(LONG * 200)
    rig.driver.post(lambda: rig.driver.post(rig.server.shut_down))
    rig.driver.settle()
    assert gzip.decompress(response(stream)[1]) == b"4" + (LONG * 200).encode()


@pytest.mark.parametrize(
    ("option", "error", "text"),
    [
        ("yes", TypeError, "True, False or a dict"),
        ({"level": 3}, TypeError, "unknown level"),
        ({"threshold": -1}, ValueError, "0 bytes or more"),
        ({"threshold": "1k"}, TypeError, "number of bytes"),
    ],
)
def test_an_impossible_option_is_named(option: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=f"http_compression.*{text}"):
        EngineServer(http_compression=option)
