"""Listeners by event name, for `EngineServer.on` and `Connection.on`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from inspect import iscoroutinefunction
from typing import Any, TypeVar, overload

logger = logging.getLogger("sync_sio.engine")
F = TypeVar("F", bound=Callable[..., Any])


class Events:
    """A small registry: names are checked, a registration never disturbs a call in progress.

    Threads: each change replaces a tuple, so that whoever is calling the old one goes on undisturbed.
    """

    __slots__ = ("_listeners", "_names")

    def __init__(self, *names: str) -> None:
        self._names = names
        self._listeners: dict[str, tuple[tuple[Callable[..., Any], bool], ...]] = {}

    @overload
    def on(self, name: str, listener: F) -> F: ...
    @overload
    def on(self, name: str) -> Callable[[F], F]: ...
    def on(self, name: str, listener: Any = None) -> Any:
        """Call `listener` whenever `name` happens. As a call or a decorator; returns the listener."""
        return self._add(name, listener, once=False)

    @overload
    def once(self, name: str, listener: F) -> F: ...
    @overload
    def once(self, name: str) -> Callable[[F], F]: ...
    def once(self, name: str, listener: Any = None) -> Any:
        """Call `listener` the next time that `name` happens, and never again."""
        return self._add(name, listener, once=True)

    def off(self, name: str, listener: Callable[..., Any] | None = None) -> None:
        """Remove one listener, or all of `name`. Unknown ones are ignored."""
        kept = () if listener is None else tuple(pair for pair in self._listeners.get(name, ()) if pair[0] != listener)
        if kept:
            self._listeners[name] = kept
        else:
            self._listeners.pop(name, None)

    def has(self, name: str) -> bool:
        return name in self._listeners

    def take(self, name: str) -> list[Callable[..., Any]]:
        """Return what must be called now that `name` happens; those registered with `once` are gone afterwards."""
        pairs = self._listeners.get(name, ())
        for listener, once in pairs:
            if once:
                self.off(name, listener)
        return [listener for listener, _ in pairs]

    def _add(self, name: str, listener: Any, once: bool) -> Any:
        if name not in self._names:
            raise ValueError(f"unknown event {name!r}: there are {', '.join(map(repr, self._names))}")
        if listener is None:
            return lambda function: self._add(name, function, once)
        if not callable(listener):
            raise TypeError(f"{listener!r} cannot be called: a function is wanted for {name!r}")
        if iscoroutinefunction(listener):
            raise TypeError(f"{listener!r} is async: handlers here are plain functions, as everything is synchronous")
        self._listeners[name] = (*self._listeners.get(name, ()), (listener, once))
        return listener


def call_all(listeners: Iterable[Callable[..., Any]], args: Iterable[object], connection_id: str) -> None:
    """Call each with `args`. One that fails is logged and stops no other: this is users' code, and so a wall."""
    for listener in listeners:
        try:
            listener(*args)
        except Exception:
            logger.exception("a listener failed, for the connection %s", connection_id)
