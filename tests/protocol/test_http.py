"""Response heads and header values."""

from __future__ import annotations

import http.client
import io
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sync_sio.protocol.http import accepts_encoding, parse_query, reason_phrase, response, response_head


class FakeSocket:
    def __init__(self, data: bytes) -> None:
        self.data = data

    def makefile(self, mode: str) -> Any:
        return io.BytesIO(self.data)


def parse(data: bytes) -> http.client.HTTPResponse:
    """Read a response with an independent peer."""
    answer = http.client.HTTPResponse(FakeSocket(data))  # type: ignore[arg-type]
    answer.begin()
    return answer


def test_a_response_is_what_a_client_understands() -> None:
    answer = parse(response(200, [("Content-Type", "text/plain"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=é")], b"ok"))
    assert (answer.status, answer.reason, answer.read()) == (200, "OK", b"ok")
    assert answer.headers.get_all("Set-Cookie") == ["a=1", "b=é"]
    assert answer.headers["Content-Length"] == "2"


@pytest.mark.parametrize(("status", "has_length"), [(200, True), (400, True), (204, False), (304, False), (101, False)])
def test_content_length_stands_where_a_body_may(status: int, has_length: bool) -> None:
    assert (b"Content-Length: 0" in response(status, [])) is has_length


def test_a_content_length_that_is_given_is_kept() -> None:
    assert response(200, [("content-length", "5")], b"12345").count(b"ength") == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X", "a\r\nB: c"), ("X", "a\nb"), ("X", "\0"), ("X\r\nY", "a"), ("", "a"), ("X Y", "a"), ("X:", "a"), ("É", "a"),
        ("X", "\u20ac"), ("X", "\ud800"),
    ],
)  # fmt: skip
def test_what_would_break_the_head_is_refused(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=r"header"):
        response_head(200, [(name, value)])


def test_every_status_has_a_reason() -> None:
    assert reason_phrase(413) == "Payload Too Large"
    assert reason_phrase(101) == "Switching Protocols"
    assert response_head(799, []) == b"HTTP/1.1 799 Unknown\r\n\r\n"


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("", {}),
        ("EIO=4&transport=polling&t=abc", {"EIO": "4", "transport": "polling", "t": "abc"}),
        ("a=1&a=2&b=", {"a": "2", "b": ""}),
        ("b", {"b": ""}),
        ("n=%C3%A9+x%20y", {"n": "é x y"}),
        ("n=\xc3\xa9", {"n": "é"}),
        ("n=%ff", {"n": "\ufffd"}),
        ("&&=&", {"": ""}),
        ("a=b=c;d", {"a": "b=c;d"}),
    ],
)
def test_queries_are_read_as_browsers_mean_them(text: str, query: dict[str, str]) -> None:
    assert parse_query(text) == query


@pytest.mark.parametrize(
    ("header", "encoding"),
    [
        ("", None), ("gzip", "gzip"), ("gzip, deflate, br", "gzip"), ("deflate, gzip", "gzip"), ("deflate", "deflate"), ("br", None),
        ("gzip;q=0", None), ("gzip;q=0, deflate", "deflate"), ("gzip;q=0.5, deflate;q=0.8", "deflate"), ("*", "gzip"), ("*;q=0", None),
        ("gzip;q=0, *", "deflate"), ("identity, gzip;q=0.5", None), ("GZIP ; Q=1", "gzip"), ("gzip;q=x", None), ("gzip;q=0.000", None),
        ("identity;q=0.5, gzip;q=0.5", "gzip"), (",;,=", None),
    ],
)  # fmt: skip
def test_the_encoding_that_a_client_likes_best(header: str, encoding: str | None) -> None:
    assert accepts_encoding(header) == encoding


@settings(max_examples=100)
@given(st.text(st.characters(max_codepoint=255), max_size=50))
def test_no_header_or_query_of_a_client_raises(text: str) -> None:
    accepts_encoding(text)
    parse_query(text)
