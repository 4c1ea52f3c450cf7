"""Who may talk to the server from a web page."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sync_sio.protocol.cors import Origins

HOST = "example.com"


def may(origins: Origins, origin: str | None, host: str | None = HOST, scheme: str | None = None) -> bool:
    return origins.may(origin, {}, host, scheme)


@pytest.mark.parametrize("allowed", [None, [], "https://other.example", re.compile("x"), "*", False, lambda origin, environ: False])
def test_the_own_origin_and_requests_without_one_are_always_served(allowed: Any) -> None:
    origins = Origins(allowed)
    assert may(origins, None)
    assert may(origins, "")
    assert may(origins, "https://example.com")
    assert may(origins, "http://example.com")


@pytest.mark.parametrize(
    ("origin", "host", "scheme", "is_own"),
    [
        ("http://localhost:5000", "localhost:5000", None, True),
        ("http://localhost:5000", "localhost:5001", None, False),
        ("http://localhost:5000", "localhost", None, False),
        ("http://example.com", "example.com:80", None, True),
        ("https://example.com", "example.com:443", None, True),
        ("https://example.com", "example.com:80", None, False),
        ("https://EXAMPLE.com", "example.COM", None, True),
        ("http://[::1]:3000", "[::1]:3000", None, True),
        ("http://example.com", "example.com", "https", False),
        ("https://example.com", "example.com", "https", True),
        ("https://example.com", "example.com:443", "HTTPS", True),
        ("http://example.com.evil.io", "example.com", None, False),
        ("http://evil.io", "example.com", None, False),
        ("http://example.com@evil.io", "evil.io", None, False),
        ("http://example.com/path", "example.com", None, False),
        ("null", "example.com", None, False),
        ("null", "null", None, False),
        ("file://", "", None, False),
        ("file://", None, None, False),
        ("http://", "", None, False),
        ("http://a:b", "a:b", None, False),
        ("http://a:99999", "a:99999", None, False),
        ("http://[", "[", None, False),
    ],
)
def test_the_own_origin_is_host_and_port_and_the_scheme_when_a_proxy_states_it(
    origin: str, host: str | None, scheme: str | None, is_own: bool
) -> None:
    assert may(Origins(), origin, host, scheme) is is_own


@pytest.mark.parametrize(
    ("allowed", "yes", "no"),
    [
        ("https://a.io", ["https://a.io", "https://A.io", "https://a.io:443"], ["http://a.io", "https://b.io", "https://a.io:444", "null"]),
        ("https://a.io/", ["https://a.io"], []),
        (["https://a.io", "http://b.io:8080"], ["https://a.io", "http://b.io:8080"], ["http://b.io"]),
        ("null", ["null"], ["https://a.io"]),
        ("capacitor://localhost", ["capacitor://localhost"], ["http://localhost"]),
        (re.compile(r"https://\w+\.a\.io"), ["https://x.a.io"], ["https://x.a.io.evil.com", "http://x.a.io"]),
        (re.compile(r"\.a\.io$"), ["https://x.a.io"], ["https://x.a.io.evil.com"]),
        ([re.compile(r"https://a\.io"), "http://b.io"], ["https://a.io", "http://b.io"], ["https://a.io:1"]),
        ("*", ["https://any.io", "null"], []),
        (["*"], ["https://any.io"], []),
        (False, ["https://any.io", "null"], []),
        (lambda origin, environ: origin.endswith(".io"), ["https://a.io"], ["https://a.com"]),
        ([], [], ["https://a.io"]),
        (None, [], ["https://a.io"]),
    ],
)
def test_allowed_origins_are_added(allowed: Any, yes: list[str], no: list[str]) -> None:
    origins = Origins(allowed)
    for origin in yes:
        assert may(origins, origin), origin
    for origin in no:
        assert not may(origins, origin), origin


def test_an_origin_with_a_line_break_never_gets_into_a_header() -> None:
    """Some WSGI servers leave folded header lines as they came."""
    for allowed in (re.compile(r".*", re.DOTALL), re.compile(r"https://a\.io$"), lambda origin, environ: True):
        origins = Origins(allowed)
        origin = "https://evil.io\r\n Set-Cookie: https://a.io"
        assert not may(origins, origin)
        assert origins.headers(origin, {}) == [("Vary", "Origin")]


def test_headers_tell_the_browser_of_an_allowed_page_only() -> None:
    origins = Origins(["https://a.io"])
    assert origins.headers("https://a.io", {}) == [
        ("Access-Control-Allow-Origin", "https://a.io"),
        ("Vary", "Origin"),
        ("Access-Control-Allow-Credentials", "true"),
    ]
    assert origins.headers("https://b.io", {}) == [("Vary", "Origin")]
    assert origins.headers(None, {}) == [("Vary", "Origin")]
    assert Origins("*").headers("https://a.io", {}) == [("Access-Control-Allow-Origin", "*")]
    for silent in (Origins(None), Origins([]), Origins(False)):
        assert silent.headers("https://a.io", {}) == []
    assert ("Access-Control-Allow-Credentials", "true") not in Origins("https://a.io", credentials=False).headers("https://a.io", {})


def test_a_preflight_answer_says_all() -> None:
    plain = dict(Origins("https://a.io").preflight("https://a.io", "X-One, x-two"))
    assert plain == {
        "Access-Control-Allow-Origin": "https://a.io",
        "Access-Control-Allow-Credentials": "true",
        "Access-Control-Allow-Methods": "GET,POST",
        "Access-Control-Allow-Headers": "X-One, x-two",
        "Vary": "Origin, Access-Control-Request-Headers",
    }
    said = dict(Origins("*", methods=["GET"], allowed_headers=["X-A", "X-B"], max_age=600.0).preflight("https://a.io", "X-Other"))
    assert said == {
        "Access-Control-Allow-Origin": "*",
        "Access-Control-Allow-Methods": "GET",
        "Access-Control-Allow-Headers": "X-A,X-B",
        "Access-Control-Max-Age": "600",
    }
    assert Origins("https://a.io").preflight("https://b.io", None) == [("Vary", "Origin")]
    assert Origins().preflight("https://b.io", None) == []


def test_a_preflight_echoes_nothing_but_header_names() -> None:
    for bad in ("a\r\nb: c", "a;b", "é", ""):
        assert "Access-Control-Allow-Headers" not in dict(Origins("*").preflight("https://a.io", bad))


def test_a_function_sees_the_environ() -> None:
    origins = Origins(lambda origin, environ: environ.get("x") == origin)
    assert origins.may("https://a.io", {"x": "https://a.io"}, HOST)
    assert origins.headers("https://a.io", {"x": "https://a.io"})[0] == ("Access-Control-Allow-Origin", "https://a.io")
    assert not origins.may("https://a.io", {}, HOST)


@pytest.mark.parametrize(
    ("options", "error", "names"),
    [
        ({"allowed": "*", "credentials": True}, ValueError, "cors_credentials"),
        ({"allowed": ["*", "https://a.io"], "credentials": True}, ValueError, "cors_credentials"),
        ({"allowed": True}, ValueError, "cors_allowed_origins"),
        ({"allowed": "example.com"}, ValueError, "https://example.com"),
        ({"allowed": "https://a.io/path"}, ValueError, "cors_allowed_origins"),
        ({"allowed": "https://a.io, https://b.io"}, ValueError, "cors_allowed_origins"),
        ({"allowed": 5}, TypeError, "cors_allowed_origins"),
        ({"allowed": [5]}, TypeError, "cors_allowed_origins"),
        ({"allowed": re.compile(b"x")}, TypeError, "cors_allowed_origins"),
        ({"credentials": "yes"}, TypeError, "cors_credentials"),
        ({"methods": ["GE T"]}, ValueError, "cors_methods"),
        ({"allowed_headers": ["X\r\nY"]}, ValueError, "cors_allowed_headers"),
        ({"max_age": -1}, ValueError, "cors_max_age"),
        ({"max_age": "1"}, TypeError, "cors_max_age"),
    ],
)
def test_impossible_options_are_named(options: dict[str, Any], error: type[Exception], names: str) -> None:
    with pytest.raises(error, match=names):
        Origins(**options)


@settings(max_examples=100)
@given(st.text(st.characters(max_codepoint=255), max_size=30), st.text(st.characters(max_codepoint=255), max_size=30))
def test_no_header_of_a_client_raises(origin: str, host: str) -> None:
    for origins in (Origins(), Origins(["https://a.io", re.compile(".*")]), Origins("*")):
        origins.may(origin, {}, host, None)
        origins.may(f"http://{origin}", {}, host, "http")
        for name, value in origins.preflight(origin, host):
            assert not re.search(r"[\r\n\0]", name + value)
