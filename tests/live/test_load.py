"""2,000 WebSocket clients and 500 polls that wait, on servers with four threads, with one, and with gevent; and their end.

Counts and bytes are asserted; times only with bounds so wide that a busy machine keeps them.
"""

from __future__ import annotations

import contextlib
import gc
import os
import resource
import signal
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import IS_REFERENCE
from .servers import Server, Servers, wait_for
from .wire import PollingClient, SocketClient

pytestmark = [pytest.mark.stress, pytest.mark.timeout(240), pytest.mark.skipif(IS_REFERENCE, reason="no WSGI server there")]

SOCKETS, POLLS = 2000, 500
WARM = 100
SERVERS = ["gunicorn-gthread", "gunicorn-sync", "gunicorn-gevent"]


@pytest.fixture(scope="module", autouse=True)
def descriptors() -> None:
    """Let this process, and the servers that it starts, have a descriptor for each client."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    need = SOCKETS + POLLS * 2 + 1000
    if soft != resource.RLIM_INFINITY and soft < need:
        assert hard == resource.RLIM_INFINITY or hard >= need, f"ulimit -n must allow {need} descriptors, it allows {hard}"
        resource.setrlimit(resource.RLIMIT_NOFILE, (need, hard))


@pytest.fixture(scope="module", params=SERVERS)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    # Without the debug invariants: they keep more per client than the library does.
    with Servers(tmp_path_factory.mktemp("load")).fresh(request.param, environ={"SYNC_SIO_DEBUG": ""}, ping_interval=100.0) as server:
        yield server


def connect(server: Server, transport: str) -> SocketClient:
    return SocketClient.connect(transport, server.address, lean="1")


def test_thousands_of_clients(server: Server) -> None:
    # What the first clients make once (threads, buffers, imports) is not counted.
    clients = [connect(server, "websocket") for _ in range(WARM)]
    before = server.stats()

    clients += [connect(server, "websocket") for _ in range(SOCKETS)]
    idle = wait_for(lambda: (numbers := server.page("/stats?collect=1"))["sockets"] >= WARM + SOCKETS and numbers)
    per_client = (idle["rss"] - before["rss"]) / SOCKETS
    assert per_client < 10 * 1024, f"{per_client / 1024:.1f} KiB a client"

    polls = [connect(server, "polling") for _ in range(POLLS)]
    for client in polls:
        client.engine.start_get()
    wait_for(lambda: server.stats()["sockets"] == WARM + SOCKETS + POLLS, say=lambda: repr(server.stats()))
    full = server.stats()
    assert full["threads"] < 80, full

    latencies = []
    with server.http() as http:
        for _ in range(100):
            started = time.monotonic()
            assert http.request("GET", "/plain").text == "plain"
            latencies.append(time.monotonic() - started)
    print(f"\n{server.kind}: {per_client / 1024:.2f} KiB a client, {full['threads']} threads, "
          f"plain page p50 {statistics.median(latencies) * 1000:.1f} ms, max {max(latencies) * 1000:.1f} ms")  # fmt: skip
    assert statistics.median(latencies) < 0.25

    # They are not only held: everybody hears, anybody speaks.
    server.page("/emit?event=news&value=1")
    for client in clients + polls:
        assert client.receive() == ["news", 1]
    for number, client in enumerate(clients[::100] + polls[::50]):
        assert client.call("echo", number) == [number]
    for client in polls[1::50]:
        assert client.call("whoami")[0]["transport"] == "polling"

    # And at the end nothing of them is left.
    for client in clients:
        client.close()
    for client in polls:
        with contextlib.suppress(AssertionError):
            client.engine.post("1")
        client.close()
    del clients, polls
    gc.collect()
    wait_for(lambda: server.stats()["sockets"] == 0, 15.0, lambda: repr(server.stats()))
    server.wait_until_clean(10.0)
    left = server.stats()
    assert left["clients"] == 0
    assert left["descriptors"] < before["descriptors"] + 20, (before, left)


@pytest.mark.parametrize("kind", ["waitress", "cheroot", "werkzeug", "wsgiref"])
def test_more_clients_than_select_takes(tmp_path: Path, kind: str) -> None:
    """Some servers wait with it, as libraries do: it takes no descriptor above 1,023."""
    with Servers(tmp_path).fresh(kind, environ={"SYNC_SIO_DEBUG": ""}) as server, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(contextlib.closing(connect(server, "websocket"))) for _ in range(1100)]
        assert server.stats()["sockets"] == 1100
        for client in clients[:1] + clients[-1:]:
            assert client.call("echo", 1) == [1]


@pytest.mark.parametrize("kind", [*SERVERS, "gunicorn-gevent_pywsgi"])
def test_sigterm_with_open_clients(servers: Servers, kind: str) -> None:
    """The worker is gone within two seconds, WebSockets get a close frame 1001, polls an answer."""
    with servers.fresh(kind) as server:
        clients = [connect(server, "websocket") for _ in range(100)]
        polls = [PollingClient(server.address) for _ in range(30)]
        for client in polls:
            client.start_get()
        for client in polls:
            assert client.getter.is_quiet(0.02)
        worker = server.stats()["pid"]
        server.signal(signal.SIGTERM)
        wait_for(lambda: not is_alive(worker), 2.0, lambda: "the worker is still there")
        assert {client.engine.ws.wait_for_end(2.0) for client in clients} == {1001}
        for client in polls:
            response = client.finish_get(2.0)
            assert (response.status, response.text in ("1", "6", "6\x1e1")) == (200, True), response
        server.wait_until_gone(3.0)


@pytest.mark.parametrize("kind", ["gunicorn-gthread", "gunicorn-gevent"])
def test_a_reload_with_open_clients(servers: Servers, kind: str) -> None:
    """SIGHUP replaces the worker; clients of the old one are told, and may come back at once."""
    with servers.fresh(kind) as server:
        clients = [connect(server, "websocket") for _ in range(20)]
        worker = server.stats()["pid"]
        server.signal(signal.SIGHUP)
        assert {client.engine.ws.wait_for_end(10.0) for client in clients} == {1001}
        wait_for(lambda: not is_alive(worker), 3.0)
        again = connect(server, "websocket")
        assert again.call("echo", 1) == [1]
        assert server.stats()["pid"] != worker
        again.close()


def is_alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except FileNotFoundError:
        return False
    except OSError:
        return os.path.exists(f"/proc/{pid}")
