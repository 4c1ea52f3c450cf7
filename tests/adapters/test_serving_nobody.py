"""A server in a process that serves nobody, as that of a Celery task is: with Redis it speaks to the clients of the others."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from sync_sio import Server
from sync_sio.adapters.redis import RedisAdapter, RedisStreamsAdapter, ShardedRedisAdapter
from sync_sio.testing import TestClient
from tests.live.servers import wait_for
from tests.redis_server import RedisServer

from .conftest import is_listening

ROOT = Path(__file__).parents[2]
Adapter = RedisAdapter | ShardedRedisAdapter | RedisStreamsAdapter


def of(kind: type[Adapter], url: str) -> Adapter:
    return RedisStreamsAdapter(url, stream="s", stream_count=3, channel_prefix="p") if kind is RedisStreamsAdapter else kind(url)


def listen(redis: RedisServer) -> Iterator[bytes]:
    """Subscribe to what servers are told, and return what is said from now on."""
    heard = Redis.from_url(redis.url, socket_timeout=20).pubsub()
    heard.psubscribe("socket.io#/#*")
    told = heard.listen()
    next(told)
    return (each["data"] for each in told)


@pytest.mark.parametrize("recovery", [None, True])
@pytest.mark.parametrize("kind", [RedisAdapter, ShardedRedisAdapter, RedisStreamsAdapter])
def test_it_speaks_to_the_clients_of_others(kind: type[Adapter], recovery: bool | None, redis: RedisServer) -> None:
    io, task = (Server(adapter=of(kind, redis.url), connection_state_recovery=recovery, runtime="threads") for _ in "12")
    heard: list[Any] = []
    io.on("reload")(lambda *args: heard.append(args))
    io.of("/chat")
    threads = set(threading.enumerate())
    task.emit("nobody is here yet")
    assert set(threading.enumerate()) == threads and not task.engine.is_started
    with TestClient(io) as member, TestClient(io) as other, TestClient(io, "/chat") as elsewhere:
        wait_for(lambda: is_listening(io), 10)
        member.socket.join("a")
        task.to("a").sockets_join("b")
        task.local.emit("not for others")
        task.to(set()).emit("for nobody")
        task.to("a").except_("c").emit("in a", {"x": b"\x00\x01"})
        task.of("/chat").emit("elsewhere")
        task.server_side_emit("reload", 1)
        wait_for(lambda: "b" in member.socket.rooms, 10)
        task.to("b").emit("in b")
        task.to("b").sockets_leave("b")
        task.emit("end")
        assert [member.receive(timeout=10) for _ in "123"] == [["in a", {"x": b"\x00\x01"}], ["in b"], ["end"]]
        assert other.receive(timeout=10) == ["end"] and elsewhere.receive(timeout=10) == ["elsewhere"]
        wait_for(lambda: heard == [(1,)] and "b" not in member.socket.rooms, 10)
        task.to("a").disconnect_sockets()
        wait_for(lambda: not member.connected, 10)
    assert set(threading.enumerate()) & threads == threads and not task.engine.is_started
    task.close()
    io.close()


@pytest.mark.parametrize("kind", [RedisAdapter, ShardedRedisAdapter, RedisStreamsAdapter])
def test_it_gets_no_answers_and_says_so(kind: type[Adapter]) -> None:
    task = Server(adapter=kind())
    questions: list[Callable[[], object]] = [
        lambda: task.fetch_sockets(),
        lambda: task.to("a").fetch_sockets(),
        lambda: task.call("who"),
        lambda: task.emit("who", ack=print),
        lambda: task.server_side_emit("who", ack=print),
        lambda: task.server_side_call("who"),
    ]
    for ask in questions:
        with pytest.raises(RuntimeError, match="serves nobody"):
            ask()
    assert task.local.fetch_sockets() == [] and task.local.call("who") == []
    alone = Server()
    assert alone.fetch_sockets() == [] and alone.call("who") == [] and alone.server_side_call("who") == []


def test_mistakes_and_a_redis_that_is_away_are_told_where_it_was_said(redis: RedisServer) -> None:
    task = Server(adapter=RedisAdapter(redis.url), json_default=_text)
    for event, argument, error in (("connect", 1, ValueError), ("x", object, TypeError)):
        with pytest.raises(error):
            task.emit(event, argument)
    redis.kill()
    with pytest.raises(Exception, match="connect"):
        task.emit("x")
    redis.start()
    said = listen(redis)
    task.emit("x", ROOT)
    assert str(ROOT).encode() in next(said)
    task.close()


def _text(value: object) -> str:
    if isinstance(value, Path):
        return str(value)
    raise TypeError(value)


def test_it_may_serve_later_on(redis: RedisServer) -> None:
    io, later = (Server(adapter=RedisAdapter(redis.url), runtime="threads") for _ in "12")
    with TestClient(io) as client:
        wait_for(lambda: is_listening(io), 10)
        later.emit("before")
        with TestClient(later) as other:
            wait_for(lambda: later.adapter_status().nodes == io.adapter_status().nodes == 2, 10)
            later.emit("after")
            assert [client.receive(timeout=10)[0] for _ in "12"] == ["before", "after"]
            assert other.receive(timeout=10) == ["after"] and len(later.fetch_sockets()) == 2
    io.close()
    later.close()


def test_an_adapter_links_one_server(redis: RedisServer) -> None:
    adapter = RedisAdapter(redis.url)
    io, other = Server(adapter=adapter), Server(adapter=adapter)
    with TestClient(io) as client:
        wait_for(lambda: is_listening(io), 10)
        with pytest.raises(RuntimeError, match="needs an adapter of its own"):
            TestClient(other)
        assert io.adapter_status().connected and client.connected
    io.close()


@pytest.mark.parametrize("kind", ["threads", "patched"])
def test_so_may_the_children_of_a_fork(kind: str, redis: RedisServer) -> None:
    said = listen(redis)
    command = [sys.executable, "-m", "tests.adapters.task_story", kind, redis.url]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "said\n"), done
    for word in (b"parent", b"child", b"again"):
        assert word in next(said)
