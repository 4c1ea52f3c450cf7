"""RedisAdapter and ShardedRedisAdapter alone: what is subscribed, who is counted, and a subscriber that has gone deaf."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Collection, Iterator
from typing import Any
from wsgiref.util import setup_testing_defaults

import pytest

from sync_sio import Emitter, Server, __main__
from sync_sio.adapters.base import Answer, Broadcast, ClientGone, ClientRecord, Fetch, Fetched, Kept, Message, Target
from sync_sio.adapters.redis import RedisAdapter, RedisStreamsAdapter, ShardedRedisAdapter, link
from sync_sio.drivers.base import Driver
from sync_sio.drivers.choose import choose
from sync_sio.testing import TestClient
from sync_sio.types import Environ, StartResponse
from tests.live.servers import wait_for
from tests.redis_server import RedisServer

from .conftest import is_listening
from .proxy import Proxy

Adapter = RedisAdapter | ShardedRedisAdapter | RedisStreamsAdapter
KINDS: list[type[RedisAdapter | ShardedRedisAdapter]] = [RedisAdapter, ShardedRedisAdapter]


class Listener:
    """Keeps what it hears, and answers `Fetch` with a client."""

    json_default = None

    def __init__(self) -> None:
        self.heard: list[tuple[str, str, Message | Answer]] = []
        self.asked: list[tuple[str, int, Collection[str]]] = []
        self.left: list[str] = []
        self.adapter: Adapter
        self.changed = threading.Condition()

    def received(self, namespace: str, server: str, message: Message | Answer | Kept) -> None:
        if isinstance(message, Kept):
            message = message.broadcast
        with self.changed:
            self.heard.append((namespace, server, message))
            self.changed.notify_all()
        if isinstance(message, Fetch):
            client = ClientRecord(f"client of {self.adapter.id}", {}, ("a", "b"), {"x": b"\x00"})
            self.adapter.answer(namespace, server, Fetched(message.request, (client,)))

    def has_heard(self, text: str) -> bool:
        return any(isinstance(message, Broadcast) and message.data == [text] for _, _, message in self.heard)

    def reached(self, request: str, others: int, names: Collection[str]) -> None:
        with self.changed:
            self.asked.append((request, others, names))
            self.changed.notify_all()

    def server_left(self, server: str) -> None:
        with self.changed:
            self.left.append(server)
            self.changed.notify_all()

    def until(self, what: Callable[[], Any]) -> Any:
        with self.changed:
            assert self.changed.wait_for(what, 20), (self.heard, self.asked, self.left)
            return what()


class Group:
    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self.listeners: list[Listener] = []

    def add(self, adapter: Adapter, *namespaces: str) -> Listener:
        listener = Listener()
        listener.adapter = adapter
        self.listeners.append(listener)
        adapter.start(listener, self.driver)
        for namespace in namespaces:
            adapter.enter(namespace)
        return listener

    def say_until_heard(self, sender: Listener, receiver: Listener, text: str) -> None:
        """Say something again and again: what is said before somebody listens is lost."""
        for _ in range(400):
            sender.adapter.publish("/", Broadcast([text], Target()))
            with receiver.changed:
                if receiver.changed.wait_for(lambda: receiver.has_heard(text), 0.05):
                    return
        raise AssertionError(f"{text!r} never came: {receiver.adapter.status()}")


@pytest.fixture
def group() -> Iterator[Group]:
    driver = choose("threads", None, None)
    group = Group(driver)
    yield group
    for listener in group.listeners:
        listener.adapter.close()
    driver.stop(2)
    wait_for(lambda: not any("redis" in thread.name for thread in threading.enumerate()), 20, lambda: str(threading.enumerate()))


@pytest.mark.live
@pytest.mark.parametrize("kind", KINDS)
def test_a_subscriber_that_is_deaf_is_replaced(redis: RedisServer, group: Group, kind: type[Adapter]) -> None:
    with Proxy(redis.port) as proxy:
        far = group.add(kind(f"redis://127.0.0.1:{proxy.port}"), "/")
        near = group.add(kind(redis.url), "/")
        group.say_until_heard(near, far, "before")
        assert proxy.mute_subscribers() == 1
        group.say_until_heard(near, far, "after")
        assert "nothing was heard" in str(far.adapter.status().last_error)
        assert far.adapter._ears.replaced >= 1


@pytest.mark.live
def test_a_server_that_has_much_to_say_is_not_deaf(redis: RedisServer, group: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it says to itself waits meanwhile, as it does behind a burst of events."""
    monkeypatch.setattr(link, "MAX_COMMANDS", 1)
    one = group.add(ShardedRedisAdapter(redis.url), "/")
    wait_for(lambda: one.adapter.status().connected, 20)
    said = group.driver.waiter()
    busy = "local function now() local time = redis.call('TIME') return time[1] * 1000 + time[2] / 1000 end "
    busy += "local start = now() while now() < start + 300 do end"
    for _ in range(15):
        one.adapter._link.say("EVAL", busy, 0)
    one.adapter._link.say("PING", tell=said.set)
    assert said.wait(30)
    assert one.adapter._ears.replaced == 0


@pytest.mark.parametrize("kind", KINDS)
def test_who_is_asked_is_counted_and_named(redis: RedisServer, group: Group, kind: type[Adapter]) -> None:
    one, two = group.add(kind(redis.url), "/"), group.add(kind(redis.url), "/")
    group.say_until_heard(one, two, "x")
    group.say_until_heard(two, one, "y")
    wait_for(lambda: one.adapter._names.get("/") == {two.adapter.id}, 10)
    one.adapter.publish("/", Fetch(Target(), "r1"))
    assert one.until(lambda: one.asked) == [("r1", 1, (two.adapter.id,))]
    ((_, server, answer),) = one.until(lambda: [each for each in one.heard if isinstance(each[2], Fetched)])
    assert server == two.adapter.id
    assert answer.clients == (ClientRecord(f"client of {two.adapter.id}", {}, ("a", "b"), {"x": b"\x00"}),)
    two.adapter.answer("/", one.adapter.id, ClientGone("r2"))
    one.until(lambda: any(each[2] == ClientGone("r2") for each in one.heard))

    one.adapter.publish("/", Fetch(Target(frozenset()), "r3"))     # for no room at all: nobody is asked
    one.until(lambda: ("r3", 0, ()) in one.asked)
    two.adapter.close()
    one.until(lambda: two.adapter.id in one.left)


    def is_alone() -> bool:         # Redis may see the end of a connection a moment after what it has brought
        one.asked.clear()
        one.adapter.publish("/", Fetch(Target(), "r4"))
        return bool(one.until(lambda: one.asked) == [("r4", 0, ())])

    wait_for(is_alone, 10, lambda: str(one.asked))


def test_what_node_asks_in_old_forms_is_answered(redis: RedisServer, group: Group) -> None:
    listener = group.add(RedisAdapter(redis.url), "/")
    client = redis.client()
    pubsub = client.pubsub()
    pubsub.subscribe("socket.io-response#/#")
    pubsub.get_message(timeout=5)
    group_asks = {"type": 1, "uid": "node", "requestId": "all rooms"}, {"type": 0, "uid": "node", "requestId": "ids", "rooms": ["a"]}
    for ask, answer in zip(group_asks, ({"rooms": ["a", "b"]}, {"sockets": [f"client of {listener.adapter.id}"]}), strict=True):
        while not client.publish("socket.io-request#/#", json.dumps(ask)):
            pubsub.get_message(timeout=0.05)
        said: Any = None
        while said is None or said["type"] != "message":
            said = pubsub.get_message(timeout=5)
            assert said is not None
        assert json.loads(said["data"]) == {"requestId": ask["requestId"], "uid": listener.adapter.id, **answer}
    pubsub.close()


def test_what_nobody_understands_is_logged_and_harms_nothing(redis: RedisServer, group: Group, caplog: pytest.LogCaptureFixture) -> None:
    one, two = group.add(RedisAdapter(redis.url), "/"), group.add(RedisAdapter(redis.url), "/")
    group.say_until_heard(two, one, "before")
    client = redis.client()
    for channel in ("socket.io#/#", "socket.io#/#room#", "socket.io-request#/#", "socket.io-response#/#"):
        for data in (b"", b"{", b"\xc1", b"[]", b"{}", b'{"type":7,"requestId":"r"}', b"\x93\x01\x02\x03", b'{"type":{}}'):
            client.publish(channel, data)
    group.say_until_heard(two, one, "after")
    assert "is not understood" in caplog.text and "Traceback" not in caplog.text


@pytest.mark.parametrize("kind", [RedisAdapter, RedisStreamsAdapter])
def test_joins_cost_no_traffic(redis: RedisServer, kind: type[RedisAdapter | RedisStreamsAdapter]) -> None:
    """A thousand joins, and no more commands than an adapter sends by itself in that time."""
    client = redis.client()

    def commands(*names: str) -> int:
        return sum(told["calls"] for name, told in client.info("commandstats").items() if not names or name in names)

    def published() -> int:
        return commands("cmdstat_publish", "cmdstat_xadd")

    io = Server(adapter=kind(redis.url), runtime="threads")
    with TestClient(io) as first, TestClient(io) as second:
        wait_for(lambda: is_listening(io), 10)
        before, said = commands(), published()
        for member in (first, second):
            for number in range(500):
                member.socket.join(f"room {number}")
        io.emit("behind what the joins would have said")
        wait_for(lambda: published() > said, 10)
        assert commands() - before < 100
    io.close()


def test_joins_of_rooms_that_have_channels_cost_one_subscription(redis: RedisServer) -> None:
    """Of the first member of each."""
    client = redis.client()

    def calls() -> int:
        return sum(told["calls"] for name, told in client.info("commandstats").items() if "subscribe" in name)

    adapter = ShardedRedisAdapter(redis.url)
    io = Server(adapter=adapter, runtime="threads")
    with TestClient(io) as first, TestClient(io) as second:
        wait_for(lambda: adapter._ears.hears("socket.io#/#"), 10)       # the last that it subscribes
        before = calls()
        for sid in (first.id, second.id):
            assert sid is not None
            io.to(sid).local.sockets_join(["room"])
        wait_for(lambda: calls() > before, 10)
        assert calls() == before + 1
    io.close()


def test_a_room_may_begin_with_a_dash_on_the_command_line_as_ids_do(redis: RedisServer) -> None:
    io = Server(adapter=RedisAdapter(redis.url), runtime="threads")
    with TestClient(io) as first, TestClient(io) as second:
        wait_for(lambda: is_listening(io), 10)
        for member in (first, second):
            member.socket.join("-room")
        second.socket.join("--to")
        for command in ("--to -room --except --to hello", "--to=--to hello", "--to -room end"):
            assert __main__.main(["emit", "--url", redis.url, *command.split()]) == 0
        for member in (first, second):
            assert [member.receive()[0] for _ in "12"] == ["hello", "end"]
    io.close()


def test_an_emitter_says_what_is_wrong(redis: RedisServer) -> None:
    emitter = Emitter(redis.url)
    for use, error in (
        (lambda: emitter.emit("connect"), ValueError),
        (lambda: emitter.emit("x", object()), TypeError),
        (lambda: emitter.to(""), TypeError),
        (lambda: emitter.server_side_emit("connection"), ValueError),
        (lambda: Emitter(redis.url, adapter="other"), ValueError),  # type: ignore[arg-type]
    ):
        with pytest.raises(error):
            use()
    redis.kill()
    with pytest.raises(Exception, match="connect"):
        emitter.emit("x")
    redis.start()
    emitter.emit("x")
    assert Emitter(redis.url, json_default=str).of("chat").to(["a", "b"]).emit("x", object()) is None
    emitter.close()
    emitter.emit("x")


@pytest.mark.parametrize("seconds", [0, -1, "5", None, float("inf")])
@pytest.mark.parametrize("kind", [RedisAdapter, ShardedRedisAdapter, RedisStreamsAdapter])
def test_what_is_no_time_is_refused(kind: type[Adapter], seconds: Any) -> None:
    with pytest.raises(ValueError, match=f"requests_timeout={seconds!r}: a number of seconds above 0"):
        kind(requests_timeout=seconds)


@pytest.mark.parametrize("kind", [RedisAdapter, ShardedRedisAdapter, RedisStreamsAdapter])
def test_what_a_page_emits_goes_out_from_a_server_that_no_client_has_come_to(kind: type[Adapter], redis: RedisServer) -> None:
    def page(environ: Environ, start_response: StartResponse) -> list[bytes]:
        behind.emit("news", 1)
        start_response("204 No Content", [])
        return []

    io, behind = Server(adapter=kind(redis.url)), Server(page, adapter=kind(redis.url))
    try:
        with TestClient(io) as client:
            wait_for(lambda: is_listening(io))
            request: Environ = {}
            setup_testing_defaults(request)
            assert behind(request, lambda status, headers: print) == []
            assert client.receive(timeout=10) == ["news", 1]
    finally:
        io.close()
        behind.close()
