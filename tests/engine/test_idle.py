"""What an idle client costs in a heartbeat's round, as counts: calls of the library, and what it asks of the kernel and of the driver."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import sync_sio
from sync_sio.testing.manual import ManualDriver, ManualStream

from .conftest import Rig, frame

LIBRARY = Path(sync_sio.__file__).parent
UNCOUNTED = (str(LIBRARY / "testing"), str(LIBRARY / "drivers" / "locks.py"))
"""Drivers of tests, and the checks of locks that are on in tests."""
PING, PONG = b"\x81\x012", frame(b"3")
INTERVAL = 25.0
SPACING = 0.25
CALLS_PER_CLIENT = 17.0
"""Calls of Python functions for one ping and its pong."""
SLACK = 1.1


class Round:
    """Counts the library's calls by function, and what is asked of streams and of the driver, while it is entered."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: Counter[str] = Counter()
        self.asked: Counter[str] = Counter()
        self._is_counting = False
        for subject, names in (
            (ManualStream, ("send", "recv", "recv_into", "shutdown", "close")),
            (ManualDriver, ("later", "post", "run", "spawn", "watch", "set_interest", "discard")),
        ):
            for name in names:
                self._count(monkeypatch, subject, name)

    def _count(self, monkeypatch: pytest.MonkeyPatch, subject: type, name: str) -> None:
        original = getattr(subject, name)

        def counted(*args: Any, **kwargs: Any) -> Any:
            if self._is_counting:
                self.asked[name] += 1
            return original(*args, **kwargs)

        monkeypatch.setattr(subject, name, counted)

    @contextmanager
    def counting(self) -> Iterator[None]:
        def profile(frame: FrameType, event: str, arg: object) -> None:
            code = frame.f_code
            if event == "call" and code.co_filename.startswith(str(LIBRARY)) and not code.co_filename.startswith(UNCOUNTED):
                self.calls[f"{Path(code.co_filename).relative_to(LIBRARY)}: {code.co_name}"] += 1

        before = sys.getprofile()
        self._is_counting = True
        sys.setprofile(profile)
        try:
            yield
        finally:
            sys.setprofile(before)
            self._is_counting = False


def idle_round(rig: Rig, monkeypatch: pytest.MonkeyPatch, count: int) -> Round:
    """Connect so many clients, and count what their second ping and its pong take."""
    clients = [rig.websocket()[1] for _ in range(count)]
    for client in clients:
        client.recv()
    rig.driver.advance(INTERVAL + SPACING)
    answer(clients)
    rig.driver.settle()
    rig.driver.advance(INTERVAL - 1)
    assert all(client.recv() is None for client in clients)
    found = Round(monkeypatch)
    with found.counting():
        rig.driver.advance(1 + SPACING)
    answer(clients)
    with found.counting():
        rig.driver.settle()
    rig.driver.advance(INTERVAL - 1)
    assert rig.closed == [], "all have answered"
    return found


def answer(clients: list[ManualStream]) -> None:
    for client in clients:
        assert client.recv() == PING
        client.send(PONG)


def test_a_ping_and_its_pong_take_one_send_one_read_and_few_calls(
    make_rig: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch
) -> None:
    few, many = 20, 220
    rounds = {count: idle_round(make_rig(), monkeypatch, count) for count in (few, many)}
    for count, found in rounds.items():
        timers = found.asked.pop("later")
        assert found.asked == {"send": count, "recv": count}, "no client may be posted for, watched anew, or have a timer of its own"
        assert timers <= 4, "one for each tick, however many clients fall due in it"
    calls = {name: (rounds[many].calls[name] - number) / (many - few) for name, number in rounds[few].calls.items()}
    each = sum(calls.values())
    shown = "\n".join(f"{number:6.2f}  {name}" for name, number in sorted(calls.items(), key=lambda item: -item[1]) if number)
    assert each <= CALLS_PER_CLIENT * SLACK, f"an idle client takes {each} calls, {CALLS_PER_CLIENT} were recorded:\n{shown}"


def test_a_tick_that_nobody_is_due_in_does_not_look_at_anybody(
    make_rig: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch
) -> None:
    totals = []
    for count in (20, 220):
        rig = make_rig()
        for _ in range(count):
            rig.websocket()
        rig.driver.advance(INTERVAL / 2)
        found = Round(monkeypatch)
        with found.counting():
            rig.server.heartbeat._tick()
        totals.append(found.calls.total())
        assert found.asked == {"later": 1}
    assert totals[0] == totals[1]
