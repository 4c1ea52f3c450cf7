"""What is registered for all clients of a namespace, by `on`, `event`, `use` and `on_error`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar, overload

from ..drivers.base import Habit
from ..drivers.locks import native_lock
from .handlers import (
    EventName,
    Handler,
    Key,
    Own,
    Registry,
    add,
    check_function,
    check_name,
    function_name,
    key_of,
    methods_of,
    take_once,
)
from .middleware import Middleware
from .server_events import RESERVED
from .site import Site

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

MAX_HABITS: Final = 1000
"""Events of one namespace about which the driver learns; sockets may register names that are made up."""


class Registrations:
    """A namespace's functions, and those of a dynamic namespace, which all its children share, later ones too.

    What is registered with the parent is put into each child's registries, so that whoever dispatches looks at one. `_family_lock`,
    which parent and children have in common, guards who is in the family and what all of them share; registries may be read without.
    """

    def __init__(self, name: str, site: Site) -> None:
        self.name = name
        self.site = site
        self.handlers: Registry = {}
        self.server_handlers: Registry = {}
        self.concurrent: set[Key] = set()
        self.error_listeners: list[Callable[..., Any]] = []
        self.habits: dict[Key, Habit] = {own: Habit() for own in Own}
        self._middlewares: list[Middleware] = []
        self._admitted_middlewares: list[Middleware] = []
        self._elder: Registrations | None = None
        self._heirs: tuple[Registrations, ...] = ()
        self._family_lock = native_lock()

    # -- handlers ----------------------------------------------------------------------------------------------------------

    @overload
    def on(self, event: EventName, fn: F) -> F: ...
    @overload
    def on(self, event: EventName, fn: None = None) -> Callable[[F], F]: ...
    def on(self, event: EventName, fn: Any = None) -> Any:
        """Call `fn` for what happens here: `"connection"(socket)` (or `"connect"`), `"new_namespace"(namespace)`.

        Any other name is an event of other servers, see `server_side_emit`: what `fn` returns, or gives to its parameter `ack`, is the
        answer; they are called one after the other. For events of clients use `event`, or `socket.on`.
        As a call or a decorator; returns the function.
        """
        return self._listen(event, fn, is_once=False)

    @overload
    def once(self, event: EventName, fn: F) -> F: ...
    @overload
    def once(self, event: EventName, fn: None = None) -> Callable[[F], F]: ...
    def once(self, event: EventName, fn: Any = None) -> Any:
        """The same for the next time only."""
        return self._listen(event, fn, is_once=True)

    def _listen(self, event: EventName, fn: Any, is_once: bool) -> Any:
        name = _listened(event)
        if fn is None:
            return lambda function: self._listen(event, function, is_once)
        check_function(fn, f"on({event!r})")
        if isinstance(key_of(event), Own):
            hint = "on(%r) on a namespace is never called: use event(%r), or socket.on(%r)"
            self.site.warn_once(("on", self.name, event), hint, event, event, event)
        may_ack = name not in RESERVED          # other servers may ask, we do not ask ourselves
        handler = Handler(fn, takes_socket=name == "connection", may_ack=may_ack, is_once=is_once)
        self._change(lambda each: add(each.server_handlers, name, handler))
        return fn

    def off(self, event: EventName | None = None, fn: Callable[..., Any] | None = None) -> None:
        """Remove what was registered here with `on` or `event`: one function, all of one event, or all.

        What a child of a dynamic namespace has registered itself stays when the parent removes its own; a child removes for itself alone.
        """
        with self._family_lock:
            gone = self._registered(event, fn)
            for each in (self, *self._heirs):
                each._drop(gone)

    remove_listener = off
    remove_all_listeners = off

    def listeners(self, event: EventName) -> list[Callable[..., Any]]:
        """Return the functions that are registered with `on` or `event`."""
        found = (*self.server_handlers.get(_listened(event), ()), *self.handlers.get(key_of(event), ()))
        return [handler.fn for handler in found]

    def registered(self) -> list[tuple[str, EventName, Callable[..., Any]]]:
        """Return what is registered here, for whoever wants to show it: (`"use"`, `"on"` or `"event"`, the event, the function).

        The event of middleware is `""`.
        """
        found: list[tuple[str, EventName, Callable[..., Any]]] = [("use", "", each.fn) for each in self.middlewares]
        for kind, registry in (("on", self.server_handlers), ("event", self.handlers)):
            for key, handlers in tuple(registry.items()):
                found += [(kind, key.value if isinstance(key, Own) else key, handler.fn) for handler in handlers]
        return found

    @overload
    def event(self, name: F) -> F: ...
    @overload
    def event(self, name: EventName, fn: F, *, concurrent: bool = False) -> F: ...
    @overload
    def event(self, name: EventName | None = None, fn: None = None, *, concurrent: bool = False) -> Callable[[F], F]: ...
    def event(self, name: Any = None, fn: Any = None, *, concurrent: bool = False) -> Any:
        """Call `fn(socket, *args)` for an event of any client here; also `"disconnecting"`, `"disconnect"`, `"error"`.

        `@io.event` takes the function's name as the event, `@io.event("chat message")` names it. Returns the function.

        Args:
            concurrent: run it beside other events of the same client instead of after those before it.

        Raises:
            TypeError: not a function, an async one, or one that takes no socket.
        """
        if callable(name):
            name, fn = function_name(name), name
        if fn is None:
            if name is not None:
                check_name(name)
            return lambda function: self.event(function_name(function) if name is None else name, function, concurrent=concurrent)
        check_function(fn, f"event({name!r})")
        if name in ("connect", "connection"):
            return self.on(name, fn)
        key = key_of(name)
        is_theirs = not isinstance(key, Own)
        handler = Handler(fn, takes_socket=True, may_ack=is_theirs, is_typed=is_theirs, is_concurrent=concurrent)
        self._change(lambda each: each._add(key, handler))
        return fn

    def register(self, target: T) -> T:
        """Register an object's methods: `on_connection(socket)`, `on_<event>(socket, *args)`, and those marked with `event`.

        Raises:
            TypeError: it is a class.
            ValueError: it has no such method.
        """
        found = list(methods_of(target))
        if not found:
            raise ValueError(f"{target!r} has neither an on_… method nor one that is marked with sync_sio.event")
        for name, fn, is_concurrent in found:
            self.event(name, fn, concurrent=is_concurrent)
        return target

    @overload
    def use(self, fn: F, *, admitted: bool = False) -> F: ...
    @overload
    def use(self, fn: None = None, *, admitted: bool = False) -> Callable[[F], F]: ...
    def use(self, fn: Any = None, *, admitted: bool = False) -> Any:
        """Run `fn(socket)` or `fn(socket, next)` for each client that wants to connect, in order.

        Return nothing to go on; raise ConnectRefused, or call `next` with it, to refuse. Returns the function.

        Args:
            admitted: run it after the others, with the socket in its rooms already and reached by broadcasts.
        """
        if fn is None:
            return lambda function: self.use(function, admitted=admitted)
        middleware = Middleware(check_function(fn, "use"), admitted)
        self._change(lambda each: (each._admitted_middlewares if admitted else each._middlewares).append(middleware))
        return fn

    def on_error(self, fn: F) -> F:
        """Call `fn(error, socket, event, args)` for each handler here that fails. Returns the function."""
        check_function(fn, "on_error")
        self._change(lambda each: each.error_listeners.append(fn))
        return fn

    # -- for those who run them ----------------------------------------------------------------------------------------------

    @property
    def middlewares(self) -> tuple[Middleware, ...]:
        """Those of now, in the order in which they run."""
        return (*self._middlewares, *self._admitted_middlewares)

    def learn(self, key: Key) -> None:
        if key not in self.habits and len(self.habits) < MAX_HABITS:
            self.habits[key] = Habit()

    def may_run_once(self, registry: Registry, key: Key, handler: Handler) -> bool:
        """Remove a handler that runs once, from the whole family. False: somebody else was quicker, so it must not run."""
        with self._family_lock:
            if not take_once(registry, key, handler):
                return False
            elder = self._elder
            for each in () if elder is None else (elder, *elder._heirs):
                take_once(each.handlers, key, handler)
                take_once(each.server_handlers, key, handler)
            return True

    # -- the family ----------------------------------------------------------------------------------------------------------

    def adopt(self, child: Registrations) -> None:
        """Share what is registered here, and what will be, with a child that nobody knows yet."""
        with self._family_lock:
            child._family_lock = self._family_lock
            child._elder = self
            for key, handlers in self.handlers.items():
                for handler in handlers:
                    child._add(key, handler)
            for key, handlers in self.server_handlers.items():
                child.server_handlers[key] = child.server_handlers.get(key, ()) + handlers
            child._middlewares += self._middlewares
            child._admitted_middlewares += self._admitted_middlewares
            child.error_listeners += self.error_listeners
            self._heirs = (*self._heirs, child)

    def disown(self, child: Registrations) -> None:
        """The child is no more."""
        with self._family_lock:
            self._heirs = tuple(heir for heir in self._heirs if heir is not child)

    def _change(self, change: Callable[[Registrations], object]) -> None:
        with self._family_lock:
            for each in (self, *self._heirs):
                change(each)

    def _add(self, key: Key, handler: Handler) -> None:
        self.learn(key)
        add(self.handlers, key, handler)
        if handler.is_concurrent:
            self.concurrent.add(key)

    def _registered(self, event: EventName | None, fn: Callable[..., Any] | None) -> set[Handler]:
        """Return what `off` is to remove: of several that are `fn`, the last."""
        if event is None:
            found = [*self.server_handlers.values(), *self.handlers.values()]
        else:
            found = [self.server_handlers.get(_listened(event), ()), self.handlers.get(key_of(event), ())]
        if event is None or fn is None:
            return {handler for handlers in found for handler in handlers}
        return {same[-1] for handlers in found if (same := [handler for handler in handlers if handler.fn == fn])}

    def _drop(self, gone: set[Handler]) -> None:
        for registry in (self.server_handlers, self.handlers):
            for key, handlers in registry.items():
                for handler in gone.intersection(handlers):
                    take_once(registry, key, handler)
        self.concurrent.intersection_update(
            key for key, handlers in self.handlers.items() if any(handler.is_concurrent for handler in handlers)
        )


def _listened(event: EventName) -> EventName:
    return "connection" if event == "connect" else check_name(event)
