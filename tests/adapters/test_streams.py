"""One server of ours at a real Redis: what it writes once, what it finds for a client that comes back, what its own clients get."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from sync_sio.adapters.base import AdapterListener, Broadcast, Fetch, JoinRooms, Kept, Restored, ServerEvent, SessionRecord, Target
from sync_sio.adapters.redis import RedisStreamsAdapter
from sync_sio.adapters.redis import streams_wire as wire
from sync_sio.adapters.redis.streams import ADD_ONCE
from sync_sio.drivers.base import Driver
from sync_sio.drivers.threads import ThreadsDriver
from tests.redis_server import RedisServer

pytestmark = [pytest.mark.live, pytest.mark.timeout(60)]


class Ear:
    """A listener that remembers."""

    json_default = None

    def __init__(self) -> None:
        self.heard: queue.Queue[tuple[str, str, Any]] = queue.Queue()
        self.counts: queue.Queue[tuple[str, int]] = queue.Queue()

    def received(self, namespace: str, server: str, message: Any) -> None:
        self.heard.put((namespace, server, message))

    def reached(self, request: str, others: int, names: Any) -> None:
        self.counts.put((request, others))

    def server_left(self, server: str) -> None: ...


class Node:
    """A server's adapter, and what it was told."""

    def __init__(self, driver: Driver, url: str, max_len: int) -> None:
        self.ear = Ear()
        self.adapter = RedisStreamsAdapter(url, max_len=max_len)
        listener: AdapterListener = self.ear
        self.adapter.start(listener, driver)
        self.adapter.enter("/")

    def next(self) -> Any:
        return self.ear.heard.get(timeout=20)[2]

    def restore(self, pid: str, offset: object) -> Restored | None:
        found: queue.Queue[Restored | None] = queue.Queue()
        self.adapter.restore("/", pid, offset, found.put)
        return found.get(timeout=20)


@pytest.fixture
def driver() -> Iterator[Driver]:
    driver = ThreadsDriver()
    yield driver
    driver.stop(2)


@pytest.fixture
def node(driver: Driver, redis: RedisServer) -> Iterator[Callable[..., Node]]:
    nodes: list[Node] = []

    def make(max_len: int = 100) -> Node:
        node = Node(driver, redis.url, max_len)
        nodes.append(node)
        until(lambda: node.adapter.status().connected)
        return node

    yield make
    for each in nodes:
        each.adapter.close()


def until(what: Callable[[], object]) -> None:
    for _ in range(1000):
        if what():
            return
        queue_wait()
    raise AssertionError("never")


def queue_wait() -> None:
    try:
        queue.Queue[None]().get(timeout=0.02)
    except queue.Empty:
        return


def test_an_entry_that_may_have_arrived_is_written_once(redis: RedisServer) -> None:
    client = redis.client()

    def add(uid: str, number: int) -> None:
        fields = wire.entry(uid, "/", (3, {"n": number}), number)
        client.eval(ADD_ONCE, 1, "s", uid, number, 1000, *fields)

    def numbers(uid: str) -> list[int]:
        return [int(fields["n"]) for _, fields in client.xrange("s") if fields["uid"] == uid]  # type: ignore[union-attr]  # not async

    add("a", 1)
    add("a", 1)
    assert numbers("a") == [1]
    for number in range(350):           # several pages, many in one millisecond
        client.xadd("s", {"uid": "node", "nsp": "/", "type": "3", "data": "{}"})
        if number == 100:
            add("b", 7)
    add("a", 1)
    add("b", 6)
    add("b", 7)
    add("a", 2)
    add("a", 3)
    add("a", 2)
    assert numbers("a") == [1, 2, 3] and numbers("b") == [7]
    assert client.xlen("s") == 354


def test_what_is_kept_comes_back_with_its_place_and_to_others(node: Callable[[], Node]) -> None:
    one, two = node(), node()
    data = ["x", [1]]
    one.adapter.publish_kept("/", Broadcast(data, Target()))
    data[1].append(2)  # type: ignore[attr-defined]  # what is changed later was encoded before
    one.adapter.publish("/", JoinRooms(Target(), ("r",)))
    kept = one.next()
    assert kept == Kept(Broadcast(["x", [1]], Target()), kept.offset) and wire.number(kept.offset) > 0
    assert two.next() == kept and two.next() == JoinRooms(Target(), ("r",))
    one.adapter.publish_kept("/", Broadcast(["x"], Target(frozenset())))        # for nobody
    one.adapter.publish_kept("/", Broadcast(["y"], Target(), volatile=False))
    assert one.next().broadcast.data == ["y"]
    until(lambda: one.adapter.position("/") == two.adapter.position("/") != kept.offset)


def test_a_question_comes_after_what_was_said_before(node: Callable[[], Node]) -> None:
    one, two = node(), node()
    until(lambda: one.adapter.status().nodes == 2)
    for number in range(30):
        one.adapter.publish("/", JoinRooms(Target(), (str(number),)))
        one.adapter.publish("/", Fetch(Target(), f"fetch {number}"))
    heard = [two.next() for _ in range(60)]
    joins = [JoinRooms(Target(), (str(number),)) for number in range(30)]
    fetches = [Fetch(Target(), f"fetch {number}") for number in range(30)]
    assert [each for each in heard if isinstance(each, JoinRooms)] == joins
    assert [each for each in heard if isinstance(each, Fetch)] == fetches
    assert all(heard.index(join) < heard.index(fetch) for join, fetch in zip(joins, fetches, strict=True))
    assert one.ear.counts.get(timeout=20) == ("fetch 0", 1)
    one.adapter.publish("/", ServerEvent(["hello"]))
    assert two.next() == ServerEvent(["hello"])


def test_own_clients_are_served_while_redis_is_gone_and_others_later(node: Callable[[], Node], redis: RedisServer) -> None:
    one, two = node(), node()
    redis.kill()
    until(lambda: not one.adapter.status().connected)
    for number in range(3):
        one.adapter.publish_kept("/", Broadcast([f"n{number}"], Target()))
    early = [one.next() for _ in range(3)]
    assert [(kept.broadcast.data, kept.offset) for kept in early] == [([f"n{number}"], "") for number in range(3)]
    redis.start()
    later = [one.next() for _ in range(3)]
    assert [kept.early for kept in later] == [kept.early for kept in early] and 0 not in [kept.early for kept in early]
    assert [(kept.offset, kept.broadcast) for kept in later] == [(kept.offset, kept.broadcast) for kept in (two.next() for _ in range(3))]


def test_a_stream_that_has_lost_its_newest_entries_is_not_read_again(node: Callable[[], Node], redis: RedisServer) -> None:
    """As after a crash of a Redis that saves once a minute: nobody gets twice what was there before."""
    one, two = node(), node()

    def say(text: str) -> None:
        one.adapter.publish_kept("/", Broadcast([text], Target()))
        assert [each.next().broadcast.data for each in (one, two)] == [[text], [text]]

    say("saved")
    redis.client().save()
    say("lost")
    redis.kill()
    until(lambda: not one.adapter.status().connected and not two.adapter.status().connected)
    redis.start()
    until(lambda: one.adapter.status().connected and two.adapter.status().connected)
    assert redis.client().xlen("socket.io") == 1
    assert one.adapter.position("/") == two.adapter.position("/") == redis.client().xrevrange("socket.io")[0][0]  # type: ignore[index]
    one.adapter.publish("/", ServerEvent(["a question waits for nothing that is lost"]))
    assert isinstance(two.next(), ServerEvent)
    say("after")


def test_an_entry_in_our_name_that_we_have_not_written_harms_nothing(node: Callable[[], Node], redis: RedisServer) -> None:
    one, two = node(), node()
    for number in ("x", "", "9" * 50, "7"):
        redis.client().xadd("socket.io", {"uid": one.adapter.id, "nsp": "/", "type": "3", "data": "{}", "n": number})
    two.adapter.publish_kept("/", Broadcast(["after"], Target()))
    assert one.next().broadcast.data == ["after"]
    assert one.adapter.status().last_error is None


def test_a_session_is_found_once_with_what_was_missed(node: Callable[[], Node], redis: RedisServer) -> None:
    one, two = node(), node()
    one.adapter.publish_kept("/", Broadcast(["seen"], Target()))
    seen = one.next().offset
    record = SessionRecord("sid", "pid", ("sid", "r"), {"b": b"\1"}, "0-0")
    one.adapter.save("/", record, 30)
    for each in (["missed"], ["too", b"\2"]):
        one.adapter.publish_kept("/", Broadcast(each, Target()))
    one.adapter.publish("/", Broadcast(["volatile"], Target(), volatile=True))
    last = [one.next(), one.next()][-1]
    found = two.restore("pid", seen)
    assert found is not None and found.session == record
    assert [kept.broadcast.data for kept in found.missed] == [["missed"], ["too", b"\2"]] and found.missed[-1] == last
    assert two.restore("pid", seen) is None


def test_a_session_is_given_back_only_if_nothing_may_be_lost(node: Callable[[], Node], redis: RedisServer) -> None:
    one = node()
    one.adapter.publish_kept("/", Broadcast(["first"], Target()))
    first = one.next().offset
    client = redis.client()
    for _ in range(150):
        client.xadd("socket.io", {"uid": "node", "nsp": "/other", "type": "3", "data": "{}"})
    middle = client.xrevrange("socket.io", count=1)[0][0]  # type: ignore[index]  # not async
    client.xtrim("socket.io", maxlen=20, approximate=False)

    def session(**more: Any) -> None:
        one.adapter.save("/", SessionRecord("sid", "pid", ("sid",), {}, **more), 30)

    for offset, more in (
        (first, {}),
        (first, {"came": first}),
        (None, {"came": "0-0"}),
        (None, {}),
        ("nonsense", {"came": middle}),
        ("99999999999999-0", {}),
        ({"a": 1}, {"came": middle}),
    ):
        session(**more)
        assert one.restore("pid", offset) is None, (offset, more)
    for offset, more in ((middle, {}), (first, {"sure": wire.number(middle)}), (None, {"came": middle}), (first, {"came": middle})):
        session(**more)
        assert one.restore("pid", offset) is not None, (offset, more)


@pytest.mark.timeout(30)
def test_what_piles_up_while_redis_is_away_does_not_slow_down_what_comes(node: Callable[..., Node], redis: RedisServer) -> None:
    """Each event more costs what the first did: not a look at all that wait."""
    one, two = node(50_000), node()
    redis.kill()
    until(lambda: not one.adapter.status().connected)
    count = 30_000
    for number in range(count):
        one.adapter.publish_kept("/", Broadcast([number], Target()))
    one.adapter.publish("/", Fetch(Target(), "r"))
    assert [one.next().broadcast.data for _ in range(count)] == [[number] for number in range(count)]
    redis.start()
    heard = [two.next() for _ in range(count + 1)]
    assert [each.broadcast.data[0] for each in heard if isinstance(each, Kept)] == list(range(count))
    assert any(isinstance(each, Fetch) for each in heard)
    left = (one.adapter._held, one.adapter._unconfirmed, one.adapter._desk._fresh, one.adapter._desk._own)
    until(lambda: not any(left))


@pytest.mark.timeout(30)
def test_a_burst_pushes_nothing_out_of_the_stream_that_was_not_read(node: Callable[..., Node], redis: RedisServer) -> None:
    """A stream keeps so and so many entries, and an entry that is gone before it was read is lost."""
    one, two = node(1000), node(1000)
    count = 4000
    for number in range(count):
        one.adapter.publish("/", Broadcast([number], Target()))
    assert [two.next().broadcast.data[0] for _ in range(count)] == list(range(count))
    until(lambda: not one.adapter._unconfirmed and one.adapter._pace.room() == 250)
    assert one.ear.heard.empty()
    # what stands still is the reading: nothing more is added, and all is said when it goes on
    entered, stands = queue.Queue[None](), queue.Queue[None]()
    came_back = one.adapter._desk.came_back

    def stand_still(*args: Any) -> None:
        entered.put(None)
        stands.get()
        came_back(*args)

    one.adapter._desk.came_back = stand_still  # type: ignore[method-assign]
    one.adapter.publish("/", Broadcast(["first"], Target()))
    entered.get(timeout=20)
    for number in range(1000):
        one.adapter.publish("/", Broadcast([number], Target()))
    until(lambda: one.adapter._pace.room() == 0)
    waiting = [command for command, *_ in list(one.adapter._link._waiting) if command[0] == "XADD"]
    assert len(waiting) == 751                          # 250 were added, "first" among them
    one.adapter._desk.came_back = came_back  # type: ignore[method-assign]
    stands.put(None)
    assert [two.next().broadcast.data[0] for _ in range(1001)] == ["first", *range(1000)]


def test_an_event_that_is_too_much_does_not_push_out_all_others(node: Callable[..., Node], redis: RedisServer) -> None:
    """Of events that are too much, one makes room for one; however many questions wait, nobody who says something hears of it."""
    one, two = node(50_000), node()
    redis.kill()
    until(lambda: not one.adapter.status().connected)
    count = 1000
    for number in range(count):
        one.adapter.publish_kept("/", Broadcast([number, "." * 20_000], Target()))
        one.adapter.publish("/", ServerEvent([number, "." * 20_020]))       # about as large as what goes before it
    redis.start()
    heard: list[int] = []
    while heard[-1:] != [count - 1]:
        said = two.next()
        if isinstance(said, Kept):
            heard.append(said.broadcast.data[0])
    assert heard == sorted(set(heard)) and len(heard) > 400
    until(lambda: not one.adapter._held and not one.adapter._unconfirmed)


class Shuffled(ThreadsDriver):
    """What is spawned begins in whatever order."""

    def __init__(self) -> None:
        super().__init__()
        self.spawned: list[Callable[[], Any]] = []

    def spawn(self, fn: Callable[..., Any], *args: Any) -> None:
        self.spawned.append(partial(fn, *args))


def test_own_clients_get_what_redis_refuses_in_order(redis: RedisServer) -> None:
    driver = Shuffled()
    node = Node(driver, redis.url, 100)
    until(lambda: node.adapter.status().connected)
    redis.client().config_set("maxmemory", 1)
    for number in range(100):
        node.adapter.publish_kept("/", Broadcast([number], Target()))
    until(lambda: not node.adapter._unconfirmed)
    for begin in reversed(driver.spawned):
        begin()
    heard = [node.next() for _ in range(100)]
    assert [(each.broadcast if isinstance(each, Kept) else each).data for each in heard] == [[number] for number in range(100)]
    node.adapter.close()
    driver.stop(2)


def test_nothing_is_found_and_nobody_waits_while_redis_is_gone(node: Callable[[], Node], redis: RedisServer) -> None:
    one = node()
    redis.kill()
    until(lambda: not one.adapter.status().connected)
    assert one.restore("pid", "1-0") is None


@pytest.mark.parametrize("options", [{"max_len": 0}, {"stream_count": True}, {"max_len": "many"}])
def test_impossible_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        RedisStreamsAdapter(**options)
