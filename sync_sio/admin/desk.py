"""What watches while a page is open: it gathers notes and sends them, on turns of its own."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from platform import node as hostname
from typing import TYPE_CHECKING, Any, Final

from ..drivers.base import Habit, Timer
from ..drivers.locks import native_lock
from ..drivers.strand import Strand
from ..errors import SlowConsumer
from .door import SESSION
from .notes import EVENTS, Note, Notes
from .shown import iso, show_data, show_socket

if TYPE_CHECKING:
    from ..server import Server
    from ..sockets.middleware import Next
    from ..sockets.namespace import Namespace
    from ..sockets.socket import Socket

STATS_SECONDS: Final = 2.0
SHOW_SECONDS: Final = 0.1
"""What happens within this is sent together."""
MAX_ROWS: Final = 200
"""Events shown at a time: a broadcast is one for each client."""
MAX_ROW_BYTES: Final = 1_000_000


def features(is_development: bool, is_read_only: bool) -> list[str]:
    """Return what the page may offer to its user: `supportedFeatures`."""
    commands = [] if is_read_only else ["EMIT", "JOIN", "LEAVE", "DISCONNECT", "MJOIN", "MLEAVE", "MDISCONNECT"]
    return [*commands, "AGGREGATED_EVENTS", *(["ALL_EVENTS"] if is_development else [])]


class Desks:
    """The desk of now, if a page is open: made for the first that comes, closed when the last has gone. `_lock` guards which it is."""

    def __init__(self, io: Server, home: Namespace, supported: list[str], is_development: bool) -> None:
        self.io = io
        self.home = home
        self.supported = supported
        self.is_development = is_development
        self._lock = native_lock()
        self._desk: Desk | None = None

    def before_rooms(self, socket: Socket) -> None:
        """A page may come in: watch from now on, so that it sees itself join (middleware)."""
        self._of(socket)

    def in_rooms(self, socket: Socket, next: Next) -> None:
        """Show it what has happened, before its CONNECT (middleware)."""
        self._of(socket).put(Desk.show_before, next)

    def connected(self, socket: Socket) -> None:
        """Show it everything."""
        self._of(socket).put(Desk.greet, socket)

    def disconnected(self, socket: Socket) -> None:
        self.close_if_alone()

    def close_if_alone(self) -> None:
        """Stop watching when nobody looks."""
        with self._lock:
            desk = self._desk
            if desk is None or len(self.home):
                return
            self._desk = None
        if len(self.home):                  # somebody has come meanwhile, and may have met this desk
            with self._lock:
                if self._desk is None:
                    self._desk = desk
                    return
        desk.close()

    def forget(self) -> None:
        """This is the child of a fork: the page looks at the parent."""
        self._lock = native_lock()
        self._desk = None

    def _of(self, socket: Socket) -> Desk:
        desk = self._desk
        if desk is not None:
            return desk
        made = Desk(self, bool(socket.request.get("wsgi.multiprocess")))
        with self._lock:
            desk = self._desk
            if desk is None:
                desk = self._desk = made
        if desk is made:
            made.open()
        return desk


class Desk:
    """One time of watching. What it sends is sent on its strand, so in order; `put` is anybody's.

    Args:
        is_one_of_many: whether other processes serve the same port, which a page may look at as well.
    """

    def __init__(self, desks: Desks, is_one_of_many: bool) -> None:
        self._desks = desks
        self._io = desks.io
        self._home = desks.home
        self._driver = desks.io.engine.driver
        self._notes = Notes(self._driver, desks.is_development, self._wake, self._forked)
        self._strand = Strand(self._home.site.aside)
        self._habit = Habit()
        self._timers: dict[str, Timer] = {}
        self._is_closed = False
        self._data: dict[str, dict[str, Any]] = {}      # of those who have any, as it was shown last
        server_id = f"{hostname()}#{os.getpid()}" if is_one_of_many else hostname()
        self._about = {"serverId": server_id, "hostname": hostname(), "pid": os.getpid()}

    def open(self) -> None:
        self._io.add_probe(self._notes)
        self._later("stats", STATS_SECONDS, self._tick)

    def close(self) -> None:
        self._is_closed = True
        self._io.remove_probe(self._notes)
        for timer in list(self._timers.values()):
            timer.cancel()

    def put(self, task: Callable[[Desk, Any], None], item: Any = None) -> None:
        """Do this after what was put before. Any thread, phase one included."""
        if self._strand.put(task, self, item, self._habit):
            self._driver.run(self._strand)

    # -- phase one -------------------------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        self._desks.close_if_alone()
        self.put(Desk.report)
        self._later("stats", STATS_SECONDS, self._tick)

    def _wake(self) -> None:
        self._later("show", SHOW_SECONDS, self.put, Desk.show)

    def _later(self, name: str, seconds: float, fn: Callable[..., None], *args: Any) -> None:
        if not self._is_closed:
            self._timers[name] = timer = self._driver.later(seconds, fn, *args)
            if self._is_closed:             # it was closed while the timer was made
                timer.cancel()

    def _forked(self) -> None:
        self._is_closed = True
        self._io.remove_probe(self._notes)
        self._desks.forget()

    # -- tasks of the strand -----------------------------------------------------------------------------------------------------

    def show_before(self, next: Next) -> None:
        self.show()
        next()

    def greet(self, socket: Socket) -> None:
        """Tell a page that has come what there is."""
        self.show()
        try:
            socket.emit("config", {"supportedFeatures": self._desks.supported})
            if self._desks.is_development:
                socket.emit("all_sockets", self._all_sockets())
            if session := vars(socket).get(SESSION):
                # once more: the page listens for it from its `connect` on, and JavaScript clients hand out earlier events before
                socket.emit("session", session)
        except SlowConsumer:
            return                          # it has been closed, and the operator told
        self.report()

    def report(self, _: None = None) -> None:
        """Send the numbers, and what has changed in `socket.data` since the last time."""
        self._show_data()
        engine = self._io.engine
        connections = list(engine.connections.values())
        stats = {
            **self._about,
            "uptime": self._driver.now() - engine.started_at,
            "clientsCount": len(connections),
            "pollingClientsCount": sum(connection.transport.name == "polling" for connection in connections),
            "aggregatedEvents": self._notes.take_counts(),
            "namespaces": [{"name": home.name, "socketsCount": len(home)} for home in self._namespaces()],
        }
        self._emit("server_stats", stats)

    def show(self, _: None = None) -> None:
        """Send what was noted."""
        notes = self._notes.take()
        if self._notes.is_incomplete:
            self._notes.is_incomplete = False
            self._notes.dropped += sum(len(note[2]) for note in notes if note[0] in EVENTS)
            self._emit("all_sockets", self._all_sockets())
            return
        rows, size = MAX_ROWS, MAX_ROW_BYTES
        for note in notes:
            what, _at, subject, _data, bytes_ = note
            if what in EVENTS:
                sockets = subject[: min(rows, size // bytes_ + 1)] if rows > 0 and size > 0 else ()
                rows -= len(sockets)
                size -= len(sockets) * bytes_
                self._notes.dropped += len(subject) - len(sockets)
                for socket in sockets:
                    self._show_event(note, socket)
            else:
                self._show_change(note)

    # -- rows --------------------------------------------------------------------------------------------------------------------

    def _show_event(self, note: Note, socket: Socket) -> None:
        what, at, _, data, _ = note
        self._emit(what, socket.namespace.name, socket.id, data, iso(at))

    def _show_change(self, note: Note) -> None:
        what, at, subject, second, third = note
        if what == "socket_connected":
            self._data[subject.id] = show_data(self._home.site, third)
            self._emit(what, self._row(subject, second), iso(at))
        elif what == "socket_disconnected":
            self._data.pop(subject.id, None)
            name = subject.namespace.name
            self._emit(what, name, subject.id, second, iso(at))
            for room in third:
                self._emit("room_left", name, room, subject.id, iso(at))
        elif what == "transport":
            for socket in subject.receiver.sockets():
                if socket.connected:
                    self._emit("socket_updated", {"id": socket.id, "nsp": socket.namespace.name, "transport": second})
        else:
            self._emit(what, subject, second, third, iso(at))

    def _show_data(self) -> None:
        """Tell all pages whose data has changed since they were told last."""
        if not self._desks.is_development:
            return
        told, self._data = self._data, {}
        for socket in self._sockets():
            before, data = told.get(socket.id, {}), socket._core.data
            if before or data:
                now = self._data[socket.id] = show_data(self._home.site, data)
                if now != before:
                    self._emit("socket_updated", {"id": socket.id, "nsp": socket.namespace.name, "data": now})

    def _all_sockets(self) -> list[dict[str, Any]]:
        self._show_data()                   # so that older pages know the same as the one that this is for
        return [self._row(socket, socket.rooms) for socket in self._sockets()]

    def _row(self, socket: Socket, rooms: set[str]) -> dict[str, Any]:
        return show_socket(socket, [socket.id, *sorted(rooms - {socket.id})], self._data.get(socket.id, {}))

    def _sockets(self) -> Iterator[Socket]:
        for home in self._namespaces():
            for socket in home:
                if socket.connected:
                    yield socket

    def _namespaces(self) -> list[Namespace]:
        return list(self._io._hub.namespaces.values())

    def _emit(self, event: str, *args: Any) -> None:
        try:
            self._home.emit(event, *args)
        except (TypeError, ValueError, RecursionError):
            self._notes.dropped += 1        # what was sent has been changed since, and cannot be sent any more
