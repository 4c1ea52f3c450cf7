"""The cookie with the session's id."""

from __future__ import annotations

from typing import Any

import pytest

from sync_sio.protocol.cookie import Cookie


@pytest.mark.parametrize(
    ("option", "line"),
    [
        (True, "io=SID; Path=/; HttpOnly; SameSite=Lax"),
        ("node", "node=SID; Path=/; HttpOnly; SameSite=Lax"),
        ({}, "io=SID; Path=/; HttpOnly; SameSite=Lax"),
        ({"name": "n", "path": "/chat", "same_site": "Strict"}, "n=SID; Path=/chat; HttpOnly; SameSite=Strict"),
        ({"path": False, "http_only": False, "same_site": None}, "io=SID"),
        ({"path": None, "same_site": "none", "secure": True}, "io=SID; HttpOnly; Secure; SameSite=None"),
        ({"max_age": 86400.5, "domain": "example.com"}, "io=SID; Max-Age=86400; Domain=example.com; Path=/; HttpOnly; SameSite=Lax"),
    ],
)
def test_every_form_of_the_option(option: Any, line: str) -> None:
    cookie = Cookie.of(option)
    assert cookie is not None and cookie.line("SID") == line


def test_no_cookie() -> None:
    assert Cookie.of(None) is None
    assert Cookie.of(False) is None


@pytest.mark.parametrize(
    ("option", "error", "text"),
    [
        (3, TypeError, "cookie is 3; it may be None, a name, a dict"),
        ("", ValueError, "name is ''"),
        ("a b", ValueError, "name is 'a b'"),
        ("a=b", ValueError, "name"),
        ({"name": 3}, TypeError, "name is 3; it is a str"),
        ({"nmae": "x"}, TypeError, "unknown nmae; there are name, path"),
        ({"path": "/;x"}, ValueError, "path"),
        ({"path": "/\r\nSet-Cookie: evil=1"}, ValueError, "path"),
        ({"domain": "a\nb"}, ValueError, "domain"),
        ({"same_site": "relaxed"}, ValueError, "'strict', 'lax', 'none' or None"),
        ({"same_site": "none"}, ValueError, "without secure=True"),
        ({"http_only": "no"}, TypeError, "http_only is 'no'"),
        ({"secure": 1}, TypeError, "secure is 1"),
        ({"max_age": "1 day"}, TypeError, "max_age is '1 day'"),
        ({"max_age": True}, TypeError, "max_age"),
        ({"max_age": float("nan")}, ValueError, "max_age"),
    ],
)
def test_what_is_impossible_is_named(option: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match="cookie") as caught:
        Cookie.of(option)
    assert text in str(caught.value)
