"""How far ahead of who reads a stream a server may be: with places and a clock of our own."""

from __future__ import annotations

import pytest

from sync_sio.adapters.redis.pace import PATIENCE_SECONDS, REST_SECONDS, Pace


class World:
    """Two streams that keep 160 entries each, so 40 may be unread, and who reads tells it after 10."""

    def __init__(self) -> None:
        self.time = 100.0
        self.rung = 0
        self.pace = Pace(("s", "t"), 160, lambda: self.time, self._ring)

    def _ring(self) -> None:
        self.rung += 1

    def add(self, places: range, stream: str = "s") -> None:
        for place in places:
            self.pace.added(stream, place)


@pytest.fixture
def world() -> World:
    return World()


def test_so_much_may_be_unread_by_ourselves(world: World) -> None:
    pace = world.pace
    assert pace.room() == 40
    world.add(range(30))
    world.add(range(40), "t")
    assert pace.room() == 0
    pace.read("s", 29, 30)
    assert pace.room() == 0 and world.rung == 0         # the other stream is full
    pace.read("t", 9, 10)
    assert pace.room() == 10 and world.rung == 1
    pace.read("t", 39, 30)
    assert pace.room() == 40 and world.rung == 1        # nobody waited


def test_what_we_have_read_before_redis_has_answered_is_not_ahead(world: World) -> None:
    world.pace.read("s", 9, 10)
    world.add(range(5, 12))
    assert world.pace.room() == 38


def test_others_are_waited_for_from_the_moment_at_which_they_say_something(world: World) -> None:
    pace = world.pace
    world.add(range(10))
    pace.read("s", 9, 10)
    assert pace.room() == 40
    pace.others_read("a", "s", 9)
    pace.others_read("b", "s", 9)
    world.add(range(10, 50))
    pace.read("s", 49, 40)
    pace.others_read("a", "s", 39)
    assert pace.room() == 0 and world.rung == 0
    pace.others_read("b", "s", 19)
    assert pace.room() == 10 and world.rung == 1
    pace.forget("b")
    assert pace.room() == 30
    pace.others_read("a", "elsewhere", 5)
    pace.others_read("a", "s", -1)
    assert pace.room() == 30


def test_others_are_told_after_a_part_and_when_asked_for(world: World) -> None:
    pace = world.pace
    assert pace.told("s") == -1
    assert not pace.read("s", 8, 9)
    assert pace.read("s", 9, 1)
    assert pace.told("s") == 9 and pace.told("s") == -1
    assert not pace.read("s", 10, 1)
    assert pace.told("s") == 10


def test_who_holds_up_all_others_is_given_up_after_a_while(world: World) -> None:
    pace = world.pace
    for server in ("slow", "quick", "slower"):
        pace.others_read(server, "s", 0)
    world.add(range(1, 41))
    pace.read("s", 40, 40)
    pace.others_read("quick", "s", 35)
    assert pace.look() == []
    world.time += PATIENCE_SECONDS - 0.1
    pace.others_read("slow", "s", 10)                   # it reads, and is behind all the time
    world.add(range(41, 46))
    assert pace.look() == [] and world.rung == 0
    world.time += 0.1
    assert pace.look() == ["slow", "slower"]
    assert world.rung == 1 and pace.room() == 30
    pace.others_read("slow", "s", 11)
    assert pace.room() == 30
    world.time += REST_SECONDS
    pace.others_read("slow", "s", 41)
    world.add(range(46, 60))
    assert pace.room() == 16                            # where it is known to be now, and "quick" at 35
    assert pace.look() == []


def test_nobody_is_given_up_where_our_own_reading_is_slow_or_where_there_is_room(world: World) -> None:
    pace = world.pace
    pace.others_read("a", "s", 0)
    world.add(range(1, 41))
    for _ in range(3):
        assert pace.look() == []
        world.time += PATIENCE_SECONDS
    pace.read("s", 40, 40)
    pace.others_read("a", "s", 25)                      # half of it is free
    assert pace.look() == []
    world.add(range(41, 60))
    assert pace.look() == []                            # only now it begins
    world.time += PATIENCE_SECONDS
    pace.read("s", 59, 19)
    assert pace.look() == ["a"]


def test_a_stream_that_goes_on_elsewhere_has_nothing_ahead(world: World) -> None:
    pace = world.pace
    pace.others_read("a", "s", 1000)
    world.add(range(1001, 1041))
    assert pace.room() == 0
    pace.lost("s", 5)
    assert pace.room() == 40 and world.rung == 1
    assert pace.told("s") == 5
    world.add(range(6, 10))
    assert pace.room() == 36
