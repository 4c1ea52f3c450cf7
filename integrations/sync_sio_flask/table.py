"""What was registered: one handler for each event of a namespace, the last one; and who is told of errors."""

from __future__ import annotations

from collections.abc import Callable
from inspect import iscoroutinefunction
from typing import Any, Final, NamedTuple

from .arguments import takes_argument
from .namespace import Namespace
from .targets import ANY

Handler = Callable[..., Any]

OWN: Final = ("connect", "disconnect")
"""What clients cannot send, and `"*"` does not stand for."""


class Found(NamedTuple):
    """A handler, the name that it is registered for, and what it is given. `target`: the object whose `trigger_event` it is, if any."""

    fn: Handler
    message: str
    args: tuple[Any, ...]
    target: Namespace | None = None


class Table:
    """Handlers by namespace and event. `elder` is asked for what is not here. Registering is for one thread at a time, finding for any."""

    def __init__(self, elder: Table | None = None) -> None:
        self.handlers: dict[tuple[str, str], Handler] = {}
        self.objects: dict[str, Namespace] = {}
        self.error_handlers: dict[str, Handler] = {}
        self.default_error_handler: Handler | None = None
        self._elder = elder

    @property
    def namespaces(self) -> set[str]:
        """The names for which there is something, but for `"*"`."""
        found = {namespace for namespace, _ in self.handlers} | set(self.objects)
        return (found | (self._elder.namespaces if self._elder is not None else set())) - {ANY}

    @property
    def events(self) -> set[tuple[str, str]]:
        """Namespaces and events for which there is a handler."""
        found = set(self.handlers) | {(name, event) for name, target in self.objects.items() for event in target.events()}
        return found | (self._elder.events if self._elder is not None else set())

    def find(self, namespace: str, event: str, args: tuple[Any, ...]) -> Found | None:
        """Return who handles an event: exactly this one before `"*"`, this namespace before `"*"`, functions before objects."""
        named = (event, args)
        any_event = (ANY, (event, *args))
        for name in (namespace, ANY):
            for key, given in (named,) if event in OWN else (named, any_event):
                fn = self.handler(name, key)
                if fn is not None:
                    return Found(fn, key, given)
        target = self.object(namespace) or self.object(ANY)
        return None if target is None else Found(target.trigger_event, event, args, target)

    def handler(self, namespace: str, event: str) -> Handler | None:
        fn = self.handlers.get((namespace, event))
        return fn if fn is not None or self._elder is None else self._elder.handler(namespace, event)

    def object(self, namespace: str) -> Namespace | None:
        """Return the object that is registered for a namespace."""
        found = self.objects.get(namespace)
        return found if found is not None or self._elder is None else self._elder.object(namespace)

    def error_handler(self, namespace: str) -> Handler | None:
        """Return who is told what a handler of the namespace has raised."""
        fn = self.error_handlers.get(namespace)
        if fn is None and self._elder is not None:
            fn = self._elder.error_handlers.get(namespace)
        if fn is None:
            fn = getattr(self.object(namespace), "error", None)
        if fn is None:
            fn = self.default_error_handler
        return fn if fn is not None or self._elder is None else self._elder.default_error_handler

    # -- registering ---------------------------------------------------------------------------------------------------------

    def add(self, namespace: str, event: str, fn: Handler) -> None:
        check_handler(fn, event)
        self.handlers[namespace, event] = fn

    def add_object(self, target: Namespace) -> None:
        if not isinstance(target, Namespace):
            raise ValueError(f"{target!r} is no Namespace: an object of a class that derives from sync_sio_flask.Namespace is wanted")
        for event in target.events():
            check_handler(getattr(target, f"on_{event}"), event)
        self.objects[target.namespace] = target

    def add_error_handler(self, namespace: str, fn: Handler) -> None:
        _check_error_handler(fn)
        self.error_handlers[namespace] = fn

    def set_default_error_handler(self, fn: Handler) -> None:
        _check_error_handler(fn)
        self.default_error_handler = fn


def check_event(message: object) -> None:
    """Raise TypeError for what is no event name: a decorator without its parentheses is given the function."""
    if not isinstance(message, str):
        raise TypeError(f"{message!r} is no event name: a str is wanted")


def check_handler(fn: object, event: str) -> None:
    """Raise TypeError for what cannot be called, or is async."""
    if not callable(fn):
        raise TypeError(f"the handler of {event!r} is {fn!r}: a function is wanted")
    if iscoroutinefunction(fn):
        raise TypeError(f"the handler of {event!r}, {fn!r}, is async; sync_sio is synchronous: write it with `def`, it may block")


def _check_error_handler(fn: object) -> None:
    check_handler(fn, "error")
    if callable(fn) and not takes_argument(fn):
        raise ValueError(f"{fn!r} takes no argument: an error handler is given the exception")
