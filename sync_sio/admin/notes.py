"""What has happened since the page was told last: bounded, and noted where it happens."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any, Final

from ..drivers.base import Driver
from ..probe import Probe

if TYPE_CHECKING:
    from ..engine.connection import Connection
    from ..protocol.parcel import Parcel
    from ..protocol.socketio.packet import Packet
    from ..sockets.namespace import Namespace
    from ..sockets.socket import Socket

MAX_EVENTS: Final = 200
"""Events that wait to be shown; more are counted and not shown."""
MAX_EVENT_BYTES: Final = 1_000_000
"""Bytes of what waits to be shown."""
MAX_SHOWN_BYTES: Final = 16_384
"""An event over this is shown without its arguments."""
MAX_CHANGES: Final = 5000
"""Comings, goings and changes of rooms that wait; over this the page gets a new list of all sockets instead."""

ROW_BYTES: Final = 100
"""What an event counts for beside its arguments."""
EVENTS: Final = ("event_received", "event_sent")

Note = tuple[str, float, Any, Any, Any]
"""What, when (seconds since the epoch), and three things that depend on what."""


class Notes(Probe):
    """A probe that never waits for anything: every method may run on several threads at once, and takes no lock.

    Appending to a deque is one step; a number that two threads change at once may lose one, which a statistic bears.

    Args:
        home: the namespace of the page.
        is_development: note what happens; else only count.
        wake: called when there is something to show, once until `take`.
        forked: called in the child of a fork, where no page looks.
    """

    def __init__(self, driver: Driver, is_development: bool, wake: Callable[[], None], forked: Callable[[], None]) -> None:
        self._now = driver.wall_time
        self._is_development = is_development
        self._wake = wake
        self._forked = forked
        self._notes: deque[Note] = deque()
        self._bytes = 0
        self._is_awake = False
        self._counts: dict[tuple[int, str, str | None], int] = {}
        self.dropped = 0
        self.is_incomplete = False

    # -- for the desk --------------------------------------------------------------------------------------------------------

    def take(self) -> list[Note]:
        """Return what waits, in order."""
        self._is_awake = False
        self._bytes = 0
        return [self._notes.popleft() for _ in range(len(self._notes))]

    def take_counts(self) -> list[dict[str, Any]]:
        """Return what was counted: `aggregatedEvents`."""
        counts, self._counts = self._counts, {}
        dropped, self.dropped = self.dropped, 0
        if dropped:
            counts[int(self._now()), "eventsNotShown", None] = dropped
        found = []
        for (second, kind, detail), count in list(counts.items()):
            one: dict[str, Any] = {"timestamp": second * 1000, "type": kind, "count": count}
            if detail is not None:
                one["subType"] = detail
            found.append(one)
        return found

    # -- noting --------------------------------------------------------------------------------------------------------------

    def _count(self, kind: str, detail: str | None = None, count: int = 1) -> None:
        counts, key = self._counts, (int(self._now()), kind, detail)
        counts[key] = counts.get(key, 0) + count

    def _note(self, what: str, subject: Any, second: Any = None, third: Any = None) -> None:
        if not self._is_development:
            return
        if len(self._notes) >= MAX_CHANGES:
            self.is_incomplete = True
            return
        self._append((what, self._now(), subject, second, third))

    def _note_event(self, what: str, subject: Sequence[Socket], data: list[Any], size: int) -> None:
        if len(self._notes) >= MAX_EVENTS or self._bytes > MAX_EVENT_BYTES:
            self.dropped += len(subject)
            return
        if size > MAX_SHOWN_BYTES:
            data, size = [data[0], f"({size} bytes: not shown)"], 0
        size += ROW_BYTES
        self._bytes += size
        self._append((what, self._now(), subject, data, size))

    def _append(self, note: Note) -> None:
        self._notes.append(note)
        if not self._is_awake:
            self._is_awake = True
            self._wake()

    # -- Probe ---------------------------------------------------------------------------------------------------------------

    def connection_opened(self, connection: Connection) -> None:
        self._count("rawConnection")

    def connection_closed(self, connection: Connection, reason: str) -> None:
        self._count("rawDisconnection", reason)

    def transport_changed(self, connection: Connection) -> None:
        self._note("transport", connection, connection.transport.name)

    def message_received(self, connection: Connection, size: int) -> None:
        self._count("packetsIn")
        self._count("bytesIn", None, size)

    def socket_connected(self, socket: Socket) -> None:
        if self._is_development:
            # as they are now: what changes until it is shown is told as a change
            self._note("socket_connected", socket, socket.rooms, dict(socket._core.data or ()))

    def socket_left(self, socket: Socket, reason: str, rooms: Collection[str]) -> None:
        self._note("socket_disconnected", socket, reason, rooms)

    def room_joined(self, home: Namespace, room: str, sid: str) -> None:
        self._note("room_joined", home.name, room, sid)

    def room_left(self, home: Namespace, room: str, sid: str) -> None:
        self._note("room_left", home.name, room, sid)

    def event_received(self, socket: Socket, data: list[Any], size: int) -> None:
        if self._is_development and socket.namespace.is_shown:
            self._note_event("event_received", (socket,), list(data), size)

    def event_sent(self, sockets: Sequence[Socket], packet: Packet, parcel: Parcel) -> None:
        if sockets:
            size = self._sent(parcel, len(sockets))
            if self._is_development and sockets[0].namespace.is_shown:
                self._note_event("event_sent", sockets, packet.data, size)

    def ack_sent(self, home: Namespace, parcel: Parcel) -> None:
        self._sent(parcel, 1)

    def _sent(self, parcel: Parcel, count: int) -> int:
        attachments = parcel.attachments
        size = len(parcel.text or b"") + sum(map(len, attachments))
        self._count("packetsOut", None, count * ((parcel.text is not None) + len(attachments)))
        self._count("bytesOut", None, count * size)
        return size

    def reset(self) -> None:
        self._forked()
