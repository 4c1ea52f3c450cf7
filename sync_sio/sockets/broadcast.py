"""Who and how: `io.to("a").except_("b").emit(…)`. Immutable, so that nothing leaks from one emit to another."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Protocol

from ..protocol.socketio.packet import EVENT, Packet
from .handlers import EventName, check_emitted
from .rooms import Target, room_names


class Deliverer(Protocol):
    """A namespace, as broadcasts see it."""

    @property
    def name(self) -> str: ...

    def deliver(self, packet: Packet, target: Target) -> None:
        """Encode once, send to each of `target`, wait for nobody."""
        ...


@dataclass(frozen=True, slots=True)
class BroadcastOperator:
    """Sends to those whom it names; every operator returns a new one. May be kept and used again, from any thread."""

    _home: Deliverer
    _target: Target

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

    def emit(self, event: EventName, *args: Any) -> None:
        """Send an event to each client once. Never blocks on a client: one that takes too little is closed.

        Raises:
            TypeError: something in `args` cannot be sent; nobody got anything.
            ValueError: a reserved name.
        """
        check_emitted(event)
        self._home.deliver(Packet(EVENT, self._home.name, [event, *args]), self._target)

    def send(self, *args: Any) -> None:
        """Send the event `"message"`."""
        self.emit("message", *args)
