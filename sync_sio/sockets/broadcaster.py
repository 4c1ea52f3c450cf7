"""What can be broadcast from: a namespace, and the server, which stands for its main one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from .acks import UNSET, Timeout
from .broadcast import BroadcastOperator
from .handlers import EventName
from .remote import RemoteSocket


class Broadcaster:
    """Everything that can be done to all clients at once. From any thread.

    Before the server runs, nobody is here. With an adapter on Redis it reaches those of other servers then, too, as an `Emitter` does:
    it waits until Redis has it, and raises what redis-py raises if that cannot be; what wants answers is a RuntimeError.
    """

    _everybody: BroadcastOperator

    def emit(self, event: EventName, *args: Any, ack: Callable[..., Any] | None = None) -> None:
        """Send an event to all clients here. Never blocks on a client.

        Args:
            ack: called once, as `ack(error, responses)`, see `BroadcastOperator.emit`.

        Raises:
            TypeError: something in `args` cannot be sent; nobody got anything.
            ValueError: a reserved name.
        """
        self._everybody.emit(event, *args, ack=ack)

    def send(self, *args: Any) -> None:
        """Send the event `"message"` to all clients here."""
        self._everybody.emit("message", *args)

    def call(self, event: EventName, *args: Any, timeout: Timeout = UNSET) -> list[Any]:
        """Send an event to all clients here and block until all have acknowledged it, at most 60 s; see `BroadcastOperator.call`."""
        return self._everybody.call(event, *args, timeout=timeout)

    def to(self, rooms: str | Iterable[str]) -> BroadcastOperator:
        """Broadcast to one room or several; a client that is in several gets it once."""
        return self._everybody.to(rooms)

    def in_(self, rooms: str | Iterable[str]) -> BroadcastOperator:
        """The same as `to`."""
        return self._everybody.to(rooms)

    def except_(self, rooms: str | Iterable[str]) -> BroadcastOperator:
        """Broadcast to all but the members of these rooms."""
        return self._everybody.except_(rooms)

    @property
    def volatile(self) -> BroadcastOperator:
        """Broadcast to those who can take it now."""
        return self._everybody.volatile

    @property
    def local(self) -> BroadcastOperator:
        """Broadcast to the clients of this process."""
        return self._everybody.local

    def compress(self, compress: bool) -> BroadcastOperator:
        """Broadcast, and say whether it may be compressed."""
        return self._everybody.compress(compress)

    def timeout(self, seconds: float) -> BroadcastOperator:
        """Broadcast, and say in how many seconds acknowledgements must come."""
        return self._everybody.timeout(seconds)

    def fetch_sockets(self) -> list[RemoteSocket]:
        """Describe all clients here, see `BroadcastOperator.fetch_sockets`."""
        return self._everybody.fetch_sockets()

    def sockets_join(self, rooms: str | Iterable[str]) -> None:
        """Have all clients here join one room or several."""
        self._everybody.sockets_join(rooms)

    def sockets_leave(self, rooms: str | Iterable[str]) -> None:
        """Have all clients here leave one room or several."""
        self._everybody.sockets_leave(rooms)

    def disconnect_sockets(self, close: bool = False) -> None:
        """Take all clients out of here, or with `close` out of all namespaces, and close their connections."""
        self._everybody.disconnect_sockets(close)
