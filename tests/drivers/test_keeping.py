"""When sockets keep the GIL: what a judge makes of what it sees, and that both runtimes see it."""

from __future__ import annotations

import _socket
import os
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from sync_sio.drivers import keeping
from sync_sio.drivers.base import Habit
from sync_sio.drivers.keeping import ENOUGH, HOLD, LINGER, RISE, Judge, PlainSocket
from sync_sio.drivers.locks import _original

from .rig import PATIENCE, Client, Rig, echo, make_rig, running

METHODS = ("recv", "recv_into", "send")


@pytest.fixture(autouse=True)
def ordinary(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    assert not keeping.is_on
    if not keeping.keep(True):
        pytest.skip("this system or interpreter cannot keep the GIL")
    keeping.keep(False)
    monkeypatch.setattr(keeping, "cores", lambda: 2)
    yield
    keeping.keep(False)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(keeping, "monotonic", clock)
    return clock


def are_ordinary() -> bool:
    same = {getattr(PlainSocket, name) is getattr(_socket.socket, name) for name in METHODS}
    assert len(same) == 1               # all or none
    return same.pop()


def test_the_class_has_its_own_calls_only_while_they_are_wanted() -> None:
    assert are_ordinary()
    keeping.keep(True)
    keeping.keep(True)
    assert keeping.is_on and not are_ordinary()
    keeping.keep(False)
    keeping.keep(False)
    assert not keeping.is_on and are_ordinary()


def test_one_late_look_is_an_accident_several_are_somebody(clock: Clock) -> None:
    judge = Judge()
    for _ in range(ENOUGH):
        judge.look(is_late=True)
        for _ in range(RISE):
            judge.look(is_late=False)
    assert not keeping.is_on
    for _ in range(ENOUGH // RISE):
        judge.look(is_late=True)
    assert keeping.is_on and judge.is_keeping


def test_it_is_kept_for_a_while_and_then_one_look_is_enough(clock: Clock) -> None:
    judge = Judge()
    for _ in range(ENOUGH // RISE):
        judge.look(is_late=True)
    clock.now += HOLD - 0.1
    judge.look(is_late=False)
    assert keeping.is_on
    clock.now += 0.2
    judge.look(is_late=False)
    assert not keeping.is_on and not judge.is_keeping
    judge.look(is_late=True)
    assert keeping.is_on


def test_turns_in_the_pool_keep_it_as_long_as_they_come(clock: Clock) -> None:
    judge = Judge()
    for _ in range(100):
        judge.look(is_late=False, is_pooling=True)
        clock.now += LINGER / 2
    assert keeping.is_on
    for _ in range(3):
        judge.look(is_late=False)
        clock.now += LINGER / 2
    assert not keeping.is_on


def test_of_two_judges_the_one_who_wants_it_gets_it(clock: Clock) -> None:
    first, second = Judge(), Judge()
    for _ in range(ENOUGH // RISE):
        first.look(is_late=True)
        second.look(is_late=True)
    first.rest()
    assert not keeping.is_on
    second.look(is_late=False)
    assert keeping.is_on
    second.rest()
    assert not keeping.is_on


def test_with_one_core_nobody_can_take_it(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "cores", lambda: 1)
    judge = Judge()
    for _ in range(ENOUGH):
        judge.look(is_late=True, is_pooling=True)
    assert not keeping.is_on and not judge.is_keeping


def test_what_cannot_be_done_is_not_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "_methods", None)
    monkeypatch.setattr(sys, "platform", "win32")
    assert not keeping.keep(True)
    assert not keeping.is_on and are_ordinary()
    monkeypatch.setattr(sys, "platform", "linux")
    assert not keeping.keep(True)           # it is asked once only
    judge = Judge()
    for _ in range(ENOUGH):
        judge.look(is_late=True)
    assert not keeping.is_on
    judge.rest()


def test_without_ctypes_calls_stay_ordinary(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "_methods", None)
    monkeypatch.setitem(sys.modules, "ctypes", None)
    assert not keeping.keep(True)
    assert are_ordinary()


def test_where_there_is_no_gil_nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "_methods", None)
    monkeypatch.setattr(sys, "_is_gil_enabled", lambda: False, raising=False)
    assert not keeping.keep(True)
    assert are_ordinary()


@pytest.fixture(params=["threads", "gevent"])
def rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    if request.param == "gevent":
        pytest.importorskip("gevent")
    with running(make_rig(request.param)) as rig:
        rig.warm_up()
        yield rig


def test_a_thread_that_computes_is_seen_and_forgotten(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "HOLD", 0.3)
    if rig.name == "gevent":
        monkeypatch.setattr("sync_sio.drivers.greenlets.PROBE_EVERY", 0.01)
    client = Client(rig, echo).start()
    is_over: list[bool] = []

    def compute() -> None:
        while not is_over:
            sum(range(100))

    _original("start_new_thread")(compute, ())
    try:
        deadline = rig.driver.now() + PATIENCE
        while not keeping.is_on:                # while nothing happens, threads seldom look
            assert rig.driver.now() < deadline, "it did not happen"
            client.far.send(b"x")
            assert client.far.recv(1) == b"x"
    finally:
        is_over.append(True)
    rig.until(lambda: not keeping.is_on)
    client.close()


def test_a_driver_that_ends_wants_nothing_any_more() -> None:
    rig = make_rig("threads")
    with running(rig):
        rig.warm_up()
        judge: Any = rig.driver._judge
        for _ in range(ENOUGH // RISE):
            judge.look(is_late=True)
        assert keeping.is_on
    assert not keeping.is_on


def test_many_turns_in_the_pool_are_seen() -> None:
    with running(make_rig("threads")) as rig:
        rig.warm_up()
        clients = [Client(rig, lambda client, data: client.send(data), Habit()).start() for _ in range(20)]
        deadline = rig.driver.now() + PATIENCE
        while not keeping.is_on:
            assert rig.driver.now() < deadline, "it did not happen"
            for client in clients:
                client.habit.penalty = client.habit.pooled = 1000
                client.far.send(b"x" * 10)
            for client in clients:
                assert client.far.recv(10) == b"x" * 10
        for client in clients:
            client.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork")
def test_the_child_of_a_fork_begins_with_ordinary_calls() -> None:
    with running(make_rig("threads")) as rig:
        rig.warm_up()
        for _ in range(ENOUGH // RISE):
            rig.driver._judge.look(is_late=True)
        keeping._switching.acquire()            # as if another thread were at it
        pid = os.fork()
        if pid == 0:
            rig.driver.abandon()
            os._exit(0 if are_ordinary() and keeping.keep(True) and not are_ordinary() else 1)
        keeping._switching.release()
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert threading.active_count() > 1 and keeping.is_on
