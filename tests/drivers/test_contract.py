"""What every driver promises, see `sync_sio.drivers.base`: threads, gevent (patched too: test_patched), manual and interleaving.

On the interleaving one each test is a scenario, and runs in `SYNC_SIO_SEEDS` schedules.
"""

from __future__ import annotations

import gc
import logging
import weakref
from typing import Any

import pytest

from sync_sio.drivers.base import Habit
from sync_sio.drivers.strand import Strand

from .rig import PATIENCE, Client, Rig, echo

# -- turns ---------------------------------------------------------------------------------------------------------------


def test_what_comes_is_handled(rig: Rig) -> None:
    client = Client(rig, echo).start()
    client.far.send(b"a")
    assert client.far.recv(1) == b"a"
    client.close()
    rig.until(lambda: client.queued == client.queued_bytes == 0)


def test_events_of_one_strand_run_in_order_and_one_at_a_time(rig: Rig) -> None:
    running = []

    def handler(client: Client, data: bytes) -> None:
        assert not running
        running.append(data)
        if data in b"dm":
            rig.block(0.002)
        client.send(data)
        running.pop()

    client = Client(rig, handler).start()
    text = bytes(range(97, 123)) * 8
    for start in range(0, len(text), 5):
        client.far.send(text[start : start + 5])
    assert client.far.recv(len(text)) == text
    client.close()


def test_answers_of_one_turn_leave_in_one_write(rig: Rig) -> None:
    rig.warm_up()
    client = Client(rig, echo).start()
    client.far.send(b"0123456789")
    assert client.far.recv(10) == b"0123456789"
    if rig.name != "interleave":            # where chance says which turns gather what they send
        assert client.stream.writes == 1
    client.close()


def test_what_was_sent_before_a_wait_does_not_wait(rig: Rig) -> None:
    waiter = rig.driver.waiter()

    def handler(client: Client, data: bytes) -> None:
        client.send(b"half")
        assert waiter.wait(PATIENCE)
        client.send(b"done")

    client = Client(rig, handler).start()
    client.far.send(b"x")
    assert client.far.recv(4) == b"half"
    waiter.set()
    assert client.far.recv(4) == b"done"
    client.close()


def test_what_was_sent_before_blocking_unannounced_does_not_wait(rig: Rig) -> None:
    def handler(client: Client, data: bytes) -> None:
        client.send(b"half")
        rig.block(0.3)
        client.send(b"done")

    client = Client(rig, handler).start()
    client.far.send(b"x")
    started = rig.driver.now()
    assert client.far.recv(4) == b"half"
    assert rig.driver.now() - started < 0.25
    assert client.far.recv(4) == b"done"
    client.close()


@pytest.mark.parametrize("is_announced", [True, False])
def test_a_blocked_handler_holds_nobody_up(rig: Rig, is_announced: bool) -> None:
    go_on = rig.driver.waiter()
    release = [False]

    def slow(client: Client, data: bytes) -> None:
        if is_announced:
            go_on.wait(PATIENCE)
        else:
            while not release[0]:
                rig.block(0.01)
        client.send(b"s")

    blocked = [Client(rig, slow).start() for _ in range(5)]
    quick = Client(rig, echo).start()
    for client in blocked:
        client.far.send(b"x")
    for _ in range(20):
        quick.far.send(b"q")
        assert quick.far.recv(1) == b"q"
    release[0] = True
    go_on.set()
    for client in [*blocked, quick]:
        if client is not quick:
            assert client.far.recv(1) == b"s"
        client.close()


@pytest.mark.parametrize("is_announced", [True, False])
def test_more_blocked_turns_than_handlers_queue_and_quick_ones_are_served(small_rig: Rig, is_announced: bool) -> None:
    if not small_rig.has_bounds:
        pytest.skip("here every turn is a thread")
    rig = small_rig
    rig.warm_up()
    go_on = rig.driver.waiter()
    release = [False]
    inside = [0]
    most = [0]

    def slow(client: Client, data: bytes) -> None:
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        if is_announced:
            assert go_on.wait(PATIENCE)
        else:
            while not release[0]:
                rig.block(0.02)
        inside[0] -= 1
        client.send(b"s")

    habit = Habit()
    clients = [Client(rig, slow, habit).start() for _ in range(40)]
    for client in clients:
        client.far.send(b"x")
    rig.until(lambda: inside[0] >= 4)
    quick = Client(rig, echo).start()
    for _ in range(10):
        started = rig.driver.now()
        quick.far.send(b"x")
        if rig.name != "manual":            # whose turns do as they are told
            assert quick.far.recv(1) == b"x"
            assert rig.driver.now() - started < PATIENCE / 4
    release[0] = True
    go_on.set()
    for client in clients:
        assert client.far.recv(1) == b"s"
        client.close()
    quick.close()
    assert most[0] <= 4 + 2


def test_many_events_that_were_never_seen_to_block_are_bounded_too(small_rig: Rig) -> None:
    if not small_rig.has_bounds:
        pytest.skip("here every turn is a thread")
    rig = small_rig
    go_on = rig.driver.waiter()
    inside = [0]
    most = [0]

    def slow(client: Client, data: bytes) -> None:
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        assert go_on.wait(PATIENCE)
        inside[0] -= 1
        client.send(b"s")

    clients = [Client(rig, slow).start() for _ in range(40)]        # each has an event of its own
    for client in clients:
        client.far.send(b"x")
    rig.until(lambda: inside[0] >= 4)
    reading = Client(rig, echo).start()
    reading.far.send(b"x")
    rig.until(lambda: reading.reads == 1)           # reading goes on, whoever runs turns
    rig.until(lambda: sum(rig.driver.load()) >= 40 and rig.driver.load().running >= 4)
    go_on.set()
    for client in clients:
        assert client.far.recv(1) == b"s"
        client.close()
    rig.until(lambda: rig.driver.load().waiting == 0)
    assert reading.far.recv(1) == b"x"
    reading.close()
    assert most[0] <= 4 + 16


def test_a_handler_may_wait_for_its_own_clients_next_message(rig: Rig) -> None:
    answer = rig.driver.waiter()

    def handler(client: Client, data: bytes) -> None:
        client.send(b"?")
        assert answer.wait(PATIENCE)
        client.send(answer.value)

    client = Client(rig, handler)
    plain_put = client.put
    client.put = lambda data: answer.set(b"!") if data == b"a" else plain_put(data)  # type: ignore[method-assign]
    client.start()
    client.far.send(b"q")
    assert client.far.recv(1) == b"?"
    client.far.send(b"a")
    assert client.far.recv(1) == b"!"
    client.close()


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt, GeneratorExit])
def test_a_task_that_raises_is_logged_once_and_the_next_runs(
    rig: Rig, error: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    def handler(client: Client, data: bytes) -> None:
        if data == b"e":
            raise error("an error of the user's")
        client.send(data)

    client = Client(rig, handler).start()
    with caplog.at_level(logging.ERROR, "sync_sio"):
        client.far.send(b"1e2")
        assert client.far.recv(2) == b"12"
        client.far.send(b"3")
        assert client.far.recv(1) == b"3"
    assert len(caplog.records) == 1
    client.close()


def test_a_turn_is_worked_for_whoever_puts_it(rig: Rig) -> None:
    """Not only phase one: handlers and, where there are any, foreign threads."""
    client = Client(rig, echo).start()

    def from_a_handler(_: Client, data: bytes) -> None:
        client.put(data)

    other = Client(rig, from_a_handler).start()
    other.far.send(b"h")
    assert client.far.recv(1) == b"h"
    client.put(b"t")
    assert client.far.recv(1) == b"t"
    if rig.has_foreign_threads:
        rig.thread(client.put, b"f")()
        assert client.far.recv(1) == b"f"
    client.close()
    other.close()


def test_many_foreign_threads_may_put_and_nothing_is_lost_or_reordered(rig: Rig) -> None:
    if not rig.has_foreign_threads:
        pytest.skip("this driver has one thread")
    seen: list[tuple[int, int]] = []
    done = rig.driver.waiter()
    client = Client(rig, echo).start()
    count, each = 4, 500

    def task(_: None, item: tuple[int, int]) -> None:
        seen.append(item)
        if len(seen) == count * each:
            done.set()

    habit = Habit()

    def putter(number: int) -> None:
        for index in range(each):
            if client.strand.put(task, None, (number, index), habit, 1):
                rig.driver.run(client.strand)

    for join in [rig.thread(putter, number) for number in range(count)]:
        join()
    assert done.wait(PATIENCE)
    for number in range(count):
        assert [index for other, index in seen if other == number] == list(range(each))
    client.close()


# -- phase one -----------------------------------------------------------------------------------------------------------


def test_reading_is_level_triggered(rig: Rig) -> None:
    seen = []

    class Sipping(Client):
        def on_readable(self) -> None:
            data = self.stream.recv(1)
            if data == b"":
                self.driver.discard(self)
            elif data:
                seen.append(data)

    client = Sipping(rig, echo).start()
    client.far.send(b"abc")
    rig.until(lambda: len(seen) == 3)
    assert seen == [b"a", b"b", b"c"]
    client.close()


def test_an_error_in_phase_one_costs_one_connection(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    if not rig.has_walls:
        pytest.skip("here it fails the schedule: tests/schedules/test_interleave.py")
    class Broken(Client):
        def on_readable(self) -> None:
            raise RuntimeError("a bug")

    broken = Broken(rig, echo).start()
    good = Client(rig, echo).start()
    with caplog.at_level(logging.ERROR, "sync_sio"):
        broken.far.send(b"x")
        assert broken.gone.wait(PATIENCE)
    assert broken.discarded == 1
    assert [record.exc_info is not None for record in caplog.records] == [True]
    good.far.send(b"x")
    assert good.far.recv(1) == b"x"
    good.close()
    broken.far.close()


def test_interest_says_what_is_reported(rig: Rig) -> None:
    written = rig.driver.waiter()

    class Writing(Client):
        def on_writable(self) -> None:
            with self.lock:
                self.driver.set_interest(self, True, False)
            written.set()

    client = Writing(rig, echo).start()
    rig.round()
    with client.lock:
        rig.driver.set_interest(client, False, False)
    rig.round()
    client.far.send(b"x")
    rig.round()
    rig.round()
    assert client.reads == 0
    with client.lock:
        rig.driver.set_interest(client, False, True)
    assert written.wait(PATIENCE)
    assert client.far.recv(1) == b"x"
    client.close()


def test_interest_is_set_from_foreign_threads(rig: Rig) -> None:
    if not rig.has_foreign_threads:
        pytest.skip("this driver has one thread")
    client = Client(rig, echo).start()
    rig.round()

    def pause(readable: bool) -> None:
        with client.lock:
            rig.driver.set_interest(client, readable, False)

    rig.thread(pause, False)()
    rig.round()
    client.far.send(b"x")
    rig.round()
    assert client.reads == 0
    rig.thread(pause, True)()
    assert client.far.recv(1) == b"x"
    client.close()


# -- the end -------------------------------------------------------------------------------------------------------------


def test_discarding_happens_once_however_often_it_is_asked_for(rig: Rig) -> None:
    client = Client(rig, echo).start()
    for _ in range(3):
        rig.driver.discard(client)
    assert client.gone.wait(PATIENCE)
    rig.driver.discard(client)
    if rig.has_foreign_threads:
        rig.thread(rig.driver.discard, client)()
    with client.lock:
        rig.driver.set_interest(client, True, True)     # does nothing
    rig.driver.watch(client)                            # nor does this
    rig.round()
    assert client.discarded == 1
    assert client.far.recv(1) == b""


def test_what_was_never_watched_is_discarded_too(rig: Rig) -> None:
    client = Client(rig, echo)
    rig.driver.discard(client)
    rig.driver.discard(client)
    assert client.gone.wait(PATIENCE)
    rig.round()
    assert client.discarded == 1


def test_foreign_threads_discard_while_others_do(rig: Rig) -> None:
    if not rig.has_foreign_threads:
        pytest.skip("this driver has one thread")
    clients = [Client(rig, echo).start() for _ in range(30)]

    def discard_all() -> None:
        for client in clients:
            rig.driver.discard(client)

    for join in [rig.thread(discard_all) for _ in range(4)]:
        join()
    for client in clients:
        assert client.gone.wait(PATIENCE)
    rig.round()
    assert {client.discarded for client in clients} == {1}


def test_nothing_is_read_after_a_discard_in_phase_one(rig: Rig) -> None:
    class Quitting(Client):
        def on_readable(self) -> None:
            self.reads += 1
            self.driver.discard(self)       # without reading: it stays readable

    client = Quitting(rig, echo).start()
    client.far.send(b"x")
    assert client.gone.wait(PATIENCE)
    rig.round()
    assert client.reads == 1


def test_a_discarded_connection_is_on_discarded_in_phase_one(rig: Rig) -> None:
    seen = []

    class Asking(Client):
        def on_discarded(self) -> None:
            seen.append((self.driver.may_wait(), self.fd))
            super().on_discarded()

    client = Asking(rig, echo).start()
    rig.driver.discard(client)
    assert client.gone.wait(PATIENCE)
    assert seen == [(False, -1)]


# -- posts and timers ------------------------------------------------------------------------------------------------------


def test_posts_run_in_order_and_in_phase_one(rig: Rig) -> None:
    seen: list[Any] = []
    for index in range(50):
        rig.driver.post(seen.append, index)
    rig.driver.post(lambda: seen.append(rig.driver.may_wait()))
    rig.round()
    assert seen == [*range(50), False]


def test_posts_of_each_foreign_thread_run_in_its_order(rig: Rig) -> None:
    if not rig.has_foreign_threads:
        pytest.skip("this driver has one thread")
    seen: list[tuple[int, int]] = []

    def poster(number: int) -> None:
        for index in range(300):
            rig.driver.post(seen.append, (number, index))

    for join in [rig.thread(poster, number) for number in range(4)]:
        join()
    rig.round()
    for number in range(4):
        assert [index for other, index in seen if other == number] == list(range(300))


def test_a_post_that_raises_is_logged_and_ends_nothing(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    if not rig.has_walls:
        pytest.skip("here it fails the schedule: tests/schedules/test_interleave.py")
    def bug() -> None:
        raise RuntimeError("a bug")

    with caplog.at_level(logging.ERROR, "sync_sio"):
        rig.driver.post(bug)
        rig.driver.later(0, bug)
        rig.until(lambda: len(caplog.records) == 2)
    rig.round()


def test_timers_run_in_the_order_of_their_time(rig: Rig) -> None:
    seen: list[Any] = []
    done = rig.driver.waiter()
    rig.driver.later(0.06, done.set)
    for delay in (0.03, 0.01, 0.02, 0):
        rig.driver.later(delay, lambda delay: seen.append((delay, rig.driver.may_wait())), delay)
    if rig.has_foreign_threads:
        rig.thread(rig.driver.later, 0.04, seen.append, "foreign")()
    started = rig.driver.now()
    assert done.wait(PATIENCE)
    assert rig.driver.now() - started >= 0.03
    assert seen[:4] == [(0, False), (0.01, False), (0.02, False), (0.03, False)]
    assert seen[4:] == (["foreign"] if rig.has_foreign_threads else [])


def test_a_cancelled_timer_does_not_run_and_holds_nothing(rig: Rig) -> None:
    class Thing:
        pass

    seen: list[Any] = []
    thing = Thing()
    reference = weakref.ref(thing)
    timer = rig.driver.later(0.01, seen.append, thing)
    late = rig.driver.later(1000, seen.append, thing)
    rig.round()
    for _ in range(2):
        timer.cancel()
        late.cancel()
    del thing
    gc.collect()
    assert reference() is None
    rig.driver.sleep(0.03)
    assert seen == []


def test_a_timer_may_be_cancelled_after_it_has_run(rig: Rig) -> None:
    done = rig.driver.waiter()
    timer = rig.driver.later(0, done.set, 1)
    assert done.wait(PATIENCE)
    timer.cancel()
    assert done.value == 1


def test_timers_may_arm_timers(rig: Rig) -> None:
    done = rig.driver.waiter()

    def again(left: int) -> None:
        if left:
            rig.driver.later(0.001, again, left - 1)
        else:
            done.set()

    rig.driver.later(0, again, 10)
    assert done.wait(PATIENCE)


# -- waiting ---------------------------------------------------------------------------------------------------------------


def test_the_first_set_wins(rig: Rig) -> None:
    waiter = rig.driver.waiter()
    assert waiter.value is None
    assert waiter.set(1) is True
    assert waiter.set(2) is False
    assert waiter.wait() is True
    assert waiter.wait(0) is True
    assert waiter.value == 1


def test_a_wait_may_be_repeated_after_its_time_is_over(rig: Rig) -> None:
    waiter = rig.driver.waiter()
    started = rig.driver.now()
    assert waiter.wait(0.02) is False
    assert rig.driver.now() - started >= 0.019
    assert waiter.wait(0) is False
    assert waiter.wait(-1) is False
    rig.driver.later(0.01, waiter.set, "late")
    assert waiter.wait(PATIENCE) is True
    assert waiter.value == "late"


def test_a_waiter_wakes_whoever_waits_from_wherever(rig: Rig) -> None:
    if not rig.has_foreign_threads:
        pytest.skip("this driver has one thread")
    driver = rig.driver

    def wait_and_answer(question: Any, answer: Any) -> Any:
        assert question.wait(PATIENCE)
        answer.set(question.value + 1)
        return question.value

    # a foreign thread waits, and we do
    question, answer = driver.waiter(), driver.waiter()
    join = rig.thread(wait_and_answer, question, answer)
    driver.sleep(0.01)
    question.set(1)
    assert answer.wait(PATIENCE) and answer.value == 2
    assert join() == 1
    # a handler waits, a foreign thread answers
    ready, result = driver.waiter(), driver.waiter()

    def handler(client: Client, data: bytes) -> None:
        ready.set()
        assert result.wait()
        client.send(result.value)

    client = Client(rig, handler).start()
    client.far.send(b"x")
    assert ready.wait(PATIENCE)
    rig.thread(result.set, b"!")()
    assert client.far.recv(1) == b"!"
    client.close()


def test_two_foreign_threads_that_set_at_once_get_one_true(rig: Rig) -> None:
    if not rig.has_foreign_threads:
        pytest.skip("this driver has one thread")
    for _ in range(100):
        waiter = rig.driver.waiter()
        joins = [rig.thread(waiter.set, number) for number in range(2)]
        assert sorted(join() for join in joins) == [False, True]


def test_phase_one_may_not_wait(rig: Rig) -> None:
    if not rig.has_walls:
        pytest.skip("here it fails the schedule: tests/schedules/test_interleave.py")
    driver = rig.driver
    done = driver.waiter()

    def try_to() -> None:
        results = []
        for wait in (lambda: driver.waiter().wait(1), lambda: driver.sleep(1)):
            try:
                wait()
            except RuntimeError as error:
                results.append("may not wait" in str(error))
        done.set(results)

    driver.post(try_to)
    assert done.wait(PATIENCE)
    assert done.value == [True, True]
    assert driver.may_wait()


def test_handlers_may_wait(rig: Rig) -> None:
    seen = []
    client = Client(rig, lambda client, data: (seen.append(rig.driver.may_wait()), client.send(data))).start()
    client.far.send(b"x")
    assert client.far.recv(1) == b"x"
    assert seen == [True]
    client.close()


def test_ident_is_never_zero_and_stays_over_a_wait(rig: Rig) -> None:
    seen = []

    def handler(client: Client, data: bytes) -> None:
        seen.append(rig.driver.ident())
        rig.driver.sleep(0.01)
        seen.append(rig.driver.ident())
        client.send(data)

    client = Client(rig, handler).start()
    client.far.send(b"x")
    assert client.far.recv(1) == b"x"
    assert seen[0] and seen[0] == seen[1]
    client.close()


def test_spawned_functions_run_beside_everything(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    def bug() -> None:
        raise SystemExit

    done = rig.driver.waiter()
    with caplog.at_level(logging.ERROR, "sync_sio"):
        rig.driver.spawn(bug)
        rig.driver.spawn(lambda value: (rig.block(0.01), done.set((value, rig.driver.may_wait()))), 1)
        assert done.wait(PATIENCE)
        assert done.value == (1, True)
        rig.until(lambda: len(caplog.records) == 1)
    if rig.has_foreign_threads:
        done = rig.driver.waiter()
        rig.thread(rig.driver.spawn, done.set, 2)()
        assert done.wait(PATIENCE)


# -- life ------------------------------------------------------------------------------------------------------------------


def test_stop_runs_what_is_posted_and_may_be_repeated(rig: Rig) -> None:
    seen: list[int] = []
    client = Client(rig, echo).start()
    client.far.send(b"x")
    assert client.far.recv(1) == b"x"
    rig.driver.post(lambda: rig.driver.post(seen.append, 2))
    rig.driver.post(seen.append, 1)
    rig.driver.discard(client)
    rig.driver.stop(PATIENCE)
    rig.driver.stop(PATIENCE)
    assert sorted(seen) == [1, 2]
    assert client.discarded == 1
    assert rig.driver.audit() == []


def test_stop_may_be_called_in_a_turn(rig: Rig) -> None:
    returned = rig.driver.waiter()

    def handler(client: Client, data: bytes) -> None:
        rig.driver.discard(client)
        rig.driver.stop(0.5)
        returned.set()

    client = Client(rig, handler).start()
    client.far.send(b"x")
    if rig.name == "manual":
        rig.driver.settle()
    assert returned.wait(PATIENCE)
    assert client.gone.wait(PATIENCE)


def test_stop_without_a_start_is_harmless(rig: Rig) -> None:
    rig.driver.stop(1)


def test_audit_names_what_is_left(rig: Rig) -> None:
    go_on = rig.driver.waiter()
    client = Client(rig, lambda client, data: go_on.wait(PATIENCE)).start()
    timer = rig.driver.later(1000, echo)
    client.far.send(b"x")
    rig.round()
    rig.until(lambda: any("turn" in left for left in rig.driver.audit()))
    left = "\n".join(rig.driver.audit())
    assert "watched" in left
    assert "timer: echo" in left
    go_on.set()
    timer.cancel()
    client.close()


def test_a_strand_may_be_worked_without_ever_being_watched(rig: Rig) -> None:
    client = Client(rig, echo)
    strand = Strand(client)
    done = rig.driver.waiter()
    assert strand.put(lambda subject, item: done.set((subject, item)), "subject", "item")
    rig.driver.run(strand)
    assert done.wait(PATIENCE)
    assert done.value == ("subject", "item")
    rig.until(lambda: strand.is_idle)
    rig.driver.discard(client)
