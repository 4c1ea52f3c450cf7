"""The seeded scheduler itself: it finds what is broken in few schedules, finds it again, and finds nothing in what is whole."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress

import pytest

from sync_sio.testing.interleave import InterleaveDriver, ScheduleFailed, explore, replay
from sync_sio.testing.primitives import InterleaveWaiter
from sync_sio.testing.schedule import BrokenRule, Deadlock, Livelock
from tests.tools import ROOT

Scenario = Callable[[InterleaveDriver], None]


def fails(scenario: Scenario, seeds: int = 300) -> ScheduleFailed:
    with pytest.raises(ScheduleFailed) as caught:
        explore(scenario, range(seeds))
    return caught.value


def points(failure: ScheduleFailed) -> str:
    return str(failure).partition("the last points:")[2]


# --- two classics, broken and whole


class Rooms:
    """Sockets and rooms; the broken kind looks whether the socket is still there before it takes the lock."""

    def __init__(self, driver: InterleaveDriver, is_broken: bool) -> None:
        self.lock = driver.lock()
        self.is_broken = is_broken
        self.sockets = {"a"}
        self.rooms: dict[str, set[str]] = {}

    def join(self, sid: str, room: str) -> None:
        if self.is_broken and sid not in self.sockets:
            return
        with self.lock:
            if self.is_broken or sid in self.sockets:
                self.rooms.setdefault(room, set()).add(sid)

    def leave_all(self, sid: str) -> None:
        with self.lock:
            self.sockets.discard(sid)
            for members in self.rooms.values():
                members.discard(sid)


def join_against_disconnect(driver: InterleaveDriver, is_broken: bool) -> None:
    rooms = Rooms(driver, is_broken)
    driver.run_all(lambda: rooms.join("a", "r"), lambda: rooms.leave_all("a"))
    assert not rooms.rooms.get("r"), "a ghost is in the room"


class Queue:
    """Items and a worker that sleeps when there are none; the broken kind goes to sleep after it has let the lock go."""

    def __init__(self, driver: InterleaveDriver, is_broken: bool) -> None:
        self.driver = driver
        self.lock = driver.lock()
        self.is_broken = is_broken
        self.items: list[int] = []
        self.sleeper: InterleaveWaiter | None = None

    def put(self, item: int) -> None:
        with self.lock:
            self.items.append(item)
            sleeper, self.sleeper = self.sleeper, None
        if sleeper is not None:
            sleeper.set()

    def take(self) -> int:
        while True:
            with self.lock:
                if self.items:
                    return self.items.pop(0)
                waiter = self.driver.waiter()
                if not self.is_broken:
                    self.sleeper = waiter
            if self.is_broken:
                with self.lock:
                    self.sleeper = waiter
            waiter.wait()


def wake_up(driver: InterleaveDriver, is_broken: bool) -> None:
    queue = Queue(driver, is_broken)
    taken: list[int] = []

    def put() -> None:
        for number in range(3):
            queue.put(number)

    driver.run_all(put, lambda: taken.extend(queue.take() for _ in range(3)))
    assert taken == [0, 1, 2]


CLASSICS = [join_against_disconnect, wake_up]


@pytest.mark.parametrize("classic", CLASSICS)
def test_finds_a_classic_race_in_few_schedules_and_finds_it_again(classic: Callable[[InterleaveDriver, bool], None]) -> None:
    def broken(driver: InterleaveDriver) -> None:
        classic(driver, True)

    failure = fails(broken, 100)
    for _ in range(3):
        with pytest.raises(ScheduleFailed) as again:
            replay(broken, failure.seed)
        assert again.value.seed == failure.seed
        assert points(again.value) == points(failure)


@pytest.mark.parametrize("classic", CLASSICS)
def test_finds_nothing_in_the_mended_version(classic: Callable[[InterleaveDriver, bool], None]) -> None:
    def mended(driver: InterleaveDriver) -> None:
        classic(driver, False)

    assert explore(mended, range(3000)) == 3000


def test_the_failure_names_the_seed_and_tells_who_waits_for_what_and_the_last_points() -> None:
    def broken(driver: InterleaveDriver) -> None:
        wake_up(driver, True)

    failure = fails(broken)
    assert isinstance(failure.__cause__, Deadlock)
    text = str(failure)
    assert f"seed {failure.seed} of broken failed" in text
    assert "waits for a waiter" in text
    assert "the last points:" in text and "lock in put (schedules/test_interleave.py:" in text


def test_three_thousand_schedules_take_about_a_second() -> None:
    def mended(driver: InterleaveDriver) -> None:
        join_against_disconnect(driver, False)

    begun = time.process_time()
    explore(mended, range(3000))
    assert time.process_time() - begun < 3.0


# --- the rules


def test_a_lock_is_a_leaf() -> None:
    def scenario(driver: InterleaveDriver) -> None:
        with driver.lock(), driver.lock():
            pass

    assert "locks are leaves" in str(fails(scenario))


def test_a_lock_is_re_entrant_and_excludes() -> None:
    def scenario(driver: InterleaveDriver) -> None:
        lock = driver.lock()
        inside: list[str] = []

        def work() -> None:
            with lock, lock:
                assert not inside
                inside.append("me")
                driver.point()
                inside.pop()

        driver.run_all(work, work, work)
        assert lock.acquire(blocking=False)
        other = driver.thread(lambda: seen.extend([lock.acquire(blocking=False), lock.acquire(timeout=1.0)]))
        seen: list[bool] = []
        driver.join(other)
        lock.release()
        assert seen == [False, False]

    explore(scenario)


def test_nobody_waits_with_a_lock_held() -> None:
    def scenario(driver: InterleaveDriver) -> None:
        with driver.lock():
            driver.waiter().wait(1.0)

    assert "waits for a waiter with <lock made at" in str(fails(scenario))


def test_nobody_waits_in_phase_one() -> None:
    def scenario(driver: InterleaveDriver) -> None:
        driver.post(driver.sleep, 1.0)
        driver.sleep(2.0)

    assert "phase one waits" in str(fails(scenario))


def test_a_step_that_keeps_its_lock_fails() -> None:
    def scenario(driver: InterleaveDriver) -> None:
        lock = driver.lock()

        def keep() -> None:
            lock.acquire()

        driver.post(keep)
        driver.settle()

    assert "has ended and still holds" in str(fails(scenario))


def test_user_code_may_not_run_with_a_lock_or_in_phase_one() -> None:
    def locked(driver: InterleaveDriver) -> None:
        with driver.lock():
            driver.assert_user_code_may_run()

    def in_phase_one(driver: InterleaveDriver) -> None:
        driver.post(driver.assert_user_code_may_run)
        driver.settle()

    assert "user code runs with" in str(fails(locked))
    assert "user code runs in phase one" in str(fails(in_phase_one))


def test_what_is_raised_in_phase_one_fails_the_schedule() -> None:
    def fail() -> None:
        raise ZeroDivisionError

    def scenario(driver: InterleaveDriver) -> None:
        driver.post(fail)
        driver.settle()

    assert isinstance(fails(scenario).__cause__, ZeroDivisionError)


def test_a_loop_without_end_is_reported() -> None:
    def scenario(driver: InterleaveDriver) -> None:
        def again() -> None:
            driver.post(again)

        again()
        driver.settle()

    assert isinstance(fails(scenario).__cause__, Livelock)


def test_what_never_ends_although_time_passes_is_reported() -> None:
    def scenario(driver: InterleaveDriver) -> None:
        def tick() -> None:
            driver.later(25.0, tick)

        tick()
        driver.waiter().wait()

    failure = fails(scenario)
    assert isinstance(failure.__cause__, Livelock)
    assert "main waits for a waiter" in str(failure)


# --- time


def test_time_passes_only_when_nothing_can_run_or_when_the_scenario_lets_it() -> None:
    def scenario(driver: InterleaveDriver) -> None:
        begun = driver.now()
        fired: list[float] = []
        driver.later(2.0, lambda: fired.append(driver.now() - begun))
        driver.later(1.0, lambda: fired.append(driver.now() - begun))
        driver.later(1.5, fired.append, -1.0).cancel()
        driver.settle()
        assert driver.now() == begun and not fired
        driver.sleep(1.5)
        driver.settle()
        assert fired == [1.0]
        driver.stall(10.0)
        driver.settle()
        assert driver.now() == begun + 11.5
        assert len(fired) == 2 and fired[1] >= 2.0
        assert driver.waiter().wait(1.0) is False
        assert driver.now() == begun + 12.5
        assert driver.audit() == []

    explore(scenario)


def test_posts_run_in_the_loop_in_order() -> None:
    def scenario(driver: InterleaveDriver) -> None:
        ran: list[int] = []
        for number in range(5):
            driver.post(ran.append, number)
        driver.settle()
        assert ran == [0, 1, 2, 3, 4]
        driver.stop(1.0)

    explore(scenario)


# --- streams


class Echo:
    """What the loop watches: it sends back what it reads, and keeps what does not fit."""

    def __init__(self, driver: InterleaveDriver, name: str) -> None:
        self.driver = driver
        self.stream, self.client = driver.stream_pair(name, to_client=8, to_server=8)
        self.fd = self.stream.fd
        self.lock = driver.lock()
        self.waiting = b""
        self.discarded = 0
        driver.watch(self)

    def on_readable(self) -> None:
        data = self.stream.recv(5)
        if data == b"":
            self.driver.discard(self)
        elif data:
            with self.lock:
                self.waiting += data
                self.flush()

    def on_writable(self) -> None:
        with self.lock:
            self.flush()

    def flush(self) -> None:
        try:
            self.waiting = self.waiting[self.stream.send(self.waiting) :] if self.waiting else b""
        except OSError:
            self.waiting = b""
            self.driver.discard(self)
        self.driver.set_interest(self, True, bool(self.waiting))

    def on_discarded(self) -> None:
        self.discarded += 1
        self.stream.close()


def test_bytes_arrive_whole_and_in_order_through_small_buffers() -> None:
    def scenario(driver: InterleaveDriver) -> None:
        echo = Echo(driver, "echo")
        message = bytes(range(100))
        got = b""
        writer = driver.thread(echo.client.write, message)
        while len(got) < len(message):
            got += echo.client.read()
        driver.join(writer)
        assert got == message
        echo.client.close()
        driver.settle()
        assert echo.discarded == 1
        assert driver.audit() == []

    explore(scenario)


def test_an_end_and_a_reset_are_seen_by_the_server_and_numbers_are_used_again() -> None:
    def scenario(driver: InterleaveDriver) -> None:
        for end in ("close", "reset"):
            echo = Echo(driver, end)
            echo.client.write(b"abc")
            getattr(echo.client, end)()
            driver.settle()
            assert echo.discarded == 1
            assert (echo.fd, echo.stream.fd) == (-1, 100)

    explore(scenario)


def test_what_the_server_sent_before_it_hung_up_arrives() -> None:
    def scenario(driver: InterleaveDriver) -> None:
        echo = Echo(driver, "echo")
        with echo.lock:
            sent = echo.stream.send(b"bye")
        echo.stream.shutdown()
        assert echo.client.read() == b"bye"[:sent]
        assert echo.client.read() == b""
        with pytest.raises(ConnectionError):
            echo.client.write(b"x")
        driver.settle()
        assert driver.audit() == []

    explore(scenario)


def test_a_descriptor_that_is_used_after_close_is_found() -> None:
    def scenario(driver: InterleaveDriver) -> None:
        echo = Echo(driver, "echo")

        def late() -> None:
            with echo.lock, suppress(OSError):
                echo.stream.send(b"late")

        driver.run_all(late, echo.client.close)
        driver.settle()

    assert "after close" in str(fails(scenario))


def test_a_descriptor_closed_by_another_than_the_loop_is_found() -> None:
    def scenario(driver: InterleaveDriver) -> None:
        stream, _ = driver.stream_pair("s")
        stream.close()

    assert "only the loop may" in str(fails(scenario))


def test_two_writers_at_a_time_and_writing_without_a_lock_are_found() -> None:
    def two(driver: InterleaveDriver) -> None:
        stream, _ = driver.stream_pair("s")

        def write() -> None:
            with driver.lock():         # each its own
                stream.send(b"x")

        driver.run_all(write, write)

    def bare(driver: InterleaveDriver) -> None:
        driver.stream_pair("s")[0].send(b"x")

    assert "two writers" in str(fails(two))
    assert "without a lock" in str(fails(bare))


def test_the_errors_are_assertions() -> None:
    assert issubclass(ScheduleFailed, AssertionError) and issubclass(BrokenRule, AssertionError)


def test_every_statement_may_be_a_point() -> None:
    environ = {**os.environ, "SYNC_SIO_POINTS": "1", "SYNC_SIO_SEEDS": "2"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/schedules/test_beginnings_and_limits.py"]
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=50)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
