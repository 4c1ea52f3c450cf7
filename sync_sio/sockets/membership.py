"""What users know as `namespace.adapter`: who is in which room of this process, and what changes about it."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context
from typing import TYPE_CHECKING, Any, Final, TypeVar, overload

from ..drivers.base import Habit
from ..drivers.locks import native_lock
from ..drivers.strand import Strand
from .aside import MAX_WAITING, Aside, report_aside, run_in
from .handlers import check_function

if TYPE_CHECKING:
    from .namespace import Namespace

F = TypeVar("F", bound=Callable[..., Any])

EVENTS: Final = ("create-room", "join-room", "leave-room", "delete-room")

News = tuple[str, str, str | None]


class Membership:
    """The rooms of a namespace and their members, always of this process. Any thread.

    Listeners hear of `"create-room"(room)`, `"join-room"(room, id)`, `"leave-room"(room, id)` and `"delete-room"(room)`, one after the
    other, in the order in which things happened, and shortly after them. A socket's own id is a room, too.
    """

    def __init__(self, home: Namespace) -> None:
        self._home = home
        self._listeners: dict[str, tuple[tuple[Callable[..., Any], bool], ...]] = {}
        self._lock = native_lock()          # for registering, which works before the runtime is known
        self._strand: Strand
        self._habit = Habit()
        self._missed = 0
        self.room_made: Callable[[str], None] | None = None
        """Told of each room that there is from now on, by an adapter that must know at once (the rooms' lock held); and …"""
        self.room_gone: Callable[[str], None] | None = None

    def __repr__(self) -> str:
        return f"<rooms of {self._home.name}>"

    def start(self) -> None:
        """The namespace's rooms are there."""
        # The strand's lock is that of the rooms: what is put with it held is in the order of the changes
        self._strand = Strand(Aside(self._home.rooms.lock))

    @property
    def sids(self) -> dict[str, set[str]]:
        """A snapshot: the rooms of each socket, by id."""
        return self._home.rooms.rooms_by_id() if self._home.is_started else {}

    @property
    def rooms(self) -> dict[str, set[str]]:
        """A snapshot: the ids of each room's members, by room."""
        found: dict[str, set[str]] = {}
        for sid, rooms in self.sids.items():
            for room in rooms:
                found.setdefault(room, set()).add(sid)
        return found

    @overload
    def on(self, event: str, fn: F) -> F: ...
    @overload
    def on(self, event: str, fn: None = None) -> Callable[[F], F]: ...
    def on(self, event: str, fn: Any = None) -> Any:
        """Call `fn` for what changes. As a call or a decorator; returns the function.

        Raises:
            TypeError: not a function, or an async one.
            ValueError: there is no such event.
        """
        return self._listen(event, fn, is_once=False)

    @overload
    def once(self, event: str, fn: F) -> F: ...
    @overload
    def once(self, event: str, fn: None = None) -> Callable[[F], F]: ...
    def once(self, event: str, fn: Any = None) -> Any:
        """The same for the next time only."""
        return self._listen(event, fn, is_once=True)

    def off(self, event: str | None = None, fn: Callable[..., Any] | None = None) -> None:
        """Remove one listener, all of one event, or all."""
        with self._lock:
            for name in (EVENTS if event is None else (_checked(event),)):
                found = self._listeners.pop(name, ())
                at = next((at for at in reversed(range(len(found))) if found[at][0] == fn), None)
                kept = found[:at] + found[at + 1 :] if at is not None else found if fn is not None else ()
                if kept:
                    self._listeners[name] = kept
            self.watch_or_not()

    def listeners(self, event: str) -> list[Callable[..., Any]]:
        """Return the functions that are registered for an event."""
        return [fn for fn, _ in self._listeners.get(_checked(event), ())]

    def _listen(self, event: str, fn: Any, is_once: bool) -> Any:
        _checked(event)
        if fn is None:
            return lambda function: self._listen(event, function, is_once)
        entry = (check_function(fn, f"adapter.on({event!r})"), is_once)
        with self._lock:
            self._listeners[event] = (*self._listeners.get(event, ()), entry)
            self.watch_or_not()
        return fn

    def watch_or_not(self) -> None:
        """Hear of changes if anybody listens, and have them cost nothing if not."""
        if self._home.is_started:
            self._home.rooms.watch = self._note if self._listeners or self.room_made else None

    # -- what happens ------------------------------------------------------------------------------------------------------

    def _note(self, event: str, room: str, sid: str | None) -> None:
        """Something has changed (the rooms' lock held, maybe phase one)."""
        if sid is None and self.room_made is not None and self.room_gone is not None:
            (self.room_made if event == "create-room" else self.room_gone)(room)
        if event not in self._listeners:
            return
        if len(self._strand) >= MAX_WAITING:
            self._missed += 1
        elif self._strand.put(_tell, self, (event, room, sid), self._habit):
            self._home.site.driver.run(self._strand)

    def _tell(self, news: News) -> None:
        home = self._home
        if self._missed:
            missed, self._missed = self._missed, 0
            home.site.logger.warning("%s: %d changes of rooms were not told: listeners are too slow for them", home.name, missed)
        event, room, sid = news
        args = [room] if sid is None else [room, sid]
        for fn, is_once in self._listeners.get(event, ()):
            if is_once:
                self.off(event, fn)
            try:
                Context().run(run_in, home.site, event, fn, args)
            except BaseException as error:      # the wall of the turn
                report_aside(home, error, event, args)


def _tell(membership: Membership, news: News) -> None:
    membership._tell(news)


def _checked(event: str) -> str:
    if event not in EVENTS:
        raise ValueError(f"{event!r} is none of the adapter's events: {', '.join(EVENTS)}")
    return event
