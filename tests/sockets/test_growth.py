"""What does not grow with the crowd: what a join costs, a leave, a client that comes or goes, and each delivery.

Counted are the lines that the library runs, each round of a loop anew, on the whole way through the sockets floor: with few clients and
with many. No times.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from types import FrameType
from typing import Any

import pytest

import sync_sio
from sync_sio.sockets.socket import Socket

from .fakes import World

REPEATS = 9
"""Of which the median counts: now and then a set or a dict makes itself larger, as it may, seldom."""

LIBRARY = str(Path(sync_sio.__file__).parent)
TESTING = str(Path(LIBRARY) / "testing")


class Lines:
    """Counts what the library runs, in threads that were made since this is there, too.

    Drivers for tests are not counted: they look at everybody whenever they look.
    """

    def __init__(self) -> None:
        self.count = 0
        self._is_counting = False

    def of(self, fn: Callable[[], object]) -> int:
        self.count = 0
        self._is_counting = True
        sys.settrace(self.trace)
        try:
            fn()
        finally:
            sys.settrace(None)
            self._is_counting = False
        return self.count

    def trace(self, frame: FrameType, event: str, arg: object) -> Any:
        if event == "line":
            self.count += self._is_counting
        elif event == "call":
            name = frame.f_code.co_filename
            if not self._is_counting or not name.startswith(LIBRARY) or name.startswith(TESTING):
                return None
        return self.trace


@pytest.fixture
def lines() -> Iterator[Lines]:
    before = sys.gettrace()
    counter = Lines()
    threading.settrace(counter.trace)
    yield counter
    threading.settrace(None)  # type: ignore[arg-type]
    sys.settrace(before)


@pytest.fixture(params=["plain", "recovery", "catch-all"])
def crowd(request: pytest.FixtureRequest, lines: Lines) -> Iterator[Callable[[int], tuple[World, list[Socket]]]]:
    """Make a world with so many clients that are all in "room"."""
    worlds: list[World] = []

    def make(count: int) -> tuple[World, list[Socket]]:
        world = World(connection_state_recovery=True) if request.param == "recovery" else World()
        worlds.append(world)
        sockets: list[Socket] = []
        world.main.on("connection", sockets.append)
        world.start()
        for _ in range(count):
            world.client().say("0")
        for socket in sockets:
            socket.join("room")
            if request.param == "catch-all":
                socket.on_any_outgoing(lambda event, *args: None)
        assert len(sockets) == count
        return world, sockets

    yield make
    for world in worlds:
        for client in world.clients:
            client.drop()
        world.hub.close()       # what recovery keeps of them goes, too
        world.end()


def test_a_client_that_comes_joins_leaves_and_goes_costs_the_same_however_many_are_there(
    lines: Lines, crowd: Callable[[int], tuple[World, list[Socket]]]
) -> None:
    found: list[dict[str, float]] = []
    for count in (20, 200):
        world, sockets = crowd(count)
        figures: dict[str, list[int]] = {"come": [], "join": [], "leave": [], "go": []}

        def note(name: str, change: Callable[..., object], *args: Any, world: World = world, figures: Any = figures) -> None:
            world.main.emit("x")
            world.main.to("room").emit("x")
            figures[name].append(lines.of(lambda: change(*args)))

        for _ in range(REPEATS):
            guest = world.client()
            note("come", guest.say, "0")
            note("join", sockets[-1].join, "room")
            note("leave", sockets[-1].leave, "room")
            note("go", guest.drop)
        assert len(sockets) == count + REPEATS and len(world.main) == count
        found.append({name: median(counts) for name, counts in figures.items()})
    assert found[0] == found[1]
    assert all(found[0].values())


@pytest.mark.parametrize("whom", ["everybody", "room", "two rooms", "all but one"])
def test_a_delivery_costs_the_same_to_few_and_to_many(
    lines: Lines, crowd: Callable[[int], tuple[World, list[Socket]]], whom: str
) -> None:
    counts = {}
    for count in (10, 20, 200):
        world, sockets = crowd(count)
        sender = {
            "everybody": world.main,
            "room": world.main.to("room"),
            "two rooms": world.main.to(["room", "nobody"]),
            "all but one": sockets[0].broadcast,
        }[whom]
        for each in (1, 2, 3):
            sender.emit("x", "warm", each)
        counts[count] = lines.of(lambda sender=sender: sender.emit("x", 1))
    few, many = (counts[20] - counts[10]) / 10, (counts[200] - counts[20]) / 180
    assert many == pytest.approx(few, rel=0.01), counts
