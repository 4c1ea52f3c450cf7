"""What has happened so far, as plain numbers: noted where it happens, on any thread, in phase one too.

No lock is taken, neither ours nor Prometheus': a finalizer that emits may come in between anything. `cell.count += 1` calls nothing
between the look and the change, so with the GIL no thread is let in there.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from contextlib import nullcontext
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal

from ..errors import SlowConsumer
from ..probe import Probe
from ..protocol.parcel import PACKET_OVERHEAD

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..engine.connection import Connection
    from ..protocol.parcel import Parcel
    from ..protocol.socketio.packet import Packet
    from ..server import Server
    from ..sockets.namespace import Namespace
    from ..sockets.socket import Socket

OTHER: Final = "(other)"
DYNAMIC: Final = "(dynamic)"
SERVER: Final = "(server)"
TIME: Final = "handler_seconds"
PAIRED: Final = ("events_received", "events_sent", TIME)
OURS: Final = frozenset(("connection", "disconnecting", "disconnect", "error", "middleware"))

Labels = tuple[str, ...]
_NOTHING: Final = nullcontext()


class Cell:
    """A number that grows; `poured` of it has been handed on."""

    __slots__ = ("count", "poured")

    def __init__(self) -> None:
        self.count = 0
        self.poured = 0


class Times:
    """How long something took: how often by bucket, the last of which has no bound, and in all."""

    __slots__ = ("counts", "poured", "poured_seconds", "seconds")

    def __init__(self, buckets: int) -> None:
        self.counts = [0] * buckets
        self.poured = [0] * buckets
        self.seconds = 0.0
        self.poured_seconds = 0.0


class Counting(Probe):
    """The probe. `cells` and `times` are by metric and labels, and only grow: from whatever clients say nothing is made.

    Args:
        bounds: upper ones, of handler time.
        most: pairs of namespace and event that are told apart, for each metric.
    """

    def __init__(self, io: Server, bounds: tuple[float, ...], most: int) -> None:
        self._io = io
        self._bounds = bounds
        self._most = most
        self.reset()

    def reset(self) -> None:
        """Begin at nothing: what a parent has counted is the parent's."""
        self.cells: dict[str, dict[Labels, Cell]] = {}
        self.times: dict[Labels, Times] = {}
        self._received: dict[tuple[str, Any], Cell] = {}
        self._sent: dict[tuple[str, Any], Cell] = {}
        self._timed: dict[tuple[str, Any], Times] = {}
        self._names: set[str] = set()
        self._pairs: dict[str, set[Labels]] = {metric: set() for metric in PAIRED}
        """What has a series of its own in each metric."""
        self._bytes_in = self._cell("received_bytes", ())
        self._bytes_out = self._cell("sent_bytes", ())
        self._acks_out = self._cell("acks_sent", ())
        self._cell("slow_consumers", ())
        for transport in ("polling", "websocket"):
            self._cell("handshakes", (transport,))
        for asked in ("client", "many"):
            self._cell("ack_timeouts", (asked,))

    def _cell(self, metric: str, labels: Labels) -> Cell:
        cells = self.cells.get(metric)
        if cells is None:
            cells = self.cells.setdefault(metric, {})
        return cells.get(labels) or cells.setdefault(labels, Cell())

    def _add(self, metric: str, *labels: str) -> None:
        cell = self._cell(metric, labels)
        cell.count += 1

    # -- labels ----------------------------------------------------------------------------------------------------------------

    def label_of(self, name: str) -> str:
        """Return what a namespace is called here: its name, if it is one of the first that the application has made itself."""
        if name in self._names:
            return name
        home = self._io._hub.find(name)
        if home is None:
            return OTHER                    # a client has invented it, or it has been let go
        if home.parent is not None:
            return DYNAMIC
        if len(self._names) >= self._most:
            return OTHER
        self._names.add(name)
        return name

    def _labels(self, metric: str, home: Namespace, event: Any, is_ours: bool) -> Labels:
        """Return the labels of an event, which has a name of its own if it is ours or has handlers, and is one of the first."""
        name = self.label_of(home.name)
        return self._bounded(metric, (name, str(event))) if is_ours or event in home.habits else (name, OTHER)

    def _bounded(self, metric: str, labels: Labels) -> Labels:
        pairs = self._pairs[metric]
        if labels not in pairs:
            if len(pairs) >= self._most:
                return labels[0], OTHER
            pairs.add(labels)
        return labels

    def _event_cell(self, metric: str, home: Namespace, event: Any, is_ours: bool, known: dict[tuple[str, Any], Cell]) -> Cell:
        labels = self._labels(metric, home, event, is_ours)
        cell = self._cell(metric, labels)
        if labels[1] != OTHER and labels[0] == home.name:
            known[home.name, event] = cell
        return cell

    # -- the engine --------------------------------------------------------------------------------------------------------------

    def connection_opened(self, connection: Connection) -> None:
        self._add("handshakes", connection.transport.name)

    def connection_closed(self, connection: Connection, reason: str) -> None:
        self._add("disconnections", reason)
        if isinstance(connection.description, SlowConsumer):
            self._add("slow_consumers")

    def transport_changed(self, connection: Connection) -> None:
        self._add("upgrades")

    def message_received(self, connection: Connection, size: int) -> None:
        self._bytes_in.count += size

    def request_refused(self, code: int) -> None:
        self._add("requests_refused", str(code))

    # -- the sockets -------------------------------------------------------------------------------------------------------------

    def socket_connected(self, socket: Socket) -> None:
        self._add("sockets_connected", self.label_of(socket.namespace.name))

    def socket_refused(self, namespace: str) -> None:
        self._add("sockets_refused", self.label_of(namespace))

    def event_received(self, socket: Socket, data: list[Any], size: int) -> None:
        home, event = socket.namespace, data[0]
        cell = self._received.get((home.name, event))
        if cell is None:
            cell = self._event_cell("events_received", home, event, False, self._received)
        cell.count += 1

    def event_sent(self, sockets: Sequence[Socket], packet: Packet, parcel: Parcel) -> None:
        count = len(sockets)
        if count:
            home, event = sockets[0].namespace, packet.data[0]
            cell = self._sent.get((home.name, event))
            if cell is None:
                cell = self._event_cell("events_sent", home, event, True, self._sent)
            cell.count += count
            size = count * _size(parcel)
            self._bytes_out.count += size

    def ack_sent(self, home: Namespace, parcel: Parcel) -> None:
        self._acks_out.count += 1
        size = _size(parcel)
        self._bytes_out.count += size

    def ack_missed(self, asked: Literal["client", "many"]) -> None:
        self._add("ack_timeouts", asked)

    # -- handlers ----------------------------------------------------------------------------------------------------------------

    def around(self, socket: Socket | None, event: Any, args: list[Any]) -> Timing | nullcontext[None]:
        """Measure what runs for one event (`io.around`)."""
        if not self._io.engine.is_started:
            return _NOTHING                 # a listener of `new_namespace`: nobody has said what the time is
        name = SERVER if socket is None else socket.namespace.name
        times = self._timed.get((name, event))
        if times is None:
            times = self._new_times(socket, name, event)
        return Timing(times, self._bounds, self._io.engine.driver.now)

    def _new_times(self, socket: Socket | None, name: str, event: Any) -> Times:
        home = None if socket is None else socket.namespace
        labels = self._bounded(TIME, (SERVER, str(event))) if home is None else self._labels(TIME, home, event, event in OURS)
        times = self.times.get(labels) or self.times.setdefault(labels, Times(len(self._bounds) + 1))
        if labels[1] != OTHER and labels[0] == name:
            self._timed[name, event] = times
        return times

    def failed(self, error: BaseException, socket: Socket | None, event: Any, args: list[Any]) -> None:
        """A handler has failed (`io.on_error`)."""
        if socket is None:
            labels: Labels = (SERVER, OTHER)
        else:
            labels = self.label_of(socket.namespace.name), str(event)
            if labels not in self._pairs[TIME]:     # those that have no series of their own there have none here
                labels = (labels[0], OTHER)
        self._add("handler_errors", *labels)


class Timing:
    """A context manager for one event."""

    __slots__ = ("_bounds", "_now", "_started", "_times")

    def __init__(self, times: Times, bounds: tuple[float, ...], now: Callable[[], float]) -> None:
        self._times = times
        self._bounds = bounds
        self._now = now

    def __enter__(self) -> None:
        self._started = self._now()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        seconds = self._now() - self._started
        times = self._times
        place = bisect_left(self._bounds, seconds)
        times.counts[place] += 1
        times.seconds += seconds


def _size(parcel: Parcel) -> int:
    return parcel.size - PACKET_OVERHEAD * (1 + len(parcel.attachments))
