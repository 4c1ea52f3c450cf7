"""A namespace: who is in it, what is registered for all of them, and how a packet gets to many."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from typing import Any, Final, TypeVar, overload

from ..adapters.base import Broadcast
from ..drivers.base import Habit, Lock
from ..drivers.strand import Strand
from ..engine.state import WhenFull
from ..errors import ConnectRefused
from ..protocol.socketio.packet import DISCONNECT, EVENT, Packet
from .acks import DEFAULT_TIMEOUT
from .admission import refuse
from .aside import call_back
from .broadcast import BroadcastOperator, Flags, check_seconds
from .broadcaster import Broadcaster
from .core import ADMITTED, PENDING
from .handlers import (
    EventName,
    Handler,
    Key,
    Own,
    Registry,
    add,
    check_function,
    check_name,
    function_name,
    key_of,
    methods_of,
    remove,
)
from .leaving import leave
from .membership import Membership
from .middleware import Middleware
from .observers import tell_outgoing
from .reaching import SERVERS_TIMEOUT, ask_clients, call_clients, disconnect_all, fetch, join_all, leave_all, publish
from .remote import RemoteSocket
from .rooms import EVERYBODY, Rooms, Target
from .server_events import RESERVED, call_servers, emit_to_servers
from .site import Site
from .socket import Socket

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

MAX_HABITS: Final = 1000
"""Events of one namespace about which the driver learns; sockets may register names that are made up."""
CLOSE, DROP = WhenFull.CLOSE, WhenFull.DROP


class Namespace(Broadcaster):
    """A place that clients connect to by name. Everything here may be called from any thread.

    Before the server runs, registrations are kept and broadcasts reach nobody.

    Attributes:
        name: with its slash; `"/"` is the main namespace.
    """

    def __init__(self, name: str, site: Site) -> None:
        self.name = name
        self.site = site
        self.handlers: Registry = {}
        self.server_handlers: Registry = {}
        self.concurrent: set[Key] = set()
        self._middlewares: list[Middleware] = []
        self._admitted_middlewares: list[Middleware] = []
        self.error_listeners: list[Callable[..., Any]] = []
        self.habits: dict[Key, Habit] = {own: Habit() for own in Own}
        self.other_habit = Habit()
        self.rooms: Rooms[Socket]
        self.is_watched = False
        """Some socket here has, or had, a listener of what is sent to it."""
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
                self.adapter.start()
                self.is_started = True
                self.adapter.watch_or_not()

    def reset(self) -> None:
        """Forget the sockets, keep what is registered."""
        self.is_started = False

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

    # -- handlers ----------------------------------------------------------------------------------------------------------

    @overload
    def on(self, event: EventName, fn: F) -> F: ...
    @overload
    def on(self, event: EventName, fn: None = None) -> Callable[[F], F]: ...
    def on(self, event: EventName, fn: Any = None) -> Any:
        """Call `fn` for what happens here: `"connection"(socket)` (or `"connect"`), `"new_namespace"(namespace)`.

        Any other name is an event of other servers, see `server_side_emit`: what `fn` returns, or gives to its parameter `ack`, is the
        answer; they are called one after the other. For events of clients use `event`, or `socket.on`.
        As a call or a decorator; returns the function.
        """
        return self._listen(event, fn, is_once=False)

    @overload
    def once(self, event: EventName, fn: F) -> F: ...
    @overload
    def once(self, event: EventName, fn: None = None) -> Callable[[F], F]: ...
    def once(self, event: EventName, fn: Any = None) -> Any:
        """The same for the next time only."""
        return self._listen(event, fn, is_once=True)

    def _listen(self, event: EventName, fn: Any, is_once: bool) -> Any:
        if fn is None:
            return lambda function: self._listen(event, function, is_once)
        check_function(fn, f"on({event!r})")
        name = _listened(event)
        if isinstance(key_of(event), Own):
            hint = "on(%r) on a namespace is never called: use event(%r), or socket.on(%r)"
            self.site.warn_once(("on", self.name, event), hint, event, event, event)
        may_ack = name not in RESERVED          # other servers may ask, we do not ask ourselves
        add(self.server_handlers, name, Handler(fn, takes_socket=name == "connection", may_ack=may_ack, is_once=is_once))
        return fn

    def off(self, event: EventName | None = None, fn: Callable[..., Any] | None = None) -> None:
        """Remove what was registered with `on` or `event`: one function, all of one event, or all."""
        if event is None:
            for registry in (self.server_handlers, self.handlers):
                for handlers in list(registry.values()):
                    handlers.clear()
            self.concurrent.clear()
            return
        name, key = _listened(event), key_of(event)
        remove(self.server_handlers, name, fn)
        remove(self.handlers, key, fn)
        if not any(handler.is_concurrent for handler in tuple(self.handlers.get(key, ()))):
            self.concurrent.discard(key)

    remove_listener = off
    remove_all_listeners = off

    def listeners(self, event: EventName) -> list[Callable[..., Any]]:
        """Return the functions that are registered with `on` or `event`."""
        found = (*self.server_handlers.get(_listened(event), ()), *self.handlers.get(key_of(event), ()))
        return [handler.fn for handler in found]

    @overload
    def event(self, name: F) -> F: ...
    @overload
    def event(self, name: EventName, fn: F, *, concurrent: bool = False) -> F: ...
    @overload
    def event(self, name: EventName | None = None, fn: None = None, *, concurrent: bool = False) -> Callable[[F], F]: ...
    def event(self, name: Any = None, fn: Any = None, *, concurrent: bool = False) -> Any:
        """Call `fn(socket, *args)` for an event of any client here; also `"disconnecting"`, `"disconnect"`, `"error"`.

        `@io.event` takes the function's name as the event, `@io.event("chat message")` names it. Returns the function.

        Args:
            concurrent: run it beside other events of the same client instead of after those before it.

        Raises:
            TypeError: not a function, an async one, or one that takes no socket.
        """
        if callable(name):
            name, fn = function_name(name), name
        if fn is None:
            return lambda function: self.event(function_name(function) if name is None else name, function, concurrent=concurrent)
        check_function(fn, f"event({name!r})")
        if name in ("connect", "connection"):
            return self.on(name, fn)
        key = key_of(name)
        handler = Handler(fn, takes_socket=True, may_ack=not isinstance(key, Own), is_concurrent=concurrent)
        self.learn(key)
        add(self.handlers, key, handler)
        if concurrent:
            self.concurrent.add(key)
        return fn

    def register(self, target: T) -> T:
        """Register an object's methods: `on_connection(socket)`, `on_<event>(socket, *args)`, and those marked with `event`.

        Raises:
            TypeError: it is a class.
            ValueError: it has no such method.
        """
        found = list(methods_of(target))
        if not found:
            raise ValueError(f"{target!r} has neither an on_… method nor one that is marked with sync_sio.event")
        for name, fn, is_concurrent in found:
            self.event(name, fn, concurrent=is_concurrent)
        return target

    @overload
    def use(self, fn: F, *, admitted: bool = False) -> F: ...
    @overload
    def use(self, fn: None = None, *, admitted: bool = False) -> Callable[[F], F]: ...
    def use(self, fn: Any = None, *, admitted: bool = False) -> Any:
        """Run `fn(socket)` or `fn(socket, next)` for each client that wants to connect, in order.

        Return nothing to go on; raise ConnectRefused, or call `next` with it, to refuse. Returns the function.

        Args:
            admitted: run it after the others, with the socket in its rooms already and reached by broadcasts.
        """
        if fn is None:
            return lambda function: self.use(function, admitted=admitted)
        middleware = Middleware(check_function(fn, "use"), admitted)
        (self._admitted_middlewares if admitted else self._middlewares).append(middleware)
        return fn

    def on_error(self, fn: F) -> F:
        """Call `fn(error, socket, event, args)` for each handler here that fails. Returns the function."""
        self.error_listeners.append(check_function(fn, "on_error"))
        return fn

    # -- broadcasts: what `Broadcaster`'s methods come down to -----------------------------------------------------------------

    def broadcast(self, packet: Packet, target: Target, flags: Flags) -> None:
        """Send to each of `target`, wherever it is connected, and wait for nobody."""
        if self.site.cluster is not None:
            self.site.parcel(packet)            # what cannot be sent is published nowhere
            publish(self, Broadcast(packet.data, target, flags.volatile, flags.compress), flags)
        self.deliver(packet, target, flags)

    def deliver(self, packet: Packet, target: Target, flags: Flags) -> None:
        """Encode once, send to each of `target` in this process, wait for nobody."""
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

    def ask(self, event: EventName, args: tuple[Any, ...], target: Target, flags: Flags, ack: Callable[..., Any]) -> None:
        """The same, and have `ack(error, responses)` called when all have answered or the time is over."""
        seconds = DEFAULT_TIMEOUT if flags.timeout is None else flags.timeout
        tell = partial(call_back, self, event, ack)
        if self.is_started:
            ask_clients(self, event, args, target, flags, seconds, tell).arm()
        else:
            self.site.parcel(Packet(EVENT, self.name, [event, *args]))
            tell(None, [])

    def call_all(self, event: EventName, args: tuple[Any, ...], target: Target, flags: Flags, timeout: float | None) -> list[Any]:
        """The same, and block for the responses."""
        if not self.is_started:
            self.site.parcel(Packet(EVENT, self.name, [event, *args]))
            return []
        return call_clients(self, event, args, target, flags, timeout)

    def fetch(self, target: Target, flags: Flags) -> list[RemoteSocket]:
        return fetch(self, target, flags) if self.is_started else []

    def join_all(self, target: Target, rooms: tuple[str, ...], flags: Flags) -> None:
        if self.is_started:
            join_all(self, target, rooms, flags)

    def leave_all(self, target: Target, rooms: tuple[str, ...], flags: Flags) -> None:
        if self.is_started:
            leave_all(self, target, rooms, flags)

    def disconnect_all(self, target: Target, close: bool, flags: Flags) -> None:
        if self.is_started:
            disconnect_all(self, target, close, flags)

    # -- other servers -----------------------------------------------------------------------------------------------------

    def server_side_emit(self, event: EventName, *args: Any, ack: Callable[..., Any] | None = None) -> None:
        """Send an event to the other servers' `on(event)` listeners of this namespace. Never blocks.

        Args:
            ack: called once as `ack(error, responses)`, with one answer of each other server, or with AckTimeout after 5 s. Alone it is
                called at once, with none.

        Raises:
            TypeError: something in `args` cannot be sent.
            ValueError: `connect`, `connection` or `new_namespace`.
        """
        emit_to_servers(self, event, args, None if ack is None else check_function(ack, "ack"), SERVERS_TIMEOUT)

    def server_side_call(self, event: EventName, *args: Any, timeout: float = SERVERS_TIMEOUT) -> list[Any]:
        """The same, and block for the answers: what the listeners return, or give to their `ack`. Alone: none, at once.

        Raises:
            AckTimeout: some have not answered within `timeout` seconds; its `responses` are what has come.
            TypeError, ValueError: as `server_side_emit`.
        """
        return call_servers(self, event, args, check_seconds(timeout))

    # -- for the sockets ---------------------------------------------------------------------------------------------------

    @property
    def middlewares(self) -> tuple[Middleware, ...]:
        """Those of now, in the order in which they run."""
        return (*self._middlewares, *self._admitted_middlewares)

    def ack_number(self) -> int:
        with self._number_lock:
            return next(self._numbers)

    def learn(self, key: Key) -> None:
        if key not in self.habits and len(self.habits) < MAX_HABITS:
            self.habits[key] = Habit()

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


def _listened(event: EventName) -> EventName:
    return "connection" if event == "connect" else check_name(event)
