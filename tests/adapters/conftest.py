from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sync_sio import Server
from tests.redis_server import RedisServer


@pytest.fixture
def redis(redis_server: Path, tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(redis_server, tmp_path) as server:
        yield server


def is_listening(io: Server) -> bool:
    """Tell whether a server on Redis hears what others say in each of its namespaces, which is a moment after it is connected."""
    adapter: Any = io.adapter
    channels = [channel for name in io.namespaces for _, channel, _ in adapter._subscriptions(name)]
    return io.adapter_status().connected and all(map(adapter._ears.hears, channels))
