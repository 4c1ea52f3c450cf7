"""Two servers of ours, with threads and with gevent, and one of Node.js on one Redis: every operation, in every direction."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sync_sio import Emitter
from tests import tools
from tests.redis_server import RedisServer
from tests.tools import ROOT

from .clusters import BYTES, Cluster, Member
from .conftest import IS_REFERENCE
from .wire import Ack, Ended

pytestmark = [pytest.mark.timeout(120), pytest.mark.skipif(IS_REFERENCE, reason="servers of ours")]

KINDS = ("threads", "gevent", "node")


@pytest.fixture(scope="module")
def redis(redis_server: Path, npm_servers: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(redis_server, tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="module", params=["RedisAdapter", "ShardedRedisAdapter", "RedisStreamsAdapter"])
def cluster(request: pytest.FixtureRequest, redis: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(request.param, redis.url, tmp_path_factory.mktemp("logs"), *KINDS) as cluster:
        yield cluster
        for member in cluster.members:
            assert "Traceback" not in member.log() and "not connected" not in member.log(), member.log()


@pytest.fixture(params=KINDS)
def sender(request: pytest.FixtureRequest, cluster: Cluster) -> Iterator[Member]:
    """Each server in turn; whatever clients have been given is taken from them afterwards."""
    yield cluster[request.param]
    for member in cluster.members:
        member.client.close()
        member.client = member.new_client()


def test_broadcasts_come_to_all_once(cluster: Cluster, sender: Member) -> None:
    sender.do("emit", {}, "news", {"text": "grüße 🎈", "bytes": "<bytes>", "list": [1, 2.5, None, True]})
    sender.do("emit", {}, "end")
    for member in cluster.members:
        assert member.client.receive() == ["news", {"text": "grüße 🎈", "bytes": BYTES, "list": [1, 2.5, None, True]}]
        assert member.client.receive() == ["end"]


def test_broadcasts_come_in_order(cluster: Cluster, sender: Member) -> None:
    for number in range(200):
        sender.client.emit("emit", {}, "n", number)
    for member in cluster.members:
        assert [member.client.receive() for _ in range(200)] == [["n", number] for number in range(200)]


def test_rooms_exceptions_and_local(cluster: Cluster, sender: Member) -> None:
    threads, gevent, node = cluster.members
    for member in (threads, node):
        member.do("join", "a")
    for member in (gevent, node):
        member.do("join", "b # ü*")
    for room in ("a", "b # ü*"):            # where rooms have channels, joining takes a moment
        cluster.wait_until_heard(room, 2)
    sender.do("emit", {"rooms": ["a"]}, "one room")
    sender.do("emit", {"rooms": ["a", "b # ü*"]}, "two rooms")
    sender.do("emit", {"rooms": "b # ü*", "except": ["a"]}, "but")
    sender.do("emit", {"except": [gevent.client.id]}, "not gevent")
    sender.do("emit", {"rooms": [threads.client.id]}, "one client")
    sender.do("emit", {"local": True}, "here")
    sender.do("emit", {}, "end")
    expected = {
        "threads": ["one room", "two rooms", "not gevent", "one client"],
        "gevent": ["two rooms", "but"],
        "node": ["one room", "two rooms", "not gevent"],
    }
    expected[sender.name].append("here")
    for member in cluster.members:
        heard = [member.client.receive()[0] for _ in range(len(expected[member.name]) + 1)]
        if member is sender and member.kind == "node":
            heard.sort(key="here".__eq__)       # with Streams it waits for Redis before it gives its own clients what is for all
            heard.sort(key="end".__eq__)
        assert heard == [*expected[member.name], "end"]


def test_what_a_socket_says_to_others_comes_to_others(cluster: Cluster, sender: Member) -> None:
    sender.do("broadcast", "x")
    sender.do("emit", {}, "end")
    for member in cluster.members:
        if member is not sender:
            assert member.client.receive() == ["x"]
        assert member.client.receive() == ["end"]


def test_clients_of_all_servers_acknowledge(cluster: Cluster, sender: Member) -> None:
    sender.client.emit("call", {}, "question", "<bytes>", ack=500)
    for member in cluster.members:
        event = member.client.receive()
        assert event[:2] == ["question", BYTES] and isinstance(event[2], Ack)
        member.client.answer(event[2], {"from": member.name})
    answers = sender.client.wait_for_ack(500)[0]
    assert sorted(answer["from"] for answer in answers["answers"]) == sorted(KINDS) and "error" not in answers
    assert sender.do("call", {"rooms": ["nobody"]}, "question") == {"answers": []}


def test_a_client_that_does_not_acknowledge_is_a_time_out_with_the_others_answers(cluster: Cluster, sender: Member) -> None:
    sender.client.emit("call", {"timeout": 1}, "question", ack=500)
    for member in cluster.members[:2]:
        member.client.answer(member.client.receive()[1], member.name)
    answers = sender.client.wait_for_ack(500)[0]
    assert answers["error"] and sorted(answers["answers"]) == ["gevent", "threads"]


def test_clients_of_all_servers_are_fetched(cluster: Cluster, sender: Member) -> None:
    for member in cluster.members:
        member.do("join", "fetched")
        picture = {"picture": "<bytes>"} if "node" not in (member.kind, sender.kind) else {}        # which would make JSON of it
        member.do("data", {"name": member.name, **picture})
    found = sender.do("fetch", {})["answers"]
    assert {each["id"] for each in found} == {member.client.id for member in cluster.members}
    for each in found:
        name = each["data"]["name"]
        assert each["rooms"] == sorted(["fetched", cluster[name].client.id])
        assert each["query"]["transport"] == "websocket"
        assert each["data"].get("picture", BYTES) == BYTES
    assert [each["data"]["name"] for each in sender.do("fetch", {"rooms": [cluster["node"].client.id]})["answers"]] == ["node"]
    assert [each["data"]["name"] for each in sender.do("fetch", {"local": True})["answers"]] == [sender.name]
    assert len(sender.do("fetch", {"rooms": ["fetched"], "except": [sender.client.id]})["answers"]) == 2


def test_rooms_of_clients_everywhere_change(cluster: Cluster, sender: Member) -> None:
    threads, gevent, node = cluster.members
    sender.do("sockets_join", {}, ["x", "y"])
    for member in cluster.members:
        cluster.until(lambda member=member: member.do("rooms") == ["x", "y"])
    sender.do("sockets_leave", {"rooms": ["x"], "except": [node.client.id]}, "x")
    for member in (threads, gevent):
        cluster.until(lambda member=member: member.do("rooms") == ["y"])
    sender.do("sockets_join", {"local": True}, "z")
    sender.do("emit", {}, "end")
    for member in cluster.members:
        assert member.client.receive() == ["end"]
        assert ("z" in member.do("rooms")) == (member is sender)
    assert "x" in node.do("rooms")


@pytest.mark.parametrize("close", [False, True])
def test_clients_everywhere_are_disconnected(cluster: Cluster, sender: Member, close: bool) -> None:
    stays = sender.client
    ends = [member.new_client() for member in cluster.members]
    sender.do("disconnect_sockets", {"rooms": [client.id for client in ends]}, close)
    for client in ends:
        assert client.engine.receive() == "41/team,"
        if close:
            with pytest.raises(Ended):
                client.engine.receive()
        else:
            client.close()
    assert stays.call("rooms") == [[]]


def test_servers_hear_each_other(cluster: Cluster, sender: Member) -> None:
    mark = f"{sender.name} {len(sender.do('heard'))}"
    sender.do("side_emit", "news", mark, {"deep": ["<bytes>"]})
    for member in cluster.members:
        if member is not sender:
            heard = cluster.until(lambda member=member: [each for each in member.do("heard") if each[0] == mark])
            assert as_bytes(heard) == [[mark, {"deep": [BYTES]}]]
    assert not [each for each in sender.do("heard") if each[0] == mark]


def test_servers_answer_each_other(cluster: Cluster, sender: Member) -> None:
    told = sender.do("side_call", "news", "asked", "<bytes>")
    assert "error" not in told
    assert sorted(as_bytes(told["answers"])) == [[name, "asked", BYTES] for name in sorted(KINDS) if name != sender.name]


def test_a_server_that_stands_still_is_a_time_out_that_names_it(cluster: Cluster) -> None:
    threads, gevent, node = cluster.members
    name = gevent.do("name")
    gevent.send_signal(signal.SIGSTOP)
    try:
        for member in (threads, node) if cluster.emitter_kind == "redis" else (threads,):     # another adapter of Node.js waits 5 s
            told = member.do("side_call", "news", 1)
            assert told["error"] and len(told["answers"]) == 1
        told = threads.do("fetch", {})
        assert len(told["answers"]) == 2
        assert re.search(f"1 servers \\({re.escape(name)}\\)", told["error"])
    finally:
        gevent.send_signal(signal.SIGCONT)
    cluster.wait_until_joined()


def test_who_is_no_server_speaks_to_clients_and_servers_of_all(cluster: Cluster, redis: RedisServer) -> None:
    for member in cluster.members:
        member.client.close()
        member.client = member.new_client()
    threads, gevent, node = cluster.members
    emitter = Emitter(redis.url, adapter=cluster.emitter_kind).of("team")  # type: ignore[arg-type]
    for member in (threads, node):
        member.do("join", "e")
    cluster.wait_until_heard("e", 2)
    emitter.to("e").emit("room", {"bytes": BYTES})
    emitter.to([]).emit("nobody")
    emitter.except_("e").volatile.compress(False).emit("others", None)
    emitter.to(gevent.client.id).sockets_join(["f", "g"])
    emitter.to("f").sockets_leave("g")
    emitter.emit("end")
    expected: dict[str, list[Any]] = {name: [["room", {"bytes": BYTES}]] for name in ("threads", "node")} | {"gevent": [["others", None]]}
    for member in cluster.members:
        heard = [member.client.receive(), member.client.receive()]
        assert sorted(heard) == sorted([*expected[member.name], ["end"]])
    cluster.until(lambda: gevent.do("rooms") == ["f"])
    emitter.server_side_emit("news", "from outside")
    for member in cluster.members:
        cluster.until(lambda member=member: ["from outside"] in member.do("heard"))
    for member in cluster.members:
        leaving = member.new_client()
        emitter.to(leaving.id).disconnect_sockets(close=True)
        assert leaving.engine.receive() == "41/team,"

    command = ["emit", "--url", redis.url, "--adapter", cluster.emitter_kind, "--namespace", "team", "--to", "e"]
    command += ["--except", threads.client.id, "hello", '{"json": 1}', '"text"']
    said = subprocess.run([sys.executable, "-m", "sync_sio", *command], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (said.returncode, said.stdout, said.stderr) == (0, "", "")
    assert node.client.receive() == ["hello", {"json": 1}, "text"]
    emitter.close()


NODE_EMITTER = """
const { Emitter } = require("@socket.io/redis-emitter");
const client = require("redis").createClient({ url: process.argv[1] });
client.connect().then(async () => {
  const emitter = new Emitter(client).of("/team");
  emitter.to("n").emit("room", { bytes: Buffer.from([1, 2, 255]) });
  emitter.except("n").volatile.emit("others", 1.5);
  emitter.to("n").socketsJoin(["x", "y"]);
  emitter.to("x").socketsLeave("y");
  emitter.serverSideEmit("news", "from npm's emitter");
  emitter.emit("end");
  emitter.to("x").disconnectSockets(true);
  await client.quit();
});
"""


def test_npms_emitter_speaks_to_ours(cluster: Cluster, redis: RedisServer) -> None:
    if cluster.emitter_kind != "redis":
        pytest.skip("npm's emitter speaks the wire of RedisAdapter")
    threads, gevent, _ = cluster.members
    leaving, stays = threads.new_client(), gevent.new_client()
    leaving.call("join", "n")
    subprocess.run([str(tools.node()), "-e", NODE_EMITTER, redis.url], check=True, timeout=60, env=Member.environ())
    assert [leaving.receive(), leaving.receive()] == [["room", {"bytes": BYTES}], ["end"]]
    assert leaving.engine.receive() == "41/team,"
    assert [stays.receive(), stays.receive()] == [["others", 1.5], ["end"]]
    for member in (threads, gevent):
        cluster.until(lambda member=member: ["from npm's emitter"] in member.do("heard"))
    stays.close()
    cluster.drain()


def as_bytes(value: Any) -> Any:
    """Undo what Node.js makes of a Buffer in JSON, which is how its adapter sends events of servers."""
    if isinstance(value, dict) and value.get("type") == "Buffer":
        return bytes(value["data"])
    if isinstance(value, list):
        return [as_bytes(item) for item in value]
    return {key: as_bytes(item) for key, item in value.items()} if isinstance(value, dict) else value
