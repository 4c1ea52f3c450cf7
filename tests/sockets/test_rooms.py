"""The index of rooms by itself: who is reached, who is refused, what is left."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from random import Random

import pytest

from sync_sio.drivers.locks import native_lock
from sync_sio.sockets.rooms import EVERYBODY, Rooms, Target, room_names


class Member:
    def __init__(self, sid: str) -> None:
        self.id = sid


def make(*ids: str) -> tuple[Rooms[Member], dict[str, Member]]:
    rooms: Rooms[Member] = Rooms(native_lock())
    members = {sid: Member(sid) for sid in ids}
    for sid, member in members.items():
        rooms.enter(sid, member)
        assert rooms.admit(sid)
    return rooms, members


def ids(rooms: Rooms[Member], *names: str, besides: tuple[str, ...] = ()) -> list[str]:
    return sorted(member.id for member in rooms.recipients(Target(frozenset(names), frozenset(besides))))


def test_a_broadcast_to_everybody_reaches_everybody_in_the_order_in_which_they_came() -> None:
    rooms, _ = make("c", "a", "b")
    assert [member.id for member in rooms.recipients(EVERYBODY)] == ["c", "a", "b"]


def test_an_id_is_a_room() -> None:
    rooms, _ = make("a", "b")
    assert ids(rooms, "a") == ["a"]
    assert rooms.rooms_of("a") == frozenset({"a"})


def test_a_socket_in_several_of_the_rooms_is_reached_once() -> None:
    rooms, _ = make("a", "b", "c")
    rooms.join("a", ["x", "y"])
    rooms.join("b", ["y"])
    assert ids(rooms, "x", "y") == ["a", "b"]
    assert ids(rooms, "x", "y", "a", "c") == ["a", "b", "c"]


def test_no_rooms_means_nobody_and_unknown_rooms_too() -> None:
    rooms, _ = make("a")
    assert ids(rooms) == []
    assert ids(rooms, "unknown") == []


def test_members_of_excepted_rooms_are_left_out() -> None:
    rooms, _ = make("a", "b", "c")
    rooms.join("b", ["muted"])
    everybody = Target(None, frozenset(("muted", "c", "unknown")))
    assert [member.id for member in rooms.recipients(everybody)] == ["a"]


def test_join_and_leave_are_idempotent() -> None:
    rooms, _ = make("a")
    assert rooms.join("a", ["x", "a"]) == ["x"]
    assert rooms.join("a", ["x", "y"]) == ["y"]
    assert rooms.leave("a", "y") and not rooms.leave("a", "y")
    assert rooms.rooms_of("a") == frozenset({"a", "x"})
    for _ in range(2):
        rooms.leave("a", "x")
    assert rooms.rooms_of("a") == frozenset({"a"})
    assert ids(rooms, "x") == []


def test_a_broadcast_sees_a_join_and_a_leave_that_came_before() -> None:
    rooms, _ = make("a", "b")
    rooms.join("a", ["x"])
    assert ids(rooms, "x") == ["a"]
    rooms.join("b", ["x"])
    assert ids(rooms, "x") == ["a", "b"]
    rooms.leave("a", "x")
    assert ids(rooms, "x") == ["b"]
    rooms.remove("b")
    assert ids(rooms, "x") == []


def test_a_room_may_bear_the_name_of_an_id() -> None:
    rooms, _ = make("a", "b")
    rooms.join("b", ["a"])
    assert ids(rooms, "a") == ["a", "b"]
    rooms.remove("a")
    assert ids(rooms, "a") == ["b"]


def test_a_repeated_broadcast_copies_nothing() -> None:
    rooms, _ = make("a", "b")
    rooms.join("a", ["x"])
    assert rooms.recipients(EVERYBODY) is rooms.recipients(EVERYBODY)
    room = Target(frozenset(("x",)))
    assert rooms.recipients(room) is rooms.recipients(room)


def test_names_that_are_no_rooms_are_not_remembered() -> None:
    rooms, _ = make()
    for number in range(10):
        assert ids(rooms, f"nobody-{number}") == []
    rooms.recipients(EVERYBODY)
    assert len(rooms._snapshots) == 1


def test_what_a_socket_joins_before_it_is_admitted_takes_effect_then() -> None:
    rooms, _ = make("a")
    late = Member("late")
    rooms.enter("late", late)
    assert rooms.join("late", ["x"]) == []
    assert ids(rooms, "x") == [] and len(rooms) == 1
    assert rooms.rooms_of("late") == frozenset({"late", "x"})
    assert rooms.admit("late")
    assert ids(rooms, "x") == ["late"]


def test_the_end_leaves_all_rooms_and_tells_them_once() -> None:
    rooms, _ = make("a")
    rooms.join("a", ["x", "y"])
    assert rooms.remove("a") == frozenset({"a", "x", "y"})
    assert rooms.remove("a") is None
    assert rooms.rooms_of("a") is None
    assert rooms.audit() == []


def test_unknown_ids_are_refused() -> None:
    rooms, _ = make()
    assert not rooms.join("ghost", ["x"])
    assert not rooms.admit("ghost")
    rooms.leave("ghost", "x")
    assert rooms.audit() == []


def test_one_who_left_before_being_admitted_is_not_admitted() -> None:
    rooms, _ = make()
    rooms.enter("a", Member("a"))
    rooms.join("a", ["x"])
    assert rooms.remove("a") == frozenset({"a", "x"})
    assert not rooms.admit("a")
    assert rooms.audit() == []


@pytest.mark.parametrize("wrong", ["", None, 7, b"x", ["a", ""], ["a", 7], [None]])
def test_a_room_is_a_str_that_is_not_empty(wrong: object) -> None:
    with pytest.raises(TypeError, match="room"):
        room_names(wrong)


def test_rooms_come_from_any_iterable() -> None:
    def some() -> Iterator[str]:
        yield from ("a", "b")

    assert room_names("ab") == ("ab",)
    assert room_names(some()) == ("a", "b")
    assert sorted(room_names({"a", "b"})) == ["a", "b"]
    assert room_names(()) == ()


@pytest.fixture
def eager_switching() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_many_threads_leave_no_ghost_and_lose_no_member(eager_switching: None) -> None:
    rooms: Rooms[Member] = Rooms(native_lock())
    names = [f"room{number}" for number in range(5)]
    stop = time.monotonic() + 1.5
    errors: list[BaseException] = []
    known = [f"stayer{number}" for number in range(8)]
    for sid in known:
        rooms.enter(sid, Member(sid))
        rooms.admit(sid)

    def come_and_go(number: int) -> None:
        random = Random(number)
        count = 0
        while time.monotonic() < stop:
            count += 1
            sid = f"{number}-{count}"
            rooms.enter(sid, Member(sid))
            rooms.join(sid, random.sample(names, 2))
            assert rooms.admit(sid)
            joiner = threading.Thread(target=rooms.join, args=(sid, names)) if count % 50 == 0 else None
            if joiner:
                joiner.start()
            rooms.join(sid, [random.choice(names)])
            rooms.leave(sid, random.choice(names))
            assert rooms.remove(sid) is not None
            if joiner:
                joiner.join()

    def join_and_leave(number: int) -> None:
        random = Random(number)
        sid = known[number]
        while time.monotonic() < stop:
            room = random.choice(names)
            rooms.join(sid, [room])
            here = Target(frozenset((room,)))
            assert sid in [member.id for member in rooms.recipients(here)], "a join that returned was lost"
            rooms.leave(sid, room)
            assert sid not in [member.id for member in rooms.recipients(here)], "a leave that returned was lost"

    def broadcast(number: int) -> None:
        while time.monotonic() < stop:
            reached = [member.id for member in rooms.recipients(EVERYBODY)]
            assert len(reached) == len(set(reached)) and set(known) <= set(reached)
            rooms.recipients(Target(frozenset(names), frozenset(names[:1])))

    def guarded(fn: object, number: int) -> None:
        try:
            fn(number)  # type: ignore[operator]
        except BaseException as error:
            errors.append(error)

    work = [(come_and_go, n) for n in range(3)] + [(join_and_leave, n) for n in range(3)] + [(broadcast, n) for n in range(2)]
    threads = [threading.Thread(target=guarded, args=each) for each in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    for sid in known:
        rooms.remove(sid)
    assert rooms.audit() == []
