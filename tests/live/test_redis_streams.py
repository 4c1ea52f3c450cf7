"""Servers of ours and of Node.js on one stream: clients come back to any of them, and nothing is lost when Redis goes and comes."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import tools
from tests.redis_server import RedisServer

from .clusters import BYTES, Cluster, Member
from .conftest import IS_REFERENCE
from .servers import HERE, wait_for
from .wire import TRANSPORTS, SocketClient

pytestmark = [pytest.mark.timeout(120), pytest.mark.skipif(IS_REFERENCE, reason="servers of ours")]

KINDS = ("threads", "gevent", "node")


@pytest.fixture(scope="module")
def redis(redis_server: Path, npm_servers: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(redis_server, tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="module")
def cluster(redis: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIVE_RECOVERY", "1")
        with Cluster("RedisStreamsAdapter", redis.url, tmp_path_factory.mktemp("logs"), *KINDS) as cluster:
            yield cluster
            for member in cluster.members:
                assert "Traceback" not in member.log(), member.log()


class Traveller(SocketClient):
    """A client that remembers its session, as the official ones do, and may go on with it at another server."""

    pid = ""
    offset: str | None = None

    def __init__(self, member: Member, auth: Any = None) -> None:
        super().__init__(TRANSPORTS["websocket"](member.address), "/team", auth)
        self.member = member
        self.missed: list[list[Any]] = []
        while True:
            packet = self.engine.receive()
            if isinstance(packet, str) and packet.startswith("40"):
                break
            self.take(packet)
        said = json.loads(packet[packet.index("{") :])
        self.id, self.pid = said["sid"], said["pid"]
        while self.events:
            self.missed.append(self.receive())

    def receive(self, timeout: float = 10.0) -> list[Any]:
        event = super().receive(timeout)
        if isinstance(event[-1], str) and event[-1].replace("-", "").isdigit():
            self.offset = event.pop()
        return event

    def receive_lasting(self) -> list[Any]:
        """Return the next event that is not volatile: such a one may come late, when the client is back."""
        while (event := self.receive()) == ["volatile"]:
            pass
        return event

    def cut(self, redis: RedisServer) -> None:
        """Lose the connection; returns when the server has noticed."""
        self.engine.close()
        wait_for(lambda: redis.client().exists(f"sio:session:{self.pid}"), 10, lambda: f"no session of {self.member.name}")

    def back_at(self, member: Member) -> Traveller:
        return Traveller(member, {"pid": self.pid, **({} if self.offset is None else {"offset": self.offset})})


@pytest.mark.parametrize("there", KINDS)
@pytest.mark.parametrize("here", KINDS)
def test_a_client_comes_back_to_another_server_and_misses_nothing(cluster: Cluster, redis: RedisServer, here: str, there: str) -> None:
    client = Traveller(cluster[here])
    assert client.call("recovered") == [[False, {}]]
    client.call("join", "room")
    client.call("data", {"name": "someone", **({} if "node" in (here, there) else {"picture": "<bytes>"})})
    client.call("to_me", "first", "with a text")
    assert client.receive() == ["first", "with a text"] and client.offset is not None
    client.cut(redis)
    for member in cluster.members:
        member.do("emit", {"rooms": ["room"]}, "missed", member.name, "<bytes>", "text")
        member.do("emit", {"rooms": ["other room"]}, "not for it")
        member.do("emit", {"except": ["room"]}, "not for it either")
        member.do("emit", {"rooms": ["room", client.id]}, "missed once", member.name)
        if "node" not in (here, there):         # whose server sends those again
            member.do("volatile", "volatile")
    if there == "node":         # which loses what comes while it restores a session
        cluster.drain()
    back = client.back_at(cluster[there])
    assert back.id == client.id and back.pid == client.pid
    missed = back.missed
    assert ["volatile"] not in missed
    while len(missed) < 6:
        missed.append(back.receive_lasting())
    for name in KINDS:
        assert [event for event in missed if name in event] == [["missed", name, BYTES, "text"], ["missed once", name]]
    assert len(missed) == 6
    data = {"name": "someone", **({} if "node" in (here, there) else {"picture": BYTES})}
    assert back.call("recovered") == [[True, data]]
    assert back.call("rooms") == [["room"]]
    for member in cluster.members:
        member.do("emit", {"rooms": ["room"]}, "afterwards", member.name)
    assert {back.receive_lasting()[1] for _ in KINDS} == set(KINDS)
    assert not redis.client().exists(f"sio:session:{client.pid}")
    again = client.back_at(cluster["threads" if there == "gevent" else "gevent"])       # the session is used up
    assert again.id != client.id and again.missed == [] and again.call("recovered") == [[False, {}]]
    for each in (again, back):
        each.close()


def test_a_client_that_has_heard_nothing_yet_misses_nothing(cluster: Cluster, redis: RedisServer) -> None:
    client = Traveller(cluster["threads"])
    client.cut(redis)
    cluster["node"].do("emit", {}, "missed")
    back = client.back_at(cluster["gevent"])
    assert back.id == client.id
    assert (back.missed or [back.receive()]) == [["missed"]]
    back.close()


def test_a_server_that_is_stopped_hands_its_clients_over(cluster: Cluster, redis: RedisServer, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIVE_RECOVERY", "1")
        leaving = Member("gevent", "RedisStreamsAdapter", redis.url, tmp_path, "leaving")
    try:
        leaving.connect()
        clients = [Traveller(leaving) for _ in range(20)]
        for number, client in enumerate(clients):
            client.call("join", f"room {number}")
        leaving.client.emit("emit", {}, "last words")
        for client in clients:
            assert client.receive() == ["last words"]
    finally:
        leaving.end()
    for number in range(20):
        cluster["node"].do("emit", {"rooms": [f"room {number}"]}, "missed", number)
    for number, client in enumerate(clients):
        back = client.back_at(cluster["threads" if number % 2 else "gevent"])
        assert back.id == client.id
        assert (back.missed or [back.receive()]) == [["missed", number]]
        back.close()


@pytest.mark.parametrize("offset", ["0-1", "nonsense", 5, "99999999999999-0"])
def test_a_client_with_an_offset_that_is_none_begins_anew(cluster: Cluster, redis: RedisServer, offset: Any) -> None:
    cluster["threads"].do("emit", {}, "something")
    client = Traveller(cluster["threads"])
    client.cut(redis)
    client.offset = offset
    back = client.back_at(cluster["gevent"])
    back.close()
    if offset != "0-1":         # it is before the session began: nothing is lost
        assert back.id != client.id and back.missed == []


def test_the_official_client_wanders_and_gets_everything_once_and_in_order(
    cluster: Cluster, redis: RedisServer, npm_packages: Path, node: Path
) -> None:
    """From one of ours to the other, while all three emit. Not by way of Node's: it gives its clients what it has published itself before
    what came earlier in the stream, and what comes while it restores a session to nobody; so what they remember is not what they know.
    """
    urls = ["http://{}:{}".format(*cluster[name].address) for name in ("threads", "gevent")]
    command = [str(node), str(HERE / "node" / "moving.cjs"), redis.url, "12", *urls]
    environ = {**os.environ, "NODE_PATH": os.pathsep.join((str(npm_packages), str(tools.npm_servers())))}
    with subprocess.Popen(command, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        has_moved = threading.Event()
        counts = dict.fromkeys(KINDS, 0)

        def flood(member: Member) -> None:
            while not has_moved.is_set():
                member.do("emit", {}, "n", member.name, counts[member.name])
                counts[member.name] += 1
            while counts[member.name] < max(counts.values()):
                member.do("emit", {}, "n", member.name, counts[member.name])
                counts[member.name] += 1

        stop = threading.Timer(60, process.kill)
        stop.start()
        threads = [threading.Thread(target=flood, args=(member,)) for member in cluster.members]
        for thread in threads:
            thread.start()
        line = process.stdout.readline()
        has_moved.set()
        for thread in threads:
            thread.join()
        assert line == "moved\n"
        process.stdin.write(f"{min(counts.values())}\n")
        process.stdin.flush()
        said = json.loads(process.stdout.readline())
        stop.cancel()
    assert said["problems"] == [], (urls, said)
    for member in cluster.members:
        member.client.close()
        member.client = member.new_client()


@pytest.mark.parametrize("fault", ["cut", "hang"])
def test_what_is_broadcast_while_redis_is_away_comes_to_all_once_and_in_order(cluster: Cluster, redis: RedisServer, fault: str) -> None:
    """Each of our servers emits without a pause; its own clients are served all the time."""
    ours = [cluster["threads"], cluster["gevent"]]
    count = 300
    for number in range(count):
        for member in ours:
            member.client.emit("emit", {}, "n", member.name, number)
        if number % 50 == 25:
            if fault == "cut":
                redis.client().execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            elif number == 25:
                redis.hang()
        if fault == "hang" and number == count - 50:
            for member in ours:         # from its own server, though Redis stands still
                wait_for(lambda member=member: hears(member, member.name, 100), 10, lambda: "".join(each.log() for each in ours))
            redis.go_on()
    for listener in [*ours, cluster["node"]]:
        wait_for(lambda listener=listener: all(hears(listener, member.name, count) for member in ours), 20, lambda: str(numbers))
    found, heard = dict(numbers), list(range(count))
    numbers.clear()
    assert all(each == heard for each in found.values()), found
    for member in cluster.members:
        member.client.close()
        member.client = member.new_client()


@pytest.fixture(scope="module")
def kept_redis(redis_server: Path, npm_servers: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis that has everything again when it starts again, killed or not."""
    folder = tmp_path_factory.mktemp("kept")
    with RedisServer(redis_server, folder, "--appendonly", "yes", "--appendfsync", "always") as server:
        yield server


@pytest.fixture(scope="module")
def kept_cluster(kept_redis: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIVE_RECOVERY", "1")
        with Cluster("RedisStreamsAdapter", kept_redis.url, tmp_path_factory.mktemp("logs"), "threads", "gevent") as cluster:
            yield cluster
            for member in cluster.members:
                assert "Traceback" not in member.log(), member.log()


@pytest.mark.parametrize("kind", ["stop", "kill", "pause"])
@pytest.mark.parametrize(("here", "there"), [("threads", "gevent"), ("gevent", "threads")])
def test_a_client_misses_nothing_though_redis_goes_away_meanwhile(
    kept_cluster: Cluster, kept_redis: RedisServer, kind: str, here: str, there: str
) -> None:
    """It is gone before Redis is, and comes back to the other server after it: both have broadcast all the time."""
    ours = kept_cluster.members
    told = [0]

    def tell(count: int) -> None:
        for number in range(told[0], told[0] + count):
            for member in ours:
                member.do("emit", {}, "n", member.name, number)
        told[0] += count

    traveller = Traveller(kept_cluster[here])
    tell(10)
    heard = [traveller.receive() for _ in range(20)]
    traveller.cut(kept_redis)
    tell(10)
    if kind == "pause":
        kept_redis.client().execute_command("CLIENT", "PAUSE", 1000, "ALL")
        tell(100)
    else:
        kept_redis.stop() if kind == "stop" else kept_redis.kill()
        tell(100)
        kept_redis.start()
    kept_cluster.until(lambda: all(member.do("status")[0] for member in ours))
    tell(10)
    back = traveller.back_at(kept_cluster[there])
    tell(10)
    assert back.call("recovered")[0][0] is True
    heard += back.missed
    while len(heard) < 2 * told[0]:
        heard.append(back.receive())
    for member in ours:
        assert [event[2] for event in heard if event[:2] == ["n", member.name]] == list(range(told[0]))
    back.close()
    kept_cluster.drain()


numbers: dict[tuple[str, str], list[int]] = {}


def hears(listener: Member, sender: str, count: int) -> bool:
    """Read what has come; tell whether so many numbers of a sender are among it."""
    try:
        while len(numbers.get((listener.name, sender), ())) < count:
            event = listener.client.receive(0.1)
            if event[0] == "n":
                numbers.setdefault((listener.name, event[1]), []).append(event[2])
    except TimeoutError:
        return False
    return True
