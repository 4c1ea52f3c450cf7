"""Redis stops, is killed, paused and hangs under load: local clients are served, and broadcasts cross again.

`python -m tests.live.redis_faults --rounds 50` shows more of it, and how long it takes.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.redis_server import RedisServer

from .clusters import Cluster
from .conftest import IS_REFERENCE
from .redis_faults import FAULTS, KINDS, go_through
from .servers import wait_for

pytestmark = [pytest.mark.timeout(180), pytest.mark.skipif(IS_REFERENCE, reason="servers of ours")]


@pytest.mark.parametrize(
    ("adapter", "kinds"),
    [("RedisAdapter", FAULTS + FAULTS), ("ShardedRedisAdapter", ("kill", "pause")), ("RedisStreamsAdapter", ("kill", "hang"))],
)
def test_redis_goes_away_and_comes_back(
    redis_server: Path, npm_servers: Path, tmp_path: Path, adapter: str, kinds: tuple[str, ...]
) -> None:
    faults = [(kind, 0.5) for kind in kinds]
    with RedisServer(redis_server, tmp_path) as redis, Cluster(adapter, redis.url, tmp_path, *KINDS) as cluster:
        assert len(go_through(redis, cluster, faults)) == len(faults)
        for member in cluster.members:
            if member.kind != "node":
                assert "Traceback" not in member.log()
                assert member.log().count("connected again") >= 1
                # who listens is counted once a second
                wait_for(lambda member=member: member.do("nodes") == len(KINDS), 20, member.log)
                connected, _, _, last_error = member.do("status")
                assert connected and last_error
