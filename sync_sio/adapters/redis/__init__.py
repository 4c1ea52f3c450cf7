"""Servers of a cluster on Redis, together with those of Node.js. Needs redis-py: `pip install "sync-sio[redis]"`."""

from .pubsub import RedisAdapter
from .sharded import ShardedRedisAdapter
from .streams import RedisStreamsAdapter

__all__ = ["RedisAdapter", "RedisStreamsAdapter", "ShardedRedisAdapter"]
