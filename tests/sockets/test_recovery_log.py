"""The log of packets against a naive one that keeps everything: what is recovered is exactly what was missed, or nothing is."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from sync_sio.config import RecoveryOptions
from sync_sio.protocol.parcel import Parcel
from sync_sio.sockets.recovery import Recovery, Seat, Session
from sync_sio.sockets.rooms import Target
from sync_sio.testing.manual import ManualDriver

GRACE = 5.0
AWAY = 20.0
ROOMS = st.frozensets(st.sampled_from(["a", "b", "c"]))


class Someone:
    """A client: what it has received, and what it was sent, as the naive log knows it."""

    def __init__(self, pid: str, rooms: frozenset[str]) -> None:
        self.sid = "id of " + pid
        self.rooms = rooms | {self.sid}
        self.seat = Seat(pid)
        self.offset: str | None = None
        self.due: list[tuple[str, float, Parcel]] = []
        """Offset, time and parcel of what was for it and it has not received."""
        self.left_at: float | None = None
        self.was_one_of_too_many = False

    @property
    def is_here(self) -> bool:
        return self.left_at is None


class LogMachine(RuleBasedStateMachine):
    people = Bundle("people")

    def __init__(self) -> None:
        super().__init__()
        self.driver = ManualDriver()
        self.options = RecoveryOptions(max_disconnection_duration=AWAY, max_packets=6, max_bytes=3000, max_sessions=3)
        self.recovery = Recovery(self.options, self.driver, GRACE, 2000, "tag")
        self.everybody: list[Someone] = []
        self.came = 0
        self.gone: list[Someone] = []
        """In the order of their leaving."""

    @rule(target=people, rooms=ROOMS)
    def come(self, rooms: frozenset[str]) -> Someone:
        self.came += 1
        someone = Someone(f"pid {self.came}", rooms)
        with self.recovery.order:
            self.recovery.enter(someone, someone.seat)  # type: ignore[arg-type]
        self.everybody.append(someone)
        return someone

    @rule(rooms=st.none() | ROOMS, excepts=ROOMS, sizes=st.lists(st.sampled_from([0, 10, 900]), max_size=8), is_volatile=st.booleans())
    def note(self, rooms: frozenset[str] | None, excepts: frozenset[str], sizes: list[int], is_volatile: bool) -> None:
        for size in sizes:
            self._note(rooms, excepts, size, is_volatile)

    def _note(self, rooms: frozenset[str] | None, excepts: frozenset[str], size: int, is_volatile: bool) -> None:
        number, offset = self.recovery.draw()
        parcel = Parcel(b"x" * size)
        with self.recovery.order:
            self.recovery.note(number, Target(rooms, excepts), None if is_volatile else parcel)
        for someone in self.everybody:
            if (rooms is None or rooms & someone.rooms) and not excepts & someone.rooms:
                if not is_volatile:
                    someone.due.append((offset, self.driver.time, parcel))
                elif someone.is_here and not someone.due:
                    someone.offset = offset         # it was sent at once, as nothing waited

    @rule(someone=people, count=st.integers(1, 4))
    def receive(self, someone: Someone, count: int) -> None:
        """Some of what was sent arrives."""
        if someone.is_here and someone.due:
            someone.offset = someone.due[:count][-1][0]
            del someone.due[:count]

    @rule(seconds=st.floats(0, 12))
    def time_passes(self, seconds: float) -> None:
        self.driver.advance(seconds)
        for someone in self.everybody:
            # a client that is here has received what was sent before its last pong
            while someone.is_here and someone.due and someone.due[0][1] <= self.driver.time - GRACE:
                someone.offset = someone.due.pop(0)[0]

    @rule(someone=people)
    def leave(self, someone: Someone) -> None:
        if someone.is_here:
            someone.left_at = self.driver.time
            with self.recovery.order:
                self.recovery.depart(someone, someone.seat)  # type: ignore[arg-type]
                self.recovery.keep(Session(someone.sid, someone.seat, someone.rooms, {}, self.driver.time))
            self.gone.append(someone)
            for each in self.gone[: -self.options.max_sessions]:
                each.was_one_of_too_many = True

    @rule(someone=people)
    def come_back(self, someone: Someone) -> None:
        if someone.left_at is None or someone not in self.everybody:
            return
        self.gone.remove(someone)
        recovery = self.recovery
        with recovery.order:
            session = recovery.take(someone.seat.pid, someone.offset)
            assert recovery.take(someone.seat.pid, someone.offset) is None, "a session is used once"
            if session is not None:
                assert self.driver.time - someone.left_at <= AWAY
                assert list(recovery.missed(session)) == [parcel for _, _, parcel in someone.due]
                someone.seat, someone.left_at = session.seat, None
                someone.was_one_of_too_many = False
                recovery.enter(someone, someone.seat)  # type: ignore[arg-type]
        if session is None:
            self._must_have_a_reason(someone)
            self.everybody.remove(someone)
        elif someone.due:
            someone.offset = someone.due[-1][0]
            someone.due.clear()

    def _must_have_a_reason(self, someone: Someone) -> None:
        log, left_at = self.recovery._log, someone.left_at
        assert left_at is not None
        reasons = (
            self.driver.time - left_at > AWAY,
            someone.was_one_of_too_many,
            log.dropped_at > left_at - GRACE,           # something may be lost
            sum(parcel.size for _, _, parcel in someone.due) > 2000,
        )
        assert any(reasons), "it was not recovered, and could have been"

    @invariant()
    def is_bounded(self) -> None:
        log = self.recovery._log
        assert len(log.notes) == len(log.places) <= self.options.max_packets
        assert log.size == sum(note.size for note in log.notes) <= self.options.max_bytes
        assert [log.places[note.number] for note in log.notes] == list(range(log.first, log.end))
        assert len(self.recovery._sessions) <= self.options.max_sessions

    def teardown(self) -> None:
        self.driver.advance(AWAY + GRACE)
        for _ in range(6):
            self.driver.advance(AWAY)
        assert not self.recovery._log.notes and not self.recovery._sessions
        assert self.driver.audit() == []


TestLog: Any = LogMachine.TestCase
TestLog.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
