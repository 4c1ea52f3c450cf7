"""Where a Redis is, said by a URL, and clients for it."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit

CONNECT_TIMEOUT: Final = 2.0
SOCKET_TIMEOUT: Final = 5.0
"""Seconds that Redis may take to answer: then the connection is taken for lost."""
SENTINEL_PORT: Final = 26379

_PLAIN: Final = {"redis": "redis", "rediss": "rediss", "unix": "unix", "valkey": "redis", "valkeys": "rediss"}
_FORMS: Final = "redis://, rediss://, unix:///…, valkey://, valkeys://, redis[s]+cluster://host,host, redis[s]+sentinel://host,host/name"


class Address:
    """A Redis, or a cluster of them, or who knows where it is (Sentinel). Connects nothing.

    Args:
        url: `redis[s]://[user:password@]host[:port][/db]`, `valkey[s]://…`, `unix:///path?db=0`; `redis[s]+cluster://host,host`;
            `redis[s]+sentinel://host[:port],host[:port]/name[/db]`. Options of redis-py follow `?`, those for the sentinels themselves
            with `sentinel_` before them.

    Raises:
        TypeError: no str. ValueError: a form that is none of these. ImportError: redis-py is missing; the message says what to do.
    """

    def __init__(self, url: str) -> None:
        if not isinstance(url, str):
            raise TypeError(f"url must be a str such as 'redis://localhost:6379', not {url!r}")
        try:
            import redis  # an extra: not for those who use no Redis
        except ImportError as error:
            raise ImportError(f'Redis needs redis-py ({error}): pip install "sync-sio[redis]"') from error
        self._redis: Any = redis
        parts = urlsplit(url)
        scheme, _, self.kind = parts.scheme.partition("+")
        if scheme not in _PLAIN or self.kind not in ("", "cluster", "sentinel") or (scheme == "unix" and self.kind):
            shown = _shown(parts) if parts.netloc else url.rpartition("@")[2].partition("?")[0]
            raise ValueError(f"url={shown!r}: {_FORMS} is wanted")
        self._hosts = [_host(text) for text in parts.netloc.rpartition("@")[2].split(",")]
        self._path = [unquote(part) for part in parts.path.split("/") if part]
        if self.kind == "sentinel" and not self._path:
            raise ValueError(f"url={_shown(parts)!r}: the name of the master is wanted: redis+sentinel://host:26379/name")
        query = dict(parse_qsl(parts.query))
        self._for_sentinels = {name[9:]: query.pop(name) for name in list(query) if name.startswith("sentinel_")}
        hosts = parts.netloc
        if self.kind:                       # redis-py reads a URL with one host: the rest of it is the same for all
            user, at, _ = hosts.rpartition("@")
            hosts = f"{user}{at}{self._hosts[0][0]}"
        path = f"/{''.join(self._path[1:2])}" if self.kind == "sentinel" else parts.path if not self.kind else ""
        query.setdefault("socket_timeout", str(SOCKET_TIMEOUT))
        query.setdefault("socket_connect_timeout", str(CONNECT_TIMEOUT))
        query.setdefault("protocol", "2")
        text = f"{_PLAIN[scheme]}://{hosts}{path}?{urlencode(query)}"
        self._options: dict[str, Any] = self._redis.connection.parse_url(text)
        self._is_tls = _PLAIN[scheme] == "rediss"
        self._url = text
        self._shown = _shown(parts)
        if not self.is_cluster:             # whose client would connect at once
            self._check_options()

    def __repr__(self) -> str:
        return self._shown

    @property
    def is_cluster(self) -> bool:
        return self.kind == "cluster"

    def client(self) -> Any:
        """Return a new client with connections of its own, which tries nothing twice: who calls it knows better. Connects a cluster's.

        Raises:
            redis.RedisError, OSError: a cluster cannot be reached.
        """
        redis = self._redis
        once: dict[str, Any] = {"retry": redis.retry.Retry(redis.backoff.NoBackoff(), 0)}
        if self.kind == "":
            return redis.Redis.from_url(self._url, **once)
        options = {name: value for name, value in self._options.items() if name not in ("connection_class", "host", "port")}
        if self._is_tls:
            options["ssl"] = True
        if self.kind == "cluster":
            nodes = [redis.cluster.ClusterNode(host, port or 6379) for host, port in self._hosts]
            return redis.RedisCluster(startup_nodes=nodes, **options, **once)
        theirs: dict[str, Any] = {name: options[name] for name in ("socket_timeout", "socket_connect_timeout", "ssl") if name in options}
        sentinels = [(host, port or SENTINEL_PORT) for host, port in self._hosts]
        theirs |= self._for_sentinels
        return redis.Sentinel(sentinels, sentinel_kwargs=theirs | once, **options, **once).master_for(self._path[0])

    def _check_options(self) -> None:
        """Make a connection that is not connected: redis-py looks at names only then, which would be each time that it is tried."""
        try:
            self.client().connection_pool.make_connection()
        except TypeError as error:
            raise ValueError(f"url={self._shown!r}: what follows `?` are options of redis-py, and it says: {error}") from error

    @property
    def troubles(self) -> tuple[type[BaseException], ...]:
        """What talking to Redis may raise, all of which may be over a moment later."""
        return (self._redis.RedisError, self._redis.exceptions.RedisClusterException, OSError)

    def is_elsewhere(self, reply: object) -> bool:
        """Tell whether a node of a cluster has said that a command is to be tried at another one, or again."""
        errors = self._redis.exceptions
        return isinstance(reply, errors.MovedError | errors.AskError | errors.TryAgainError | errors.ClusterDownError)

    def is_refusal(self, error: object) -> bool:
        """Tell whether Redis has understood a command and not done it, as opposed to a connection that is lost."""
        errors = self._redis.exceptions
        return isinstance(error, errors.ResponseError) and not isinstance(error, errors.ConnectionError)


def pools(client: Any) -> Iterable[Any]:
    """Return the pools of connections of a client, be it a cluster's."""
    if hasattr(client, "get_nodes"):
        return [node.redis_connection.connection_pool for node in client.get_nodes() if node.redis_connection is not None]
    return [client.connection_pool]


def disconnect(client: Any) -> None:
    """End all connections of a client, under whoever reads from them, too. Never raises."""
    with suppress(Exception):
        for pool in pools(client):
            with suppress(Exception):
                pool.disconnect(inuse_connections=True)


def forget(client: Any) -> None:
    """Close this process's copies of a client's descriptors, and say nothing to Redis. Never raises."""
    with suppress(Exception):
        for pool in pools(client):
            for connection in [*pool._in_use_connections, *pool._available_connections]:
                with suppress(Exception):
                    connection._sock.close()


def _host(text: str) -> tuple[str, int | None]:
    if text.startswith("["):                # IPv6
        host, _, port = text[1:].partition("]")
        port = port.removeprefix(":")
    else:
        host, _, port = text.partition(":")
    try:
        return unquote(host) or "localhost", int(port) if port else None
    except ValueError:
        raise ValueError(f"url: {text!r} has a port that is no number") from None


def _shown(parts: SplitResult) -> str:
    """Return a URL without who it is for: it goes into logs."""
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


