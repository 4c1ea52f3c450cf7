"""What only the threads runtime has: the lead, the standby, the pool, learning."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from sync_sio.drivers.base import Habit
from sync_sio.drivers.locks import allocate_lock, breaches, get_ident
from sync_sio.drivers.loop import Loop
from sync_sio.drivers.pollers import Bell
from sync_sio.drivers.pool import BRISK, Pool
from sync_sio.drivers.strand import FIRST_PENALTY, Strand, Worker, catch
from sync_sio.drivers.threads import ThreadsDriver

from .rig import PATIENCE, Client, ThreadsRig, echo, running


@pytest.fixture
def rig() -> Iterator[ThreadsRig]:
    breaches.clear()
    with running(ThreadsRig(ThreadsDriver())) as rig:
        assert isinstance(rig, ThreadsRig)
        rig.warm_up()
        yield rig


class HandDriver(ThreadsDriver):
    """A driver whose loop is stepped by the test: nothing starts by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.given: list[Strand] = []
        self._loop = Loop(self.given.append)
        self._loop.has_standby = True

    def start_if_needed(self) -> None: ...


@pytest.fixture
def hand() -> Iterator[ThreadsRig]:
    rig = ThreadsRig(HandDriver())
    yield rig
    rig.driver.loop.close()
    assert not breaches


# -- the lead, step by step ----------------------------------------------------------------------------------------------


def test_one_step_reads_and_runs(hand: ThreadsRig) -> None:
    loop, me = hand.driver.loop, Worker(get_ident())
    client = Client(hand, echo).start()
    assert loop.lead.acquire(False)
    client.far.send(b"abc")
    assert loop.step(me, 1) is True
    assert client.far.recv(3) == b"abc" and client.stream.writes == 1
    assert loop.lead.locked() and loop.reader == me.ident
    hand.driver.discard(client)
    loop.step(me, 0)
    assert client.discarded == 1


def test_whoever_finds_the_lead_gone_after_its_turn_leads_no_more(hand: ThreadsRig) -> None:
    loop = hand.driver.loop
    first, second = Worker(get_ident()), Worker(get_ident())
    seen = []

    def handler(client: Client, data: bytes) -> None:
        client.send(data)
        # the standby's part, played here: it takes the lead from the table while this turn runs
        assert loop.lead.acquire(False)
        habit = loop.take_over(second)
        assert habit is client.habit
        seen.append((list(client.out), first.is_inline, client.corked))

    client = Client(hand, handler).start()
    other = Client(hand, echo).start()
    loop.lead.acquire(False)
    client.far.send(b"x")
    other.far.send(b"y")
    hand.until(lambda: len(_polled(loop)) == 2)
    assert loop.step(first, 1) is False
    assert seen == [([], False, 0)]             # what was gathered went out at the moment of the change
    # the turn that the first had not begun is the second's now, and nothing was read twice
    assert loop.step(second, 0) is True
    assert client.far.recv(1) == b"x" and other.far.recv(1) == b"y"
    assert client.reads == other.reads == 1
    for one in (client, other):
        hand.driver.discard(one)
    loop.step(second, 0)


def _polled(loop: Loop) -> list[Any]:
    return [event for event in loop.watched.poller.poll(0, 10) if event[0] != loop._bell.fd]


def test_who_comes_back_first_leads_and_sends_what_the_other_has_gathered(hand: ThreadsRig) -> None:
    """A was overtaken by B, B is in a turn when A comes back: A leads, and B's turn is corked no longer."""
    loop = hand.driver.loop
    a, b = Worker(get_ident()), Worker(get_ident())
    seen: list[Any] = []

    def handler_of_b(client: Client, data: bytes) -> None:
        client.send(b"gathered")
        assert client.out == [b"gathered"]
        # A comes back: what its `_run_turns` does after a turn
        assert loop.lead.acquire(False)
        loop.take_over(a)
        seen.append((b.is_inline, client.out, client.corked))

    client = Client(hand, handler_of_b).start()
    client.far.send(b"x")
    loop.lead.acquire(False)
    assert loop.step(b, 1) is False
    assert seen == [(False, [], 0)]
    assert client.far.recv(8) == b"gathered"
    hand.driver.discard(client)
    loop.step(a, 0)


def test_without_a_standby_turns_are_given_away(hand: ThreadsRig) -> None:
    loop, me = hand.driver.loop, Worker(get_ident())
    loop.has_standby = False
    client = Client(hand, echo).start()
    loop.lead.acquire(False)
    client.far.send(b"x")
    loop.step(me, 1)
    assert hand.driver.given == [client.strand]
    client.strand.work()
    assert client.far.recv(1) == b"x"
    hand.driver.discard(client)
    loop.step(me, 0)


def test_what_is_known_to_block_is_given_away(hand: ThreadsRig) -> None:
    loop, me = hand.driver.loop, Worker(get_ident())
    habit = Habit()
    client = Client(hand, echo, habit).start()
    catch(habit)
    loop.lead.acquire(False)
    client.far.send(b"x")
    loop.step(me, 1)
    assert hand.driver.given == [client.strand]
    client.strand.work()
    hand.driver.discard(client)
    loop.step(me, 0)


def test_a_post_ends_the_waiting_of_a_leader(hand: ThreadsRig) -> None:
    loop, me = hand.driver.loop, Worker(get_ident())
    seen: list[int] = []
    loop.lead.acquire(False)
    join = hand.thread(lambda: (hand.until(lambda: loop._is_polling), hand.driver.post(seen.append, 1)))
    started = time.monotonic()
    while not seen:
        loop.step(me, 5)
    assert time.monotonic() - started < 4
    loop.reader = 0
    join()


def test_a_round_without_the_lead_is_a_breach(hand: ThreadsRig) -> None:
    with pytest.raises(AssertionError, match="without the lead"):
        hand.driver.loop.step(Worker(get_ident()), 0)
    breaches.clear()


# -- learning and the pool ---------------------------------------------------------------------------------------------------


def test_a_handler_that_blocks_is_caught_and_goes_to_the_pool(rig: ThreadsRig) -> None:
    idents = []

    def handler(client: Client, data: bytes) -> None:
        idents.append(get_ident())
        time.sleep(0.03)
        client.send(data)

    client = Client(rig, handler).start()
    client.far.send(b"x")
    assert client.far.recv(1) == b"x"
    rig.until(lambda: client.habit.pooled == FIRST_PENALTY)
    for _ in range(3):
        client.far.send(b"x")
        assert client.far.recv(1) == b"x"
    assert rig.driver.loop.leader is not None and rig.driver.loop.leader.ident not in idents[1:]
    assert client.habit.pooled == FIRST_PENALTY - 3
    client.close()


def test_a_wait_that_is_announced_hands_the_lead_over_at_once_and_is_not_held_against_it(rig: ThreadsRig) -> None:
    go_on = rig.driver.waiter()
    waiting = Client(rig, lambda client, data: (go_on.wait(PATIENCE), client.send(data))).start()
    quick = Client(rig, echo).start()
    waiting.far.send(b"x")
    for _ in range(5):
        quick.far.send(b"q")
        assert quick.far.recv(1) == b"q"
    go_on.set()
    assert waiting.far.recv(1) == b"x"
    assert waiting.habit.penalty == 0
    waiting.close()
    quick.close()


def test_quick_events_run_while_the_pool_is_full() -> None:
    breaches.clear()
    with running(ThreadsRig(ThreadsDriver(max_handlers=2))) as rig:
        rig.warm_up()
        release = threading.Event()
        habit = Habit()
        catch(habit)
        slow = [Client(rig, lambda client, data: (release.wait(PATIENCE), client.send(data)), habit).start() for _ in range(10)]
        for client in slow:
            client.far.send(b"s")
        rig.until(lambda: len(rig.driver._pool.jobs) == 8)
        quick = Client(rig, echo).start()
        for _ in range(20):
            quick.far.send(b"q")
            assert quick.far.recv(1) == b"q"
        release.set()
        for client in slow:
            assert client.far.recv(1) == b"s"
            client.close()
        quick.close()


def test_threads_are_made_when_needed_and_go_when_idle() -> None:
    breaches.clear()
    before = threading.active_count()
    rig = ThreadsRig(ThreadsDriver(idle_seconds=0.05))
    assert threading.active_count() == before       # nothing starts by itself
    with running(rig):
        rig.warm_up()
        release = threading.Event()
        habit = Habit()
        catch(habit)
        clients = [Client(rig, lambda client, data: (release.wait(PATIENCE), client.send(data)), habit).start() for _ in range(8)]
        for client in clients:
            client.far.send(b"x")
        rig.until(lambda: threading.active_count() >= before + 2 + 8)
        release.set()
        for client in clients:
            assert client.far.recv(1) == b"x"
        rig.until(lambda: threading.active_count() <= before + 2)
        for client in clients:
            client.close()
    rig.until(lambda: threading.active_count() == before)


def test_there_are_never_more_threads_than_said() -> None:
    breaches.clear()
    before = threading.active_count()
    most = [0]
    with running(ThreadsRig(ThreadsDriver(max_handlers=3))) as rig:

        def handler(client: Client, data: bytes) -> None:
            most[0] = max(most[0], threading.active_count())
            time.sleep(0.002)
            client.send(data)

        clients = [Client(rig, handler).start() for _ in range(20)]
        for client in clients:
            client.far.send(b"xxx")
        for client in clients:
            assert client.far.recv(3) == b"xxx"
            client.close()
    assert most[0] <= before + 3 + 2


def test_two_hundred_handlers_that_wait_for_their_clients_all_get_answers() -> None:
    """The pool holds 64 of them; the answers are read by who does not run handlers."""
    breaches.clear()
    with running(ThreadsRig(ThreadsDriver())) as rig:
        answers: dict[Client, Any] = {}

        def handler(client: Client, data: bytes) -> None:
            client.send(b"?")
            assert answers[client].wait(PATIENCE)
            client.send(b"!")

        class Calling(Client):
            def put(self, data: bytes) -> None:
                if data == b"a":
                    answers[self].set()
                else:
                    super().put(data)

        clients = [Calling(rig, handler) for _ in range(200)]
        for client in clients:
            answers[client] = rig.driver.waiter()
            client.start()
            client.far.send(b"q")
        # those that have a thread ask; each answer frees one for the next
        for client in sorted(clients, key=lambda client: client.fd):
            client.far.send(b"a")
        for client in clients:
            assert client.far.recv(2) == b"?!"
            client.close()


def test_a_job_for_the_pool_may_come_while_all_sleep_deeply(rig: ThreadsRig) -> None:
    rig.until(lambda: rig.driver.loop.on_turn is not None)
    habit = Habit()
    catch(habit)
    client = Client(rig, echo, habit).start()
    started = time.monotonic()
    client.put(b"x")
    assert client.far.recv(1) == b"x"
    assert time.monotonic() - started < 1
    client.close()


def test_a_blocking_turn_is_noticed_soon_after_a_deep_sleep(rig: ThreadsRig) -> None:
    rig.until(lambda: rig.driver.loop.on_turn is not None)
    slow = Client(rig, lambda client, data: (time.sleep(0.3), client.send(data))).start()
    quick = Client(rig, echo).start()
    slow.far.send(b"s")
    started = time.monotonic()
    quick.far.send(b"q")
    assert quick.far.recv(1) == b"q"
    assert time.monotonic() - started < 0.2
    assert slow.far.recv(1) == b"s"
    slow.close()
    quick.close()


# -- life ------------------------------------------------------------------------------------------------------------------


def test_a_system_without_more_threads_serves_with_those_it_has(
    rig: ThreadsRig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    clients = [Client(rig, lambda client, data: (time.sleep(0.01), client.send(data))).start() for _ in range(4)]
    for client in clients:
        client.far.send(b"xx")
    for client in clients:
        assert client.far.recv(2) == b"xx"
        client.close()
    assert sum("cannot start a thread" in record.getMessage() for record in caplog.records) <= 1


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_the_child_of_a_fork_starts_anew_and_the_parent_goes_on(rig: ThreadsRig) -> None:
    client = Client(rig, echo).start()
    client.far.send(b"x")
    assert client.far.recv(1) == b"x"
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            rig.driver.abandon()
            client.stream.close()
            mine = Client(rig, echo).start()
            mine.far.send(b"c")
            code = 0 if mine.far.recv(1) == b"c" and client.discarded == 0 else 2
        finally:
            os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0
    client.far.send(b"p")
    assert client.far.recv(1) == b"p"
    client.close()


def test_an_abandoned_driver_closes_its_own_descriptors_only(rig: ThreadsRig) -> None:
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else None
    if before is None:
        pytest.skip("descriptors cannot be counted here")
    other = ThreadsDriver()
    assert other.loop is not None
    other.abandon()
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_lock_that_another_thread_held_at_the_fork_blocks_no_child() -> None:
    """What a child finds: locks that nobody will ever release."""
    driver = ThreadsDriver()
    rig = ThreadsRig(driver)
    held = driver.waiter()
    driver.loop.post(print, ())

    def hold() -> None:
        driver.loop._bell._mutex.acquire()
        driver.loop.watched._watching.acquire()
        driver._starting.acquire()
        driver._pool._mutex.acquire()
        held.set()

    rig.thread(hold)()
    assert held.wait(PATIENCE)
    driver.abandon()
    client = Client(rig, echo).start()
    client.far.send(b"x")
    assert client.far.recv(1) == b"x"
    client.close()
    driver.stop(PATIENCE)


# -- the end -----------------------------------------------------------------------------------------------------------------


def test_what_is_discarded_while_the_loop_ends_is_seen_to_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for ends_first in (True, False):
        rig = ThreadsRig(ThreadsDriver())
        client = Client(rig, echo).start()
        rig.round()
        discard = rig.driver.loop.watched.discard

        def around(
            watched: Client, rig: ThreadsRig = rig, discard: Any = discard, ends_first: bool = ends_first
        ) -> None:
            if ends_first:
                rig.driver.stop(PATIENCE)
            discard(watched)
            if not ends_first:
                rig.driver.stop(PATIENCE)

        monkeypatch.setattr(rig.driver.loop.watched, "discard", around)
        rig.driver.discard(client)
        assert rig.driver.loop.watched.is_closed and client.fd == -1 and client.discarded == 1
        rig.driver.discard(client)
        assert client.discarded == 1
        client.far.close()
        assert rig.driver.audit() == []


def test_after_an_end_without_a_beginning_what_comes_is_seen_to_once_and_nothing_is_left() -> None:
    before = os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else []
    for is_made in (False, True):
        rig = ThreadsRig(ThreadsDriver())
        assert not is_made or rig.driver.loop
        rig.driver.stop(PATIENCE)
        client = Client(rig, echo).start()
        assert client.discarded == 0
        for _ in range(2):
            rig.driver.discard(client)
            assert client.discarded == 1
        client.far.close()
        assert rig.driver.audit() == []
    if before:
        assert os.listdir("/proc/self/fd") == before


def test_a_loop_does_not_close_while_something_is_being_watched(hand: ThreadsRig) -> None:
    """Whoever has seen that it is open must not meet a closed poll set."""
    loop = hand.driver.loop
    client = Client(hand, echo)
    register = loop.watched.poller.register
    closing = threading.Thread(target=loop.close)

    def register_late(fd: int, mask: int) -> None:
        closing.start()
        closing.join(0.1)
        register(fd, mask)

    loop.watched.poller.register = register_late
    hand.driver.watch(client)
    closing.join(PATIENCE)
    assert loop.watched.is_closed
    loop.watched.discard_now(client)
    assert client.discarded == 1
    client.far.close()


def test_a_process_with_a_driver_that_serves_ends_by_itself() -> None:
    """All threads are daemons, and none is started when the interpreter shuts down."""
    code = """
import atexit, socket, _socket
from sync_sio.drivers.threads import ThreadsDriver
from sync_sio.drivers.strand import Strand
driver = ThreadsDriver()
atexit.register(lambda: (driver.post(print, "late"), driver.spawn))
driver.post(print, "served", )
waiter = driver.waiter()
driver.later(0.01, waiter.set)
assert waiter.wait(5)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0 and not done.stderr, done.stderr
    assert "served" in done.stdout


def test_a_bell_that_is_closed_writes_nowhere() -> None:
    bell = Bell()
    bell.close()
    bell.close()
    read, write = os.pipe()
    bell.ring()
    os.set_blocking(read, False)
    with pytest.raises(BlockingIOError):
        os.read(read, 1)
    os.close(read)
    os.close(write)


def test_a_bell_without_eventfd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "eventfd", raising=False)
    bell = Bell()
    for _ in range(3):
        bell.ring()
        assert os.get_blocking(bell.fd) is False
        bell.on_readable()
        with pytest.raises(BlockingIOError):
            os.read(bell.fd, 1)
    bell.close()


@pytest.mark.parametrize("is_before", [True, False], ids=["before the read", "after it"])
def test_a_bell_that_is_rung_while_it_is_heard_can_be_rung_again(is_before: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    bell = Bell()
    read = os.read

    def read_beside_a_ring(fd: int, size: int) -> bytes:
        if is_before:
            bell.ring()
        data = read(fd, size)
        if not is_before:
            bell.ring()
        return data

    bell.ring()
    with monkeypatch.context() as patch:
        patch.setattr(os, "read", read_beside_a_ring)
        bell.on_readable()
    bell.ring()
    assert os.read(bell.fd, 64)
    bell.close()


# -- under a switch at every bytecode, nearly ----------------------------------------------------------------------------------


@pytest.fixture
def _switching() -> Iterator[None]:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("_switching")
@pytest.mark.parametrize("kind", ["quick", "mixed", "blocking"])
def test_nothing_is_lost_reordered_or_run_twice_under_stress(kind: str) -> None:
    breaches.clear()
    with running(ThreadsRig(ThreadsDriver(max_handlers=8))) as rig:
        count, each = 8, 150
        text = bytes(range(33, 123))

        def handler(client: Client, data: bytes) -> None:
            if kind == "blocking" or (kind == "mixed" and data in b"AMZ"):
                if data in b"AZ":
                    rig.driver.sleep(0.0005)
                else:
                    time.sleep(0.0005 if kind == "blocking" else 0.006)
            client.send(data)

        clients = [Client(rig, handler).start() for _ in range(count)]
        expected = (text * (each // len(text) + 1))[:each]
        stop = allocate_lock()
        stop.acquire()

        def busy() -> None:
            while not stop.acquire(False):
                sum(range(100))

        joins = [rig.thread(busy)]

        def talk(client: Client, step: int) -> bytes:
            got = b""
            for start in range(0, each, step):
                part = expected[start : start + step]
                client.far.send(part)
                got += client.far.recv(len(part))
            return got

        talks = [rig.thread(talk, client, index % 4 + 1) for index, client in enumerate(clients)]
        for join in talks:
            assert join() == expected
        stop.release()
        joins[0]()
        for client in clients:
            client.close()
        rig.until(lambda: not any(client.queued for client in clients))


@pytest.mark.usefixtures("_switching")
def test_clients_come_and_go_under_stress() -> None:
    breaches.clear()
    with running(ThreadsRig(ThreadsDriver(max_handlers=8))) as rig:

        def live(number: int) -> int:
            for round_ in range(25):
                client = Client(rig, echo).start()
                client.far.send(b"xy")
                if round_ % 3:
                    assert client.far.recv(2) == b"xy"
                if round_ % 2:
                    rig.driver.discard(client)
                client.far.close()
                rig.driver.discard(client)
                assert client.gone.wait(PATIENCE)
                assert client.discarded == 1
            return number

        joins = [rig.thread(live, number) for number in range(6)]
        assert [join() for join in joins] == list(range(6))


@pytest.mark.usefixtures("_switching")
def test_drivers_start_and_stop_under_stress() -> None:
    breaches.clear()
    before = threading.active_count()
    descriptors = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    for index in range(30):
        rig = ThreadsRig(ThreadsDriver(max_handlers=4))
        clients = [Client(rig, echo).start() for _ in range(4)]
        for client in clients:
            client.far.send(b"x")
        if index % 2:
            rig.until(lambda clients=clients: all(client.reads for client in clients))
        for client in clients:
            rig.driver.discard(client)
        rig.driver.stop(PATIENCE)
        for client in clients:
            assert client.discarded == 1
            client.far.close()
    rig.until(lambda: threading.active_count() == before)       # one that has said goodbye may still be on its way out
    if descriptors:
        assert len(os.listdir("/proc/self/fd")) == descriptors
    assert not breaches


# -- the pool ----------------------------------------------------------------------------------------------------------------


def test_nobody_more_is_called_while_the_pool_gets_on() -> None:
    over = threading.Event()

    def live() -> None:
        pool.begun()
        over.wait(PATIENCE)

    def wait_for(threads: int) -> None:
        deadline = time.monotonic() + PATIENCE
        while len(pool.threads) != threads or pool._waking:
            assert time.monotonic() < deadline
            time.sleep(0.001)

    pool = Pool(live, 10)
    rig = ThreadsRig(ThreadsDriver())
    flow = Client(rig, echo)
    try:
        for _ in range(3):
            pool.give(Strand(flow))
        pool.nudge()
        wait_for(2)                                 # at once
        for _ in range(BRISK):
            pool.give(Strand(flow))
            pool.jobs.popleft()
        pool.nudge()
        assert pool.jobs and len(pool.threads) == 2
        pool.nudge()                                # nothing was begun since: those two block
        wait_for(4)
    finally:
        over.set()
        for thread in pool.others():
            thread.join(PATIENCE)
