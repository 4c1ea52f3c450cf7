"""Redis Cluster, Sentinel and TLS: by URL alone, and after a fail-over."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest
import redis as client_library
import trustme

from sync_sio import Emitter
from sync_sio.adapters.base import Broadcast, Fetch, Fetched, Target
from sync_sio.adapters.redis import RedisAdapter, RedisStreamsAdapter, ShardedRedisAdapter
from sync_sio.adapters.redis.ears import DEAF_SECONDS
from sync_sio.adapters.redis.link import IN_A_ROW
from sync_sio.emitter import Kind
from tests.live.clusters import Cluster
from tests.live.servers import free_port, wait_for
from tests.redis_server import RedisServer
from tests.tools import ROOT

from .test_pubsub import Adapter, Group, Listener, group  # noqa: F401  (a fixture)
from .test_routes import Fars, fars  # noqa: F401  (a fixture)
from .test_routes import exchange as pass_through

pytestmark = pytest.mark.live

KINDS: list[type[Adapter]] = [RedisAdapter, ShardedRedisAdapter, RedisStreamsAdapter]
EMITTERS: dict[type[Adapter], Kind] = {RedisAdapter: "redis", ShardedRedisAdapter: "sharded", RedisStreamsAdapter: "streams"}


@pytest.fixture(scope="module")
def nodes(redis_server: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[RedisServer]]:
    """Three nodes that are one cluster."""
    folder = tmp_path_factory.mktemp("cluster")
    with contextlib.ExitStack() as stack:
        nodes: list[RedisServer] = []
        buses = [free_port() for _ in range(3)]
        for number, bus in enumerate(buses):
            options = ("--cluster-enabled", "yes", "--cluster-config-file", f"nodes-{number}.conf", "--cluster-node-timeout", "2000")
            options += ("--cluster-port", str(bus))
            nodes.append(stack.enter_context(RedisServer(redis_server, folder, *options)))
        for number, node in enumerate(nodes):
            first, last = 16384 * number // 3, 16384 * (number + 1) // 3 - 1
            node.client().execute_command("CLUSTER", "ADDSLOTSRANGE", first, last)
            node.client().execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            if number:
                node.client().execute_command("CLUSTER", "MEET", "127.0.0.1", nodes[0].port, buses[0])
        for node in nodes:
            wait_for(lambda node=node: "cluster_state:ok" in node.client().execute_command("CLUSTER", "INFO"), 20)
        yield nodes


@pytest.mark.parametrize("kind", KINDS)
def test_servers_are_joined_by_a_cluster(nodes: list[RedisServer], group: Group, kind: type[Adapter]) -> None:  # noqa: F811
    url = "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in nodes)
    one, two = group.add(kind(url), "/", "/chat", "/a"), group.add(kind(url), "/", "/chat", "/b")
    exchange(group, one, two)
    for namespace in ("/chat", "/"):
        one.heard.clear()

        def ask(namespace: str = namespace) -> bool:
            one.asked.clear()
            one.adapter.publish(namespace, Fetch(Target(), "r"))
            return bool(one.until(lambda: one.asked)[0][1] == 1)

        wait_for(ask, 10, lambda: str((one.asked, one.adapter.status())))
        one.until(lambda: any(isinstance(answer, Fetched) for _, _, answer in one.heard))
    emitter = Emitter(url, adapter=EMITTERS[kind])
    emitter.emit("outside")
    for listener in (one, two):
        listener.until(lambda listener=listener: listener.has_heard("outside"))
    emitter.close()
    wait_for(lambda: one.adapter.status().nodes == 2, 10)
    if isinstance(two.adapter, ShardedRedisAdapter):
        for room in (f"room {number}" for number in range(20)):     # at all nodes
            two.adapter.room_made("/", room)
            wait_for(lambda room=room: two.adapter._ears.hears(f"socket.io#/#{room}#"), 10)
            one.adapter.publish("/", Broadcast([room], Target(frozenset((room,)))))
            two.until(lambda room=room: two.has_heard(room))
            two.adapter.room_gone("/", room)


@pytest.mark.parametrize("kind", [RedisAdapter, RedisStreamsAdapter])
def test_what_is_said_at_once_comes_in_order_whatever_room_it_is_for(
    nodes: list[RedisServer], group: Group, kind: type[Adapter]  # noqa: F811
) -> None:
    url = "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in nodes)
    one, two = group.add(kind(url), "/"), group.add(kind(url), "/")
    group.say_until_heard(one, two, "x")
    count = 3000
    for number in range(count):
        one.adapter.publish("/", Broadcast(["n", number], Target(frozenset((f"room {number % 30}",)))))

    def numbers() -> list[int]:
        return [message.data[1] for _, _, message in two.heard if isinstance(message, Broadcast) and message.data[0] == "n"]

    two.until(lambda: len(numbers()) >= count)
    assert numbers() == list(range(count))


def test_sharded_channels_are_heard_where_their_slots_have_moved_to(nodes: list[RedisServer], group: Group) -> None:  # noqa: F811
    url = "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in nodes)
    one, two = group.add(ShardedRedisAdapter(url), "/"), group.add(ShardedRedisAdapter(url), "/")
    exchange(group, one, two)
    slot = nodes[0].client().execute_command("CLUSTER", "KEYSLOT", "socket.io#/#")
    owner = slot * 3 // 16384
    for number in ((owner + 1) % 3, owner):         # there, and back
        target = nodes[number].client().execute_command("CLUSTER", "MYID")
        for node in (nodes[number], *nodes):
            node.client().execute_command("CLUSTER", "SETSLOT", slot, "NODE", target)
        for sender, receiver in ((one, two), (two, one)):
            group.say_until_heard(sender, receiver, f"at node {number}")
        one.asked.clear()
        wait_for(lambda: one.adapter.status().nodes == 2, 10)
        one.adapter.publish("/", Fetch(Target(), "r"))
        assert one.until(lambda: one.asked)[0][1] == 1


def test_a_flood_on_a_sharded_channel_lets_other_greenlets_run(nodes: list[RedisServer]) -> None:
    command = [sys.executable, "-m", "tests.adapters.flood_story", f"redis+cluster://127.0.0.1:{nodes[0].port}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and int(done.stdout) <= IN_A_ROW, done


def test_sentinel_says_who_is_the_master(redis_server: Path, tmp_path: Path, group: Group) -> None:  # noqa: F811
    with RedisServer(redis_server, tmp_path) as master, RedisServer(redis_server, tmp_path) as replica:
        replica.client().execute_command("REPLICAOF", "127.0.0.1", master.port)
        config = tmp_path / "sentinel.conf"
        sentinel = RedisServer(redis_server, tmp_path)
        config.write_text(
            f"sentinel monitor main 127.0.0.1 {master.port} 1\nsentinel down-after-milliseconds main 1000\n"
            f"sentinel failover-timeout main 3000\nsentinel deny-scripts-reconfig yes\n"
        )
        sentinel._command = [str(redis_server), str(config), "--sentinel", "--port", str(sentinel.port), "--dir", str(tmp_path)]
        with sentinel:
            wait_for(lambda: sentinel.client().sentinel_slaves("main"), 30)
            url = f"redis+sentinel://127.0.0.1:{sentinel.port}/main"
            pairs = [(group.add(kind(url), "/"), group.add(kind(url), "/")) for kind in (RedisAdapter, RedisStreamsAdapter)]
            for one, two in pairs:
                exchange(group, one, two)
            master.kill()
            wait_for(lambda: sentinel.client().sentinel_master("main")["port"] == replica.port, 30)
            for one, two in pairs:
                group.say_until_heard(one, two, "after the fail-over")
                group.say_until_heard(two, one, "and back")


def test_tls(redis_server: Path, tmp_path: Path, group: Group) -> None:  # noqa: F811
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    issued.private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")
    files = ("--tls-cert-file", "server.pem", "--tls-key-file", "server.pem", "--tls-ca-cert-file", "ca.pem", "--tls-auth-clients", "no")
    server = RedisServer(redis_server, tmp_path, *files)
    try:
        with server:
            port = free_port()
            try:
                server.client().config_set("tls-port", port)
            except client_library.ResponseError as error:
                pytest.skip(f"this redis-server speaks no TLS: {error}")
            url = f"rediss://127.0.0.1:{port}?ssl_ca_certs={tmp_path}/ca.pem"
            one, two = group.add(RedisAdapter(url), "/"), group.add(RedisAdapter(url), "/")
            exchange(group, one, two)
    except AssertionError:
        if server._process is not None:
            raise
        pytest.skip("this redis-server speaks no TLS")


def test_a_process_that_stood_still_does_not_blame_the_cluster(nodes: list[RedisServer], tmp_path: Path) -> None:
    url = "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in nodes)
    with Cluster("ShardedRedisAdapter", url, tmp_path, "threads") as cluster:
        (member,) = cluster.members
        cluster.until(lambda: member.do("status")[0])
        member.send_signal(signal.SIGSTOP)
        sleep(DEAF_SECONDS + 1)
        member.send_signal(signal.SIGCONT)
        lag = member.do("status")[1]
        wait_for(lambda: member.do("status")[1] != lag, 20)       # it has heard itself again
        assert member.do("status")[0] and "not connected" not in member.log(), member.log()


def exchange(group: Group, one: Listener, two: Listener) -> None:  # noqa: F811
    group.say_until_heard(one, two, "hello")
    group.say_until_heard(two, one, "hello, too")
    data: list[Any] = ["bytes", b"\x00\xff", {"a": [1, None]}]
    one.adapter.publish("/", Broadcast(data, Target()))
    two.until(lambda: any(isinstance(message, Broadcast) and message.data == data for _, _, message in two.heard))


@pytest.mark.parametrize("kind", KINDS)
def test_connections_go_through_a_cluster(nodes: list[RedisServer], fars: Fars, kind: type[Adapter]) -> None:  # noqa: F811
    url = "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in nodes)
    one = fars.add(kind(url), "One-_1")
    others = [fars.add(kind(url), f"Other{number}") for number in range(3)]     # channels at different nodes
    for other in others:
        wait_for(lambda other=other: one.routes.has(other.own), 10)
        pass_through(one, other, 500_000)
    start = monotonic()
    for number in range(10):
        assert not one.routes.has(f"None-{number}")
    assert monotonic() - start < 10         # Redis was asked, and no answer of a server waited for
