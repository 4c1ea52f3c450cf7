"""Strands by themselves: order, budget, counting and learning."""

from __future__ import annotations

import gc
import threading
import weakref
from typing import Any

import pytest

from sync_sio.drivers.base import MAX_QUEUED, Habit
from sync_sio.drivers.locks import breaches, native_lock
from sync_sio.drivers.strand import BUDGET, FIRST_PENALTY, FORGIVEN, Strand, Worker, catch

ME = 77
RUNS = 64


class FakeFlow:
    id = "conn1"

    def __init__(self) -> None:
        self.lock = native_lock()
        self.corked = 0
        self.queued = self.queued_bytes = 0
        self.max_queued_bytes = 1000
        self.is_paused = False
        self.told: list[Any] = []

    def uncork(self) -> None:
        assert self.corked == 0
        self.told.append("uncork")

    def on_full(self) -> None:
        self.told.append(("full", self.queued, self.queued_bytes))

    def on_worked(self) -> None:
        self.told.append(("worked", self.queued, self.queued_bytes))


@pytest.fixture
def flow() -> FakeFlow:
    breaches.clear()
    return FakeFlow()


@pytest.fixture
def worker() -> Worker:
    worker = Worker(ME)
    worker.is_inline = True
    return worker


def waiting(strand: Strand) -> list[Any]:
    return [item for _, _, item, _, _ in strand.waiting()]


def note(subject: list[Any], item: Any) -> None:
    subject.append(item)


def test_who_sees_it_idle_sees_what_its_turn_has_sent(flow: FakeFlow, worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    strand = Strand(flow)
    seen: list[tuple[bool, list[Any]]] = []
    looker = threading.Thread(target=lambda: seen.append((strand.is_idle, list(flow.told))))
    uncork = flow.uncork

    def slowly() -> None:
        looker.start()
        looker.join(0.1)                    # it would be done by then, did it not wait for us
        uncork()

    monkeypatch.setattr(flow, "uncork", slowly)
    strand.put(note, [], 1)
    strand.work_as(worker)
    looker.join()
    assert seen == [(True, ["uncork"])]


def test_only_who_finds_it_idle_has_it_worked(flow: FakeFlow) -> None:
    strand = Strand(flow)
    seen: list[int] = []
    assert strand.is_idle and len(strand) == 0
    assert strand.put(note, seen, 1) is True
    assert strand.put(note, seen, 2) is False
    assert not strand.is_idle and len(strand) == 2 and waiting(strand) == [1, 2]
    assert strand.work() is False
    assert seen == [1, 2]
    assert strand.is_idle and len(strand) == 0 and waiting(strand) == []
    assert strand.put(note, seen, 3) is True


def test_the_running_task_is_not_among_those_that_wait(flow: FakeFlow) -> None:
    strand = Strand(flow)
    seen: list[Any] = []
    strand.put(lambda _, item: seen.append((len(strand), waiting(strand))), None, 1)
    strand.put(note, [], 2)
    strand.work()
    assert seen == [(1, [2])]


def test_what_a_task_puts_runs_in_the_same_turn(flow: FakeFlow) -> None:
    strand = Strand(flow)
    seen: list[int] = []
    strand.put(lambda _, item: (seen.append(item), strand.put(note, seen, 2)), None, 1)
    assert strand.work() is False
    assert seen == [1, 2]


def test_a_turn_has_a_budget(flow: FakeFlow) -> None:
    strand = Strand(flow)
    seen: list[int] = []
    for number in range(BUDGET * 2 + 1):
        strand.put(note, seen, number)
    assert strand.work() is True
    assert len(seen) == BUDGET and len(strand) == BUDGET + 1 and not strand.is_idle
    assert strand.work() is True
    assert strand.work() is False
    assert seen == list(range(BUDGET * 2 + 1))


def test_sizes_are_counted_in_and_out(flow: FakeFlow) -> None:
    strand = Strand(flow)
    strand.put(note, [], 1, None, 10)
    strand.put(note, [], 2, None, 5)
    assert (flow.queued, flow.queued_bytes) == (2, 15)
    strand.work()
    assert (flow.queued, flow.queued_bytes) == (0, 0) and flow.told == []


def test_a_flow_hears_of_too_much_and_then_of_less(flow: FakeFlow) -> None:
    strand = Strand(flow)
    strand.put(note, [], 1, None, 1000)
    assert flow.told == []
    strand.put(note, [], 2, None, 1)
    assert flow.told == [("full", 2, 1001)]
    flow.is_paused = True
    strand.work()
    assert flow.told == [("full", 2, 1001), ("worked", 0, 0)]
    for number in range(MAX_QUEUED + 1):
        strand.put(note, [], number)
    assert flow.told[2:] == [("full", MAX_QUEUED + 1, 0)]


def test_a_corked_turn_uncorks_once_at_its_end(flow: FakeFlow) -> None:
    strand = Strand(flow)
    strand.put(lambda _, item: flow.told.append(flow.corked), None, 1)
    strand.work(ME)
    assert flow.told == [ME, "uncork"]
    strand.uncork(ME)
    assert flow.told.count("uncork") == 1


def test_a_turn_that_was_uncorked_meanwhile_leaves_the_cork_of_another(flow: FakeFlow) -> None:
    strand = Strand(flow)

    def task(_: None, item: int) -> None:
        strand.uncork(ME)
        flow.corked = 88

    strand.put(task, None, 1)
    strand.work(ME)
    assert flow.corked == 88
    assert flow.told.count("uncork") == 1


def test_a_task_ends_up_in_the_log_with_the_connections_id(flow: FakeFlow, caplog: pytest.LogCaptureFixture) -> None:
    strand = Strand(flow)
    strand.put(lambda _, item: 1 / 0, None, 1)
    strand.work()
    assert "connection conn1" in caplog.text and "ZeroDivisionError" in caplog.text


def test_an_idle_strand_holds_nothing(flow: FakeFlow) -> None:
    class Thing:
        pass

    strand = Strand(flow)
    thing = Thing()
    reference = weakref.ref(thing)
    strand.put(lambda subject, item: None, thing, thing)
    strand.work()
    del thing
    gc.collect()
    assert reference() is None


def test_a_finalizer_may_come_back_into_the_strand(flow: FakeFlow) -> None:
    seen: list[int] = []
    is_mine: list[bool] = []
    strand = Strand(flow)

    class Thing:
        def __del__(self) -> None:
            is_mine.append(strand.put(note, seen, 9))

    strand.put(lambda subject, item: None, None, Thing())
    strand.put(note, seen, 1)
    assert strand.work() is False
    # it was either part of that turn, or its maker is told to have a new one worked
    assert is_mine == [not seen.count(9)]
    if is_mine[0]:
        assert strand.work() is False
    assert seen == [1, 9]


def test_a_strand_worked_twice_is_a_breach(flow: FakeFlow) -> None:
    strand = Strand(flow)
    strand.put(lambda _, item: strand.work(), None, 1)
    strand.work()
    assert "twice" in breaches[0]
    breaches.clear()


def test_user_code_that_keeps_a_lock_is_a_breach(flow: FakeFlow) -> None:
    strand = Strand(flow)
    lock = native_lock()
    strand.put(lambda _, item: lock.acquire(), None, 1)
    with pytest.raises(AssertionError):
        strand.work()       # the flow's lock cannot be taken either
    lock.release()
    assert "a task has ended while" in breaches[0]
    breaches.clear()


# -- learning --------------------------------------------------------------------------------------------------------------


def run_on_leader(strand: Strand, worker: Worker, fn: Any, habit: Habit, times: int) -> int:
    """Run one event a turn until it is caught; return how many ran."""
    for number in range(times):
        if habit.pooled:
            return number
        strand.put(fn, None, number, habit)
        assert strand.work_as(worker) is False
    return times


def test_quick_events_stay_on_the_leader(flow: FakeFlow, worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]

    def work(_: None, item: int) -> None:
        now[0] += 0.0002

    monkeypatch.setattr("sync_sio.drivers.strand.perf_counter", lambda: now[0])
    habit = Habit()
    assert run_on_leader(Strand(flow), worker, work, habit, 5 * RUNS) == 5 * RUNS
    assert habit.penalty == 0


def test_an_event_of_two_milliseconds_is_caught_at_the_eighth(
    flow: FakeFlow, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]

    def work(_: None, item: int) -> None:
        now[0] += 0.00201

    monkeypatch.setattr("sync_sio.drivers.strand.perf_counter", lambda: now[0])
    habit = Habit()
    assert run_on_leader(Strand(flow), worker, work, habit, 100) == 8
    assert habit.pooled == FIRST_PENALTY


def test_a_rare_slow_event_is_forgiven(flow: FakeFlow, worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]

    def work(_: None, item: int) -> None:
        now[0] += 0.010 if item % RUNS == 0 else 0.00001

    monkeypatch.setattr("sync_sio.drivers.strand.perf_counter", lambda: now[0])
    habit = Habit()
    assert run_on_leader(Strand(flow), worker, work, habit, 10 * RUNS) == 10 * RUNS


def test_nothing_is_learned_while_another_thread_leads(flow: FakeFlow, worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]

    def work(_: None, item: int) -> None:
        now[0] += 1.0
        worker.is_inline = False

    monkeypatch.setattr("sync_sio.drivers.strand.perf_counter", lambda: now[0])
    habit = Habit()
    assert run_on_leader(Strand(flow), worker, work, habit, 3) == 3


def test_each_catch_lasts_four_times_as_long(flow: FakeFlow) -> None:
    habit = Habit()
    strand = Strand(flow)
    for penalty in (256, 1024, 4096):
        catch(habit)
        assert habit.pooled == penalty
        for _ in range(penalty):
            strand.put(note, [], 1, habit)
            assert strand.is_pooled
            strand.work()
        strand.put(note, [], 1, habit)
        assert not strand.is_pooled
        strand.work()


def test_an_event_that_was_quick_for_a_minute_is_caught_as_if_for_the_first_time(
    flow: FakeFlow, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr("sync_sio.drivers.strand.perf_counter", lambda: now[0])
    habit = Habit()
    strand = Strand(flow)
    for quiet, penalty in (0, 256), (FORGIVEN - 1, 1024), (FORGIVEN, 256), (0, 1024):
        now[0] += quiet
        catch(habit)
        assert habit.pooled == penalty
        for _ in range(penalty):            # however long it is in the pool: that it is quick there is not seen
            now[0] += 1.0
            strand.put(note, [], 1, habit)
            strand.work()


def test_a_turn_on_the_leader_ends_before_what_is_known_to_block(flow: FakeFlow, worker: Worker) -> None:
    strand = Strand(flow)
    seen: list[int] = []
    slow = Habit()
    catch(slow)
    strand.put(note, seen, 1, Habit())
    strand.put(note, seen, 2, slow)
    strand.put(note, seen, 3, Habit())
    assert strand.work_as(worker) is True
    assert seen == [1] and strand.is_pooled
    assert strand.work() is False
    assert seen == [1, 2, 3]
