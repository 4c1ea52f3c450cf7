"""Catch-all listeners: functions that see every event of one socket, those that come and those that go."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar, overload

from .handlers import check_function

if TYPE_CHECKING:
    from .core import Core
    from .socket import Socket

F = TypeVar("F", bound=Callable[..., Any])
Observers = tuple[Callable[..., Any], ...]


class Observed:
    """The part of a socket that others may watch. Any thread; a change never disturbs a call in progress.

    `Core.any_incoming` and `Core.any_outgoing` are replaced, not changed, under the connection's lock.
    """

    __slots__ = ()

    _core: Core

    @overload
    def on_any(self, fn: F) -> F: ...
    @overload
    def on_any(self, fn: None = None) -> Callable[[F], F]: ...
    def on_any(self, fn: Any = None) -> Any:
        """Call `fn(event, *args)` for each event that comes, before packet middleware and handlers. A call or a decorator.

        It sees the client's own `"error"` events, too, and no acknowledgements. What it raises is an error like a handler's, and stops
        nothing.
        """
        return self.on_any if fn is None else self._watch("any_incoming", check_function(fn, "on_any"), is_first=False)

    @overload
    def prepend_any(self, fn: F) -> F: ...
    @overload
    def prepend_any(self, fn: None = None) -> Callable[[F], F]: ...
    def prepend_any(self, fn: Any = None) -> Any:
        """The same, before those that are there."""
        return self.prepend_any if fn is None else self._watch("any_incoming", check_function(fn, "prepend_any"), is_first=True)

    def off_any(self, fn: Callable[..., Any] | None = None) -> None:
        """Remove the first that is `fn`, or all. What is not there is ignored."""
        self._ignore("any_incoming", fn)

    def listeners_any(self) -> list[Callable[..., Any]]:
        """Return those that were registered, in the order in which they are called."""
        return list(self._core.any_incoming)

    @overload
    def on_any_outgoing(self, fn: F) -> F: ...
    @overload
    def on_any_outgoing(self, fn: None = None) -> Callable[[F], F]: ...
    def on_any_outgoing(self, fn: Any = None) -> Any:
        """Call `fn(event, *args)` for each event that is sent to this client, broadcasts that reach it included. A call or a decorator.

        Runs on the thread that emits, after the event was handed over. What it raises is logged and never fails the emit. It sees no
        acknowledgements, and no volatile events that were dropped.
        """
        if fn is None:
            return self.on_any_outgoing
        self._core.home.is_watched = True       # first, so that no broadcast misses it that is sent after this call
        return self._watch("any_outgoing", check_function(fn, "on_any_outgoing"), is_first=False)

    @overload
    def prepend_any_outgoing(self, fn: F) -> F: ...
    @overload
    def prepend_any_outgoing(self, fn: None = None) -> Callable[[F], F]: ...
    def prepend_any_outgoing(self, fn: Any = None) -> Any:
        """The same, before those that are there."""
        if fn is None:
            return self.prepend_any_outgoing
        self._core.home.is_watched = True
        return self._watch("any_outgoing", check_function(fn, "prepend_any_outgoing"), is_first=True)

    def off_any_outgoing(self, fn: Callable[..., Any] | None = None) -> None:
        """Remove the first that is `fn`, or all. What is not there is ignored."""
        self._ignore("any_outgoing", fn)

    def listeners_any_outgoing(self) -> list[Callable[..., Any]]:
        """Return those that were registered, in the order in which they are called."""
        return list(self._core.any_outgoing)

    def _watch(self, kind: str, fn: F, is_first: bool) -> F:
        core = self._core
        with core.connection.lock:
            before: Observers = getattr(core, kind)
            setattr(core, kind, (fn, *before) if is_first else (*before, fn))
        return fn

    def _ignore(self, kind: str, fn: Callable[..., Any] | None) -> None:
        core = self._core
        with core.connection.lock:
            kept: list[Callable[..., Any]] = [] if fn is None else list(getattr(core, kind))
            if fn in kept:
                kept.remove(fn)
            setattr(core, kind, tuple(kept))


def tell_outgoing(sockets: Iterable[Socket], data: list[Any]) -> None:
    """Tell those who watch what these sockets are sent, that it was sent (the emitter's thread, no lock held)."""
    for socket in sockets:
        core = socket._core
        for fn in core.any_outgoing:
            try:
                fn(*data)
            except Exception:       # the wall of outgoing listeners: they never fail the emit
                core.home.site.logger.exception("socket %s: a listener of on_any_outgoing failed", socket.id)
