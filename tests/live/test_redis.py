"""Two servers of ours, with threads and with gevent, and one of Node.js on one Redis: every operation, in every direction."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.redis_server import RedisServer

from .clusters import BYTES, Cluster, Member
from .conftest import IS_REFERENCE
from .wire import Ack, Ended

pytestmark = [pytest.mark.timeout(120), pytest.mark.skipif(IS_REFERENCE, reason="servers of ours")]

KINDS = ("threads", "gevent", "node")


@pytest.fixture(scope="module")
def redis(redis_server: Path, npm_servers: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(redis_server, tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="module", params=["RedisAdapter", "RedisStreamsAdapter"])
def cluster(request: pytest.FixtureRequest, redis: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(request.param, redis.url, tmp_path_factory.mktemp("logs"), *KINDS) as cluster:
        yield cluster
        for member in cluster.members:
            assert "Traceback" not in member.log() and "WARNING" not in member.log()


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
        assert [member.client.receive()[0] for _ in range(len(expected[member.name]) + 1)] == [*expected[member.name], "end"]


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
    sender.client.emit("call", {}, "question", ack=500)
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
        for member in (threads, node):
            for what, answers in ((("side_call", "news", 1), 1), (("fetch", {}), 2)):
                told = member.do(*what)
                if member is threads:
                    assert len(told["answers"]) == answers
                    assert re.search(f"1 servers \\({re.escape(name)}\\)", told["error"])
                assert told["error"]
    finally:
        gevent.send_signal(signal.SIGCONT)
    cluster.wait_until_joined()


def as_bytes(value: Any) -> Any:
    """Undo what Node.js makes of a Buffer in JSON, which is how its adapter sends events of servers."""
    if isinstance(value, dict) and value.get("type") == "Buffer":
        return bytes(value["data"])
    if isinstance(value, list):
        return [as_bytes(item) for item in value]
    return {key: as_bytes(item) for key, item in value.items()} if isinstance(value, dict) else value
