"""Header listeners, the cookie, and what every response says to browsers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sync_sio.engine import EngineServer
from sync_sio.types import Environ

from .conftest import UPGRADE, Rig

ORIGIN = {"HTTP_ORIGIN": "https://a.example"}


def test_names_are_the_same_in_any_case(rig: Rig) -> None:
    @rig.server.on("initial_headers")
    def initial(headers: Any, environ: Environ) -> None:
        assert "CACHE-CONTROL" in headers and headers["cache-control"] == "no-store"
        headers["cache-control"] = "private"
        headers["X-One"] = "first"
        headers["x-one"] = "second"
        headers.setdefault("X-ONE", "third")
        headers["X-Gone"] = "1"
        del headers["x-gone"]

    sent = rig.lines()
    assert ("cache-control", "private") in sent and ("x-one", "second") in sent
    assert [name.lower() for name, _ in sent].count("cache-control") == 1
    assert not [name for name, _ in sent if name.lower() == "x-gone"]


def test_a_list_gives_several_lines_beside_the_cookie(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(cookie="io")

    @rig.server.on("initial_headers")
    def initial(headers: Any, environ: Environ) -> None:
        headers.setdefault("Set-Cookie", []).append("a=1")
        headers["set-cookie"].append("b=2")

    cookies = [value for name, value in rig.lines() if name.lower() == "set-cookie"]
    assert cookies == ["a=1", "b=2", f"io={rig.connections[0].id}; Path=/; HttpOnly; SameSite=Lax"]


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\nb", "a\0b", "\u2713"])
def test_what_would_break_the_response_is_left_out_and_logged(rig: Rig, caplog: pytest.LogCaptureFixture, value: str) -> None:
    @rig.server.on("headers")
    def each(headers: Any, environ: Environ) -> None:
        headers["X-Bad"] = ["good", value]
        headers[value] = "name"
        headers["X-Good"] = 5

    sent = rig.lines()
    assert [entry for entry in sent if entry[0].startswith("X-")] == [("X-Bad", "good"), ("X-Good", "5")]
    assert "so it is left out" in caplog.text


def test_what_frames_the_response_is_the_server_s(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    @rig.server.on("headers")
    def each(headers: Any, environ: Environ) -> None:
        headers["Content-Length"] = "3"
        headers["content-type"] = "text/html"
        headers["Transfer-Encoding"] = "chunked"

    sent = [name.lower() for name, _ in rig.lines()]
    assert (sent.count("content-length"), sent.count("content-type"), sent.count("transfer-encoding")) == (1, 1, 0)
    assert "the server's own" in caplog.text


def test_initial_headers_come_once_and_headers_each_time(rig: Rig) -> None:
    told: list[str] = []
    rig.server.on("initial_headers", lambda headers, environ: told.append("initial"))
    rig.server.on("headers", lambda headers, environ: told.append(environ["REQUEST_METHOD"]))
    rig.request()
    sid = rig.connections[0].id
    rig.request("POST", f"EIO=4&transport=polling&sid={sid}", b"4x")
    rig.request("GET", f"EIO=4&transport=websocket&sid={sid}", headers=UPGRADE)
    rig.request("GET", "EIO=4&transport=polling&sid=unknown")
    rig.request("GET", "EIO=4&transport=websocket", headers=UPGRADE)
    assert told == ["initial", "GET", "POST", "GET", "initial", "GET"]


def test_a_listener_that_fails_spoils_no_response(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    rig.server.on("headers", lambda headers, environ: 1 / 0)
    rig.server.on("headers", lambda headers, environ: headers.update({"X-After": "1"}))
    assert ("X-After", "1") in rig.lines()
    assert "a listener of 'headers' failed" in caplog.text


def test_the_cookie_may_be_a_function_of_the_request(make_rig: Callable[..., Rig], caplog: pytest.LogCaptureFixture) -> None:
    def cookie(environ: Environ) -> dict[str, Any] | None:
        if environ.get("HTTP_X_NO"):
            return None
        return {"name": "n", "secure": environ["wsgi.url_scheme"] == "https"} if not environ.get("HTTP_X_BAD") else {"nmae": 1}

    rig = make_rig(cookie=cookie)
    assert dict(rig.lines(headers={"wsgi.url_scheme": "https"}))["Set-Cookie"].endswith("; Path=/; HttpOnly; Secure; SameSite=Lax")
    assert "Set-Cookie" not in dict(rig.lines(headers={"HTTP_X_NO": "1"}))
    status, headers, _ = rig.request(headers={"HTTP_X_BAD": "1"})
    assert (status, "Set-Cookie" in headers) == (200, False)
    assert "unknown nmae" in caplog.text


def test_a_bad_cookie_is_refused_when_the_server_is_made() -> None:
    with pytest.raises(ValueError, match="cookie: name is 'a b'"):
        EngineServer(cookie="a b")


def test_cors_headers_are_on_errors_of_every_kind(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(cors_allowed_origins=["https://a.example"], max_connections=1, max_http_buffer_size=10)
    seen = {}

    def ask(method: str = "GET", query: str = "EIO=4&transport=polling", body: bytes = b"", **more: str) -> None:
        status, headers, _ = rig.request(method, query, body, {**ORIGIN, **more})
        seen[status] = headers

    ask()
    sid = rig.connections[0].id
    ask()                                                               # one too many: 503
    ask("GET", "EIO=4&transport=abc")
    ask("POST", f"EIO=4&transport=polling&sid={sid}", b"4" * 11)
    ask("PUT", f"EIO=4&transport=polling&sid={sid}")
    ask("OPTIONS")
    assert set(seen) == {200, 503, 400, 413, 500, 204}
    for status, headers in seen.items():
        assert headers["Access-Control-Allow-Origin"] == "https://a.example", status
        assert headers["Access-Control-Allow-Credentials"] == "true" and "Origin" in headers["Vary"], status
    rig.server.shut_down()
    ask()
    assert seen[503]["Access-Control-Allow-Origin"] == "https://a.example"


def test_a_refused_origin_s_answer_varies_by_origin(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(cors_allowed_origins=["https://a.example"])
    status, headers, _ = rig.request(headers={"HTTP_ORIGIN": "https://b.example"})
    assert (status, headers["Vary"], "Access-Control-Allow-Origin" in headers) == (403, "Origin", False)


def test_a_preflight_says_what_the_options_say(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(
        cors_allowed_origins="https://a.example", cors_methods=["GET", "POST", "DELETE"], cors_allowed_headers=["X-Token"], cors_max_age=600
    )
    status, headers, body = rig.request("OPTIONS", headers={**ORIGIN, "HTTP_ACCESS_CONTROL_REQUEST_HEADERS": "x-other"})
    assert (status, body) == (204, b"")
    assert headers["Access-Control-Allow-Methods"] == "GET,POST,DELETE"
    assert headers["Access-Control-Allow-Headers"] == "X-Token"
    assert headers["Access-Control-Max-Age"] == "600"
    assert headers["Access-Control-Allow-Credentials"] == "true"


def test_a_session_whose_opening_fails_is_not_kept(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    rig.server.take = lambda environ: 1 / 0  # type: ignore[assignment,return-value]
    status, _, _ = rig.request("GET", "EIO=4&transport=websocket", headers=UPGRADE)
    assert status == 500 and rig.server.connections == {}
    assert "a request failed" in caplog.text
