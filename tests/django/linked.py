"""An adapter at the Redis of a test."""

from __future__ import annotations

import os

from sync_sio.adapters.redis import RedisAdapter

adapter = RedisAdapter(os.environ["REDIS_URL"])
