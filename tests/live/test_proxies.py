"""The files that docs/deploy offers for nginx and HAProxy, each in the real program, before real gunicorns, with real clients."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from .proxies import Proxy
from .servers import HOST, Server, Servers, wait_for
from .staying import staying
from .wire import TRANSPORTS, Http, PollingClient, SocketClient, WebSocketClient

pytestmark = [pytest.mark.live, pytest.mark.timeout(60)]

FILES = ("nginx.conf", "nginx-hash.conf", "nginx-cookie.conf", "haproxy.cfg")
SEVERAL = FILES[1:]
OPTIONS = {"ping_interval": 1.7, "ping_timeout": 3.0, "trusted_proxies": [HOST], "health": True}
Opener = Callable[..., Any]


@pytest.fixture(scope="module")
def backends(servers: Servers) -> list[Server]:
    return [servers.get("gunicorn-gthread", environ={"LIVE_NUMBER": str(number)}, **OPTIONS) for number in range(2)]


@pytest.fixture(scope="module")
def pem(certificate: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    file: Path = tmp_path_factory.mktemp("pem") / "both.pem"
    file.write_text(Path(certificate["LIVE_CERTFILE"]).read_text() + Path(certificate["LIVE_KEYFILE"]).read_text())
    return file


@pytest.fixture(scope="module", params=FILES)
def proxy(
    request: pytest.FixtureRequest, backends: list[Server], pem: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Proxy]:
    program = request.getfixturevalue("nginx" if request.param.startswith("nginx") else "haproxy")
    wanted = backends if request.param in SEVERAL else backends[:1]
    running = Proxy(program, request.param, [server.address for server in wanted], pem, tmp_path_factory.mktemp("proxy"))
    try:
        yield running
    finally:
        running.stop()


@pytest.fixture
def closing() -> Iterator[Opener]:
    with contextlib.ExitStack() as stack:
        yield lambda thing: stack.enter_context(contextlib.closing(thing))


def cookie_of(proxy: Proxy, *source: str) -> dict[str, str] | None:
    """What a browser has been given with the page, where a cookie keeps it on its process."""
    if "cookie" not in proxy.name:
        return None
    with contextlib.closing(Http((*proxy.address, *source))) as http:
        page = http.request("GET", "/plain")
    assert page.text == "plain"
    return {"Cookie": page.headers["set-cookie"].partition(";")[0]}


@pytest.mark.usefixtures("npm_packages")
def test_official_clients_stay_while_the_proxy_is_reloaded(proxy: Proxy, node: Path) -> None:
    with staying(node, proxy.url, has_cookies="cookie" in proxy.name) as clients:
        clients.ask("before")
        proxy.reload()
        clients.ask("after")
        clients.ask("x" * 200_000)
        assert clients.count("disconnect") == 0, clients.history[-12:]


def test_what_is_silent_for_longer_than_the_proxy_s_usual_time_out_is_not_cut(proxy: Proxy, closing: Opener) -> None:
    cookie = cookie_of(proxy)
    websocket = closing(WebSocketClient(proxy.address))
    poll = closing(PollingClient(proxy.address, headers=cookie))
    # the same process and the same silence, but not under /socket.io/: here the usual time-out holds
    other = closing(PollingClient(proxy.address, "/engine.io/", headers=cookie))
    for client in (poll, other):
        client.start_get()
    assert websocket.receive(has_pings=True) == "2"
    assert poll.finish_get().text == "2"
    poll.send("3")
    assert other.finish_get().status in (400, 504)   # nginx asks the other process, if there is one


@pytest.mark.parametrize("transport", ["polling", "websocket"])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_the_application_sees_the_client_s_address_and_scheme(proxy: Proxy, transport: str, scheme: str, closing: Opener) -> None:
    is_tls = scheme == "https"
    address = (HOST, proxy.tls_port if is_tls else proxy.port, "127.0.0.9")
    headers = {"Host": "chat.example.com", "Origin": f"{scheme}://chat.example.com", **(cookie_of(proxy, "127.0.0.9") or {})}
    forged = {"X-Forwarded-For": "6.6.6.6", "X-Forwarded-Proto": "wss"}
    client = closing(SocketClient(TRANSPORTS[transport](address, is_tls=is_tls, headers={**headers, **forged})))
    client.wait_until_connected()
    assert client.receive() == ["auth", {}]
    [seen] = client.call("whoami")
    assert (seen["address"], seen["secure"], seen["headers"]["host"]) == ("127.0.0.9", is_tls, "chat.example.com")


@pytest.mark.parametrize("proxy", SEVERAL, indirect=True)
def test_clients_are_spread_and_each_stays_with_its_process(proxy: Proxy, backends: list[Server], closing: Opener) -> None:
    sources = [f"127.0.1.{number}" for number in range(1, 17)]
    clients = [
        closing(SocketClient(PollingClient((*proxy.address, source), headers=cookie_of(proxy, source)))) for source in sources
    ]
    for client in clients:
        client.wait_until_connected()
    assert all(server.stats()["sockets"] for server in backends)
    for number, client in enumerate(clients):
        assert client.receive() == ["auth", {}]
        for round_ in range(3):
            assert client.call("echo", number, round_) == [number, round_]


@pytest.mark.parametrize("proxy", ["nginx-cookie.conf", "haproxy.cfg"], indirect=True)
def test_a_cookie_keeps_a_client_whose_address_changes(proxy: Proxy, closing: Opener) -> None:
    for number in range(4):
        headers = cookie_of(proxy)
        client = closing(PollingClient((*proxy.address, f"127.0.2.{number + 1}"), headers=headers))
        if headers is None:
            headers = {"Cookie": client.opening.headers["set-cookie"].partition(";")[0]}
        for other in range(1, 9):
            moved = closing(Http((*proxy.address, f"127.0.3.{other}")))
            assert moved.request("POST", client.target, b"3", headers).text == "ok"


@pytest.mark.parametrize("proxy", SEVERAL, indirect=True)
@pytest.mark.usefixtures("npm_packages")
def test_clients_of_a_process_that_ends_go_to_another(proxy: Proxy, backends: list[Server], node: Path) -> None:
    with staying(node, proxy.url, has_cookies="cookie" in proxy.name) as clients:
        clients.ask("before")
        ending, other = sorted(backends, key=lambda server: -server.stats()["sockets"])
        ending.stop()
        wait_for(lambda: other.stats()["sockets"] == 3, 15.0, lambda: f"{other.stats()}, {clients.history[-12:]}")
        clients.ask("after")
        ending.launch()
        ending.wait_until_it_answers()
