"""gunicorn beyond one connection: reload, graceful stop, `--max-requests`, `--preload`, time-outs, several workers, what is warned of."""

from __future__ import annotations

import contextlib
import signal
from pathlib import Path

import pytest

from sync_sio.workers.meeting import directory_name

from .servers import Server, Servers, wait_for
from .staying import staying
from .wire import PollingClient, SocketClient, WebSocketClient

pytestmark = [pytest.mark.live, pytest.mark.timeout(60)]

PATH = "/engine.io/"
WORKERS = ("sync", "gthread", "gevent", "gevent_pywsgi")


@pytest.fixture
def own(tmp_path: Path) -> Servers:
    return Servers(tmp_path)


def warnings(server: Server) -> list[str]:
    return [line for line in server.log.splitlines() if line.startswith("WARNING sync_sio")]


@pytest.mark.parametrize("worker", ["sync", "gthread --preload", "gevent --preload", "gevent_pywsgi", "gevent-websocket"])
@pytest.mark.usefixtures("npm_packages")
def test_clients_come_back_after_a_reload_and_after_a_restart(own: Servers, node: Path, worker: str) -> None:
    name, *extra = worker.split()
    with own.fresh(f"gunicorn-{name}", extra=tuple(extra)) as server, staying(node, server.url) as clients:
        clients.ask("before")
        first = server.stats()["pid"]
        server.signal(signal.SIGHUP)
        assert clients.wait("disconnect").keys() == {"polling", "websocket", "upgrade"}
        clients.wait("connect")
        wait_for(lambda: server.stats()["pid"] != first and server.stats()["clients"] == 3, say=lambda: str(server.stats()))
        clients.ask("after the reload")
        server.signal(signal.SIGTERM)
        clients.wait("disconnect")
        assert server.wait_until_gone(5.0) < 4.0
        server.launch()
        clients.wait("connect")
        clients.ask("after the restart")
        assert warnings(server) == []


@pytest.mark.parametrize("worker", ["gthread", "gevent"])  # gunicorn's gevent_pywsgi does not count requests
@pytest.mark.usefixtures("npm_packages")
def test_clients_come_back_when_a_worker_has_had_its_requests(own: Servers, node: Path, worker: str) -> None:
    with own.fresh(f"gunicorn-{worker}", extra=("--max-requests", "60")) as server, staying(node, server.url) as clients:
        first = server.stats()["pid"]
        wait_for(lambda: server.stats()["pid"] != first, timeout=15.0)
        clients.wait("disconnect")
        clients.wait("connect")
        clients.ask("from the next worker")


def test_time_outs_that_are_shorter_than_the_ping_cut_nothing(own: Servers) -> None:
    """What is taken over is none of the worker's business: neither is it killed for it, nor is the connection closed as idle."""
    short = ("--timeout", "2", "--keep-alive", "1", "--graceful-timeout", "1")
    with contextlib.ExitStack() as stack:
        servers = [
            stack.enter_context(own.fresh(f"gunicorn-{worker}", extra=short, ping_interval=3.0, ping_timeout=2.0)) for worker in WORKERS
        ]
        workers = [server.stats()["pid"] for server in servers]
        sockets = [stack.enter_context(contextlib.closing(WebSocketClient(server.address, PATH))) for server in servers]
        polls = [stack.enter_context(contextlib.closing(PollingClient(server.address, PATH))) for server in servers]
        for client in polls:
            client.start_get()
        for client in sockets:
            assert client.receive(has_pings=True) == "2"
        for client in polls:
            assert client.finish_get().text == "2"
            client.send("3")
        assert [server.stats()["pid"] for server in servers] == workers
        for server in servers:
            assert "TIMEOUT" not in server.log and warnings(server) == []


def test_several_workers_that_cannot_meet_are_warned_of(own: Servers, tmp_path: Path) -> None:
    (tmp_path / directory_name()).mkdir(mode=0o755)       # whoever made it may look in, or more
    with own.fresh("gunicorn-gthread", environ={"TMPDIR": str(tmp_path)}, extra=("--workers", "2")) as server:
        with contextlib.closing(WebSocketClient(server.address, PATH)) as client:
            client.send("4hello")
            assert client.receive() == "4hello"
        wait_for(lambda: warnings(server))
        assert all("several processes" in line and "(0700)" in line for line in warnings(server))


def test_several_workers_serve_websockets_without_a_word(own: Servers) -> None:
    with own.fresh("gunicorn-gthread", extra=("--workers", "2"), transports=["websocket"]) as server, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(contextlib.closing(SocketClient.connect("websocket", server.address))) for _ in range(20)]
        for number, client in enumerate(clients):
            assert client.call("echo", number) == [number]
        assert warnings(server) == []


def test_a_sync_worker_is_warned_of_where_websockets_keep_it(own: Servers) -> None:
    with own.fresh("gunicorn-sync", ws_engine="simple-websocket") as server:
        PollingClient(server.address, PATH).close()
        assert [line for line in warnings(server) if "simple-websocket" in line and "gunicorn's --timeout kills after 60 s" in line]
