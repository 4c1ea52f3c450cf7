"""What a request says of itself, and what is kept of it."""

from __future__ import annotations

import io
import os
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync_sio.errors import PayloadTooLarge
from sync_sio.wsgi.environ import Request, compact


def request(trusted: tuple[str, ...] = (), **environ: Any) -> Request:
    return Request({"REQUEST_METHOD": "GET", "PATH_INFO": "/x", "QUERY_STRING": "", **environ}, trusted)


# --- the plain fields


def test_fields() -> None:
    seen = request(
        REQUEST_METHOD="POST", SCRIPT_NAME="/app", PATH_INFO="/socket.io/", QUERY_STRING="EIO=4&t=&EIO=5", HTTP_ORIGIN="http://a",
        CONTENT_TYPE="Text/Plain; charset=UTF-8", HTTP_UPGRADE="WebSocket", HTTP_HOST="example.org:81",
    )  # fmt: skip
    assert (seen.method, seen.path, seen.query) == ("POST", "/socket.io/", {"EIO": "5", "t": ""})
    assert (seen.header("origin"), seen.origin, seen.header("Content-Type")) == ("http://a", "http://a", "Text/Plain; charset=UTF-8")
    assert (seen.content_type, seen.is_upgrade, seen.host) == ("text/plain", True, "example.org:81")
    assert seen.url == "/app/socket.io/?EIO=4&t=&EIO=5"


def test_an_almost_empty_environ_is_enough() -> None:
    seen = Request({})
    assert (seen.method, seen.path, seen.query, seen.origin, seen.is_upgrade) == ("GET", "", {}, None, False)
    assert (seen.host, seen.remote_address, seen.scheme, seen.stated_scheme, seen.content_type) == ("", "", "http", None, "")


def test_the_path_is_escaped_again_in_the_url() -> None:
    assert request(PATH_INFO="/caf\xc3\xa9 ?#").url == "/caf%C3%A9%20%3F%23"


@pytest.mark.parametrize(("scheme", "port", "host"), [("http", "80", "me"), ("https", "443", "me"), ("http", "443", "me:443")])
def test_without_a_host_header_the_servers_name_is_taken(scheme: str, port: str, host: str) -> None:
    assert request(SERVER_NAME="me", SERVER_PORT=port, **{"wsgi.url_scheme": scheme}).host == host


# --- proxies

FORWARDED = {"HTTP_X_FORWARDED_FOR": "1.2.3.4", "HTTP_X_FORWARDED_PROTO": "HTTPS", "HTTP_X_FORWARDED_HOST": "public.example"}


def seen_by(remote: str, trusted: tuple[str, ...], **environ: str) -> tuple[str, str | None, str, str]:
    seen = request(trusted, REMOTE_ADDR=remote, HTTP_HOST="inner:8000", **environ)
    return seen.remote_address, seen.stated_scheme, seen.scheme, seen.host


def test_strangers_are_not_believed() -> None:
    as_it_is = ("10.0.0.9", None, "http", "inner:8000")
    assert seen_by("10.0.0.9", (), **FORWARDED) == as_it_is
    assert seen_by("10.0.0.9", ("10.0.0.1", "192.168.0.0/16"), **FORWARDED) == as_it_is
    assert seen_by("", ("10.0.0.1",), **FORWARDED)[0] == ""
    assert seen_by("no address", ("10.0.0.1",), **FORWARDED)[0] == "no address"


@pytest.mark.parametrize(
    ("remote", "trusted"),
    [("10.0.0.9", "10.0.0.9"), ("10.0.0.9", "10.0.0.0/8"), ("10.0.0.9", "10.1.1.1/8"), ("::1", "::1"), ("::ffff:10.0.0.9", "10.0.0.0/8")],
)
def test_trusted_proxies_are_believed(remote: str, trusted: str) -> None:
    assert seen_by(remote, (trusted,), **FORWARDED) == ("1.2.3.4", "https", "https", "public.example")


def test_whoever_comes_over_a_unix_socket_may_be_trusted() -> None:
    assert seen_by("", ("unix",), **FORWARDED) == ("1.2.3.4", "https", "https", "public.example")
    assert seen_by("", ("unix",))[0] == ""
    assert seen_by("10.0.0.9", ("unix",), **FORWARDED)[0] == "10.0.0.9"
    assert seen_by("", ("unix", "10.0.0.0/8"), HTTP_X_FORWARDED_FOR="1.2.3.4, 10.0.0.1")[0] == "1.2.3.4"


@pytest.mark.parametrize(("said", "scheme"), [("HTTPS", "https"), ("wss", "https"), ("gopher", None), ("", None), ("https;", None)])
def test_a_scheme_is_http_or_https(said: str, scheme: str | None) -> None:
    assert seen_by("10.0.0.1", ("10.0.0.1",), HTTP_X_FORWARDED_PROTO=said)[1] == scheme


def test_a_trusted_proxy_that_says_nothing_changes_nothing() -> None:
    assert seen_by("10.0.0.9", ("10.0.0.0/8",)) == ("10.0.0.9", None, "http", "inner:8000")


def test_a_chain_is_followed_to_the_first_stranger_only() -> None:
    trusted = ("10.0.0.0/8",)
    chain = {"HTTP_X_FORWARDED_FOR": "6.6.6.6, 1.2.3.4, 10.0.0.1", "HTTP_X_FORWARDED_PROTO": "gopher, https, http"}
    assert seen_by("10.0.0.2", trusted, **chain)[:2] == ("1.2.3.4", "https")
    inside = {"HTTP_X_FORWARDED_FOR": "10.0.0.3, 10.0.0.1"}
    assert seen_by("10.0.0.2", trusted, **inside)[0] == "10.0.0.3"


@pytest.mark.parametrize(
    ("said", "address"),
    [("1.2.3.4:5678", "1.2.3.4"), ("[2001:db8::1]:99", "2001:db8::1"), ("[2001:db8::1]", "2001:db8::1"), ("2001:db8::1", "2001:db8::1"),
     ("unknown", "10.0.0.1"), ("", "10.0.0.1"), ("9.9.9.9, <script>", "10.0.0.1"), (",,,", "10.0.0.1")],
)  # fmt: skip
def test_what_proxies_write_for_an_address(said: str, address: str) -> None:
    assert seen_by("10.0.0.1", ("10.0.0.1",), HTTP_X_FORWARDED_FOR=said)[0] == address


# --- bodies


class Trickle(io.RawIOBase):
    """Gives one byte at a time."""

    def __init__(self, data: bytes) -> None:
        self.data = io.BytesIO(data)

    def read(self, size: int = -1) -> bytes:
        return self.data.read(1)


def body_request(data: bytes, **environ: Any) -> Request:
    return request(**{"wsgi.input": io.BytesIO(data), **environ})


def test_a_body_of_known_length() -> None:
    assert body_request(b"hello, and more", CONTENT_LENGTH="5").read_body(5) == b"hello"
    assert request(**{"wsgi.input": Trickle(b"hello"), "CONTENT_LENGTH": "5"}).read_body(100) == b"hello"
    assert body_request(b"", CONTENT_LENGTH="0").read_body(5) == b""
    assert body_request(b"never read", CONTENT_LENGTH="").read_body(5) == b""


def test_a_length_over_the_limit_is_refused_before_anything_is_read() -> None:
    with pytest.raises(PayloadTooLarge, match=r"6 bytes is over the limit of 5 bytes"):
        Request({"CONTENT_LENGTH": "6"}).read_body(5)


@pytest.mark.parametrize("length", ["x", "-1", "+5", "5, 5", "\xb2", "0x5", "5 "])
def test_a_length_that_is_none(length: str) -> None:
    with pytest.raises(ConnectionError, match="Content-Length"):
        body_request(b"hello", CONTENT_LENGTH=length).read_body(100)


def test_a_body_that_ends_early() -> None:
    with pytest.raises(ConnectionError, match="after 4 of 5 bytes"):
        body_request(b"hell", CONTENT_LENGTH="5").read_body(100)


def test_a_body_that_cannot_be_read() -> None:
    class Broken:
        def read(self, size: int) -> bytes:
            raise OSError("unexpected end of file")

    with pytest.raises(ConnectionError, match="unexpected end of file"):
        request(**{"wsgi.input": Broken(), "CONTENT_LENGTH": "5"}).read_body(100)


def test_a_chunked_body_is_read_to_one_byte_over_the_limit() -> None:
    chunked = {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True}
    assert body_request(b"hello", **chunked).read_body(5) == b"hello"
    long = body_request(b"x" * 1000, **chunked)
    with pytest.raises(PayloadTooLarge, match="5 bytes"):
        long.read_body(5)
    assert long.environ["wsgi.input"].tell() == 6


def test_a_chunked_body_that_the_server_does_not_decode() -> None:
    with pytest.raises(ConnectionError, match="chunked"):
        body_request(b"5\r\nhello", HTTP_TRANSFER_ENCODING="chunked").read_body(100)


# --- what is kept


def test_an_environ_is_kept_in_little_and_comes_back() -> None:
    user = object()
    environ: dict[str, Any] = {
        "REQUEST_METHOD": "GET", "PATH_INFO": "/caf\xc3\xa9", "HTTP_COOKIE": "a=b", "HTTP_USER_AGENT": "Mozilla/5.0 " * 10,
        "wsgi.version": (1, 0), "wsgi.url_scheme": "https", "wsgi.multithread": True, "auth.user": user, "auth.level": 3,
        "wsgi.input": io.BytesIO(b"body"), "wsgi.errors": sys.stderr, "wsgi.file_wrapper": object, "gunicorn.socket": object(),
        "werkzeug.socket": object(), "waitress.client_disconnected": print, "sync_sio.connection": object(), "some.file": sys.stdout,
    }  # fmt: skip
    record = compact(environ)
    assert len(record._packed) < 200
    back = record.expand()
    assert back["wsgi.input"].read() == b"" and back["auth.user"] is user
    servers = {"gunicorn.socket", "werkzeug.socket", "waitress.client_disconnected", "sync_sio.connection"}
    dropped = {"wsgi.file_wrapper", "some.file", *servers}
    assert set(back) == set(environ) - dropped
    for key in set(back) - {"wsgi.input"}:
        assert back[key] == environ[key]
    assert record.expand() is not back


def test_environment_variables_of_the_process_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_SECRET", "s")
    monkeypatch.setenv("SERVER_NAME", "me")
    monkeypatch.setenv("HTTP_PROXY", "same")
    back = compact({**os.environ, "HTTP_PROXY": "same"}).expand()
    assert "SOME_SECRET" not in back and "PATH" not in back
    assert back["SERVER_NAME"] == "me" and back["HTTP_PROXY"] == "same"


PLAIN = st.text(st.characters()) | st.integers() | st.booleans() | st.none() | st.floats(allow_nan=False)


@given(st.dictionaries(st.text().map("X{}".format), PLAIN))
def test_any_strings_and_numbers_come_back(environ: dict[str, Any]) -> None:
    back = compact(environ).expand()
    assert {key: back[key] for key in environ} == environ
