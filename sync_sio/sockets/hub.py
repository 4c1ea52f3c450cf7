"""The engine's listener: namespaces by name, one demux per connection, the beginning and the end of all."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from ..adapters.base import Adapter
from ..drivers.base import Driver
from ..engine.connection import Connection
from ..protocol.socketio.packet import PacketParser
from .cluster import Cluster
from .core import CONNECTED, on_strand_of
from .demux import Demux
from .handlers import check_function
from .leaving import leave
from .namespace import Namespace
from .site import Site

F = TypeVar("F", bound=Callable[..., Any])


class SocketsOptions(Protocol):
    """The options of `Server` that this floor looks at."""

    @property
    def connect_timeout(self) -> float: ...

    @property
    def max_attachments(self) -> int: ...


class Hub:
    """All namespaces of one server. Nothing starts, and no lock exists, before `start`; registrations work from the beginning."""

    def __init__(
        self, server: Any, options: SocketsOptions, parser: PacketParser, logger: logging.Logger | None = None
    ) -> None:
        logger = logger or logging.getLogger("sync_sio.sockets")
        self.site = Site(server, parser, options.connect_timeout, options.max_attachments, logger)
        self.namespaces: dict[str, Namespace] = {}
        self.main = self.of("/")

    # -- from the engine ---------------------------------------------------------------------------------------------------

    def start(self, driver: Driver) -> None:
        """The runtime is known. Called once before the first connection, and again after `reset`."""
        self.site.start(driver)
        for namespace in list(self.namespaces.values()):
            namespace.start()
        if self.site.cluster is not None:
            self.site.cluster.start(list(self.namespaces))

    def opened(self, connection: Connection) -> Demux:
        """A client is there (phase one): return its ear. It joins nothing until it asks to."""
        return Demux(self.site, self.namespaces.get, connection)

    def reset(self) -> None:
        """This is the child of a fork: forget the sockets, which stay with the parent; keep what users registered."""
        self.site.reset()
        if self.site.cluster is not None:
            self.site.cluster.abandon()
        for namespace in self.namespaces.values():
            namespace.reset()

    # -- for the server ----------------------------------------------------------------------------------------------------

    def of(self, name: str, fn: Callable[..., Any] | None = None) -> Namespace:
        """Return the namespace of this name, made when it is first asked for.

        Args:
            name: with or without its slash; `""` is `"/"`.
            fn: a connection listener for it.

        Raises:
            TypeError: not a str.
            ValueError: a name with a comma, which the protocol has no form for.
        """
        name = _checked_name(name)
        namespace = self.namespaces.get(name)
        if namespace is None:
            made = Namespace(name, self.site)
            if self.site.is_started:
                made.start()
            namespace = self.namespaces.setdefault(name, made)      # one of several threads wins
            if namespace is made:
                if self.site.is_started:
                    made.start()                                    # `start` may have come in between
                    if self.site.cluster is not None:
                        self.site.cluster.adapter.enter(name)
                if name != "/":
                    self._tell_of(made)
        if fn is not None:
            namespace.on("connection", fn)
        return namespace

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

    def close(self, reason: str = "server shutting down") -> None:
        """Let every socket leave, without a DISCONNECT packet: so clients that find the connection closed come back."""
        for namespace in list(self.namespaces.values()):
            for socket in namespace:
                leave(socket, reason)
        if self.site.cluster is not None and self.site.is_started:
            self.site.cluster.close()

    def wait_until_told(self, timeout: float) -> bool:
        """Block until the `disconnect` handlers of all who have left have run, but for those of the caller's own socket.

        Returns:
            False: `timeout` seconds are over, or this thread may not block.
        """
        return not self.site.is_started or self.site.wait_until_told(on_strand_of.get(), timeout)

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
                handler.fn(namespace)


def _checked_name(name: object) -> str:
    if not isinstance(name, str):
        raise TypeError(f"of({name!r}): a namespace's name is a str; dynamic namespaces are not supported yet")
    if "," in name:
        raise ValueError(f"of({name!r}): no client can connect to a namespace with a comma in its name")
    return name if name.startswith("/") else "/" + name
