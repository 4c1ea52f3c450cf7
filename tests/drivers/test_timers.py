"""The heap of timers."""

from __future__ import annotations

from typing import Any

from sync_sio.drivers.timers import PURGE_AT, HeapTimer, Timers


def add(timers: Timers, deadline: float, fn: Any, *args: Any) -> HeapTimer:
    timer = HeapTimer(timers, deadline, fn, args)
    timers.push(timer)
    return timer


def test_timers_run_when_due_and_in_order() -> None:
    timers, seen = Timers(), []
    for deadline in (3.0, 1.0, 2.0):
        add(timers, deadline, seen.append, deadline)
    assert timers.next_deadline() == 1.0
    timers.run_due(0.9)
    assert seen == []
    timers.run_due(2.0)
    assert seen == [1.0, 2.0]
    assert timers.next_deadline() == 3.0 and len(timers) == 1


def test_equal_times_run_in_the_order_of_their_making() -> None:
    timers, seen = Timers(), []
    for number in range(5):
        add(timers, 1.0, seen.append, number)
    timers.run_due(1.0)
    assert seen == list(range(5))


def test_one_timer_may_cancel_another_that_is_due() -> None:
    timers, seen = Timers(), []
    add(timers, 1.0, lambda: second.cancel())
    second = add(timers, 1.0, seen.append, 2)
    timers.run_due(1.0)
    assert seen == []


def test_a_timer_armed_by_a_timer_waits_for_the_next_round() -> None:
    timers, seen = Timers(), []
    add(timers, 1.0, lambda: add(timers, 1.0, seen.append, 1))
    timers.run_due(1.0)
    assert seen == [] and timers.next_deadline() == 1.0
    timers.run_due(1.0)
    assert seen == [1]


def test_a_timer_cancelled_before_it_was_pushed_never_enters() -> None:
    timers = Timers()
    timer = HeapTimer(timers, 1.0, print, ())
    timer.cancel()
    timers.push(timer)
    assert timers.next_deadline() is None


def test_cancelled_timers_do_not_pile_up() -> None:
    timers = Timers()
    add(timers, 0.0, lambda: None)
    for number in range(PURGE_AT * 4):
        add(timers, 1000.0 + number, lambda: None).cancel()
    timers.run_due(0.0)
    assert len(timers._heap) == 0
