"""Who has joined no namespace within its time."""

from __future__ import annotations

from functools import partial

from sync_sio.sockets.newcomers import Newcomers
from sync_sio.testing.interleave import InterleaveDriver, explore
from sync_sio.testing.manual import ManualDriver


def test_who_has_not_joined_in_time_is_told_once_and_whoever_has_is_not() -> None:
    driver = ManualDriver()
    newcomers = Newcomers(driver, 45.0)
    late: list[str] = []
    names = {name: partial(late.append, name) for name in ("a", "b", "c")}
    newcomers.add(names["a"])
    driver.advance(10.0)
    newcomers.add(names["b"])
    newcomers.add(names["c"])
    newcomers.remove(names["c"])
    newcomers.remove(names["c"])
    driver.advance(34.9)
    assert late == []
    driver.advance(0.2)
    assert late == ["a"] and len(newcomers) == 1
    driver.advance(10.0)
    assert late == ["a", "b"] and len(newcomers) == 0
    assert driver.audit() == []


def test_one_timer_does_for_all_and_none_is_left() -> None:
    driver = ManualDriver()
    newcomers = Newcomers(driver, 45.0)
    waiting = [partial(print, number) for number in range(100)]
    for too_late in waiting:
        newcomers.add(too_late)
    assert len(driver.audit()) == 1
    for too_late in waiting:
        newcomers.remove(too_late)
    assert driver.audit() == []


def test_one_that_is_given_more_time_by_what_it_is_told_gets_all_of_it() -> None:
    driver = ManualDriver()
    newcomers = Newcomers(driver, 45.0)
    told: list[float] = []

    def too_late() -> None:
        told.append(driver.now())
        if len(told) < 3:
            newcomers.add(too_late)

    started = driver.now()
    newcomers.add(too_late)
    driver.advance(200.0)
    assert [round(when - started) for when in told] == [45, 90, 135]
    assert driver.audit() == []


def test_a_timer_that_is_cancelled_just_when_it_runs_leaves_no_second_one() -> None:
    def scenario(driver: InterleaveDriver) -> None:
        newcomers = Newcomers(driver, 5.0)
        told: list[str] = []
        names = {name: partial(told.append, name) for name in ("first", "second", "third")}
        newcomers.add(names["first"])

        def come_and_go() -> None:
            newcomers.remove(names["first"])
            newcomers.add(names["second"])
            newcomers.remove(names["second"])
            newcomers.add(names["third"])

        driver.run_all(lambda: driver.stall(5.0), come_and_go)
        driver.settle()
        assert len(driver.timers) <= 1
        driver.sleep(30.0)
        driver.settle()
        assert told.count("third") == 1
        assert not driver.timers

    explore(scenario, range(300))
