"""Connections that go through a real Redis from one server to another: who is there, what comes, and what ends them."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from sync_sio.adapters.redis import RedisAdapter, RedisStreamsAdapter, ShardedRedisAdapter, ears, neighbours, routes
from sync_sio.adapters.redis.frames import DATA, HERE, OPEN, PULSE, Frame
from sync_sio.adapters.redis.routes import Routes
from sync_sio.drivers.base import Driver
from sync_sio.drivers.choose import choose
from sync_sio.drivers.keeping import PlainSocket
from sync_sio.drivers.streams import PlainStream
from tests.live.servers import wait_for
from tests.redis_server import RedisServer

from .proxy import Proxy
from .test_pubsub import Listener

Adapter = RedisAdapter | ShardedRedisAdapter | RedisStreamsAdapter
KINDS: list[type[Adapter]] = [RedisAdapter, ShardedRedisAdapter, RedisStreamsAdapter]
LINE = b"a line\n"
SECONDS = 20.0


class Far:
    """One server's routes; what is passed to it is kept."""

    def __init__(self, own: str, adapter: Adapter, driver: Driver) -> None:
        self.own = own
        self.adapter = adapter
        self.passed: list[tuple[bytes, socket.socket]] = []
        self.changed = threading.Condition()
        adapter.start(Listener(), driver)
        self.routes: Routes = adapter.carrier
        self.routes.start(own, self.take)
        self.routes.wait_until_ready(SECONDS)

    def take(self, payload: bytes, number: int) -> None:
        with self.changed:
            self.passed.append((payload, socket.socket(fileno=number)))
            self.changed.notify_all()

    def wait_for_request(self) -> tuple[bytes, socket.socket]:
        with self.changed:
            assert self.changed.wait_for(lambda: self.passed, SECONDS)
            payload, sock = self.passed.pop(0)
        sock.settimeout(SECONDS)
        return payload, sock

    def hand_over(self, other: Far, payload: bytes = LINE) -> socket.socket:
        """Have another one get a connection, and return the client's end of it."""
        assert self.routes.has(other.own)
        client, ours = socket.socketpair()
        client.settimeout(SECONDS)
        assert self.routes.hand_over(other.own, payload, PlainStream(PlainSocket(fileno=ours.detach())))
        return client

    def is_clean(self) -> bool:
        return not self.routes._tunnels


class Fars:
    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self.all: list[Far] = []

    def add(self, adapter: Adapter, own: str) -> Far:
        far = Far(own, adapter, self.driver)
        self.all.append(far)
        return far


@pytest.fixture
def fars() -> Iterator[Fars]:
    made = Fars(choose("threads", None, None))
    yield made
    for far in made.all:
        far.adapter.close()
    assert all(far.is_clean() for far in made.all)
    made.driver.stop(2)
    assert [left for left in made.driver.audit() if "Routes._look" not in left] == []
    assert not [thread.name for thread in threading.enumerate() if "redis" in thread.name]


def received(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size and (piece := sock.recv(1 << 20)):
        data += piece
    return data


def is_at_end(sock: socket.socket) -> bool:
    with contextlib.suppress(ConnectionError):
        return sock.recv(1) == b""
    return True


def exchange(one: Far, two: Far, size: int = 3_000_000) -> None:
    """Send more than all buffers hold, both ways at once."""
    data = os.urandom(size)
    with one.hand_over(two, LINE + data[:200_000]) as client:
        payload, server = two.wait_for_request()
        assert payload.startswith(LINE)
        with server:
            got: list[bytes] = []
            threads = [
                threading.Thread(target=client.sendall, args=(data[200_000:],)),
                threading.Thread(target=server.sendall, args=(data,)),
                threading.Thread(target=lambda: got.append(received(client, size))),
            ]
            for thread in threads:
                thread.start()
            assert payload[len(LINE) :] + received(server, size - len(payload) + len(LINE)) == data
            for thread in threads:
                thread.join()
            assert got == [data]
        assert is_at_end(client)
    wait_for(lambda: one.is_clean() and two.is_clean())


@pytest.mark.parametrize("kind", KINDS)
def test_a_connection_goes_through(redis: RedisServer, fars: Fars, kind: type[Adapter]) -> None:
    one, two = fars.add(kind(redis.url), "One-_1"), fars.add(kind(redis.url), "Two-_2")
    assert one.routes.has("Two-_2")
    assert two.routes.has("One-_1")
    exchange(one, two)
    exchange(two, one)
    with one.hand_over(two) as client:
        _, server = two.wait_for_request()
        client.sendall(b"good-bye")
        client.close()
        with server:
            assert received(server, 100) == b"good-bye"
    wait_for(lambda: one.is_clean() and two.is_clean())


def test_many_at_once(redis: RedisServer, fars: Fars) -> None:
    one, two = fars.add(RedisAdapter(redis.url), "One-_1"), fars.add(RedisAdapter(redis.url), "Two-_2")
    clients = [one.hand_over(two, LINE + b"%d" % number) for number in range(100)]
    servers = [two.wait_for_request() for _ in clients]
    for number, (payload, server) in enumerate(servers):
        assert payload == LINE + b"%d" % number
        server.sendall(b"to %d" % number)
    for number, client in enumerate(clients):
        assert client.recv(100) == b"to %d" % number
        client.close()
    for _, server in servers:
        assert is_at_end(server)
        server.close()
    wait_for(lambda: one.is_clean() and two.is_clean())


@pytest.mark.parametrize("kind", KINDS)
def test_who_is_not_there_is_known_at_once(redis: RedisServer, fars: Fars, kind: type[Adapter], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "KNOCK_SECONDS", SECONDS)
    one = fars.add(kind(redis.url), "One-_1")
    start = time.monotonic()
    for owner in ("Nobody", "One-_1", "", "x", "toolong", "*" * 6, "\u00fc" * 6, "#\r\n#\0#"):
        assert not one.routes.has(owner)
    assert time.monotonic() - start < SECONDS / 2       # nobody was waited for
    redis.kill()
    wait_for(lambda: not one.routes._is_linked)
    assert not one.routes.has("Nobody")
    client, ours = socket.socketpair()
    stream = PlainStream(PlainSocket(fileno=ours.detach()))
    assert not one.routes.hand_over("Nobody", LINE, stream)
    client.close()
    stream.close()


def test_a_server_that_has_vanished_ends_what_goes_to_it(redis: RedisServer, fars: Fars) -> None:
    one, two = fars.add(RedisAdapter(redis.url), "One-_1"), fars.add(RedisAdapter(redis.url), "Two-_2")
    with one.hand_over(two) as quiet, one.hand_over(two) as busy:
        servers = [two.wait_for_request()[1] for _ in range(2)]
        two.adapter._link.close()           # without a word
        busy.sendall(b"hello?")
        assert is_at_end(busy)
        assert is_at_end(quiet)
        for server in servers:
            assert is_at_end(server)        # it does not hear anything any more
            server.close()
    wait_for(one.is_clean)
    assert not one.routes.has("Two-_2")


def test_without_redis_everything_ends_on_both_sides(redis: RedisServer, fars: Fars) -> None:
    one, two = fars.add(RedisAdapter(redis.url), "One-_1"), fars.add(ShardedRedisAdapter(redis.url, channel_prefix="other"), "Two-_2")
    three = fars.add(RedisAdapter(redis.url), "Three3")
    assert not one.routes.has("Two-_2")     # another cluster
    with one.hand_over(three) as client:
        _, server = three.wait_for_request()
        redis.kill()
        redis.start()
        assert is_at_end(client)
        assert is_at_end(server)
        server.close()
    wait_for(lambda: one.is_clean() and three.is_clean())
    wait_for(lambda: three.routes._is_linked and one.routes.has("Three3"), 10)
    exchange(one, three, 1000)
    two.adapter.close()


def test_what_a_deaf_server_has_missed_is_not_missing_in_the_middle(
    redis: RedisServer, fars: Fars, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ears, "DEAF_SECONDS", 1.5)
    with Proxy(redis.port) as proxy:
        one = fars.add(RedisAdapter(redis.url), "One-_1")
        two = fars.add(RedisAdapter(f"redis://127.0.0.1:{proxy.port}"), "Two-_2")
        with one.hand_over(two) as client:
            _, server = two.wait_for_request()
            assert proxy.mute_subscribers()
            client.sendall(b"nobody hears this")
            assert received(server, 100) == b""
            assert is_at_end(client)
            server.close()
        wait_for(lambda: one.is_clean() and two.is_clean())
        wait_for(lambda: two.routes._is_linked and one.routes.has("Two-_2"), 10)
        exchange(one, two, 1000)
        two.adapter.close()


def test_a_server_that_says_nothing_is_given_up(redis: RedisServer, fars: Fars, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "LOOK_SECONDS", 0.1)
    monkeypatch.setattr(routes, "SILENT_SECONDS", 0.5)
    one = fars.add(RedisAdapter(redis.url), "One-_1")
    listening = redis.client().pubsub()
    listening.subscribe("socket.io-route1#Silent#")
    assert listening.get_message(timeout=SECONDS)
    redis.client().execute_command("PUBLISH", "socket.io-route1#One-_1#", Frame("Silent", HERE).encode())
    wait_for(lambda: one.routes._neighbours.silence("Silent") < SECONDS)
    client, ours = socket.socketpair()
    client.settimeout(SECONDS)
    with client:
        assert one.routes.hand_over("Silent", LINE, PlainStream(PlainSocket(fileno=ours.detach())))
        assert is_at_end(client)
    wait_for(one.is_clean)
    listening.close()


def test_what_is_no_frame_is_logged_and_harms_nothing(redis: RedisServer, fars: Fars, caplog: pytest.LogCaptureFixture) -> None:
    one, two = fars.add(RedisAdapter(redis.url), "One-_1"), fars.add(RedisAdapter(redis.url), "Two-_2")
    with one.hand_over(two) as client:
        _, server = two.wait_for_request()
        frames = (
            Frame("Nobody", OPEN, data=b"no line"),
            Frame("Nobody", DATA, data=b"x"),
            Frame("One-_1", OPEN, number=1, data=LINE),
            Frame("Nobody", PULSE, data=b"x"),
        )
        for data in (b"", b"x", b"\xff" * 100, bytes(100_000), *(frame.encode() for frame in frames)):
            redis.client().execute_command("PUBLISH", "socket.io-route1#Two-_2#", data)
        client.sendall(b"still here")
        assert received(server, 10) == b"still here"
        server.close()
        assert is_at_end(client)
    assert "is not understood" in caplog.text and "Traceback" not in caplog.text
