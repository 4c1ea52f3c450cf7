"""What only the gevent runtime has: a hub, and threads that are not the hub's."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Iterator
from typing import Any

import pytest

gevent = pytest.importorskip("gevent")

from gevent._hub_local import get_hub_if_exists  # noqa: E402
from gevent.monkey import get_original  # noqa: E402

from sync_sio.drivers.greenlets import MAX_PARKED, GreenletsDriver  # noqa: E402
from sync_sio.drivers.locks import breaches  # noqa: E402

from .rig import PATIENCE, Client, GeventRig, echo, running  # noqa: E402


@pytest.fixture
def rig() -> Iterator[GeventRig]:
    breaches.clear()
    with running(GeventRig(GreenletsDriver())) as rig:
        assert isinstance(rig, GeventRig)
        yield rig


def test_a_foreign_thread_that_uses_the_driver_gets_no_hub(rig: GeventRig) -> None:
    client = Client(rig, echo).start()
    answer = rig.driver.waiter()

    def use_everything() -> Any:
        rig.driver.post(answer.set)
        assert answer.wait(PATIENCE)
        assert not rig.driver.waiter().wait(0.01)
        rig.driver.sleep(0.001)
        rig.driver.later(0, answer.set)
        rig.driver.spawn(answer.set)
        client.put(b"x")
        client.send(b"y")
        with client.lock:
            rig.driver.set_interest(client, True, False)
        assert rig.driver.may_wait()
        return get_hub_if_exists()

    assert rig.thread(use_everything)() is None
    assert sorted(client.far.recv(2)) == sorted(b"xy")
    client.close()


def test_a_foreign_thread_with_a_hub_of_its_own_waits_in_it(rig: GeventRig) -> None:
    waiter = rig.driver.waiter()
    progress: list[int] = []

    def serve() -> int:
        ticker = gevent.spawn(lambda: [(progress.append(index), gevent.sleep(0.001)) for index in range(5)])
        assert waiter.wait(PATIENCE)
        ticker.join()
        gevent.get_hub().destroy(destroy_loop=True)
        return len(progress)

    join = rig.thread(serve)
    rig.until(lambda: len(progress) > 3)
    waiter.set()
    assert join() == 5


def test_a_wait_without_a_time_out_is_not_taken_for_the_end_of_the_world(rig: GeventRig) -> None:
    """gevent raises LoopExit when nothing in the loop could ever wake anybody; a foreign thread can."""
    waiter = rig.driver.waiter()
    join = rig.thread(lambda: (rig.driver.sleep(0.02), waiter.set(1)))
    assert waiter.wait() is True
    join()


def test_a_timeout_of_gevents_ends_a_wait_and_a_late_result_harms_nobody(rig: GeventRig) -> None:
    waiter = rig.driver.waiter()
    with pytest.raises(gevent.Timeout), gevent.Timeout(0.01):
        waiter.wait(PATIENCE)
    waiter.set("late")
    gevent.sleep(0.01)
    assert waiter.wait(0) is True


def test_a_killed_handler_ends_alone(rig: GeventRig) -> None:
    victims: list[Any] = []

    def handler(client: Client, data: bytes) -> None:
        if data == b"k":
            victims.append(gevent.getcurrent())
            rig.driver.sleep(PATIENCE)
        client.send(data)

    client = Client(rig, handler).start()
    client.far.send(b"k")
    rig.until(lambda: bool(victims))
    gevent.kill(victims[0])
    client.far.send(b"x")
    assert client.far.recv(1) == b"x"
    client.close()


def test_greenlets_are_used_again_and_few_are_kept(rig: GeventRig) -> None:
    seen = set()
    go_on = rig.driver.waiter()

    def handler(client: Client, data: bytes) -> None:
        seen.add(id(gevent.getcurrent()))
        if data == b"w":
            assert go_on.wait(PATIENCE)
        client.send(data)

    client = Client(rig, handler).start()
    for _ in range(50):
        client.far.send(b"x")
        assert client.far.recv(1) == b"x"
    assert len(seen) == 1
    crowd = [Client(rig, handler).start() for _ in range(MAX_PARKED + 20)]
    for other in crowd:
        other.far.send(b"w")
    rig.until(lambda: len(rig.driver._busy) == len(crowd))
    go_on.set()
    for other in crowd:
        assert other.far.recv(1) == b"w"
        other.close()
    assert len(rig.driver._free) <= MAX_PARKED
    client.close()


def test_a_handler_that_switches_with_a_lock_held_is_noticed(rig: GeventRig) -> None:
    client = Client(rig, lambda client, data: _switch_with_lock(client)).start()
    client.far.send(b"x")
    rig.until(lambda: bool(breaches))
    assert "a greenlet is switched while" in breaches[0]
    rig.until(lambda: client.strand.is_idle)
    breaches.clear()
    client.close()
    breaches.clear()


def _switch_with_lock(client: Client) -> None:
    with client.lock:
        gevent.sleep(0)


def test_one_greenlet_reads_and_works_for_everybody_as_long_as_nobody_blocks(rig: GeventRig) -> None:
    seen: list[tuple[str, object]] = []
    hub = gevent.get_hub()

    class Asking(Client):
        def on_readable(self) -> None:
            seen.append(("reads", gevent.getcurrent()))
            assert not self.driver.may_wait()
            super().on_readable()

    def work(client: Client, data: bytes) -> None:
        seen.append(("works", gevent.getcurrent()))
        if data == b"w":
            rig.driver.sleep(0.001)
        client.send(data)

    crowd = [Asking(rig, work).start() for _ in range(5)]
    for client in crowd:
        client.far.send(b"x")
    assert [client.far.recv(1) for client in crowd] == [b"x"] * 5
    assert [what for what, _ in seen] == ["reads", "works"] * 5
    leader = seen[0][1]
    assert {who for _, who in seen} == {leader} and leader is not hub

    seen.clear()
    for client in crowd:
        client.far.send(b"w" if client is crowd[2] else b"x")
    assert [client.far.recv(1) for client in crowd] == [b"x", b"x", b"w", b"x", b"x"]
    assert [what for what, _ in seen] == ["reads", "works"] * 5
    # who blocked in its turn is followed by another, which goes on with the next
    assert {who for _, who in seen[:6]} == {leader} and leader not in [who for _, who in seen[6:]]
    for client in crowd:
        client.close()


def test_phase_one_may_not_wait_though_it_is_not_in_the_hub(rig: GeventRig) -> None:
    refused: list[BaseException] = []

    class Waiting(Client):
        def on_readable(self) -> None:
            for wait in (self.driver.waiter().wait, self.driver.sleep):
                with pytest.raises(RuntimeError, match="phase one may not wait") as caught:
                    wait(0.001)
                refused.append(caught.value)
            super().on_readable()

    client = Waiting(rig, echo).start()
    client.far.send(b"x")
    assert client.far.recv(1) == b"x" and len(refused) == 2
    client.close()


def test_a_greenlet_that_a_handler_has_left_a_time_out_in_goes_on(rig: GeventRig, caplog: pytest.LogCaptureFixture) -> None:
    def forget(client: Client, data: bytes) -> None:
        gevent.Timeout(0.001).start()
        client.send(data)

    client = Client(rig, forget).start()
    client.far.send(b"x")
    assert client.far.recv(1) == b"x"
    rig.until(lambda: "thrown into" in caplog.text)
    client.fn = echo
    client.far.send(b"yz")
    assert client.far.recv(2) == b"yz"
    client.close()


def test_a_hub_is_not_kept_waiting_by_a_driver_that_watches_nothing(rig: GeventRig) -> None:
    client = Client(rig, echo).start()
    client.far.send(b"x")
    assert client.far.recv(1) == b"x"
    assert not gevent.get_hub().join(0.01)
    client.close()
    client.far.close()
    assert gevent.get_hub().join(PATIENCE), "nothing is left to wait for"
    again = Client(rig, echo).start()
    again.far.send(b"x")
    assert again.far.recv(1) == b"x"
    again.close()


def test_the_child_of_a_fork_starts_anew_and_the_parent_goes_on(rig: GeventRig) -> None:
    client = Client(rig, echo).start()
    rig.round()
    pid = gevent.os.fork_gevent()       # gevent's own waiting for children may miss one that ends at once
    if pid == 0:
        code = 1
        try:
            rig.driver.abandon()
            mine = Client(rig, echo).start()
            mine.far.send(b"c")
            code = 0 if mine.far.recv(1) == b"c" and client.discarded == 0 else 2
        finally:
            os._exit(code)
    assert get_original("os", "waitpid")(pid, 0)[1] == 0
    client.far.send(b"p")
    assert client.far.recv(1) == b"p"
    client.close()


def test_a_driver_that_was_used_and_dropped_is_collected() -> None:
    import weakref

    rig = GeventRig(GreenletsDriver())
    client = Client(rig, echo).start()
    client.far.send(b"x")
    assert client.far.recv(1) == b"x"
    client.close()
    rig.driver.stop(PATIENCE)
    reference = weakref.ref(rig.driver)
    del rig, client
    gevent.sleep(0)
    gc.collect()
    assert reference() is None


def test_threads_are_not_started(rig: GeventRig) -> None:
    client = Client(rig, echo).start()
    before = threading.active_count()
    client.far.send(b"x")
    assert client.far.recv(1) == b"x"
    assert threading.active_count() == before
    client.close()
