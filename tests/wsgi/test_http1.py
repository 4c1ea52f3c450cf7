"""HTTP/1.1 requests as bytes."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync_sio.wsgi.http1 import MAX_HEAD, BadRequest, Body, Head, find_head, parse_head

HOST = b"Host: x\r\n"


def parse(data: bytes) -> Head:
    end = find_head(data)
    assert end == len(data)
    return parse_head(data)


def refused(data: bytes) -> int:
    with pytest.raises(BadRequest) as caught:
        parse(data)
    return caught.value.status


# --- heads


def test_a_request() -> None:
    head = parse(
        b"POST /a%20b/caf%C3%A9?x=1&y=%20 HTTP/1.1\r\nHost: example.org:81\r\nContent-Type: text/plain\r\nX-Many: 1\r\n"
        b"x-many:2 \r\nCookie: a=1\r\nCookie: b=2\r\nContent-Length: 12\r\nEmpty:\r\n\r\n"
    )
    assert head.environ() == {
        "REQUEST_METHOD": "POST", "SCRIPT_NAME": "", "PATH_INFO": "/a b/caf\xc3\xa9", "QUERY_STRING": "x=1&y=%20",
        "REQUEST_URI": "/a%20b/caf%C3%A9?x=1&y=%20", "SERVER_PROTOCOL": "HTTP/1.1", "HTTP_HOST": "example.org:81",
        "CONTENT_TYPE": "text/plain", "CONTENT_LENGTH": "12", "HTTP_X_MANY": "1, 2", "HTTP_COOKIE": "a=1; b=2", "HTTP_EMPTY": "",
    }  # fmt: skip
    assert (head.length, head.keeps_alive, head.expects_continue) == (12, True, False)


@pytest.mark.parametrize(
    ("version", "headers", "keeps_alive"),
    [("1.1", b"", True), ("1.1", b"Connection: Close\r\n", False), ("1.1", b"Connection: upgrade, close\r\n", False),
     ("1.0", b"", False), ("1.0", b"Connection: Keep-Alive\r\n", True), ("1.1", b"Connection: Upgrade\r\n", True)],
)  # fmt: skip
def test_keep_alive(version: str, headers: bytes, keeps_alive: bool) -> None:
    assert parse(f"GET / HTTP/{version}\r\n".encode() + HOST + headers + b"\r\n").keeps_alive is keeps_alive


def test_http_1_0_needs_no_host() -> None:
    assert parse(b"GET / HTTP/1.0\r\n\r\n").length == 0


def test_a_whole_url_as_target() -> None:
    environ = parse(b"GET HTTP://example.org:81/a?b HTTP/1.1\r\n" + HOST + b"\r\n").environ()
    assert (environ["PATH_INFO"], environ["QUERY_STRING"]) == ("/a", "b")
    assert parse(b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n").environ()["PATH_INFO"] == "*"


def test_headers_that_would_look_like_others_are_left_out() -> None:
    head = parse(b"GET / HTTP/1.1\r\nHost: x\r\nX_Forwarded_For: 6.6.6.6\r\nContent_Length: 5\r\n\r\n")
    assert head.headers == {"HTTP_HOST": "x"} and head.length == 0


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"GET /", 400), (b"GET  / HTTP/1.1", 400), (b"GET / HTTP/1.1 ", 400), (b"GET / http/1.1", 400), (b"G@T / HTTP/1.1", 400),
        (b"GET /a b HTTP/1.1", 400), (b"GET example.org HTTP/1.1", 400), (b"CONNECT a:1 HTTP/1.1", 400), (b"GET /#a HTTP/1.1", 400),
        (b"GET /\x00 HTTP/1.1", 400), (b"GET / HTTP/2.0", 505), (b"PRI * HTTP/2.0", 505), (b"GET / HTTP/0.9", 505),
        (b"GET / HTTP/11.1", 400),
    ],
)  # fmt: skip
def test_request_lines_that_are_none(line: bytes, status: int) -> None:
    assert refused(line + b"\r\n" + HOST + b"\r\n") == status


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (b"", 400), (HOST + HOST, 400), (HOST + b"NoColon\r\n", 400), (HOST + b"Spaced : x\r\n", 400), (HOST + b" folded: x\r\n", 400),
        (HOST + b"A: b\r\n c\r\n", 400), (HOST + b"A: b\x00c\r\n", 400), (HOST + b"A: b\rc\r\n", 400), (HOST + b": x\r\n", 400),
        (HOST + b"Content-Length: -1\r\n", 400), (HOST + b"Content-Length: 1, 1\r\n", 400), (HOST + b"Content-Length: \r\n", 400),
        (HOST + b"Content-Length: 1\r\nContent-Length: 1\r\n", 400), (HOST + b"Content-Length: 9999999999999999999\r\n", 400),
        (HOST + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", 400), (HOST + b"Transfer-Encoding: gzip\r\n", 501),
        (HOST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", 501), (HOST + b"Expect: a miracle\r\n", 417),
        (HOST + b"A: b\r\n" * 101, 431), (HOST + b"A: " + b"b" * MAX_HEAD + b"\r\n", 431),
    ],
)  # fmt: skip
def test_headers_that_are_none(headers: bytes, status: int) -> None:
    assert refused(b"GET / HTTP/1.1\r\n" + headers + b"\r\n") == status


def test_a_head_is_found_byte_by_byte() -> None:
    head = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    assert [find_head(head[:size]) for size in range(len(head))] == [0] * len(head)
    assert find_head(head + b"body\n") == len(head)


@pytest.mark.parametrize("data", [b"\x16\x03\x01\x02", b" GET", b"\x00", b"GET / HTTP/1.1\nHost", b"GET / HTTP/1.1\r\nHost: x\n"])
def test_what_will_never_be_a_head_is_refused_before_its_end(data: bytes) -> None:
    with pytest.raises(BadRequest):
        find_head(data)


def test_an_endless_head_is_refused() -> None:
    with pytest.raises(BadRequest) as caught:
        find_head(b"GET /" + b"a" * MAX_HEAD)
    assert caught.value.status == 431


@given(st.binary(max_size=200) | st.binary(max_size=60).map(lambda data: b"GET / HTTP/1.1\r\nHost: x\r\n" + data + b"\r\n\r\n"))
def test_garbage_raises_nothing_else(data: bytes) -> None:
    try:
        end = find_head(data)
        if end:
            parse_head(data[:end]).environ()
    except BadRequest as error:
        assert 400 <= error.status <= 505


# --- bodies


class Pieces:
    """A source that gives what it has in small pieces."""

    def __init__(self, data: bytes, size: int = 1) -> None:
        self.data = data
        self.size = size
        self.is_asked = False

    def read_some(self, limit: int) -> bytes:
        self.is_asked = True
        piece, self.data = self.data[: min(limit, self.size)], self.data[min(limit, self.size) :]
        return piece

    def read_line(self, limit: int) -> bytes:
        line, found, rest = self.data.partition(b"\r\n")
        if len(line) > limit:
            raise BadRequest(400, "too long")
        if not found:
            raise ConnectionError("the end")
        self.data = rest
        return line


def body_of(data: bytes, length: int | None, size: int = 1) -> Body:
    return Body(Pieces(data, size), length, lambda: None)


CHUNKED = b"5\r\nhello\r\n6;ext=1\r\n\nworld\r\n0\r\nTrailer: x\r\n\r\n"


@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize(("data", "length"), [(b"hello\nworld", 11), (CHUNKED, None)])
def test_a_body_is_read_in_every_way(data: bytes, length: int | None, size: int) -> None:
    assert body_of(data, length, size).read() == b"hello\nworld"
    assert body_of(data, length, size).read(None) == b"hello\nworld"
    some = body_of(data, length, size)
    assert [some.read(4), some.read(0), some.read(4), some.read(4), some.read(4), some.read()] == [b"hell", b"", b"o\nwo", b"rld", b"", b""]
    assert some.is_over and some.left == 0
    lines = body_of(data, length, size)
    assert [lines.readline(3), lines.readline(), lines.readline(), lines.readline()] == [b"hel", b"lo\n", b"world", b""]
    assert list(body_of(data, length, size)) == [b"hello\n", b"world"]
    assert body_of(data, length, size).readlines() == [b"hello\n", b"world"]


def test_nothing_behind_the_body_is_touched() -> None:
    source = Pieces(b"helloNEXT", 100)
    assert Body(source, 5, lambda: None).read() == b"hello" and source.data == b"NEXT"
    source = Pieces(CHUNKED + b"NEXT", 100)
    assert Body(source, None, lambda: None).read() == b"hello\nworld" and source.data == b"NEXT"


def test_the_client_is_told_to_go_on_once_and_only_when_it_is_waited_for() -> None:
    told: list[int] = []
    body = Body(Pieces(b"hello"), 5, lambda: told.append(1))
    assert not told
    assert body.read() == b"hello" and told == [1]
    Body(Pieces(b""), 0, lambda: told.append(2)).read()
    assert told == [1]


@pytest.mark.parametrize(
    ("data", "length"),
    [(b"hell", 5), (b"", 5), (b"5\r\nhell", None), (b"5\r\nhello\r\n", None), (b"x\r\nhello\r\n0\r\n\r\n", None), (b"\r\n", None),
     (b"-5\r\nhello\r\n0\r\n\r\n", None), (b"5\r\nhello!\r\n0\r\n\r\n", None), (b"5\r\nhello\r\n0\r\nTrailer", None),
     (b"0x5\r\nhello\r\n", None),
     (b"1" * 300 + b"\r\n", None), (b"f" * 16 + b"\r\n", None), (b"0\r\n" + b"A: b\r\n" * 3000, None)],
)  # fmt: skip
def test_a_body_that_breaks(data: bytes, length: int | None) -> None:
    body = body_of(data, length)
    for _ in range(2):
        with pytest.raises(ConnectionError):
            body.read()
    assert body.is_broken


@given(st.binary(max_size=100))
def test_garbage_for_chunks_raises_nothing_else(data: bytes) -> None:
    with contextlib.suppress(ConnectionError):
        body_of(data, None).read()
