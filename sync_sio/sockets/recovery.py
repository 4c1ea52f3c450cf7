"""Connection state recovery: what was sent of late, and who has left and may come back for what they missed.

A packet that is sent to clients for good (no volatile one, none that asks for an answer) gets an offset, which travels as its last
argument, and is noted. A client that comes back says which offset it saw last; what was noted for it after that is sent again.

Offsets are drawn before a packet is encoded, and noted in the order of delivery: so that one is the order of *positions*.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count, islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ..adapters.base import Target
from ..config import RecoveryOptions
from ..drivers.base import Driver, Timer
from ..drivers.strand import Strand
from ..protocol.parcel import Parcel

if TYPE_CHECKING:
    from .rooms import Rooms
    from .socket import Socket

RECOVERABLE: Final = frozenset(
    {"transport error", "transport close", "forced close", "forced server close", "ping timeout", "server shutting down"}
)
"""The ends after which a client may have missed something. Who was told to go, or said goodbye, begins anew."""
NOTE_BYTES: Final = 256
"""What a note is counted for beside its parcel."""


class Note(NamedTuple):
    """A packet that was sent. `number`: of its offset."""

    number: int
    target: Target
    parcel: Parcel | None
    at: float

    @property
    def size(self) -> int:
        return NOTE_BYTES + (0 if self.parcel is None else self.parcel.size)


@dataclass(slots=True)
class Seat:
    """What recovery knows of a socket that is here: its secret id, and from which position on it may miss something."""

    pid: str
    position: int = 0
    is_recovered: bool = False
    has_left: bool = False
    session: Session | None = None
    """What it is to get back, until it has got it."""
    came: str = ""
    """The newest offset when it came, where offsets are those of all servers."""
    is_told: bool = False
    """The handlers of its end have run."""
    successor: Strand | None = None
    """The strand of the socket that continues it, which waits for that."""


@dataclass(slots=True)
class Session:
    """Who has left, and may come back."""

    sid: str
    seat: Seat
    rooms: frozenset[str]
    data: dict[str, Any]
    left_at: float
    left_position: int = 0
    former: Seat = field(init=False)
    """Of the socket that has left; `seat` is the one of whoever comes back."""

    def __post_init__(self) -> None:
        self.former = self.seat


@dataclass(slots=True)
class _Log:
    """The notes, oldest first. `first` is the position of the oldest; positions are never used again."""

    notes: deque[Note] = field(default_factory=deque)
    places: dict[int, int] = field(default_factory=dict)
    first: int = 0
    size: int = 0
    dropped_at: float = float("-inf")
    """When the newest note was sent that is not kept any more."""

    @property
    def end(self) -> int:
        return self.first + len(self.notes)

    def append(self, note: Note) -> None:
        self.places[note.number] = self.end
        self.notes.append(note)
        self.size += note.size

    def drop(self) -> None:
        note = self.notes.popleft()
        del self.places[note.number]
        self.first += 1
        self.size -= note.size
        self.dropped_at = note.at


class Recovery:
    """One per namespace, where recovery is on. `order` guards everything, and is the one lock under which others are taken:

    it is held from noting a packet until it is in the outboxes, and while a client that comes back gets what it missed and enters its
    rooms. So what a client gets, and in which order, is what is noted. Any thread.
    """

    def __init__(self, options: RecoveryOptions, driver: Driver, grace: float, max_missed_bytes: int, tag: str) -> None:
        self.options = options
        self.order = driver.order_lock()
        self.emptied: Callable[[], None] = _nothing
        """Called when the last session was forgotten for its age, with no lock held."""
        self._driver = driver
        self._grace = grace                     # a ping answered says that what came before it was received
        self._max_missed_bytes = max_missed_bytes
        self._tag = tag
        self._numbers = count(1)
        self._log = _Log()
        self._here: dict[str, Socket] = {}
        self._sessions: dict[str, Session] = {}
        self._timer: Timer | None = None

    @property
    def is_shared(self) -> bool:
        """Whether clients may come back to other servers, see `shared_recovery`."""
        return False

    # -- packets -----------------------------------------------------------------------------------------------------------

    def draw(self) -> tuple[int, str]:
        """Return the number of a packet that is about to be noted, and the offset that it bears."""
        number = next(self._numbers)
        return number, f"{number:x}.{self._tag}"

    def note(self, number: int, target: Target, parcel: Parcel | None) -> None:
        """Note a packet that is sent now (order held). None for the parcel: it is not sent again, but clients know its offset."""
        now = self._driver.now()
        self._log.append(Note(number, target, parcel, now))
        self._forget_old(now)
        if self._timer is None:
            self._timer = self._driver.later(self._lifetime / 4, self._tick)

    # -- who is here -------------------------------------------------------------------------------------------------------

    def enter(self, socket: Socket, seat: Seat) -> None:
        """Broadcasts reach a socket from now on (order held)."""
        if not seat.is_recovered:
            seat.position = self._log.end
        self._here[seat.pid] = socket

    def ghost(self, pid: str) -> Socket | None:
        """Return who is here by this id: it has gone without a word, if its client comes back."""
        return self._here.get(pid)

    def depart(self, socket: Socket, seat: Seat) -> None:
        """A socket leaves its rooms (order held)."""
        seat.has_left = True
        if self._here.get(seat.pid) is socket:
            del self._here[seat.pid]

    def keep(self, session: Session) -> None:
        """Remember one who has left (order held)."""
        session.left_position = session.left_position or self._log.end
        self._sessions[session.seat.pid] = session
        if len(self._sessions) > self.options.max_sessions:
            del self._sessions[next(iter(self._sessions))]
        if self._timer is None:
            self._timer = self._driver.later(self._lifetime / 4, self._tick)

    # -- who comes back ----------------------------------------------------------------------------------------------------

    def take(self, pid: str, offset: object) -> Session | None:
        """Return the session of one who comes back; it is used up (order held).

        None: there is none, or something is lost that it has missed.
        """
        session = self._sessions.pop(pid, None)
        if session is None or self._driver.now() - session.left_at > self.options.max_disconnection_duration:
            return None
        position = self._seen_up_to(session, offset)
        if position is None:
            return None
        session.seat = Seat(pid, position, is_recovered=True, session=session)
        if self.has_lost(session):
            return None
        missed = sum(parcel.size for parcel in self.missed(session))
        return session if missed <= self._max_missed_bytes else None

    def claim(self, socket: Socket, seat: Seat) -> None:
        """This socket is to get the session of its seat (order held). If its client tries again before, it is a ghost."""
        self._here[seat.pid] = socket

    def begin_anew(self, socket: Socket, session: Session, pid: str) -> None:
        """Let the socket have a session of its own (order held), as this one cannot be had any more."""
        seat = session.seat
        del self._here[seat.pid]
        seat.pid, seat.position, seat.is_recovered = pid, self._log.end, False
        self._here[pid] = socket

    def has_lost(self, session: Session) -> bool:
        """Tell whether something is not kept any more that this client may have missed (order held)."""
        return session.seat.position < self._log.first and self._log.dropped_at > session.left_at - self._grace

    def missed(self, session: Session) -> Iterator[Parcel]:
        """Yield what was noted for one who comes back and has not seen it (order held)."""
        log = self._log
        for note in islice(log.notes, max(0, session.seat.position - log.first), None):
            if note.parcel is not None and is_for(note.target, session.rooms):
                yield note.parcel

    def follow(self, former: Seat, strand: Strand) -> bool:
        """Continue a socket on another strand (order held). True: its end has been told; else `told` returns the strand."""
        if not former.is_told:
            former.successor = strand
        return former.is_told

    def told(self, seat: Seat) -> Strand | None:
        """The end of a socket has been told. Returns the strand that has waited for that, and must be run."""
        with self.order:
            seat.is_told = True
            successor, seat.successor = seat.successor, None
        return successor

    def _seen_up_to(self, session: Session, offset: object) -> int | None:
        """Return the position up to which a client has seen what was for it. None: it cannot be told."""
        start = session.seat.position
        if offset is None:
            return start
        after = self._after(offset)
        if after is not None:
            return max(start, after)        # a client remembers offsets of the session before this one
        # not one of ours: of another server, or a str that ended an event without an offset. If nothing was sent to it, it has seen nothing
        log = self._log
        was_sent = start < log.first or any(
            is_for(note.target, session.rooms) for note in islice(log.notes, start - log.first, session.left_position - log.first)
        )
        return None if was_sent else start

    def _after(self, offset: object) -> int | None:
        """Return the position after a packet, by its offset. None: no packet of ours bears it."""
        digits, _, tag = offset.partition(".") if isinstance(offset, str) else ("", "", "")
        if tag != self._tag:
            return None
        try:
            number = int(digits, 16)
        except ValueError:
            return None
        place = self._log.places.get(number)
        return self._log.first - 1 if place is None else place + 1

    # -- time --------------------------------------------------------------------------------------------------------------

    @property
    def _lifetime(self) -> float:
        # one who leaves just now may have missed what was sent before its last pong
        return self.options.max_disconnection_duration + self._grace

    def _forget_old(self, now: float) -> None:
        log, options = self._log, self.options
        while log.notes and (
            len(log.notes) > options.max_packets or log.size > options.max_bytes or now - log.notes[0].at > self._lifetime
        ):
            log.drop()

    def _tick(self) -> None:
        """Let go of what is too old (a timer: phase one)."""
        now = self._driver.now()
        with self.order:
            self._forget_old(now)
            had = len(self._sessions)
            while self._sessions:
                pid, session = next(iter(self._sessions.items()))
                if now - session.left_at <= self.options.max_disconnection_duration:
                    break
                del self._sessions[pid]
            is_emptied = bool(had) and not self._sessions
            is_wanted = bool(self._sessions or self._log.notes)
            self._timer = self._driver.later(self._lifetime / 4, self._tick) if is_wanted else None
        if is_emptied:
            self.emptied()

    def close_if_empty(self, rooms: Rooms[Socket]) -> bool:
        """Let go of everything, and close the rooms, if nobody is there or may come back. Returns whether that is so."""
        with self.order:            # who leaves is either in the rooms or remembered
            if self._sessions or not rooms.close_if_empty():
                return False
        self.close()
        return True

    def close(self) -> None:
        """Let go of everything: nobody comes back to this process."""
        with self.order:
            timer, self._timer = self._timer, None
            self._sessions.clear()
            self._log = _Log(first=self._log.end, dropped_at=self._driver.now())
        if timer is not None:
            timer.cancel()


def _nothing() -> None: ...


def is_for(target: Target, rooms: frozenset[str]) -> bool:
    return (target.rooms is None or not target.rooms.isdisjoint(rooms)) and target.excepts.isdisjoint(rooms)
