"""What the door makes of a request, beyond what tests/live sees on the wire."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sync_sio import Server
from sync_sio.engine import EngineServer
from sync_sio.testing import ManualTime

from .conftest import Rig


def ask(server: Server) -> int:
    told: list[str] = []
    environ: dict[str, Any] = {"REQUEST_METHOD": "GET", "PATH_INFO": "/socket.io/", "QUERY_STRING": "EIO=4&transport=polling"}
    list(server(environ, lambda status, headers: told.append(status)))
    return int(told[0][:3])


FORWARDED = {"HTTP_X_FORWARDED_FOR": "203.0.113.7", "HTTP_X_FORWARDED_PROTO": "https", "HTTP_X_FORWARDED_HOST": "chat.example"}


def test_a_trusted_proxy_says_who_asks_and_how(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(trusted_proxies=["10.0.0.0/8"])
    rig.request(headers=FORWARDED)
    [connection] = rig.connections
    assert connection.remote_address == "203.0.113.7"
    assert connection.request["wsgi.url_scheme"] == "https"
    status, _, _ = rig.request(headers={**FORWARDED, "HTTP_ORIGIN": "https://chat.example"})
    assert status == 200
    status, _, _ = rig.request(headers={**FORWARDED, "HTTP_ORIGIN": "http://chat.example"})
    assert status == 403


def test_a_stranger_s_word_about_others_is_ignored(rig: Rig) -> None:
    rig.request(headers=FORWARDED)
    [connection] = rig.connections
    assert connection.remote_address == "10.0.0.1"
    assert connection.request.get("wsgi.url_scheme") == "http"


def test_the_request_that_is_kept_has_no_streams_and_is_the_same_each_time(rig: Rig) -> None:
    rig.request(headers={"HTTP_X_CUSTOM": "value"})
    [connection] = rig.connections
    kept = connection.request
    assert kept["HTTP_X_CUSTOM"] == "value" and kept["wsgi.input"].read() == b""
    assert connection.request is kept


def test_a_failing_door_function_refuses_one_request_and_is_logged(
    make_rig: Callable[..., Rig], caplog: pytest.LogCaptureFixture
) -> None:
    def allow(environ: dict[str, object]) -> bool:
        raise ZeroDivisionError

    rig = make_rig(allow_request=allow)
    status, _, body = rig.request()
    assert (status, body) == (403, b'{"code":4,"message":"Forbidden"}')
    assert "allow_request failed" in caplog.text


def test_more_clients_than_max_connections_get_503(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(max_connections=2)
    assert [rig.request()[0] for _ in range(3)] == [200, 200, 503]
    assert rig.request()[1]["Retry-After"]
    rig.connections[0].abort("forced close")
    assert rig.request()[0] == 200


def test_a_client_that_is_refused_leaves_no_timer_behind() -> None:
    io = Server(max_connections=1)
    with ManualTime(io):
        first, second = (ask(io) for _ in range(2))
        assert (first, second) == (200, 503)
        assert len(io._hub.site.newcomers) == 1


@pytest.mark.parametrize(
    ("option", "value", "error"),
    [
        ("transports", ["carrier pigeon"], ValueError),
        ("ping_interval", 0, ValueError),
        ("ping_timeout", "20", TypeError),
        ("max_http_buffer_size", -1, ValueError),
        ("runtime", "asyncio", ValueError),
        ("trusted_proxies", ["nowhere"], ValueError),
        ("path", "", ValueError),
        ("cors_credentials", "yes", TypeError),
        ("allow_request", "no", TypeError),
    ],
)
def test_an_impossible_option_raises_and_is_named(option: str, value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=option):
        EngineServer(**{option: value})


def test_an_unknown_option_names_its_neighbour_and_what_is_allowed() -> None:
    with pytest.raises(TypeError, match=r"unknown option 'ping_intervall': did you mean 'ping_interval'\? allowed are path, "):
        EngineServer(ping_intervall=3)
