"""Who and how: `io.to("a").except_("b").emit(…)`. Immutable, so that nothing leaks from one emit to another."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Protocol

from ..protocol.socketio.packet import EVENT, Packet
from .acks import DEFAULT_TIMEOUT, UNSET, Timeout
from .handlers import EventName, check_emitted, check_function
from .rooms import Target, room_names

if TYPE_CHECKING:
    from .remote import RemoteSocket


@dataclass(frozen=True, slots=True)
class Flags:
    """How something is sent.

    Attributes:
        volatile: clients that cannot take it now do not get it.
        local: clients of this process only.
        compress: whether connections that compress may compress it.
        timeout: seconds in which acknowledgements must come; None: as long as the call says.
    """

    volatile: bool = False
    local: bool = False
    compress: bool = True
    timeout: float | None = None


PLAIN: Final = Flags()


class Deliverer(Protocol):
    """A namespace, as broadcasts see it. Everything reaches clients wherever they are connected, unless `flags.local`."""

    @property
    def name(self) -> str: ...

    def broadcast(self, packet: Packet, target: Target, flags: Flags) -> None:
        """Send to each of `target`, and wait for nobody."""
        ...

    def ask(self, event: EventName, args: tuple[Any, ...], target: Target, flags: Flags, ack: Callable[..., Any]) -> None:
        """The same, and have `ack(error, responses)` called when all have answered or the time is over."""
        ...

    def call_all(self, event: EventName, args: tuple[Any, ...], target: Target, flags: Flags, timeout: float | None) -> list[Any]:
        """The same, and block for the responses."""
        ...

    def fetch(self, target: Target, flags: Flags) -> list[RemoteSocket]: ...

    def join_all(self, target: Target, rooms: tuple[str, ...], flags: Flags) -> None: ...

    def leave_all(self, target: Target, rooms: tuple[str, ...], flags: Flags) -> None: ...

    def disconnect_all(self, target: Target, close: bool, flags: Flags) -> None: ...


@dataclass(frozen=True, slots=True)
class BroadcastOperator:
    """Sends to those whom it names; every operator returns a new one. May be kept and used again, from any thread."""

    _home: Deliverer
    _target: Target
    _flags: Flags = PLAIN

    def to(self, rooms: str | Iterable[str]) -> BroadcastOperator:
        """Add one room or several. An empty collection adds nobody, and alone targets nobody."""
        target = self._target
        return replace(self, _target=replace(target, rooms=(target.rooms or frozenset()).union(room_names(rooms))))

    def in_(self, rooms: str | Iterable[str]) -> BroadcastOperator:
        """The same as `to`."""
        return self.to(rooms)

    def except_(self, rooms: str | Iterable[str]) -> BroadcastOperator:
        """Leave out the members of one room or several."""
        return replace(self, _target=replace(self._target, excepts=self._target.excepts.union(room_names(rooms))))

    @property
    def broadcast(self) -> BroadcastOperator:
        """The same: it is a broadcast already."""
        return self

    @property
    def volatile(self) -> BroadcastOperator:
        """Leave out whoever cannot take it now: whose socket is full, or who polls and is not waiting."""
        return replace(self, _flags=replace(self._flags, volatile=True))

    @property
    def local(self) -> BroadcastOperator:
        """Limit it to the clients of this process."""
        return replace(self, _flags=replace(self._flags, local=True))

    def compress(self, compress: bool) -> BroadcastOperator:
        """Say whether connections that compress may compress it; they may unless told otherwise."""
        return replace(self, _flags=replace(self._flags, compress=check_flag(compress)))

    def timeout(self, seconds: float) -> BroadcastOperator:
        """Say in how many seconds acknowledgements must come."""
        return replace(self, _flags=replace(self._flags, timeout=check_seconds(seconds)))

    def emit(self, event: EventName, *args: Any, ack: Callable[..., Any] | None = None) -> None:
        """Send an event to each client once. Never blocks on a client: one that takes too little is closed.

        Args:
            ack: called once, as `ack(error, responses)`, when all have answered or left, or the time is over: 60 s, or what `timeout()`
                says. `error` is None or AckTimeout; `responses` are the first arguments of the answers, in the order in which they came.

        Raises:
            TypeError: something in `args` cannot be sent; nobody got anything.
            ValueError: a reserved name.
        """
        check_emitted(event)
        if ack is not None:
            self._home.ask(event, args, self._target, self._flags, check_function(ack, "ack"))
        else:
            self._home.broadcast(Packet(EVENT, self._home.name, [event, *args]), self._target, self._flags)

    def send(self, *args: Any) -> None:
        """Send the event `"message"`."""
        self.emit("message", *args)

    def call(self, event: EventName, *args: Any, timeout: Timeout = UNSET) -> list[Any]:
        """Send an event to each client and block until all have acknowledged it.

        A client that leaves without an answer is not awaited any longer. Nobody there: nobody is awaited.

        Args:
            timeout: seconds; None waits for ever. It beats what `timeout()` said, and without both it is 60.

        Returns:
            The first arguments of the answers, in the order in which they came.

        Raises:
            AckTimeout: some have not answered in time; its `responses` are what has come.
            TypeError, ValueError: as `emit`.
        """
        check_emitted(event)
        if timeout is UNSET:
            timeout = DEFAULT_TIMEOUT if self._flags.timeout is None else self._flags.timeout
        elif timeout is not None:
            check_seconds(timeout)
        return self._home.call_all(event, args, self._target, self._flags, timeout)

    def fetch_sockets(self) -> list[RemoteSocket]:
        """Describe these clients. With other servers it blocks, for 5 s at most, or for what `timeout()` says.

        Raises:
            AckTimeout: another server has not answered; `responses` are those that are known.
            TypeError: a socket's `data` holds something that cannot be sent.
        """
        return self._home.fetch(self._target, self._flags)

    def sockets_join(self, rooms: str | Iterable[str]) -> None:
        """Have these clients join one room or several."""
        self._home.join_all(self._target, room_names(rooms), self._flags)

    def sockets_leave(self, rooms: str | Iterable[str]) -> None:
        """Have these clients leave one room or several."""
        self._home.leave_all(self._target, room_names(rooms), self._flags)

    def disconnect_sockets(self, close: bool = False) -> None:
        """Take these clients out of the namespace, or with `close` out of all, and close their connections."""
        self._home.disconnect_all(self._target, close, self._flags)


def check_seconds(seconds: object) -> float:
    """Return a time-out. Raises TypeError, ValueError for what is none."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise TypeError(f"timeout({seconds!r}): seconds are wanted, as a number")
    if not 0 <= seconds < 10**9:
        raise ValueError(f"timeout({seconds!r}): a number of seconds from 0 on is wanted")
    return seconds


def check_flag(compress: object) -> bool:
    """Return whether to compress. Raises TypeError for what is neither True nor False."""
    if not isinstance(compress, bool):
        raise TypeError(f"compress({compress!r}): True or False is wanted")
    return compress
