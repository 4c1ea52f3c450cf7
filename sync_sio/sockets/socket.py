"""One client in one namespace: what users hold in their hands."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final, TypeVar, overload

from ..engine.connection import Connection
from ..engine.state import WAIT
from ..protocol.socketio.packet import EVENT, Packet
from ..types import Environ
from .acks import DEFAULT_TIMEOUT
from .broadcast import PLAIN, BroadcastOperator
from .core import CONNECTED, GONE, Core
from .handlers import EventName, Handler, Own, add, check_emitted, check_function, check_name, key_of, remove
from .handshake import Handshake, make_handshake
from .middleware import Middleware
from .observers import Observed, tell_outgoing
from .rooms import Target, room_names
from .sending import ask_for, call, send
from .socket_operator import SocketOperator

if TYPE_CHECKING:
    from .namespace import Namespace

F = TypeVar("F", bound=Callable[..., Any])


class Socket(Observed):
    """A client in a namespace. Everything here may be called from any thread.

    Attributes that are not ours may be set at will: `socket.user = …`.
    """

    __slots__ = ("__dict__", "__weakref__", "_core", "id")

    id: str
    _core: Core

    def __init__(self, sid: str, core: Core) -> None:
        object.__setattr__(self, "id", sid)
        object.__setattr__(self, "_core", core)

    def __setattr__(self, name: str, value: object) -> None:
        if name in _OURS:
            raise AttributeError(f"socket.{name} belongs to sync_sio and cannot be set; use another name, or socket.data")
        object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        if name in _OURS:
            raise AttributeError(f"socket.{name} belongs to sync_sio and cannot be deleted")
        object.__delattr__(self, name)

    def __repr__(self) -> str:
        return f"<Socket {self.id} {self._core.state.value} in {self._core.home.name}>"

    # -- who it is ---------------------------------------------------------------------------------------------------------

    @property
    def namespace(self) -> Namespace:
        """The namespace that it is in."""
        return self._core.home

    nsp = namespace

    @property
    def conn(self) -> Connection:
        """The engine's connection, which other namespaces may share."""
        return self._core.connection

    @property
    def request(self) -> Environ:
        """The handshake's WSGI environ, without sockets and streams: `wsgi.input` is an empty one."""
        return self._core.connection.request

    @property
    def handshake(self) -> Handshake:
        """What the client said when it came."""
        core = self._core
        if core.handshake is None:
            connection = core.connection
            core.handshake = make_handshake(connection.request, core.auth, connection.opened_at, connection.remote_address)
        return core.handshake

    @property
    def data(self) -> dict[str, Any]:
        """Room for what you want to remember of it; yours to lock."""
        core = self._core
        if core.data is None:
            with core.connection.lock:
                if core.data is None:
                    core.data = {}
        return core.data

    @property
    def rooms(self) -> set[str]:
        """A snapshot of its rooms, with its own `id`; empty once `disconnecting` has been told."""
        core = self._core
        rooms = core.past_rooms
        if rooms is None and core.has_its_id:
            rooms = core.home.rooms.rooms_of(self.id)
        return set(rooms or ())

    @property
    def connected(self) -> bool:
        """Whether events can reach it: not while its middleware runs, not from the moment it leaves."""
        return self._core.state is CONNECTED

    @property
    def disconnected(self) -> bool:
        return self._core.state is not CONNECTED

    @property
    def recovered(self) -> bool:
        """Whether this is the continuation of an earlier socket: it has that one's id, rooms and data, and gets what it missed."""
        seat = self._core.seat
        return seat is not None and seat.is_recovered

    # -- sending -----------------------------------------------------------------------------------------------------------

    def emit(self, event: EventName, *args: Any, ack: Callable[..., Any] | None = None) -> None:
        """Send an event. Once the client is gone this does nothing.

        Blocks only while over half of `max_buffered_bytes` waits for this client, at most `send_timeout`.

        Args:
            ack: called as `ack(*response)` when the client has answered, beside its other handlers; never if it does not.
                After `timeout()` it is `ack(error, *response)` and is always called, see there.

        Raises:
            SlowConsumer: the client did not take what waits within `send_timeout`; it has been closed.
            TypeError: something in `args` cannot be sent; nothing was.
            ValueError: a reserved name.
        """
        if ack is not None:
            ask_for(self, event, args, ack, PLAIN)
            return
        check_emitted(event)
        core = self._core
        home = core.home
        if home.recovery is not None:
            send(self, event, args, PLAIN)
        elif core.state is not GONE:
            site = home.site
            data = [event, *args]
            parcel = site.pack(EVENT, home.name, data, b"") or site.parcel_slowly(Packet(EVENT, home.name, data))
            if site.probes:
                for probe in site.probes:
                    probe.event_sent((self,), Packet(EVENT, home.name, data), parcel)
            if core.connection.send_parcel(parcel, WAIT) and core.any_outgoing:
                tell_outgoing((self,), data)

    def send(self, *args: Any) -> None:
        """Send the event `"message"`."""
        self.emit("message", *args)

    def call(self, event: EventName, *args: Any, timeout: float | None = DEFAULT_TIMEOUT) -> Any:
        """Send an event and block until the client has acknowledged it.

        Args:
            timeout: seconds; None waits for ever.

        Returns:
            None, one value, or a tuple of several.

        Raises:
            AckTimeout: no answer in time.
            Disconnected: the client is not connected, or has gone meanwhile; at once.
            SlowConsumer, TypeError, ValueError: as `emit`.
        """
        return call(self, event, args, timeout, PLAIN)

    @property
    def volatile(self) -> SocketOperator:
        """Send what may be lost: nothing, if the client cannot take it now."""
        return SocketOperator(self).volatile

    def compress(self, compress: bool) -> SocketOperator:
        """Send, and say whether it may be compressed."""
        return SocketOperator(self).compress(compress)

    def timeout(self, seconds: float) -> SocketOperator:
        """Send, and say in how many seconds the acknowledgement must come, see `SocketOperator.timeout`."""
        return SocketOperator(self).timeout(seconds)

    # -- handlers ----------------------------------------------------------------------------------------------------------

    @overload
    def on(self, event: EventName, fn: F, *, concurrent: bool = False) -> F: ...
    @overload
    def on(self, event: EventName, fn: None = None, *, concurrent: bool = False) -> Callable[[F], F]: ...
    def on(self, event: EventName, fn: Any = None, *, concurrent: bool = False) -> Any:
        """Call `fn(*args)` for each event of this name. As a call or a decorator; returns the function.

        Args:
            concurrent: run it beside the client's other events instead of after those before it.
        """
        if fn is None:
            check_name(event)
            return lambda function: self.on(event, function, concurrent=concurrent)
        self._add(event, check_function(fn, "socket.on"), is_concurrent=concurrent)
        return fn

    @overload
    def once(self, event: EventName, fn: F) -> F: ...
    @overload
    def once(self, event: EventName, fn: None = None) -> Callable[[F], F]: ...
    def once(self, event: EventName, fn: Any = None) -> Any:
        """The same for the next event of this name only."""
        if fn is None:
            check_name(event)
            return lambda function: self.once(event, function)
        self._add(event, check_function(fn, "socket.once"), is_once=True)
        return fn

    def off(self, event: EventName | None = None, fn: Callable[..., Any] | None = None) -> None:
        """Remove one handler, all of one event, or all. What is not there is ignored."""
        core = self._core
        if event is None:
            with core.connection.lock:
                core.handlers = core.concurrent = None
            return
        key = key_of(event)
        with core.connection.lock:
            if core.handlers is None:
                return
            remove(core.handlers, key, fn)
            left = core.handlers.get(key)
            if not left:
                core.handlers.pop(key, None)
            if core.concurrent and not any(handler.is_concurrent for handler in left or ()):
                core.concurrent.discard(key)

    remove_listener = off
    remove_all_listeners = off

    def listeners(self, event: EventName) -> list[Callable[..., Any]]:
        """Return the functions that are registered on this socket for an event."""
        return [handler.fn for handler in tuple((self._core.handlers or {}).get(key_of(event), ()))]

    def _add(self, event: EventName, fn: Callable[..., Any], is_once: bool = False, is_concurrent: bool = False) -> None:
        core = self._core
        key = key_of(event)
        is_theirs = not isinstance(key, Own)
        handler = Handler(
            fn, takes_socket=False, may_ack=is_theirs, is_typed=is_theirs, is_once=is_once, is_concurrent=is_concurrent
        )
        core.home.learn(key)
        with core.connection.lock:
            if core.handlers is None:
                core.handlers = {}
            add(core.handlers, key, handler)
            if handler.is_concurrent:
                if core.concurrent is None:
                    core.concurrent = set()
                core.concurrent.add(key)

    def use(self, fn: F) -> F:
        """Run `fn(packet)` or `fn(packet, next)` before the handlers of each event; `packet` is the mutable `[event, *args]`.

        Raising, or `next(error)`, keeps the event from its handlers and fires `"error"`. So does a `next` that is never
        called, silently. One that is called later continues in its turn, after events that came meanwhile.
        """
        middleware = Middleware(check_function(fn, "socket.use"))
        core = self._core
        with core.connection.lock:
            core.middlewares = (*core.middlewares, middleware)
        return fn

    # -- rooms and broadcasts ----------------------------------------------------------------------------------------------

    def join(self, rooms: str | Iterable[str]) -> None:
        """Join one room or several. Once the client is gone this does nothing. Raises TypeError for what is no room."""
        home, names = self._core.home, room_names(rooms)
        joined = home.rooms.join(self.id, names) if self._core.has_its_id else ()
        for probe in home.site.probes:
            for room in joined:
                probe.room_joined(home, room, self.id)

    def leave(self, room: str) -> None:
        """Leave a room; one that it is not in is ignored, and so is its own."""
        home = self._core.home
        for name in room_names(room):
            if self._core.has_its_id and home.rooms.leave(self.id, name):
                for probe in home.site.probes:
                    probe.room_left(home, name, self.id)

    def to(self, rooms: str | Iterable[str]) -> BroadcastOperator:
        """Broadcast to one room or several, without this client."""
        return self.broadcast.to(rooms)

    def in_(self, rooms: str | Iterable[str]) -> BroadcastOperator:
        """The same as `to`."""
        return self.broadcast.to(rooms)

    def except_(self, rooms: str | Iterable[str]) -> BroadcastOperator:
        """Broadcast to all but the members of these rooms and this client."""
        return self.broadcast.except_(rooms)

    @property
    def broadcast(self) -> BroadcastOperator:
        """Broadcast to everybody in the namespace but this client."""
        return BroadcastOperator(self._core.home, Target(None, frozenset((self.id,))))

    @property
    def local(self) -> BroadcastOperator:
        """The same to the clients of this process."""
        return self.broadcast.local

    # -- the end -----------------------------------------------------------------------------------------------------------

    def disconnect(self, close: bool = False) -> None:
        """Take the client out of this namespace, or with `close` out of all, and close its connection.

        Events that have not started are dropped. Any thread; a second call does nothing. In middleware it refuses the client.
        """
        self._core.home.disconnect(self, close)


_OURS: Final = frozenset(name for name in dir(Socket) if not name.startswith("__"))
