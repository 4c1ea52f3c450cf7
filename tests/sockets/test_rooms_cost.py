"""What joins and leaves cost does not grow with the rooms: counted in bytecodes, calls and bytes, never in seconds."""

from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from sync_sio.drivers.locks import native_rlock
from sync_sio.sockets.rooms import Rooms, Target

ROOM = Target(frozenset({"room"}))
SMALL, LARGE = 10, 5000
MANY = 50


class Member:
    def __init__(self, sid: str) -> None:
        self.id = sid


def crowd(count: int) -> Rooms[Member]:
    """`count` members of "room" and of `MANY` rooms more, and one stranger; broadcasts have gone to all of it."""
    rooms: Rooms[Member] = Rooms(native_rlock())
    for number in range(count):
        sid = f"member {number}"
        rooms.enter(sid, Member(sid))
        rooms.admit(sid)
        rooms.join(sid, names())
    rooms.enter("stranger", Member("stranger"))
    rooms.admit("stranger")
    broadcast_everywhere(rooms)
    return rooms


def names() -> list[str]:
    return ["room", *(f"room {number}" for number in range(MANY))]


def broadcast_everywhere(rooms: Rooms[Member]) -> None:
    for name in names():
        rooms.recipients(Target(frozenset({name})))
    rooms.recipients(Target())


def counted(fn: Callable[[], object]) -> tuple[int, int]:
    """Run it and return how many bytecodes it executed, and how many calls it made, into C included."""
    bytecodes = calls = 0

    def trace(frame: FrameType, event: str, arg: Any) -> Any:
        nonlocal bytecodes
        frame.f_trace_opcodes = True
        bytecodes += event == "opcode"
        return trace

    def profile(frame: FrameType, event: str, arg: Any) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    before = sys.gettrace()
    # Python 3.12 looks whether anybody has ever wished for opcodes when tracing begins
    sys._getframe().f_trace_opcodes = True
    sys.settrace(trace)
    try:
        fn()
    finally:
        sys.settrace(before)
    return bytecodes, calls_of(fn, profile, lambda: calls)


def calls_of(fn: Callable[[], object], profile: Any, count: Callable[[], int]) -> int:
    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        fn()
    finally:
        sys.setprofile(before)
    return count()


def bytes_made(fn: Callable[[], object]) -> int:
    """Run it and return how much it had made at most, at any moment."""
    tracemalloc.start()
    try:
        fn()                                # what is made once
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        fn()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


def come_and_go(rooms: Rooms[Member]) -> None:
    rooms.join("stranger", ("room",))
    rooms.leave("stranger", "room")


def join_many_and_leave_the_namespace(rooms: Rooms[Member]) -> None:
    rooms.join("stranger", ALL)
    assert rooms.remove("stranger")
    rooms.enter("stranger", STRANGER)
    rooms.admit("stranger")


ALL = tuple(names())
STRANGER = Member("stranger")


@pytest.mark.parametrize("act", [come_and_go, join_many_and_leave_the_namespace])
def test_a_join_or_leave_costs_the_same_in_any_room(act: Callable[[Rooms[Member]], None]) -> None:
    small, large = crowd(SMALL), crowd(LARGE)
    act(small)                              # the interpreter has seen it
    costs = []
    for rooms in (small, large):
        act(rooms)
        broadcast_everywhere(rooms)         # so there is something to be forgotten
        costs.append(counted(lambda rooms=rooms: act(rooms)))  # type: ignore[misc]
    assert costs[0] == costs[1] and costs[0][0] > 50


@pytest.mark.parametrize("act", [come_and_go, join_many_and_leave_the_namespace])
def test_a_join_or_leave_copies_no_room(act: Callable[[Rooms[Member]], None]) -> None:
    small, large = crowd(SMALL), crowd(LARGE)
    made = [bytes_made(lambda rooms=rooms: act(rooms)) for rooms in (small, large)]  # type: ignore[misc]
    assert abs(made[1] - made[0]) < LARGE, "a copy of the large room's pointers alone would be eight times as much"


def test_a_join_to_many_rooms_costs_so_many_times_one() -> None:
    rooms = crowd(SMALL)

    def cost(count: int) -> int:
        some = ALL[:count]

        def act() -> None:
            rooms.join("stranger", some)
            for name in some:
                rooms.leave("stranger", name)

        act()
        return counted(act)[0]

    assert cost(40) - cost(20) == cost(30) - cost(10), "the same for each room"


def test_only_what_changed_is_made_anew_by_the_next_broadcast() -> None:
    rooms = crowd(SMALL)
    room, other = Target(frozenset({"room"})), Target(frozenset({"room 1"}))
    before, kept = rooms.recipients(room), rooms.recipients(other)
    assert rooms.recipients(room) is before
    come_and_go(rooms)
    assert rooms.recipients(other) is kept
    again = rooms.recipients(room)
    assert again is not before and set(again) == set(before)
    assert rooms.recipients(room) is again
