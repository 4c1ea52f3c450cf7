"""Servers that share nothing but a Redis, behind a load balancer that sends each request to any of them."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.redis_server import RedisServer

from .proxies import Proxy
from .servers import Server, Servers, wait_for
from .test_workers import crowd
from .wire import Ended, Http, PollingClient, SocketClient, WebSocketClient, target_of, upgrade

pytestmark = [pytest.mark.live, pytest.mark.timeout(120)]

TUNNEL = re.compile(r"<tunnel \d+ of (\S+), to (\S+)>")
MEBIBYTE = 1 << 20
MAX_SIZE = 1_500_000


class Machines:
    """Servers on one Redis, each with a directory for temporary files of its own, so that those of two do not meet there."""

    def __init__(self, directory: Path, redis: RedisServer) -> None:
        self.all: list[Server] = []
        self.redis = redis
        self._servers = Servers(directory)
        self._places = Path("/tmp") / f"far-{os.getpid()}-{directory.name[-12:]}"      # the path of a socket must be short

    def add(
        self, kind: str, adapter: str = "RedisAdapter", workers: int = 1, hooks: str = "", environ: Any = None, **options: Any
    ) -> Server:
        place = self._places / str(len(self.all))
        place.mkdir(parents=True)
        ours = {"LIVE_APP": "workers_app:application", "LIVE_ADAPTER": adapter, "LIVE_REDIS": self.redis.url, "TMPDIR": str(place)}
        extra = ("--workers", str(workers), "--preload") if workers > 1 else ()
        server = self._servers.start(kind, hooks, {**ours, **(environ or {})}, extra, **options)
        self.all.append(server)
        return server

    def stop(self) -> None:
        for server in self.all:
            server.stop()
        shutil.rmtree(self._places, ignore_errors=True)
        for server in self.all:
            server.check_log()


@contextlib.contextmanager
def machines_on(program: Path, directory: Path) -> Iterator[Machines]:
    with RedisServer(program, directory) as redis:
        made = Machines(directory, redis)
        try:
            yield made
        finally:
            made.stop()


@pytest.fixture
def machines(redis_server: Path, tmp_path: Path) -> Iterator[Machines]:
    with machines_on(redis_server, tmp_path) as made:
        yield made


@pytest.fixture(scope="module")
def pair(redis_server: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Server]]:
    """One with threads, one with greenlets."""
    with machines_on(redis_server, tmp_path_factory.mktemp("pair")) as machines:
        found = [machines.add(kind, max_http_buffer_size=MAX_SIZE) for kind in ("embedded-threads", "embedded-gevent")]
        wait_until_joined(found, 2)
        yield found
        wait_until_clean(found)
        assert [each for server in found for each in warnings(server) if "max_http_buffer_size" not in each] == []


def wait_until_joined(servers: list[Server], count: int) -> None:
    """Wait until so many hear of each other, so that what one says comes to all."""
    for server in servers:
        PollingClient(server.address, is_tls=server.is_tls).close()     # some begin with their first client
    wait_for(lambda: [server.page("/status")[1] for server in servers] == [count] * len(servers), 20, lambda: servers[0].log)


def left_at(server: Server) -> list[str]:
    return [left for left in server.page("/audit") if left != "a timer: RedisStreamsAdapter._tick"]


def wait_until_clean(servers: list[Server]) -> None:
    for server in servers:
        wait_for(lambda server=server: left_at(server) == [], 15, lambda server=server: str(left_at(server)))


def wait_until_parked(owner: Server) -> None:
    """A poll has come to its owner, and waits there."""
    wait_for(lambda: any("passed on to us" in left for left in left_at(owner)))


def warnings(server: Server) -> list[str]:
    return [line for line in server.log.splitlines() if line.startswith(("WARNING sync_sio", "ERROR sync_sio"))]


def opened(server: Server) -> tuple[PollingClient, SocketClient]:
    client = PollingClient(server.address, is_tls=server.is_tls)
    socket = SocketClient(client)
    socket.wait_until_connected()
    return client, socket


def move(client: PollingClient, server: Server) -> None:
    """Send the next requests of a session to another server."""
    client.leave()
    client.address = client.getter.address = client.poster.address = server.address


def moved_upgrade(client: PollingClient, socket: SocketClient, server: Server) -> WebSocketClient:
    """Have a session's WebSocket come to another server."""
    move(client, server)
    socket.engine = websocket = upgrade(client, server.is_tls)
    client.leave()
    assert socket.call("who")               # so it has switched
    return websocket


# -- official clients ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("adapter", "kinds", "workers", "count", "dies"),
    [
        ("RedisAdapter", ("embedded-threads", "embedded-gevent"), 1, 200, "server"),
        ("ShardedRedisAdapter", ("gunicorn-gthread", "gunicorn-gthread"), 2, 60, ""),
        ("RedisStreamsAdapter", ("gunicorn-gevent", "embedded-gevent-patched"), 1, 30, "redis"),
    ],
)
@pytest.mark.usefixtures("npm_packages")
def test_official_clients_behind_a_proxy_that_sends_each_request_to_the_next_server(
    machines: Machines,
    node: Path,
    nginx: Path,
    certificate: dict[str, str],
    tmp_path: Path,
    adapter: str,
    kinds: tuple[str, str],
    workers: int,
    count: int,
    dies: str,
) -> None:
    """All connect, upgrade, talk and hear each other, through the documentation's file for nginx; those who are cut off come back."""
    survivor, victim = servers = [machines.add(kind, adapter, workers) for kind in kinds]
    wait_until_joined(servers, 2 * workers)
    pem = tmp_path / "both.pem"
    pem.write_text(Path(certificate["LIVE_CERTFILE"]).read_text() + Path(certificate["LIVE_KEYFILE"]).read_text())
    proxy = Proxy(nginx, "nginx-any.conf", [server.address for server in servers], pem, tmp_path)
    try:
        with crowd(node, proxy.url, count) as clients:
            first = clients.round("first")
            assert [each for each in first if each[1:] != [0, [], "websocket"]] == []
            assert len({owner for owner, *_ in first}) > 1
            if dies:
                tunnels = TUNNEL.findall("\n".join(left_at(survivor)))
                assert tunnels
                if dies == "server":
                    # who is connected to it is cut off, and who came through it: the tunnels that it has opened
                    lost = sum(owner == victim.process.pid for owner, *_ in first)
                    lost += sum(opener == other for opener, other in tunnels)
                    victim.kill()
                else:
                    lost = len(tunnels)
                    machines.redis.kill()
                    machines.redis.start()
                clients.told(f"lost {lost}", "lost")
                if dies == "redis":         # what is said before they hear each other again is lost to some
                    wait_for(lambda: all(server.page("/connected") for server in servers))
                second = clients.round("second")
                assert sum(disconnects > 0 for _, disconnects, *_ in second) == lost
                # who comes back before the servers hear each other again may find no way for its WebSocket, and polls on
                assert dies == "redis" or all(transport == "websocket" for *_, transport in second)
    finally:
        proxy.stop()
    if dies == "redis":                     # sessions that clients have given up meanwhile end with their time
        wait_for(lambda: not TUNNEL.findall("\n".join(left_at(survivor))))
    else:
        wait_until_clean([survivor])
        assert warnings(survivor) == []


# -- request by request -------------------------------------------------------------------------------------------------------


@pytest.fixture(params=[0, 1])
def owner(request: pytest.FixtureRequest, pair: list[Server]) -> Server:
    return pair[request.param]


@pytest.fixture
def asked(pair: list[Server], owner: Server) -> Server:
    """Where requests come to that are the other one's."""
    return next(server for server in pair if server is not owner)


def test_polls_are_answered_whoever_gets_them(owner: Server, asked: Server) -> None:
    client, socket = opened(owner)
    for number in range(6):
        move(client, (asked, owner)[number % 2])
        assert socket.call("who") == [owner.process.pid]
        socket.emit("shout", number)
        assert socket.receive() == ["heard", number]
    move(client, asked)
    client.start_get()                      # one that waits
    with contextlib.closing(opened(asked)[1]) as other:
        other.emit("shout", "x" * MEBIBYTE)
        assert socket.receive() == ["heard", "x" * MEBIBYTE]
    client.close()


def test_a_websocket_comes_in_at_any_server_and_carries_a_mebibyte_each_way(owner: Server, asked: Server) -> None:
    client, socket = opened(owner)
    moved_upgrade(client, socket, asked)
    assert socket.call("who") == [owner.process.pid]
    data = os.urandom(MEBIBYTE)
    socket.engine.send('451-77["echo",{"_placeholder":true,"num":0}]', data)
    assert socket.wait_for_ack(77) == [data]
    socket.emit("flood", 100, 20_000)
    assert [socket.receive()[1] for _ in range(100)] == list(range(100))
    socket.close()


def test_a_body_that_is_too_large_is_refused_where_it_comes_in(owner: Server, asked: Server) -> None:
    client, socket = opened(owner)
    move(client, asked)
    assert client.post(b"4" + b"x" * MAX_SIZE).status == 413
    assert socket.call("who") == [owner.process.pid]
    client.close()


def test_what_no_server_knows_is_refused(pair: list[Server]) -> None:
    with Http(pair[0].address) as http:
        for sid in ("unknown", "A" * 20, "A", "*" * 20, "a b\u00fc" * 5):
            response = http.request("GET", target_of("/socket.io/", "polling", sid=sid))
            assert (response.status, response.json()) == (400, {"code": 1, "message": "Session ID unknown"})


def test_a_session_that_has_ended_is_unknown_everywhere(owner: Server, asked: Server) -> None:
    client, _ = opened(owner)
    client.close()
    move(client, asked)
    assert client.is_over()


def test_a_client_that_goes_away_is_gone_at_its_owner(owner: Server, asked: Server) -> None:
    client, socket = opened(owner)
    moved_upgrade(client, socket, asked).abort()
    wait_until_clean([owner, asked])


def test_through_tls_too(machines: Machines, certificate: dict[str, str]) -> None:
    servers = [machines.add(kind, environ=certificate) for kind in ("embedded-threads", "gunicorn-gevent")]
    wait_until_joined(servers, 2)
    for owner, asked in (servers, reversed(servers)):
        client, socket = opened(owner)
        for server in (asked, owner, asked):
            move(client, server)
            socket.emit("shout", "x" * 300_000)
            assert socket.receive() == ["heard", "x" * 300_000]
        moved_upgrade(client, socket, asked)
        socket.emit("shout", "x" * 300_000)
        assert socket.receive() == ["heard", "x" * 300_000]
        socket.close()
    wait_until_clean(servers)


def test_where_sockets_cannot_be_had_the_answer_is_waited_for(machines: Machines) -> None:
    owner, asked = servers = [machines.add("gunicorn-gthread", hooks="hidden") for _ in range(2)]
    wait_until_joined(servers, 2)
    client, socket = opened(owner)
    move(client, asked)
    socket.emit("shout", "x" * 300_000)
    assert socket.receive() == ["heard", "x" * 300_000]
    client.close()


# -- when something dies ------------------------------------------------------------------------------------------------------


def test_who_is_killed_leaves_nobody_waiting(machines: Machines) -> None:
    """Neither clients that reach its sessions through others, nor the owners of sessions whose clients came through it."""
    victim, *others = servers = [machines.add(kind) for kind in ("embedded-threads", "embedded-threads", "embedded-gevent")]
    wait_until_joined(servers, 3)
    polls, websockets = [], []
    for other in others:
        poll, _ = opened(victim)
        move(poll, other)
        poll.start_get()
        polls.append(poll)
        websockets += [moved_upgrade(*opened(victim), other), moved_upgrade(*opened(other), victim)]
    wait_for(lambda: sum("passed on to us" in left for left in left_at(victim)) == 2)
    victim.kill()
    for websocket in websockets:
        websocket.ws.wait_for_eof(10)
    for poll in polls:
        with pytest.raises(Ended):
            poll.finish_get(10)
        assert poll.is_over()
    wait_until_clean(others)


def test_a_server_that_stops_says_so_to_clients_elsewhere(machines: Machines) -> None:
    owner, asked = servers = [machines.add("embedded-threads"), machines.add("embedded-gevent")]
    wait_until_joined(servers, 2)
    websocket = moved_upgrade(*opened(owner), asked)
    poll, _ = opened(owner)
    move(poll, asked)
    poll.start_get()
    wait_until_parked(owner)
    owner.stop()
    assert websocket.ws.wait_for_end() == 1001
    assert poll.finish_get().status == 200
    wait_until_clean([asked])


def test_without_redis_connections_end_and_with_it_new_ones_work(machines: Machines) -> None:
    owner, asked = servers = [machines.add(kind) for kind in ("embedded-threads", "embedded-gevent")]
    wait_until_joined(servers, 2)
    held = []
    for _ in range(2):
        websockets = [moved_upgrade(*opened(owner), asked) for _ in range(5)]
        poll, _ = opened(owner)
        move(poll, asked)
        poll.start_get()
        wait_until_parked(owner)
        machines.redis.kill()
        for websocket in websockets:
            websocket.ws.wait_for_eof(10)
        with pytest.raises(Ended):
            poll.finish_get(10)
        assert poll.is_over()               # without waiting: nobody can be asked
        local, socket = opened(owner)
        assert socket.call("who") == [owner.process.pid]
        local.close()
        machines.redis.start()
        for server in servers:
            wait_for(lambda server=server: server.page("/connected"), 10, lambda server=server: server.log)
        move(poll, owner)
        poll.close()
        wait_until_clean(servers)
        held.append([server.page("/held") for server in servers])
    client, socket = opened(owner)
    moved_upgrade(client, socket, asked)
    assert socket.call("who") == [owner.process.pid]
    socket.close()
    for before, after in zip(*held, strict=True):
        assert after[1] <= before[1] + 2    # descriptors; a client's may be closed a moment later
        assert after[0] <= before[0] + 2    # threads: a pool grows


def test_a_client_that_does_not_read_fills_neither_redis_nor_a_server(machines: Machines) -> None:
    owner, asked = servers = [machines.add("embedded-threads", max_buffered_bytes=4_000_000, send_timeout=1.0) for _ in range(2)]
    wait_until_joined(servers, 2)
    client, socket = opened(owner)
    websocket = moved_upgrade(client, socket, asked)
    watching = machines.redis.client()
    socket.emit("flood", 400, 100_000)      # 40 MB, of which the owner keeps what it may, and closes the connection then
    most = 0

    def is_over() -> bool:
        nonlocal most
        most = max(most, *(int(each["omem"]) for each in watching.client_list()))
        return bool(owner.page("/audit") == [])

    wait_for(is_over, 20, lambda: str(owner.page("/audit")))
    assert most < MEBIBYTE
    start = time.monotonic()
    websocket.ws.wait_for_eof(40)
    assert time.monotonic() - start < 30    # it reads now, so nobody waits for it
    wait_until_clean(servers)
