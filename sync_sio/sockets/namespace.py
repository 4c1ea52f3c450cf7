"""A namespace: who is in it, what is registered for all of them, and how a packet gets to many."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import count
from secrets import token_urlsafe
from typing import TYPE_CHECKING, Any

from ..adapters.base import Broadcast, Kept
from ..drivers.base import Habit, Lock
from ..drivers.strand import Strand
from ..engine.state import WhenFull
from ..errors import ConnectRefused
from ..protocol.packing import in_digits
from ..protocol.parcel import Parcel
from ..protocol.socketio.packet import DISCONNECT, EVENT, Packet
from .acks import DEFAULT_TIMEOUT
from .admission import refuse
from .aside import call_back
from .broadcast import BroadcastOperator, Flags, check_seconds
from .broadcaster import Broadcaster
from .core import ADMITTED, PENDING
from .handlers import EventName, check_function
from .leaving import leave
from .membership import Membership
from .observers import tell_outgoing
from .reaching import SERVERS_TIMEOUT, ask_clients, call_clients, check_answers, disconnect_all, fetch, join_all, leave_all, publish
from .recovery import Recovery
from .registrations import Registrations
from .remote import RemoteSocket
from .rooms import EVERYBODY, Rooms, Target
from .server_events import call_servers, emit_to_servers
from .shared_recovery import SharedRecovery
from .site import Site
from .socket import Socket

if TYPE_CHECKING:
    from .parents import ParentNamespace

CLOSE, DROP = WhenFull.CLOSE, WhenFull.DROP


class Namespace(Registrations, Broadcaster):
    """A place that clients connect to by name. Everything here may be called from any thread.

    Before the server runs, registrations are kept, and broadcasts reach nobody here; those elsewhere, if its adapter can say it.

    Attributes:
        name: with its slash; `"/"` is the main namespace.
    """

    def __init__(self, name: str, site: Site) -> None:
        super().__init__(name, site)
        self.other_habit = Habit()
        self.parent: ParentNamespace | None = None
        """The dynamic namespace by whose rule it was made, if any."""
        self.rooms: Rooms[Socket]
        self.recovery: Recovery | None = None
        self.is_watched = False
        """Some socket here has, or had, a listener of what is sent to it."""
        self.is_shown = True
        """Whether tools may show what is said here; not where they themselves speak, or it would have no end."""
        self.is_started = False
        self._numbers = count()
        self._number_lock: Lock
        self.strand: Strand
        self._everybody = BroadcastOperator(self, EVERYBODY)
        self.adapter = Membership(self)
        """Who is in which room, and what changes about it."""

    def __repr__(self) -> str:
        return f"<Namespace {self.name} of {len(self)}>"

    def start(self) -> None:
        """The runtime is known. Idempotent; any thread."""
        with self.site.lock:
            if not self.is_started:
                self.rooms = Rooms(self.site.driver.lock())
                self._number_lock = self.site.driver.lock()
                self.strand = Strand(self.site.aside)
                self.recovery = self._new_recovery()
                self.adapter.start()
                self.is_started = True
                self.adapter.watch_or_not()

    def reset(self) -> None:
        """Forget the sockets, keep what is registered."""
        self.is_started = False
        self.recovery = None

    def _new_recovery(self) -> Recovery | None:
        site = self.site
        if site.recovery is None:
            return None
        store = None if site.cluster is None else site.cluster.store
        if store is not None:
            return SharedRecovery(
                site.recovery, site.driver, site.grace, site.max_missed_bytes, store, self.name, self.kept_parcel
            )
        recovery = Recovery(site.recovery, site.driver, site.grace, site.max_missed_bytes, token_urlsafe(6))
        if self.parent is not None:
            recovery.emptied = partial(self.parent.child_left, self)
        return recovery

    # -- who is here -------------------------------------------------------------------------------------------------------

    @property
    def server(self) -> Any:
        return self.site.server

    @property
    def sockets(self) -> dict[str, Socket]:
        """A snapshot of those whom broadcasts reach, by id."""
        return self.rooms.sockets() if self.is_started else {}

    def __len__(self) -> int:
        return len(self.rooms) if self.is_started else 0

    def __bool__(self) -> bool:
        return True     # an empty one is not nothing

    def __iter__(self) -> Iterator[Socket]:
        return iter(self.sockets.values())

    # -- broadcasts: what `Broadcaster`'s methods come down to -----------------------------------------------------------------

    def broadcast(self, packet: Packet, target: Target, flags: Flags) -> None:
        """Send to each of `target`, wherever it is connected, and wait for nobody."""
        if self._is_kept(flags):
            self.deliver_or_keep(packet, target, flags)
            return
        if self.site.cluster is not None and not flags.local:
            self.site.parcel(packet)            # what cannot be sent is published nowhere
            publish(self, Broadcast(packet.data, target, flags.volatile, flags.compress), flags)
        self.deliver(packet, target, flags)

    def deliver_or_keep(self, packet: Packet, target: Target, flags: Flags) -> None:
        """Send to each of `target` in this process; or, if others may recover it, wherever they are: then it comes by `deliver_kept`."""
        recovery = self.recovery
        if isinstance(recovery, SharedRecovery) and self._is_kept(flags):
            self.site.parcel(packet)
            recovery.store.publish_kept(self.name, Broadcast(packet.data, target, compress=flags.compress))
        else:
            self.deliver(packet, target, flags)

    def _is_kept(self, flags: Flags) -> bool:
        return self.recovery is not None and self.recovery.is_shared and not flags.volatile and not flags.local

    def deliver(self, packet: Packet, target: Target, flags: Flags) -> None:
        """Encode once, send to each of `target` in this process, wait for nobody."""
        if self.recovery is not None:
            self._deliver_noted(self.recovery, packet, target, flags)
            return
        parcel = self.site.pack(packet.type, self.name, packet.data, in_digits(packet.id)) if flags.compress else None
        if parcel is None:
            parcel = self.site.parcel(packet, flags.compress)
        if self.is_started:
            when_full = DROP if flags.volatile else CLOSE
            recipients = self.rooms.recipients(target)
            for probe in self.site.probes:
                probe.event_sent(recipients, packet, parcel)
            if self.is_watched:
                recipients = [socket for socket in recipients if socket._core.connection.send_parcel(parcel, when_full)]
                tell_outgoing(recipients, packet.data)
                return
            for socket in recipients:
                socket._core.connection.send_parcel(parcel, when_full)

    def _deliver_noted(self, recovery: Recovery, packet: Packet, target: Target, flags: Flags) -> None:
        """The same, with an offset, for those who may come back and ask for what they missed."""
        if isinstance(recovery, SharedRecovery):
            self._deliver_beside(recovery, packet, target, flags)
            return
        data = packet.data
        number = 0
        if not flags.volatile or isinstance(data[-1], str):
            # clients take what is last for the offset whenever it is a str, of a volatile event too, and be it its name
            number, offset = recovery.draw()
            data = [*data, offset]
        parcel = self.site.parcel(Packet(packet.type, self.name, data), flags.compress)
        when_full = DROP if flags.volatile else CLOSE
        with recovery.order:
            if number:
                recovery.note(number, target, None if flags.volatile else parcel)
            sent = self._send_in_order(parcel, target, when_full)
        self._tell_sent(packet, parcel, *sent)

    def _deliver_beside(self, recovery: SharedRecovery, packet: Packet, target: Target, flags: Flags) -> None:
        """Deliver what is not kept where other things are."""
        when_full = DROP if flags.volatile else CLOSE
        is_mistakable = isinstance(packet.data[-1], str)        # for an offset
        parcel = self.site.parcel(packet, flags.compress)
        with recovery.order:
            if is_mistakable:
                parcel = self.site.parcel(Packet(packet.type, self.name, [*packet.data, recovery.draw()[1]]), flags.compress)
            sent = self._send_in_order(parcel, target, when_full)
        self._tell_sent(packet, parcel, *sent)

    def deliver_kept(self, kept: Kept) -> None:
        """Deliver what the store of a shared recovery hands over, to those who are here."""
        recovery, broadcast = self.recovery, kept.broadcast
        if not isinstance(recovery, SharedRecovery):
            self.deliver(Packet(EVENT, self.name, broadcast.data), broadcast.target, Flags(compress=broadcast.compress))
            return
        packet = Packet(EVENT, self.name, broadcast.data)
        is_mistakable = not kept.offset and isinstance(packet.data[-1], str)
        parcel = self.kept_parcel(broadcast, kept.offset)
        with recovery.order:
            if is_mistakable:
                parcel = self.kept_parcel(broadcast, recovery.latest)
            if not recovery.note_kept(kept, parcel):
                return
            sent = self._send_in_order(parcel, broadcast.target, CLOSE)
        self._tell_sent(packet, parcel, *sent)

    def kept_parcel(self, broadcast: Broadcast, offset: str) -> Parcel:
        """Encode a broadcast with its offset; `""`: it has none."""
        data = [*broadcast.data, offset] if offset else broadcast.data
        return self.site.parcel(Packet(EVENT, self.name, data), broadcast.compress)

    def _send_in_order(self, parcel: Parcel, target: Target, when_full: WhenFull) -> tuple[list[Socket], list[Socket]]:
        """Send (order held). Returns whom it was for, and who took it."""
        recipients = list(self.rooms.recipients(target))
        return recipients, [socket for socket in recipients if socket._core.connection.send_parcel(parcel, when_full)]

    def _tell_sent(self, packet: Packet, parcel: Parcel, recipients: list[Socket], sent: list[Socket]) -> None:
        for probe in self.site.probes:
            probe.event_sent(recipients, packet, parcel)
        if self.is_watched:
            tell_outgoing(sent, packet.data)

    def ask(self, event: EventName, args: tuple[Any, ...], target: Target, flags: Flags, ack: Callable[..., Any]) -> None:
        """The same, and have `ack(error, responses)` called when all have answered or the time is over."""
        seconds = DEFAULT_TIMEOUT if flags.timeout is None else flags.timeout
        tell = partial(call_back, self, event, ack)
        if self.is_started:
            ask_clients(self, event, args, target, flags, seconds, tell).arm()
        else:
            self._check_alone(event, args, flags)
            tell(None, [])

    def call_all(self, event: EventName, args: tuple[Any, ...], target: Target, flags: Flags, timeout: float | None) -> list[Any]:
        """The same, and block for the responses."""
        if not self.is_started:
            self._check_alone(event, args, flags)
            return []
        return call_clients(self, event, args, target, flags, timeout)

    def _check_alone(self, event: EventName, args: tuple[Any, ...], flags: Flags) -> None:
        """Raise for a question that could not be sent, or not be answered, though nobody is here to be asked."""
        self.site.parcel(Packet(EVENT, self.name, [event, *args]))
        check_answers(self, f"acknowledgements of {event!r}", flags)

    def fetch(self, target: Target, flags: Flags) -> list[RemoteSocket]:
        if self.is_started:
            return fetch(self, target, flags)
        check_answers(self, "fetch_sockets", flags)
        return []

    def join_all(self, target: Target, rooms: tuple[str, ...], flags: Flags) -> None:
        join_all(self, target, rooms, flags)

    def leave_all(self, target: Target, rooms: tuple[str, ...], flags: Flags) -> None:
        leave_all(self, target, rooms, flags)

    def disconnect_all(self, target: Target, close: bool, flags: Flags) -> None:
        disconnect_all(self, target, close, flags)

    def recipients(self, target: Target) -> Sequence[Socket]:
        """Return those of `target` in this process; nobody before it serves."""
        return self.rooms.recipients(target) if self.is_started else ()

    # -- other servers -----------------------------------------------------------------------------------------------------

    def server_side_emit(self, event: EventName, *args: Any, ack: Callable[..., Any] | None = None) -> None:
        """Send an event to the other servers' `on(event)` listeners of this namespace. Never blocks.

        Args:
            ack: called once as `ack(error, responses)`, with one answer of each other server, or with AckTimeout after 5 s, or what the
                adapter says. Alone it is called at once, with none.

        Raises:
            TypeError: something in `args` cannot be sent.
            ValueError: `connect`, `connection` or `new_namespace`.
        """
        emit_to_servers(self, event, args, None if ack is None else check_function(ack, "ack"))

    def server_side_call(self, event: EventName, *args: Any, timeout: float = SERVERS_TIMEOUT) -> list[Any]:
        """The same, and block for the answers: what the listeners return, or give to their `ack`. Alone: none, at once.

        Raises:
            AckTimeout: some have not answered within `timeout` seconds; its `responses` are what has come.
            TypeError, ValueError: as `server_side_emit`.
        """
        return call_servers(self, event, args, check_seconds(timeout))

    # -- for the sockets ---------------------------------------------------------------------------------------------------

    def ack_number(self) -> int:
        with self._number_lock:
            return next(self._numbers)

    def disconnect(self, socket: Socket, close: bool) -> None:
        """Take a socket out, and tell its client; with `close`, the same in all its namespaces, and end the connection."""
        core = socket._core
        for each in core.client.sockets() if close else [socket]:
            _disconnect(each)
        if close:
            core.connection.close()


def _disconnect(socket: Socket) -> None:
    core = socket._core
    if core.state in (PENDING, ADMITTED):
        refuse(socket, ConnectRefused())
    elif leave(socket, "server namespace disconnect", drop_events=True) is not None:
        core.connection.send_parcel(core.home.site.parcel(Packet(DISCONNECT, core.home.name)), CLOSE)
