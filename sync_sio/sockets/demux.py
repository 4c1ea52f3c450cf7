"""One per connection: what its messages mean, and which of its sockets they are for. All of it is phase one."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final, Protocol

from ..drivers.strand import Strand, Task
from ..engine.connection import Connection
from ..engine.state import WhenFull
from ..errors import ProtocolError
from ..protocol.http import parse_query
from ..protocol.packing import in_digits
from ..protocol.socketio.packet import ACK, CONNECT, CONNECT_ERROR, DISCONNECT, EVENT, Packet, PacketDecoder
from ..types import Environ
from .admission import admit
from .core import CONNECTED, GONE, Core, Event
from .dispatch import answer, dispatch, dispatch_beside, dispatch_early, is_concurrent, start_beside, start_on_strand, tell_error
from .handlers import Own
from .leaving import leave
from .namespace import Namespace
from .returning import enter, look_for, must_look_for
from .shared_recovery import Found
from .site import Site
from .socket import Socket

_INVALID_NAMESPACE: Final = {"message": "Invalid namespace"}
_TOO_MANY: Final = {"message": "Too many namespaces on one connection"}


class Places(Protocol):
    """The hub, as those who want to connect see it."""

    def find(self, name: str) -> Namespace | None:
        """Return the namespace of this name, if there is one now."""
        ...

    def may_make(self) -> bool:
        """Tell whether `make` has anybody to ask."""
        ...

    def make(self, name: str, auth: dict[str, Any], environ: Environ, then: Callable[[Namespace | None], None]) -> None:
        """Have a rule decide about the name, and give `then` the namespace, or None (a turn: user code)."""
        ...


class Demux:
    """The ear of one connection (`Receiver`), and what its sockets know of each other (`Client`).

    `_main`, `_others` and `_asked` are changed under the connection's lock, and read by its reader without. `_asked`: the namespaces
    that do not exist, or not yet, and about which a rule is being asked; with the events that came for them meanwhile.
    """

    __slots__ = (
        "_asked",
        "_connection",
        "_decoder",
        "_is_closed",
        "_is_joined",
        "_main",
        "_others",
        "_places",
        "_site",
        "_size",
    )

    def __init__(self, site: Site, places: Places, connection: Connection) -> None:
        self._site = site
        self._places = places
        self._connection = connection
        self._decoder: PacketDecoder | None = None      # until one is needed; that of the default parser until one is needed again
        self._is_closed = False
        self._is_joined = False
        self._main: Socket | None = None
        self._others: dict[str, Socket] | None = None
        self._asked: dict[str, list[tuple[Event, int]]] | None = None
        self._size = 0          # of a packet that waits for attachments
        site.newcomers.add(self._on_connect_timeout)

    # -- from the engine ---------------------------------------------------------------------------------------------------

    def opened(self) -> None:
        """The client is there. One of Engine.IO's third revision is in the main namespace without asking."""
        if self._connection.protocol == 3:
            self._connect(Packet(CONNECT, "/"), None)

    def text(self, data: bytes, start: int = 0) -> None:
        """Take a message's text, `data[start:]`. Raises ProtocolError when the connection must be closed."""
        site = self._site
        size = len(data) - start
        if site.probes:
            for probe in site.probes:
                probe.message_received(self._connection, size)
        main = self._main
        if main is not None and not self._size:
            event = site.unpack(data, start)
            if event is not None:
                core = main._core
                home = core.home
                if not core.is_ready or core.state is not CONNECTED or home.concurrent or core.concurrent or site.probes:
                    self._take(main, event, size)
                elif core.strand.put_all([(dispatch, main, event, home.habits.get(event[0][0]) or home.other_habit, size)], size):
                    site.driver.run(core.strand)
                return
        if start:
            data = data[start:]
        decoder = self._decoder or self._new_decoder()
        try:
            packet = decoder.text(data)
        except Exception as error:
            raise self._refusal(error) from error
        if packet is None:
            self._size = len(data)
        else:
            self._sort(packet, len(data))

    def texts(self, messages: list[bytes], start: int) -> None:
        """Take several messages of one read: events go onto the strand together, as far as nothing else comes between them."""
        main = self._main
        done = 0 if main is None else self._take_all(main, messages, start)
        for data in messages[done:]:
            self.text(data, start)

    def _take_all(self, socket: Socket, messages: list[bytes], start: int) -> int:
        """Put the events with which `messages` begin on the strand. Returns how many; 0 when each has to be looked at more closely."""
        site, core = self._site, socket._core
        home = core.home
        if not core.is_ready or core.state is not CONNECTED or home.concurrent or core.concurrent or site.probes or self._size:
            return 0
        habits, other_habit, unpack = home.habits, home.other_habit, site.unpack
        tasks: list[Task] = []
        size = 0
        for data in messages:
            event = unpack(data, start)
            if event is None:
                break
            count = len(data) - start
            size += count
            tasks.append((dispatch, socket, event, habits.get(event[0][0]) or other_habit, count))
        done = len(tasks)
        if tasks and core.strand.put_all(tasks, size):
            site.driver.run(core.strand)
        return done

    def binary(self, data: bytes) -> None:
        """Take a binary message. Raises ProtocolError when the connection must be closed."""
        for probe in self._site.probes:
            probe.message_received(self._connection, len(data))
        decoder = self._decoder or self._new_decoder()
        try:
            packet = decoder.binary(data)
        except Exception as error:
            raise self._refusal(error) from error
        self._size += len(data)
        if packet is not None:
            size, self._size = self._size, 0
            self._sort(packet, size)

    def closed(self, reason: str, description: object) -> None:
        """The connection is gone: so are its sockets."""
        with self._connection.lock:
            self._is_closed = True
        self._is_awaited_no_more()
        for name in list(self._asked or ()):
            self._withdraw(name)
        for socket in self.sockets():
            leave(socket, reason, description)

    def _new_decoder(self) -> PacketDecoder:
        decoder = self._decoder = self._site.parser.decoder()
        return decoder

    # -- a packet ----------------------------------------------------------------------------------------------------------

    def _sort(self, packet: Packet, size: int) -> None:
        kind = packet.type
        socket = self._main if packet.namespace == "/" else self._other(packet.namespace)
        if kind == EVENT:
            event = (packet.data, in_digits(packet.id))
            if socket is None:
                socket = self._late(packet.namespace, event, size)
            if socket is not None:
                self._take(socket, event, size)
        elif kind == ACK:
            if socket is None:
                raise self._violation(f"an acknowledgement for {packet.namespace!r}, where this client is not connected")
            if packet.id is not None:
                answer(socket, packet.id, packet.data or [])
        elif kind == CONNECT:
            self._connect(packet, socket)
        elif kind == DISCONNECT:
            if socket is not None:
                leave(socket, "client namespace disconnect")
            elif not self._withdraw(packet.namespace):
                raise self._violation(f"a disconnect from {packet.namespace!r}, where this client is not connected")
        else:
            assert kind == CONNECT_ERROR
            raise self._violation("a CONNECT_ERROR from a client")

    def _take(self, socket: Socket, event: Event, size: int) -> None:
        """Put an event on its socket's strand."""
        site = self._site
        if site.probes:
            for probe in site.probes:
                probe.event_received(socket, event[0], size)
        core = socket._core
        if core.state is not CONNECTED and self._may_hold(core, event, size):
            return
        home, name = core.home, event[0][0]
        habit = home.habits.get(name) or home.other_habit
        task = dispatch
        if not core.is_ready:
            task = dispatch_early
        elif (home.concurrent or core.concurrent) and is_concurrent(core, name):
            start_beside(core, dispatch_beside, socket, event, habit, size)
            return
        strand = core.strand
        if strand.put(task, socket, event, habit, size):
            site.driver.run(strand)

    def _may_hold(self, core: Core, event: Event, size: int) -> bool:
        """Keep an event for a socket whose middleware runs, drop one for a socket that has left. False: it is connected now."""
        connection = self._connection
        with connection.lock:
            if core.state is CONNECTED:
                return False
            if core.state is not GONE:
                if core.held is None:
                    core.held = []
                core.held.append((event, size))
                connection.hold(size)
            return True

    def _connect(self, packet: Packet, socket: Socket | None) -> None:
        if self._site.is_json:
            self._decoder = None            # nothing is half there, and events without attachments, or none at all, need no other
        if self._connection.protocol == 3 and (packet.namespace.find("?") >= 0 or socket is not None):
            packet, socket = self._old_connect(packet, socket)
        name = packet.namespace
        if (socket is not None and socket._core.state is not GONE) or (self._asked is not None and name in self._asked):
            raise self._violation(f"a second CONNECT to {name!r}")
        if len(self.sockets()) + len(self._asked or ()) >= self._site.max_namespaces:
            self._refuse(name, _TOO_MANY)
            return
        home = self._places.find(name)
        if home is not None and must_look_for(home, self._connection.protocol, packet.data):
            if self._hold_for(name):
                look_for(home, packet.data, partial(self._looked, packet, home))
            return
        if home is not None and self._enter(home, packet):
            return
        if not self._places.may_make():
            self._refuse(name, _INVALID_NAMESPACE)
            return
        if self._hold_for(name):
            self._ask(packet)

    def _hold_for(self, name: str) -> bool:
        """Keep what the client says to a namespace until it is known what becomes of it. False: the connection is closed."""
        with self._connection.lock:
            if not self._is_closed:
                if self._asked is None:
                    self._asked = {}
                self._asked[name] = []
            return not self._is_closed

    def _old_connect(self, packet: Packet, socket: Socket | None) -> tuple[Packet, Socket | None]:
        """Take the query of a Socket.IO v2 client's CONNECT from the name, as its `auth`."""
        name, _, query = packet.namespace.partition("?")
        socket = self._main if name == "/" else self._other(name)
        if socket is not None:
            # its next socket would have the same id as the one that is leaving
            raise self._violation(f"a second CONNECT to {name!r}")
        return Packet(CONNECT, name, dict(parse_query(query))), None

    def _enter(self, home: Namespace, packet: Packet, is_asked: bool = False, found: Found | None = None) -> bool:
        """Make the socket, and admit it. False: the namespace has just been let go."""
        connection, name = self._connection, home.name
        core = Core(home, self, connection, packet.data)
        socket = enter(core, found)
        if socket is None:
            return False
        with connection.lock:
            is_wanted = not self._is_closed
            if is_asked:
                core.held = self._asked.pop(name, None) if self._asked is not None else None
                is_wanted = is_wanted and core.held is not None
            if is_wanted:
                if name == "/":
                    self._main = socket
                else:
                    if self._others is None:
                        self._others = {}
                    self._others[name] = socket
        if is_wanted:
            admit(socket)
        else:                               # the connection was closed, or the client thought better of it, meanwhile
            leave(socket, "transport close")
        return True

    def _refuse(self, name: str, why: dict[str, str]) -> None:
        for probe in self._site.probes:
            probe.socket_refused(name)
        self._connection.send_parcel(self._site.parcel(Packet(CONNECT_ERROR, name, why)), WhenFull.CLOSE)

    # -- a namespace that a rule may make ----------------------------------------------------------------------------------

    def _ask(self, packet: Packet) -> None:
        strand = self._connection.strand
        if strand.put(_ask, self, packet, self._site.rules_habit):
            self._site.driver.run(strand)

    def _answered(self, packet: Packet, home: Namespace | None) -> None:
        """A namespace was made, or found, or nobody wants to make it (any thread, no lock held)."""
        if home is None:
            if self._withdraw(packet.namespace):
                self._refuse(packet.namespace, _INVALID_NAMESPACE)
        elif must_look_for(home, self._connection.protocol, packet.data):
            look_for(home, packet.data, partial(self._looked, packet, home))
        elif not self._enter(home, packet, is_asked=True):
            self._ask(packet)

    def _looked(self, packet: Packet, home: Namespace, found: Found | None) -> None:
        """A session was looked for where all servers keep them (phase one)."""
        if not self._enter(home, packet, is_asked=True, found=found):
            self._ask(packet)           # the namespace has just been let go

    def _withdraw(self, name: str) -> bool:
        """Forget that a namespace is asked for, and what came for it. False: it is not."""
        connection = self._connection
        with connection.lock:
            held = self._asked.pop(name, None) if self._asked is not None else None
            if held:
                connection.let_go(len(held), sum(size for _, size in held))
        return held is not None

    def _late(self, name: str, event: Event, size: int) -> Socket | None:
        """Keep an event for a namespace that is asked for. Returns the socket if it is there by now.

        Raises:
            ProtocolError: the client is not connected there, and has not asked to be.
        """
        connection = self._connection
        with connection.lock:
            held = self._asked.get(name) if self._asked is not None else None
            if held is not None:
                held.append((event, size))
                connection.hold(size)
                return None
            socket = self._other(name)
        if socket is None:
            raise self._violation(f"an event for {name!r}, where this client is not connected")
        return socket

    def _other(self, namespace: str) -> Socket | None:
        return self._others.get(namespace) if self._others is not None else None

    def _violation(self, what: str) -> ProtocolError:
        """Close the connection for a packet that is out of place, and return what to raise.

        A client that polls hears of it when it asks; its sockets do not wait for that.
        """
        error = ProtocolError(what)
        self._connection.close_for("forced close", error)
        for socket in self.sockets():
            leave(socket, "forced server close", error)
        return error

    def _refusal(self, error: Exception) -> ProtocolError:
        """Tell the sockets that what came is no packet, and return what to raise. Anything but ProtocolError is a bug of the parser's."""
        if not isinstance(error, ProtocolError):
            strand = Strand(self._connection)       # reading logs nothing
            if strand.put(self._log_bug, self, error, None):
                self._site.driver.run(strand)
            error = ProtocolError(f"the parser failed: {error!r}")
        self._tell_error(error)
        return error

    def _log_bug(self, _: object, error: Exception) -> None:
        self._site.logger.error("connection %s: the parser failed, so it is closed", self._connection.id, exc_info=error)

    def _tell_error(self, error: ProtocolError) -> None:
        for socket in self.sockets():
            if socket._core.state is CONNECTED:
                start_on_strand(socket._core, tell_error, socket, error, Own.ERROR)

    # -- connect_timeout ---------------------------------------------------------------------------------------------------

    def _on_connect_timeout(self) -> None:
        if not self.sockets():
            self._connection.close()
            return
        # its middleware is still at work, and has a time-out of its own
        self._site.newcomers.add(self._on_connect_timeout)
        if self._is_joined:         # it was joined, or closed, meanwhile
            self._site.newcomers.remove(self._on_connect_timeout)

    def _is_awaited_no_more(self) -> None:
        if not self._is_joined:
            self._is_joined = True
            self._site.newcomers.remove(self._on_connect_timeout)

    # -- for its sockets: any thread -----------------------------------------------------------------------------------------

    def sockets(self) -> list[Socket]:
        """Return the sockets of this client, in whatever state."""
        with self._connection.lock:
            found = [] if self._main is None else [self._main]
            return found + list((self._others or {}).values())

    def forget(self, socket: Socket) -> None:
        """This socket has left its namespace."""
        name = socket._core.home.name
        with self._connection.lock:
            if self._main is socket:
                self._main = None
            elif self._others is not None and self._others.get(name) is socket:
                del self._others[name]

    def joined(self) -> None:
        """This client is connected to a namespace."""
        self._is_awaited_no_more()


def _ask(demux: Demux, packet: Packet) -> None:
    demux._places.make(packet.namespace, packet.data or {}, demux._connection.request, partial(demux._answered, packet))
