"""What handlers call: `emit`, `join_room` and the others, about the client whose event is handled."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from flask import current_app

from sync_sio import Socket

from .extension import SocketIO
from .facade import rooms_of
from .targets import Rooms
from .turn import current_turn


def emit(
    event: str,
    *args: Any,
    namespace: str | None = None,
    callback: Callable[..., Any] | None = None,
    broadcast: bool = False,
    to: Rooms = None,
    room: Rooms = None,
    include_self: bool = True,
    skip_sid: str | Iterable[str] | None = None,
    ignore_queue: bool = False,
) -> None:
    """Send an event to the client whose event is handled, to all with `broadcast`, or to those of `to`; see `SocketIO.emit`.

    Args:
        namespace: None: that of the client. In a page it is `"/"`, and there is no client: say `broadcast`, or `to`.

    Raises:
        RuntimeError: neither a handler nor a page runs here, or in a page nobody was named.
    """
    target = to or room or None
    if target is None and not broadcast:
        target = _socket("emit(…) without broadcast=True or to=…").id
    _socketio().emit(
        event,
        *args,
        namespace=namespace or _namespace(),
        to=target,
        include_self=include_self,
        skip_sid=skip_sid,
        callback=callback,
        ignore_queue=ignore_queue,
    )


def send(message: Any, json: bool = False, **options: Any) -> None:
    """Send the event `"message"`, or with `json` the event `"json"`; the rest as of `emit`."""
    emit("json" if json else "message", message, **options)


def call(
    event: str,
    *args: Any,
    namespace: str | None = None,
    to: str | None = None,
    room: str | None = None,
    timeout: float | None = 60.0,
    ignore_queue: bool = False,
) -> Any:
    """Send an event to the client whose event is handled, or to the one that is named, and block for its answer; see `SocketIO.call`."""
    target = to or room or _socket("call(…) without to=…").id
    return _socketio().call(
        event, *args, namespace=namespace or _namespace(), to=target, timeout=timeout, ignore_queue=ignore_queue
    )


def join_room(room: Any, sid: str | None = None, namespace: str | None = None) -> None:
    """Have this client, or the one that is named, join a room."""
    _socketio().server.enter_room(sid or _socket("join_room(…) without sid=…").id, room, namespace or _namespace())


def leave_room(room: Any, sid: str | None = None, namespace: str | None = None) -> None:
    """Have this client, or the one that is named, leave a room."""
    _socketio().server.leave_room(sid or _socket("leave_room(…) without sid=…").id, room, namespace or _namespace())


def close_room(room: Any, namespace: str | None = None) -> None:
    """Have all clients leave a room."""
    _socketio().server.close_room(room, namespace or _namespace())


def rooms(sid: str | None = None, namespace: str | None = None) -> list[Any]:
    """Return the rooms of this client, or of the one that is named; its own id is one of them."""
    if sid is None and namespace is None:
        return rooms_of(_socket("rooms() without sid=…"))
    return _socketio().server.rooms(sid or _socket("rooms() without sid=…").id, namespace or _namespace())


def disconnect(sid: str | None = None, namespace: str | None = None, silent: bool = False) -> None:
    """Take this client, or the one that is named, out of its namespace. `silent` is what it always is: nobody who is gone is an error."""
    _socketio().server.disconnect(sid or _socket("disconnect() without sid=…").id, namespace or _namespace())


def _socketio() -> SocketIO:
    turn = current_turn()
    if turn is not None:
        return turn.mount.socketio
    socketio = current_app.extensions.get("socketio")
    if not isinstance(socketio, SocketIO):
        raise RuntimeError(f"{current_app!r} has no SocketIO: SocketIO(app), or init_app(app)")
    return socketio


def _namespace() -> str:
    turn = current_turn()
    return "/" if turn is None else turn.socket.namespace.name


def _socket(what: str) -> Socket:
    turn = current_turn()
    if turn is None:
        raise RuntimeError(f"{what} is about the client whose event is handled, and none is handled here")
    return turn.socket
