"""The manual driver: what is told happens, in the order told."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from sync_sio.drivers.locks import breaches
from sync_sio.testing.manual import EPOCH, ManualDriver, Stuck

from .rig import Client, ManualRig, echo


@pytest.fixture
def rig() -> Iterator[ManualRig]:
    breaches.clear()
    rig = ManualRig(ManualDriver())
    yield rig
    rig.driver.stop(1)
    assert not breaches


def test_nothing_happens_by_itself(rig: ManualRig) -> None:
    client = Client(rig, echo).start()
    far = client.far.stream
    far.send(b"x")
    assert client.reads == 0
    rig.driver.step()
    assert client.reads == 1 and far.recv() is None
    rig.driver.run_turns()
    assert far.recv() == b"x"
    assert rig.driver.settle() is None and client.stream.writes == 1


def test_time_stands_still_until_told(rig: ManualRig) -> None:
    driver = rig.driver
    seen: list[float] = []
    for delay in (3, 1, 2):
        driver.later(delay, lambda: seen.append(driver.now()))
    driver.settle()
    assert seen == []
    started = driver.now()
    driver.advance(2)
    assert seen == [started + 1, started + 2]
    driver.advance(10)
    assert seen[2:] == [started + 3]
    assert driver.now() == started + 12
    assert driver.wall_time() == EPOCH + 12


def test_a_handler_that_waits_stays_where_it_is(rig: ManualRig) -> None:
    driver = rig.driver
    waiter = driver.waiter()
    seen: list[Any] = []

    def handler(client: Client, data: bytes) -> None:
        client.send(b"?")
        seen.append(waiter.wait(5))
        client.send(b"!")

    client = Client(rig, handler).start()
    far = client.far.stream
    far.send(b"x")
    driver.settle()
    assert far.recv() == b"?" and seen == []
    driver.advance(4.9)
    assert seen == []
    driver.advance(0.1)
    assert seen == [False] and far.recv() == b"!"


def test_a_turn_that_settles_goes_on_when_all_others_rest(rig: ManualRig) -> None:
    seen: list[bytes] = []

    def handler(client: Client, data: bytes) -> None:
        if data != b"c":
            following[data].far.stream.send(bytes((data[0] + 1,)))
            rig.driver.settle()
            assert bytes((data[0] + 1,)) in seen
        seen.append(data)

    first, second, third = (Client(rig, handler).start() for _ in range(3))
    following = {b"a": second, b"b": third}
    first.far.stream.send(b"a")
    rig.driver.settle()
    assert seen == [b"c", b"b", b"a"]
    assert not any("turn" in left for left in rig.driver.audit())


def test_waiting_turns_may_end_in_any_order(rig: ManualRig) -> None:
    driver = rig.driver
    waiters = [driver.waiter() for _ in range(3)]
    seen: list[int] = []
    clients = []
    for number in range(3):
        client = Client(rig, lambda client, data, number=number: (waiters[number].wait(), seen.append(number))).start()
        client.far.stream.send(b"x")
        clients.append(client)
    driver.settle()
    for number in (1, 0, 2):
        waiters[number].set()
        driver.settle()
    assert seen == [1, 0, 2]


def test_the_tests_own_wait_makes_everything_happen(rig: ManualRig) -> None:
    driver = rig.driver
    waiter = driver.waiter()
    driver.later(100, waiter.set, "done")
    started = driver.now()
    assert waiter.wait(1000) and waiter.value == "done"
    assert driver.now() == started + 100
    assert not driver.waiter().wait(7)
    assert driver.now() == started + 107


def test_a_wait_that_nothing_can_end_is_told(rig: ManualRig) -> None:
    with pytest.raises(Stuck):
        rig.driver.waiter().wait()


def test_a_client_that_is_not_read_is_told(rig: ManualRig) -> None:
    class Lazy(Client):
        def on_readable(self) -> None: ...

    client = Lazy(rig, echo).start()
    client.far.stream.send(b"x")
    with pytest.raises(Stuck):
        rig.driver.settle()
    rig.driver.discard(client)


def test_a_full_buffer_takes_a_part_and_tells_of_room(rig: ManualRig) -> None:
    driver = rig.driver
    client = Client(rig, echo)
    far = client.far.stream
    far.capacity = 4
    assert client.stream.stream.send(b"123456") == 4
    assert client.stream.stream.send(b"56") == 0
    written = []

    def on_writable() -> None:
        written.append(client.stream.stream.send(b"56"))
        driver.set_interest(client, True, False)

    client.on_writable = on_writable  # type: ignore[method-assign]
    client.start()
    driver.set_interest(client, True, True)
    driver.settle()
    assert written == []
    assert far.recv() == b"1234"
    driver.settle()
    assert written == [2] and far.recv() == b"56"


def test_sending_to_who_is_gone_raises(rig: ManualRig) -> None:
    near, far = rig.driver.stream_pair()
    far.send(b"last words")
    far.close()
    assert near.recv() == b"last words" and near.recv() == b""
    with pytest.raises(BrokenPipeError):
        near.send(b"x")


def test_no_more_turns_than_allowed_wait_at_a_time() -> None:
    rig = ManualRig(ManualDriver(max_handlers=2))
    waiter = rig.driver.waiter()
    seen = []
    clients = [Client(rig, lambda client, data: (seen.append(1), waiter.wait())).start() for _ in range(5)]
    for client in clients:
        client.far.stream.send(b"x")
    rig.driver.settle()
    assert len(seen) == 2
    waiter.set()
    rig.driver.settle()
    assert len(seen) == 5
    for client in clients:
        client.close()
    assert rig.driver.audit() == []
    rig.driver.stop(1)


def test_its_threads_end_with_it() -> None:
    before = set(threading.enumerate())
    rig = ManualRig(ManualDriver())
    client = Client(rig, echo).start()
    client.far.send(b"x")
    assert client.far.recv(1) == b"x"
    (thread,) = set(threading.enumerate()) - before
    rig.driver.stop(1)
    thread.join(5)
    assert not thread.is_alive()
