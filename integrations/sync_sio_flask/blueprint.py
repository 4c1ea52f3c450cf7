"""Pages and events of one part of an application, in one place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, overload

from flask import Blueprint, Flask

from .mount import let_in
from .namespace import Namespace
from .table import Handler, Table, check_event
from .targets import namespace_name

F = TypeVar("F", bound=Callable[..., Any])
N = TypeVar("N", bound=Namespace)


class SocketBlueprint(Blueprint):
    """A Flask blueprint that has events beside its pages: `app.register_blueprint` registers both, before or after `init_app`.

    Its handlers are those of the applications that it is registered with, and come before those of `SocketIO`.

    Args:
        name, import_name, options: as of `flask.Blueprint`.
        namespace: where its events are, unless a handler says something else.
    """

    def __init__(self, name: str, import_name: str, *, namespace: str = "/", **options: Any) -> None:
        super().__init__(name, import_name, **options)
        self.namespace = namespace_name(namespace)

    def on(self, message: str, namespace: str | None = None) -> Callable[[F], F]:
        """Handle an event, as `SocketIO.on` does."""
        check_event(message)

        def decorate(fn: F) -> F:
            self.on_event(message, fn, namespace)
            return fn

        return decorate

    @overload
    def event(self, namespace: F) -> F: ...
    @overload
    def event(self, namespace: str | None = None) -> Callable[[F], F]: ...
    def event(self, namespace: Any = None) -> Any:
        """Handle the event of the function's name, as `SocketIO.event` does."""
        if callable(namespace):
            return self.on(namespace.__name__)(namespace)
        return lambda function: self.on(function.__name__, namespace)(function)

    def on_event(self, message: str, handler: Handler, namespace: str | None = None) -> None:
        """The same as `on`, as a call."""
        self._later(lambda table: table.add(namespace_name(namespace or self.namespace), message, handler))

    def on_namespace(self, namespace_handler: N) -> N:
        """Take the methods of an object of a class that derives from `sync_sio_flask.Namespace`."""
        self._later(lambda table: table.add_object(namespace_handler))
        return namespace_handler

    @overload
    def on_error(self, namespace: F) -> F: ...
    @overload
    def on_error(self, namespace: str | None = None) -> Callable[[F], F]: ...
    def on_error(self, namespace: Any = None) -> Any:
        """Call `fn(exception)` for what handlers of the namespace raise, as `SocketIO.on_error` does."""
        if callable(namespace):
            return self.on_error()(namespace)

        def decorate(fn: F) -> F:
            self._later(lambda table: table.add_error_handler(namespace_name(namespace or self.namespace), fn))
            return fn

        return decorate

    def _later(self, change: Callable[[Table], None]) -> None:
        change(Table())                         # what is wrong is told where it stands
        self.record(lambda state: let_in(_app(state.app), change))


def _app(app: Any) -> Flask:
    if not isinstance(app, Flask):
        raise TypeError(f"a SocketBlueprint is for applications of Flask, not for {app!r}")
    return app
