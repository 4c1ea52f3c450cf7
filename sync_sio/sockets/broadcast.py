"""Who and how: `io.to("a").except_("b").emit(…)`. Immutable, so that nothing leaks from one emit to another."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

from ..protocol.socketio.packet import EVENT, Packet
from .handlers import EventName, check_emitted
from .rooms import Target, room_names


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
    """A namespace, as broadcasts see it."""

    @property
    def name(self) -> str: ...

    def broadcast(self, packet: Packet, target: Target, flags: Flags) -> None:
        """Send to each of `target`, wherever it is connected, and wait for nobody."""
        ...


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
        return replace(self, _flags=replace(self._flags, compress=bool(compress)))

    def timeout(self, seconds: float) -> BroadcastOperator:
        """Say in how many seconds acknowledgements must come."""
        return replace(self, _flags=replace(self._flags, timeout=check_seconds(seconds)))

    def emit(self, event: EventName, *args: Any) -> None:
        """Send an event to each client once. Never blocks on a client: one that takes too little is closed.

        Raises:
            TypeError: something in `args` cannot be sent; nobody got anything.
            ValueError: a reserved name.
        """
        check_emitted(event)
        self._home.broadcast(Packet(EVENT, self._home.name, [event, *args]), self._target, self._flags)

    def send(self, *args: Any) -> None:
        """Send the event `"message"`."""
        self.emit("message", *args)


def check_seconds(seconds: object) -> float:
    """Return a time-out. Raises TypeError, ValueError for what is none."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise TypeError(f"timeout({seconds!r}): seconds are wanted, as a number")
    if not 0 <= seconds < 10**9:
        raise ValueError(f"timeout({seconds!r}): a number of seconds from 0 on is wanted")
    return seconds
