"""A namespace as a class: its `on_…` methods are the handlers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from .arguments import call_with_or_without
from .targets import namespace_name

if TYPE_CHECKING:
    from .extension import SocketIO
    from .facade import ServerFacade
    from .targets import Rooms


class Namespace:
    """Derive from it, write `on_connect`, `on_disconnect` and `on_<event>`, and give an object to `socketio.on_namespace`.

    A method `error(exception)`, if there is one, is told what handlers here raise, as `socketio.on_error` would be.

    Args:
        namespace: the name; None: `"/"`.
    """

    def __init__(self, namespace: str | None = None) -> None:
        self.namespace = namespace_name(namespace)
        self._socketio: SocketIO | None = None

    @property
    def socketio(self) -> SocketIO:
        """What it is registered with."""
        if self._socketio is None:
            raise RuntimeError(f"{self!r} is not registered: give it to socketio.on_namespace")
        return self._socketio

    @property
    def server(self) -> ServerFacade:
        """`socketio.server`."""
        return self.socketio.server

    def attach(self, socketio: SocketIO) -> None:
        """It is registered now."""
        self._socketio = socketio

    def events(self) -> list[str]:
        """Return the events for which there are methods."""
        return [name[3:] for name in dir(type(self)) if name.startswith("on_") and callable(getattr(self, name))]

    def trigger_event(self, event: str, *args: Any) -> Any:
        """Handle an event. May be overridden; an event without a method is ignored.

        Args:
            args: the client's id, then what came: of `connect` the WSGI environ and the client's `auth`, of `disconnect` the reason.
        """
        handler: Callable[..., Any] | None = getattr(self, f"on_{event}", None)
        if handler is None:
            return None
        if event in ("connect", "disconnect"):
            return call_with_or_without(handler, args[-1])
        return handler(*args[1:])

    # -- the verbs of `socketio`, for this namespace -------------------------------------------------------------------------

    def emit(
        self,
        event: str,
        data: Any = None,
        room: Rooms = None,
        include_self: bool = True,
        namespace: str | None = None,
        callback: Callable[..., Any] | None = None,
        *,
        to: Rooms = None,
        skip_sid: str | Iterable[str] | None = None,
        ignore_queue: bool = False,
    ) -> None:
        """Send an event to all clients here, or to those of `room`, which is `to`. Several values are a tuple."""
        self.socketio.emit(
            event,
            data,
            namespace=namespace or self.namespace,
            to=room if to is None else to,
            include_self=include_self,
            skip_sid=skip_sid,
            callback=callback,
            ignore_queue=ignore_queue,
        )

    def send(
        self,
        data: Any,
        room: Rooms = None,
        include_self: bool = True,
        namespace: str | None = None,
        callback: Callable[..., Any] | None = None,
        *,
        to: Rooms = None,
        skip_sid: str | Iterable[str] | None = None,
        ignore_queue: bool = False,
    ) -> None:
        """Send the event `"message"`."""
        self.emit("message", data, room, include_self, namespace, callback, to=to, skip_sid=skip_sid, ignore_queue=ignore_queue)

    def call(
        self,
        event: str,
        data: Any = None,
        to: str | None = None,
        sid: str | None = None,
        namespace: str | None = None,
        timeout: float | None = 60.0,
        ignore_queue: bool = False,
    ) -> Any:
        """Send an event to one client and block for its answer, see `SocketIO.call`."""
        return self.socketio.call(
            event, data, to=to or sid, namespace=namespace or self.namespace, timeout=timeout, ignore_queue=ignore_queue
        )

    def enter_room(self, sid: str, room: Any, namespace: str | None = None) -> None:
        self.server.enter_room(sid, room, namespace or self.namespace)

    def leave_room(self, sid: str, room: Any, namespace: str | None = None) -> None:
        self.server.leave_room(sid, room, namespace or self.namespace)

    def close_room(self, room: Any, namespace: str | None = None) -> None:
        self.server.close_room(room, namespace or self.namespace)

    def rooms(self, sid: str, namespace: str | None = None) -> list[Any]:
        return self.server.rooms(sid, namespace or self.namespace)

    def disconnect(self, sid: str, namespace: str | None = None) -> None:
        self.server.disconnect(sid, namespace or self.namespace)

    def get_session(self, sid: str, namespace: str | None = None) -> dict[str, Any]:
        """Return what was kept of a client with `save_session`."""
        return self.server.get_session(sid, namespace or self.namespace)

    def save_session(self, sid: str, session: dict[str, Any], namespace: str | None = None) -> None:
        self.server.save_session(sid, session, namespace or self.namespace)

    def session(self, sid: str, namespace: str | None = None) -> AbstractContextManager[dict[str, Any]]:
        """The same as a context manager: what is changed in it is saved at its end."""
        return self.server.session(sid, namespace or self.namespace)
