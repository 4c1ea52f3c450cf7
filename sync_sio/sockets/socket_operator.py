"""How to one client: `socket.volatile.timeout(5).emit(…)`. Immutable, so that nothing leaks from one emit to another."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from .acks import DEFAULT_TIMEOUT, UNSET, Timeout
from .broadcast import PLAIN, BroadcastOperator, Flags, check_flag, check_seconds
from .handlers import EventName
from .sending import ask_for, call, send

if TYPE_CHECKING:
    from .socket import Socket


@dataclass(frozen=True, slots=True)
class SocketOperator:
    """Sends to one client; every operator returns a new one. May be kept and used again, from any thread."""

    _socket: Socket
    _flags: Flags = PLAIN

    @property
    def volatile(self) -> SocketOperator:
        """Send what may be lost: nothing, if the client's socket is full, or it polls and is not waiting.

        One that was dropped is not answered either: its `call` raises AckTimeout at once.
        """
        return replace(self, _flags=replace(self._flags, volatile=True))

    def compress(self, compress: bool) -> SocketOperator:
        """Say whether it may be compressed, if the connection compresses; it may unless told otherwise."""
        return replace(self, _flags=replace(self._flags, compress=check_flag(compress)))

    def timeout(self, seconds: float) -> SocketOperator:
        """Say in how many seconds the acknowledgement must come.

        With it, a callback is called as `ack(error, *response)`, once in any case: `error` is None, AckTimeout, or Disconnected at once
        when the client goes. It is `ack(error)` then, and what else the function needs is None.
        """
        return replace(self, _flags=replace(self._flags, timeout=check_seconds(seconds)))

    def emit(self, event: EventName, *args: Any, ack: Callable[..., Any] | None = None) -> None:
        """Send an event, as `Socket.emit`."""
        if ack is not None:
            ask_for(self._socket, event, args, ack, self._flags)
        else:
            send(self._socket, event, args, self._flags)

    def send(self, *args: Any) -> None:
        """Send the event `"message"`."""
        self.emit("message", *args)

    def call(self, event: EventName, *args: Any, timeout: Timeout = UNSET) -> Any:
        """Send an event and block until the client has acknowledged it, as `Socket.call`.

        Args:
            timeout: seconds; None waits for ever. It beats what `timeout()` said, and without both it is 60.
        """
        if timeout is UNSET:
            timeout = DEFAULT_TIMEOUT if self._flags.timeout is None else self._flags.timeout
        return call(self._socket, event, args, timeout, self._flags)

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
        """Broadcast in the same manner to everybody in the namespace but this client."""
        return replace(self._socket.broadcast, _flags=self._flags)

    @property
    def local(self) -> BroadcastOperator:
        """The same to the clients of this process."""
        return self.broadcast.local
