"""Recovery across servers: sessions and what was sent are with the adapter (`RecoveryStore`), so a client may come back to any of them.

A broadcast that clients may miss goes to the store first and comes back with its place, in the order of the store, which is thus
the order of delivery on all servers. What was handed over of late is in the log here: it bridges the moment between what the store
has found for a client that comes back and the moment in which broadcasts reach it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from ..adapters.base import Broadcast, Kept, RecoveryStore, Restored, SessionRecord
from ..config import RecoveryOptions
from ..drivers.base import Driver
from ..drivers.strand import Strand
from ..protocol.parcel import Parcel
from .recovery import Note, Recovery, Seat, Session, is_for
from .rooms import Rooms

NOWHERE: Final = "0-0"
"""What stands where clients look for an offset, when there is none yet: it is before all."""


@dataclass(slots=True)
class Found(Session):
    """Who has left, here or elsewhere, and is coming in: with what the store has found."""

    missed: tuple[tuple[Kept, Parcel], ...] = ()
    end: int = -1
    sure: int = -1


class SharedRecovery(Recovery):
    """One per namespace, as `Recovery`, whose `order` it has. `parcel` makes the parcel of a broadcast, given its offset."""

    def __init__(
        self,
        options: RecoveryOptions,
        driver: Driver,
        grace: float,
        max_missed_bytes: int,
        store: RecoveryStore,
        namespace: str,
        parcel: Callable[[Broadcast, str], Parcel],
    ) -> None:
        super().__init__(options, driver, grace, max_missed_bytes, "")
        self.store = store
        self._namespace = namespace
        self._parcel_of = parcel
        self._latest = ""
        self._dropped = -1                          # the newest number that the log had and has no more
        self._early: dict[int, Note] = {}           # what clients got before it had a place
        self._to_save: list[Session] = []
        self._departed: dict[str, Seat] = {}        # by pid: they have left, and their ends are being told

    @property
    def is_shared(self) -> bool:
        return True

    # -- packets -----------------------------------------------------------------------------------------------------------

    def draw(self) -> tuple[int, str]:
        """Return what a packet bears that is not kept: the newest offset, up to which its recipients have everything (order held)."""
        return 0, self.latest

    @property
    def latest(self) -> str:
        position = self.store.position(self._namespace)
        if self.store.number(self._latest) >= self.store.number(position):
            position = self._latest
        return position or NOWHERE

    def note_kept(self, kept: Kept, parcel: Parcel) -> bool:
        """Note what the store hands over (order held). Returns whether it is to be sent to those who are here."""
        now = self._driver.now()
        if not kept.offset:
            self._early[kept.early] = Note(-1, kept.broadcast.target, parcel, now)
            if len(self._early) > self.options.max_packets:
                del self._early[next(iter(self._early))]
            return True
        if not kept.broadcast.volatile:
            self.note(self.store.number(kept.offset), kept.broadcast.target, parcel)
        self._latest = kept.offset
        return self._early.pop(kept.early, None) is None and not kept.early

    def _forget_old(self, now: float) -> None:
        log = self._log
        newest, first = (log.notes[-1].number if log.notes else -1), log.first
        super()._forget_old(now)
        for key in [key for key, note in self._early.items() if now - note.at > self._lifetime]:
            del self._early[key]
        if log.first != first:
            self._dropped = log.notes[0].number - 1 if log.notes else newest

    # -- who is here -------------------------------------------------------------------------------------------------------

    def enter(self, socket: Any, seat: Seat) -> None:
        super().enter(socket, seat)
        if not seat.is_recovered:
            seat.came = self.latest

    def depart(self, socket: Any, seat: Seat) -> None:
        super().depart(socket, seat)
        if not seat.is_told:
            self._departed[seat.pid] = seat

    def told(self, seat: Seat) -> Strand | None:
        successor = super().told(seat)
        with self.order:
            if self._departed.get(seat.pid) is seat:
                del self._departed[seat.pid]
        return successor

    def keep(self, session: Session) -> None:
        """Remember one who has left (order held); `save` sends it to the store."""
        self._to_save.append(session)

    def save(self) -> list[tuple[str, TypeError]]:
        """Give the store what is to be kept, without the lock. Returns whose data it cannot keep."""
        with self.order:
            sessions, self._to_save = self._to_save, []
            sure = self._sure() if sessions else -1
        failed = []
        for session in sessions:
            # who comes in has not got anything since it left
            until = session.sure if isinstance(session, Found) else sure
            record = SessionRecord(session.sid, session.seat.pid, tuple(session.rooms), session.data, session.seat.came, until)
            try:
                self.store.save(self._namespace, record, self.options.max_disconnection_duration)
            except TypeError as error:
                failed.append((session.sid, error))
        return failed

    def _sure(self) -> int:
        """Return the newest number of what was sent so long ago that a pong came after it (order held)."""
        before = self._driver.now() - self._grace
        log = self._log
        count = bisect_right(log.notes, before, key=lambda note: note.at)
        if count:
            return log.notes[count - 1].number
        return self._dropped if log.dropped_at <= before else -1

    # -- who comes back ----------------------------------------------------------------------------------------------------

    def restore(self, pid: str, offset: object, then: Callable[[Found | None], None]) -> None:
        """Look for a session, and give `then` what is found of it, or None, in phase one."""
        self.store.restore(self._namespace, pid, offset, partial(self._restored, then))

    def _restored(self, then: Callable[[Found | None], None], restored: Restored | None) -> None:
        self._driver.post(then, None if restored is None else self._found(restored))

    def _found(self, restored: Restored) -> Found | None:
        record = restored.session
        rooms = frozenset(record.rooms)
        missed = []
        size = 0
        for kept in restored.missed:
            if is_for(kept.broadcast.target, rooms):
                try:
                    parcel = self._parcel_of(kept.broadcast, kept.offset)
                except (TypeError, ValueError):         # what has no form here was not delivered either
                    continue
                missed.append((kept, parcel))
                size += parcel.size
        if size > self._max_missed_bytes:
            return None
        seat = Seat(record.pid, is_recovered=True, came=record.came)
        found = Found(record.sid, seat, rooms, record.data, self._driver.now())
        found.missed, found.end, found.sure = tuple(missed), self.store.number(restored.end), record.sure
        found.former = Seat(record.pid, is_told=True)
        seat.session = found
        return found

    def is_free_for(self, found: Found) -> bool:
        """Continue the socket that has left here, if it is one (order held). False: its client has come back once more."""
        pid = found.seat.pid
        if pid in self._here:
            return False
        found.former = self._departed.get(pid, found.former)
        return True

    def begin_anew(self, socket: Any, session: Session, pid: str) -> None:
        super().begin_anew(socket, session, pid)
        session.seat.came = self.latest

    def has_lost(self, session: Session) -> bool:
        """Tell whether the log does not reach back to what the store has found (order held)."""
        return isinstance(session, Found) and self._dropped > session.end

    def missed(self, session: Session) -> Iterator[Parcel]:
        """Yield what a client that comes back has not seen, up to what was handed over (order held): what follows reaches it."""
        if not isinstance(session, Found):
            return
        number = self.store.number
        latest = number(self.latest)
        for kept, parcel in session.missed:
            if number(kept.offset) <= latest:
                yield parcel
        for note in [*self._log.notes, *self._early.values()]:
            if note.parcel is not None and (note.number < 0 or note.number > session.end) and is_for(note.target, session.rooms):
                yield note.parcel

    # -- the end -----------------------------------------------------------------------------------------------------------

    def close_if_empty(self, rooms: Rooms[Any]) -> bool:
        """Who has left may come back to a new namespace of this name."""
        with self.order:
            if not rooms.close_if_empty():
                return False
        self.close()
        return True

