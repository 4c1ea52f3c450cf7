from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.redis_server import RedisServer


@pytest.fixture
def redis(redis_server: Path, tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(redis_server, tmp_path) as server:
        yield server
