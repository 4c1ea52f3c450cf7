"""What all namespaces of one server share: the runtime once it is known, the parser, who hears of errors and of the end."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack, nullcontext
from typing import TYPE_CHECKING, Any, Final, Protocol

from ..config import RecoveryOptions
from ..drivers.base import Driver, Habit, Lock, Waiter
from ..probe import Probe
from ..protocol.packing import pack, pack_bytes, unpack
from ..protocol.parcel import Parcel
from ..protocol.socketio.packet import Packet, PacketParser
from ..protocol.socketio.parser import JsonParser
from .aside import Aside
from .newcomers import Newcomers

if TYPE_CHECKING:
    from .cluster import Cluster
    from .socket import Socket

Surrounding = Callable[[Any, Any, list[Any]], AbstractContextManager[Any]]
"""`f(socket, event, args)`, see `Server.around`."""
_NOTHING: Final = nullcontext()


class SocketsOptions(Protocol):
    """The options of `Server` that this floor looks at."""

    @property
    def connect_timeout(self) -> float: ...

    @property
    def max_attachments(self) -> int: ...

    @property
    def max_namespaces(self) -> int: ...

    @property
    def cleanup_empty_child_namespaces(self) -> bool: ...

    @property
    def connection_state_recovery(self) -> bool | Mapping[str, Any] | None: ...

    @property
    def ping_interval(self) -> float: ...

    @property
    def ping_timeout(self) -> float: ...

    @property
    def max_buffered_bytes(self) -> int: ...


class Site:
    """One per server. `driver` and `lock` are there once `is_started`.

    Attributes:
        server: what users know as `io`.
        error_listeners: `io.on_error`, for all namespaces.
        surroundings: `io.around`, the first is the outermost.
        socket_class: what sockets are made of.
        aside: for turns that belong to no client.
        is_json: the parser is the default one, whose decoders have no memory but for a packet that waits for attachments.
        cluster: the other servers; None: there are none.
    """

    def __init__(
        self, server: Any, parser: PacketParser, options: SocketsOptions, logger: logging.Logger
    ) -> None:
        self.server = server
        self.parser = parser
        self.is_json = isinstance(parser, JsonParser)
        self.pack: Callable[[int, str, list[Any], bytes], Parcel | None] = pack if self.is_json else _pack_nothing
        """Make the parcel of an EVENT or ACK the short way; None: `parcel_slowly` has to make it."""
        self.pack_bytes: Callable[[str, bytes, bytes], Parcel | None] = pack_bytes if self.is_json else _pack_nothing
        """The same for an ACK with bytes and nothing else, which `pack` does not take, and would be slow to say so."""
        self.unpack = unpack if self.is_json else _unpack_nothing
        """Read an event the short way; None: a decoder has to read it."""
        self._encode_slowly = parser.encode_slowly if isinstance(parser, JsonParser) else parser.encode
        self.connect_timeout = options.connect_timeout
        self.max_attachments = options.max_attachments
        self.max_namespaces = options.max_namespaces
        self.cleans_up = options.cleanup_empty_child_namespaces
        self.recovery = RecoveryOptions.of(options.connection_state_recovery)
        # from a ping whose pong came at the last moment to the one that was not answered; who says something else has twice as long
        self.grace = options.ping_interval + 4 * options.ping_timeout
        self.max_missed_bytes = options.max_buffered_bytes // 2
        self.logger = logger
        self.rules_habit = Habit()          # of the functions of dynamic namespaces
        self.socket_class: type[Socket]
        self.driver: Driver
        self.lock: Lock
        self.aside: Aside
        self.newcomers: Newcomers
        self.cluster: Cluster | None = None
        self.is_started = False
        self.error_listeners: list[Callable[..., Any]] = []
        self.surroundings: tuple[Surrounding, ...] = ()
        self.probes: tuple[Probe, ...] = ()
        self._warned: set[object] = set()
        self._leaving: Counter[str] = Counter()
        self._all_told: list[tuple[Waiter, str, str]] = []

    def start(self, driver: Driver) -> None:
        self.driver = driver
        self.lock = driver.lock()
        self.aside = Aside(driver.lock())
        self.newcomers = Newcomers(driver, self.connect_timeout)
        self.is_started = True

    def reset(self) -> None:
        self.is_started = False
        self._leaving = Counter()
        self._all_told = []
        for probe in self.probes:
            probe.reset()

    def surround(self, socket: Socket | None, event: object, args: list[Any]) -> AbstractContextManager[object]:
        """Return a context manager of all that `io.around` was given. Raises what those functions raise; then all is left."""
        surroundings = self.surroundings
        if not surroundings:
            return _NOTHING
        if len(surroundings) == 1:
            return surroundings[0](socket, event, args)
        with ExitStack() as stack:
            for surrounding in surroundings:
                stack.enter_context(surrounding(socket, event, args))
            return stack.pop_all()

    def parcel(self, packet: Packet, may_compress: bool = True) -> Parcel:
        """Encode a packet. Raises TypeError, naming the path, for what cannot be sent."""
        return self._parcel(packet, *self.parser.encode(packet), may_compress)

    def parcel_slowly(self, packet: Packet) -> Parcel:
        """The same for what `pack` does not take."""
        return self._parcel(packet, *self._encode_slowly(packet), True)

    def _parcel(self, packet: Packet, text: bytes | None, attachments: tuple[bytes, ...], may_compress: bool) -> Parcel:
        if attachments and len(attachments) > self.max_attachments:
            self.warn_once(
                "attachments",
                "a packet of %r has %d binary attachments: JavaScript clients close the connection at more than 10 (max_attachments=%d)",
                packet.namespace,
                len(attachments),
                self.max_attachments,
            )
        return Parcel(text, attachments, may_compress)

    def warn_once(self, cause: object, message: str, *args: object) -> None:
        """Log at WARNING, the first time that `cause` is met. Never with a lock held."""
        if cause not in self._warned and len(self._warned) < 1000:
            self._warned.add(cause)
            self.logger.warning(message, *args)

    # -- who has left, and has not been told yet -----------------------------------------------------------------------------

    def leaves(self, sid: str) -> None:
        """A socket is about to leave. Each call wants one of `told`: several threads may try at once."""
        with self.lock:
            self._leaving[sid] += 1

    def told(self, sid: str) -> None:
        """Its `disconnect` handlers have run, or somebody else sees to that, or it has none to run."""
        with self.lock:
            self._leaving[sid] -= 1
            if not self._leaving[sid]:
                del self._leaving[sid]
            done = [waiter for waiter, only, besides in self._all_told if not self._awaited(only, besides)]
        for waiter in done:
            waiter.set()

    def wait_until_told(self, timeout: float, *, only: str = "", besides: str = "") -> bool:
        """Block until the `disconnect` handlers of all who have left have run.

        Args:
            only: a socket's id: no others are waited for.
            besides: the id of the socket whose handler this is called from.

        Returns:
            False: `timeout` seconds are over, or this thread may not block.
        """
        with self.lock:
            if not self._awaited(only, besides):
                return True
            waiter = self.driver.waiter()
            entry = (waiter, only, besides)
            self._all_told.append(entry)
        in_time = self.driver.may_wait() and waiter.wait(timeout)
        with self.lock:
            self._all_told.remove(entry)
        return in_time

    def _awaited(self, only: str, besides: str) -> bool:
        return only in self._leaving if only else bool(self._leaving.keys() - {besides})

    def audit(self) -> list[str]:
        with self.lock:
            return [f"{sid} has left and was not told" for sid in self._leaving]


def _pack_nothing(*_: object) -> None:
    return None


def _unpack_nothing(data: bytes, start: int = 0) -> None:
    return None
