"""The engine's listener: namespaces by name, one demux per connection, the beginning and the end of all."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from typing import Any, TypeVar, overload

from ..adapters.base import Adapter
from ..drivers.base import Driver
from ..drivers.locks import native_lock
from ..engine.connection import Connection
from ..protocol.socketio.packet import PacketParser
from ..types import Environ
from .aside import report_aside, run_in
from .cluster import Cluster
from .core import CONNECTED, on_strand_of
from .demux import Demux
from .handlers import check_function
from .leaving import leave
from .namespace import Namespace
from .parents import ParentNamespace, Rule
from .site import Site, SocketsOptions, Surrounding
from .socket import Socket

F = TypeVar("F", bound=Callable[..., Any])
S = TypeVar("S", bound=Surrounding)


class Hub:
    """All namespaces of one server. Nothing starts before `start`; registrations work from the beginning.

    `_lock` guards which namespaces there are, and which are being made.
    """

    def __init__(
        self, server: Any, options: SocketsOptions, parser: PacketParser, logger: logging.Logger | None = None
    ) -> None:
        logger = logger or logging.getLogger("sync_sio.sockets")
        self.site = Site(server, parser, options, logger)
        self.site.socket_class = Socket
        self.namespaces: dict[str, Namespace] = {}
        self._parents: tuple[ParentNamespace, ...] = ()
        self._births: dict[str, _Birth] = {}
        self._lock = native_lock()
        self.main = self._make("/")

    # -- from the engine ---------------------------------------------------------------------------------------------------

    def start(self, driver: Driver) -> None:
        """The runtime is known. Called once before the first connection, and again after `reset`."""
        self.site.start(driver)
        with self._lock:
            namespaces = [*self.namespaces.values(), *(birth.namespace for birth in self._births.values())]
        for namespace in namespaces:
            namespace.start()
        if self.site.cluster is not None:
            self.site.cluster.start([namespace.name for namespace in namespaces])

    def opened(self, connection: Connection) -> Demux:
        """A client is there (phase one): return its ear. It joins nothing until it asks to."""
        return Demux(self.site, self, connection)

    def reset(self) -> None:
        """This is the child of a fork: forget the sockets, which stay with the parent; keep what users registered."""
        self._lock = native_lock()
        self._births = {}
        self.site.reset()
        if self.site.cluster is not None:
            self.site.cluster.abandon()
        for namespace in self.namespaces.values():
            namespace.reset()

    # -- for the server ----------------------------------------------------------------------------------------------------

    @overload
    def of(self, name: str, fn: Callable[..., Any] | None = None) -> Namespace: ...
    @overload
    def of(self, name: Rule, fn: Callable[..., Any] | None = None) -> ParentNamespace: ...
    def of(self, name: str | Rule, fn: Callable[..., Any] | None = None) -> Namespace | ParentNamespace:
        """Return the namespace of this name, made when it is first asked for, or a new dynamic one.

        Args:
            name: with or without its slash, `""` is `"/"`; or a compiled pattern, or `f(name, auth, environ) -> bool`.
            fn: a connection listener for it.

        Raises:
            TypeError: neither.
            ValueError: a name with a comma, which the protocol has no form for.
        """
        if fn is not None:
            check_function(fn, f"of({name!r})")     # before anything is made
        namespace: Namespace | ParentNamespace
        if isinstance(name, str):
            checked = _checked_name(name)
            namespace = self.namespaces.get(checked) or self._make(checked)
        else:
            namespace = self._make_parent(name)
        if fn is not None:
            namespace.on("connection", fn)
        return namespace

    def all(self) -> dict[str, Namespace | ParentNamespace]:
        """Return those that there are, by name, and the dynamic ones behind them."""
        with self._lock:
            return {**self.namespaces, **{parent.name: parent for parent in self._parents}}

    def _make(self, name: str) -> Namespace:
        with self._lock:
            found = self._living(name)
            birth = self._births.get(name)
            if found is not None or birth is not None:
                return found or birth.namespace  # type: ignore[union-attr]  # one of them is there
            birth = self._births[name] = _Birth(Namespace(name, self.site))
        self._bring_up(birth, next((parent for parent in self._parents if parent.is_pattern_for(name)), None))
        return birth.namespace

    def _bring_up(self, birth: _Birth, parent: ParentNamespace | None) -> None:
        """Make a namespace known: to its parent, to the listeners of `new_namespace`, then to clients."""
        namespace = birth.namespace
        if parent is not None:
            parent.bear(namespace)
        if self.site.is_started:
            namespace.start()
        try:
            if namespace.name != "/":
                self._tell_of(namespace)
        finally:                                # a listener's sys.exit(), or Ctrl-C, leaves nobody waiting for it
            with self._lock:
                self.namespaces[namespace.name] = namespace
                del self._births[namespace.name]
            if self.site.is_started and self.site.cluster is not None:
                self.site.cluster.enter(namespace.name)
            for then in birth.waiting:
                then(namespace)

    def _living(self, name: str) -> Namespace | None:
        """Return the namespace of this name, unless it is being let go."""
        found = self.namespaces.get(name)
        return None if found is not None and found.is_started and found.rooms.is_closed else found

    def _make_parent(self, rule: Any) -> ParentNamespace:
        if isinstance(rule, re.Pattern):
            if isinstance(rule.pattern, bytes):
                raise TypeError(f"of({rule!r}): the name of a namespace is a str, so a pattern for str is wanted")
        elif not callable(rule):
            raise TypeError(f"of({rule!r}): a namespace's name, a compiled pattern, or a function of (name, auth, environ) is wanted")
        else:
            check_function(rule, "of")
        with self._lock:
            parent = ParentNamespace(f"/_{len(self._parents)}", self.site, rule, self._forget)
            self._parents = (*self._parents, parent)
        return parent

    def _forget(self, namespace: Namespace) -> None:
        """A dynamic namespace is empty, and is let go."""
        with self._lock:
            if self.namespaces.get(namespace.name) is namespace:
                del self.namespaces[namespace.name]
        if self.site.cluster is not None:
            self.site.cluster.adapter.leave(namespace.name)

    # -- for clients that connect (Places) -----------------------------------------------------------------------------------

    def find(self, name: str) -> Namespace | None:
        """Return the namespace of this name, if there is one now."""
        return self.namespaces.get(name)

    def may_make(self) -> bool:
        """Tell whether there are rules by which namespaces are made."""
        return bool(self._parents)

    def make(self, name: str, auth: dict[str, Any], environ: Environ, then: Callable[[Namespace | None], None]) -> None:
        """Ask the parents, one after the other, and give `then` the namespace, or None when nobody wants it (a turn: user code).

        A namespace is known to clients when the listeners of `new_namespace` have run; whoever wants the same one meanwhile is told on
        the thread that makes it.
        """
        parent = next((parent for parent in self._parents if parent.allows(name, auth, environ)), None)
        with self._lock:
            found = self._living(name)
            birth = self._births.get(name)
            is_told = found is not None or parent is None
            if not is_told and birth is not None:
                birth.waiting.append(then)
                return
            if not is_told:
                birth = self._births[name] = _Birth(Namespace(name, self.site))
        if is_told or birth is None:
            then(found)
        else:
            birth.waiting.append(then)
            self._bring_up(birth, parent)

    @property
    def adapter(self) -> Adapter | None:
        return None if self.site.cluster is None else self.site.cluster.adapter

    def set_adapter(self, adapter: Adapter | None) -> None:
        """Link this server to others, or no longer. Raises RuntimeError when it serves: what is under way would be lost."""
        if self.site.is_started:
            raise RuntimeError("the adapter can be set until the server serves; it does by now: give it as Server(adapter=…)")
        self.site.cluster = None if adapter is None else Cluster(self.site, adapter, self.namespaces.get)

    def on_error(self, fn: F) -> F:
        """Call `fn(error, socket, event, args)` for each handler that fails, in whichever namespace. Returns the function."""
        self.site.error_listeners.append(check_function(fn, "on_error"))
        return fn

    def around(self, fn: S) -> S:
        """Enter `fn(socket, event, args)` around what users' functions do; the first is the outermost. Returns the function."""
        check_function(fn, "around")
        self.site.surroundings = (*self.site.surroundings, fn)
        return fn

    def close(self, reason: str = "server shutting down") -> None:
        """Let every socket leave, without a DISCONNECT packet: so clients that find the connection closed come back."""
        for namespace in list(self.namespaces.values()):
            for socket in namespace:
                leave(socket, reason)
            if namespace.recovery is not None:
                namespace.recovery.close()

    def unlink(self) -> None:
        """Leave the other servers."""
        if self.site.cluster is not None:
            self.site.cluster.close()

    def wait_until_told(self, timeout: float) -> bool:
        """Block until the `disconnect` handlers of all who have left have run, but for those of the caller's own socket.

        Returns:
            False: `timeout` seconds are over, or this thread may not block.
        """
        return not self.site.is_started or self.site.wait_until_told(timeout, besides=on_strand_of.get())

    def counts(self) -> dict[str, dict[str, int]]:
        """Count the sockets and rooms of each namespace, in this process."""
        return {
            namespace.name: {"sockets": len(namespace), "rooms": namespace.rooms.room_count if namespace.is_started else 0}
            for namespace in list(self.namespaces.values())
        }

    def audit(self) -> list[str]:
        """Name what is left: sockets, rooms, ends that were not told. Empty when nobody is connected. For tests."""
        if not self.site.is_started:
            return []
        left = self.site.audit()
        for namespace in list(self.namespaces.values()):
            left += [f"{namespace.name}: {what}" for what in namespace.rooms.audit()]
            for socket in namespace:
                core = socket._core
                if core.acks:
                    left.append(f"{namespace.name}: {len(core.acks)} acknowledgements of {socket.id} are awaited")
                if core.state is CONNECTED and core.connection.ready_state == "closed":
                    left.append(f"{namespace.name}: {socket.id} is connected on a closed connection")
        return left

    def _tell_of(self, namespace: Namespace) -> None:
        main = self.main
        for handler in tuple(main.server_handlers.get("new_namespace", ())):
            if not handler.is_once or main.may_run_once(main.server_handlers, "new_namespace", handler):
                try:
                    run_in(self.site, "new_namespace", handler.fn, (namespace,))
                except Exception as error:
                    report_aside(main, error, "new_namespace", [namespace])


class _Birth:
    """A namespace that is being made, and who waits for it."""

    __slots__ = ("namespace", "waiting")

    def __init__(self, namespace: Namespace) -> None:
        self.namespace = namespace
        self.waiting: list[Callable[[Namespace | None], None]] = []


def _checked_name(name: str) -> str:
    if "," in name:
        raise ValueError(f"of({name!r}): no client can connect to a namespace with a comma in its name")
    return name if name.startswith("/") else "/" + name
