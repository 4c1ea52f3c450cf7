"""The engine's options and events over real HTTP, on web servers of others too, and through the official client."""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
import subprocess
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import tools

from . import wire
from .servers import HERE, Server, Servers, wait_for
from .wire import Http, PollingClient, Response, SocketClient, WebSocketClient, target_of

pytestmark = [pytest.mark.live, pytest.mark.timeout(120)]

PATH = "/engine.io/"
KINDS = ["embedded-threads", "embedded-gevent", "gunicorn-gthread"]
Opener = Callable[..., Any]


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def closing() -> Iterator[Opener]:
    with contextlib.ExitStack() as stack:
        yield lambda thing: stack.enter_context(contextlib.closing(thing))


def unpack(response: Response) -> str:
    encoding = response.headers.get("content-encoding")
    decode: Any = {"gzip": gzip.decompress, "deflate": zlib.decompress, None: bytes}[encoding]
    return str(decode(response.body).decode())


@pytest.mark.parametrize("mode", ["polling", "websocket", "upgrade"])
@pytest.mark.usefixtures("npm_packages")
def test_the_javascript_client(servers: Servers, node: Path, kind: str, mode: str) -> None:
    server = servers.get(kind, ping_interval=0.5, ping_timeout=10.0, per_message_deflate={"threshold": 100})
    run_checks(node, "engine.mjs", server, mode)


CASES: dict[str, dict[str, Any]] = {
    "no upgrade, no slash": {"allow_upgrades": False, "add_trailing_slash": False},
    "websocket only": {"transports": ["websocket"]},
    "polling only": {"transports": ["polling"]},
    "one client": {"max_connections": 1},
    "cookie": {"cookie": "node"},
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.usefixtures("npm_packages")
def test_options_as_the_javascript_client_meets_them(servers: Servers, node: Path, case: str) -> None:
    run_checks(node, "options.mjs", servers.get(KINDS[0], **CASES[case]), case)


def run_checks(node: Path, script: str, server: Server, mode: str) -> None:
    command = [str(node), str(HERE / "node" / script), server.url, mode]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110, env=tools.node_environ())
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert done.returncode == 0 and lines, done.stderr[-4000:] + done.stdout[-1000:]
    assert lines[-1] == {"done": len(lines) - 1}, done.stderr[-4000:]
    failed = [f"{line['check']} ({line['ms']} ms)\n{line['error']}" for line in lines[:-1] if not line["ok"]]
    assert not failed, f"{len(failed)} of {len(lines)} checks failed:\n\n" + "\n\n".join(failed)


@pytest.mark.parametrize(("accept", "encoding"), [("gzip, deflate, br", "gzip"), ("deflate", "deflate"), ("br", None)])
def test_polls_that_wait_and_polls_that_are_ready_are_compressed(
    servers: Servers, kind: str, closing: Opener, accept: str, encoding: str | None
) -> None:
    server = servers.get(kind)
    client = closing(PollingClient(server.address, PATH, headers={"Accept-Encoding": accept}))
    text = "4" + "compress me " * 1000
    client.send(text)
    wait_for(lambda: ["worked"] in server.journal(client.sid))
    ready = client.get()
    client.start_get()
    assert client.getter.is_quiet(0.05)
    client.send("4size 300000")
    waited = client.finish_get()
    assert unpack(ready) == text and unpack(waited) == "4" + "x" * 300_000
    for response in (ready, waited):
        assert response.headers.get("content-encoding") == encoding
        assert response.headers["vary"] == "Accept-Encoding"
        assert encoding is None or len(response.body) < len(text) / 2
    client.send("4short")
    assert "content-encoding" not in client.get().headers


def test_compression_can_be_turned_off_and_has_a_threshold(servers: Servers, kind: str, closing: Opener) -> None:
    for option, size, is_compressed in ((False, 5000, False), ({"threshold": 200}, 300, True), ({"threshold": 200}, 100, False)):
        server = servers.get(kind, http_compression=option)
        client = closing(PollingClient(server.address, PATH, headers={"Accept-Encoding": "gzip"}))
        client.send(f"4size {size}")
        wait_for(lambda: ["worked"] in server.journal(client.sid))  # noqa: B023
        response = client.get()
        assert unpack(response) == "4" + "x" * size
        assert ("content-encoding" in response.headers) is is_compressed


def test_the_cookie_has_what_the_option_says(servers: Servers, kind: str, closing: Opener) -> None:
    cookie = {"name": "node", "path": "/", "same_site": "none", "secure": True, "max_age": 60}
    server = servers.get(kind, hooks="headers", cookie=cookie)
    client = closing(PollingClient(server.address, PATH))
    lines = [value for name, value in client.opening.lines if name == "set-cookie"]
    assert lines == ["first=1", "second=2", f"node={client.sid}; Max-Age=60; Path=/; HttpOnly; Secure; SameSite=None"]
    assert client.opening.headers["x-initial"] == "once"
    ws = closing(WebSocketClient(server.address, PATH))
    assert [value for name, value in ws.ws.response.lines if name == "set-cookie"] == ["first=1", "second=2"]
    assert ws.ws.response.headers["x-each"] == "GET"


FORWARDED = {"X-Forwarded-For": "6.6.6.6, 203.0.113.7, 10.0.0.1", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "chat.example"}


@pytest.mark.parametrize("transport", ["polling", "websocket"])
def test_trusted_proxies_say_who_asks(servers: Servers, kind: str, closing: Opener, transport: str) -> None:
    open_engine = wire.TRANSPORTS[transport]
    from_page = {**FORWARDED, "Origin": "https://chat.example"}

    def who(server: Server, headers: dict[str, str]) -> tuple[str, bool]:
        client = SocketClient(closing(open_engine(server.address, headers=headers)))
        client.wait_until_connected()
        [told] = client.call("whoami")
        return told["address"], told["secure"]

    trusting = servers.get(kind, trusted_proxies=["127.0.0.1", "10.0.0.0/8"])
    assert who(trusting, from_page) == ("203.0.113.7", True)
    # gunicorn believes X-Forwarded-Proto from its own machine by itself (--forwarded-allow-ips)
    assert who(servers.get(kind), FORWARDED) == ("127.0.0.1", kind.startswith("gunicorn"))
    with pytest.raises(wire.Refused) as refused:
        open_engine(servers.get(kind).address, headers=from_page)
    assert refused.value.response.status == 403


def test_a_proxy_on_a_unix_socket_can_be_trusted(servers: Servers, tmp_path: Path) -> None:
    path = tmp_path / "sock"
    server = servers.start("gunicorn-gthread", extra=("-b", f"unix:{path}"), trusted_proxies=["unix"])
    try:
        for address, seen in ((path, "203.0.113.7"), (None, "127.0.0.1")):
            http = Http(server.address)
            if address is not None:
                http.sock = socket.socket(socket.AF_UNIX)
                http.sock.settimeout(10)
                http.sock.connect(str(path))
            with contextlib.closing(http):
                mark = {"X-Forwarded-For": "203.0.113.7"}
                sid = http.request("GET", target_of("/socket.io/", "polling"), headers=mark).text.split('"sid":"')[1][:20]
                target = target_of("/socket.io/", "polling", sid=sid)
                assert http.request("POST", target, b'40\x1e420["whoami"]').text == "ok"
                told = ""
                while '"address"' not in told:
                    told = http.request("GET", target).text
                assert f'"address":"{seen}"' in told
                http.request("POST", target, b"1")
    finally:
        server.stop()
    server.check_log()


def test_the_path_may_have_no_slash_at_its_end(servers: Servers, kind: str) -> None:
    server = servers.get(kind, add_trailing_slash=False, serve_client=False, health=True)
    sids: list[str] = []
    with contextlib.closing(server.http()) as http:
        for path in ("/socket.io", "/socket.io/", "/socket.io/foo/bar/"):
            opened = http.request("GET", target_of(path, "polling"))
            sids.append(json.loads(opened.text[1:])["sid"])
        assert http.request("GET", target_of("/socket.iox", "polling")).status == 404
        page = http.request("GET", "/socket.io/socket.io.js")
        assert (page.status, page.json()["code"]) == (400, 0)
        health = http.request("GET", "/socket.io/health")
        assert health.status == 200 and health.json()["status"] == "ok" and health.json()["clients"] >= 3
        for sid in sids:
            assert http.request("POST", target_of("/socket.io", "polling", sid=sid), b"1").text == "ok"
    for path in ("/socket.io", "/socket.io/"):
        engine = WebSocketClient(server.address, path)
        engine.close()


def test_a_load_balancer_sees_that_the_server_closes(servers: Servers, kind: str) -> None:
    with servers.fresh(kind, health=True) as server, contextlib.closing(server.http()) as http:
        assert http.request("GET", "/socket.io/health").status == 200
        http.request("GET", "/close")
        response = http.request("GET", "/socket.io/health")
        assert (response.status, response.json()["status"]) == (503, "closing")
        assert http.request("GET", target_of("/socket.io/", "polling")).status == 503


def test_cors_options_are_told_to_browsers_on_every_response(servers: Servers, kind: str) -> None:
    origin = {"Origin": "https://good.example"}
    server = servers.get(
        kind, cors_allowed_origins=["https://good.example"], cors_methods=["GET", "POST", "PUT"], cors_allowed_headers=["X-Token"],
        cors_max_age=600, cors_credentials=False, max_connections=1,
    )  # fmt: skip
    with contextlib.closing(server.http()) as http:
        asked = {**origin, "Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "x-token"}
        preflight = http.request("OPTIONS", "/socket.io/?EIO=4&transport=polling", headers=asked)
        assert (preflight.status, preflight.headers["access-control-allow-methods"]) == (204, "GET,POST,PUT")
        assert preflight.headers["access-control-allow-headers"] == "X-Token"
        assert preflight.headers["access-control-max-age"] == "600"
        first = http.request("GET", target_of("/socket.io/", "polling"), headers=origin)
        sid = json.loads(first.text[1:])["sid"]
        answers = [
            first,
            http.request("GET", target_of("/socket.io/", "polling"), headers=origin),
            http.request("PUT", target_of("/socket.io/", "polling", sid=sid), headers=origin),
            http.request("GET", "/socket.io/socket.io.js", headers=origin),
            http.request("GET", "/socket.io/nothing", headers=origin),
            http.request("POST", target_of("/socket.io/", "polling", sid=sid), b"x" * 1_000_001, headers=origin),
        ]
        http.request("POST", target_of("/socket.io/", "polling", sid=sid), b"1", headers=origin)
    assert [answer.status for answer in answers] == [200, 503, 500, 200, 400, 413]
    for answer in (preflight, *answers):
        assert answer.headers["access-control-allow-origin"] == "https://good.example", answer
        assert "access-control-allow-credentials" not in answer.headers
        assert "Origin" in answer.headers["vary"]


def test_an_engine_server_alone_tells_its_connections_everything(servers: Servers, kind: str, closing: Opener) -> None:
    server: Server = servers.get(kind)
    client = closing(PollingClient(server.address, PATH))
    upgraded = closing(wire.upgrade(client))
    upgraded.send("4hello")
    assert upgraded.receive() == "4hello"
    assert server.wait_for_note(client.sid, "upgrade") == ["upgrade", "websocket"]
    upgraded.send("4which transport")
    assert upgraded.receive() == "4websocket"
