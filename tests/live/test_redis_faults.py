"""Redis stops, is killed, paused and hangs under load: local clients are served, and broadcasts cross again.

`python -m tests.live.redis_faults --rounds 50` shows more of it, and how long it takes.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.redis_server import RedisServer

from .clusters import Cluster
from .conftest import IS_REFERENCE
from .redis_faults import FAULTS, KINDS, Fault, go_through
from .servers import wait_for

pytestmark = [pytest.mark.timeout(300), pytest.mark.skipif(IS_REFERENCE, reason="servers of ours")]

SHORT = [Fault(kind, 0.5) for kind in FAULTS]
LONG = [Fault("kill", 10.0), Fault("pause", 10.0)]
WITHIN = 2.0
"""Seconds after Redis has come back in which broadcasts cross again."""


@pytest.mark.parametrize(
    ("adapter", "faults"),
    [("RedisAdapter", (SHORT * 13)[:50] + LONG), ("ShardedRedisAdapter", SHORT), ("RedisStreamsAdapter", SHORT)],
    ids=["RedisAdapter", "ShardedRedisAdapter", "RedisStreamsAdapter"],
)
def test_redis_goes_away_and_comes_back(
    redis_server: Path, npm_servers: Path, tmp_path: Path, adapter: str, faults: list[Fault]
) -> None:
    with RedisServer(redis_server, tmp_path) as redis, Cluster(adapter, redis.url, tmp_path, *KINDS) as cluster:
        took = go_through(redis, cluster, faults)
        assert len(took) == len(faults) and max(took) <= WITHIN, took
        for member in cluster.members:
            if member.kind != "node":
                assert "Traceback" not in member.log()
                assert member.log().count("connected again") >= 1
                # who listens is counted once a second
                wait_for(lambda member=member: member.do("nodes") == len(KINDS), 20, member.log)
                connected, _, _, last_error = member.do("status")
                assert connected and last_error


def test_a_redis_without_memory_serves_clients_of_each_server_and_says_so(redis_server: Path, tmp_path: Path) -> None:
    """Pub/Sub needs none, so with it nobody notices; what goes into a stream does."""
    with RedisServer(redis_server, tmp_path) as redis, Cluster("RedisStreamsAdapter", redis.url, tmp_path, "threads", "gevent") as cluster:
        redis.client().config_set("maxmemory", "1")
        for member in cluster.members:
            member.do("emit", {}, "full", member.name)
            assert member.client.receive()[:2] == ["full", member.name]
            wait_for(lambda member=member: "refused: command not allowed when used memory > 'maxmemory'" in member.log(), 10, member.log)
            connected, _, nodes, last_error = member.do("status")
            assert (connected, nodes) == (True, 2) and "OutOfMemory" in last_error
        redis.client().config_set("maxmemory", "0")
        cluster.wait_until_crossed()
        assert all("Traceback" not in member.log() for member in cluster.members)
