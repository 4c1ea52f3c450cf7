"""Native locks, and what debug locks complain about."""

from __future__ import annotations

import _thread
from collections.abc import Iterator

import pytest

from sync_sio.drivers import locks
from sync_sio.drivers.locks import DebugLock, assert_none_held, breaches, get_ident, native_lock, native_rlock


@pytest.fixture(autouse=True)
def _clean() -> Iterator[None]:
    breaches.clear()
    yield
    breaches.clear()


def test_locks_and_idents_are_the_operating_systems() -> None:
    assert type(native_rlock()).__module__ == "_thread"
    assert type(locks.allocate_lock()).__module__ == "_thread"
    # whatever is patched, the ident is the thread's that Python knows
    here = _thread.get_ident() if get_ident is _thread.get_ident else None
    assert here in (None, get_ident())


def test_a_debug_lock_is_re_entrant() -> None:
    lock = DebugLock()
    with lock, lock:
        assert lock.acquire(blocking=False)
        lock.release()
    assert_none_held("nothing")
    assert not breaches


def test_a_second_lock_is_a_breach() -> None:
    first, second = native_lock(), native_lock()
    with first, pytest.raises(AssertionError, match="locks are leaves"):
        second.acquire()
    assert len(breaches) == 1
    assert "test_locks" in breaches[0]      # it says where the locks were made
    with second:
        pass


def test_holding_one_is_a_breach_where_none_may_be_held() -> None:
    with native_lock(), pytest.raises(AssertionError, match="user code runs while <lock made at"):
        assert_none_held("user code runs")
    assert len(breaches) == 1


def test_another_threads_lock_cannot_be_released() -> None:
    lock = DebugLock()
    with pytest.raises(AssertionError, match="does not hold it"):
        lock.release()


def test_a_lock_that_another_thread_holds_is_not_got() -> None:
    lock = DebugLock()
    held, done = locks.allocate_lock(), locks.allocate_lock()
    held.acquire()
    done.acquire()

    def hold() -> None:
        with lock:
            held.release()
            done.acquire()
        held.release()

    locks._original("start_new_thread")(hold, ())
    held.acquire()
    assert lock.acquire(blocking=False) is False
    assert lock.acquire(timeout=0.01) is False
    assert_none_held("nothing")
    done.release()
    held.acquire()
    assert lock.acquire(timeout=5)
    lock.release()
