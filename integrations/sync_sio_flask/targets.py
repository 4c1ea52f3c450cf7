"""Whom an emit reaches, in the words of Flask-SocketIO: rooms that may be anything, `skip_sid`, a callback for each client."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final

from sync_sio import Namespace, Socket

Rooms = Any
"""A room, a list of rooms, or None: everybody."""

ANY: Final = "*"
"""A namespace, or an event, that stands for those for which there is nothing else."""

_MARK: Final = "\0"


def namespace_name(namespace: str | None) -> str:
    """Return the name of a namespace as clients ask for it; `"*"` stays what it is."""
    if not namespace:
        return "/"
    return namespace if namespace.startswith("/") or namespace == ANY else f"/{namespace}"


def room_name(room: Any) -> str:
    """Return the name by which the server knows a room. Whatever is no str has a name that no str has: 5 is not "5"."""
    if isinstance(room, str) and not room.startswith(_MARK):
        return room
    if room is None:
        raise TypeError("None is no room")
    return _MARK + repr(room)


def room_names(rooms: Rooms) -> list[str]:
    """Return the names of one room or several."""
    if isinstance(rooms, list | set | frozenset | tuple) and not hasattr(rooms, "_fields"):
        return [room_name(room) for room in rooms]
    return [room_name(rooms)]


def emit(
    home: Namespace,
    event: str,
    args: tuple[Any, ...],
    to: Rooms,
    skip: Iterable[str],
    callback: Callable[..., Any] | None,
    is_local: bool,
    sender: Socket | None,
) -> None:
    """Send an event to all in `to` but those in `skip`; `callback` is called with the answer of each client.

    The sender itself is sent to as a socket is: it is waited for when it is slow, where a broadcast would close it.
    """
    skipped = set(skip)
    if sender is not None and to == sender.id:
        if sender.id not in skipped:
            sender.emit(event, *args, ack=callback)
        return
    target = home if to is None else home.to(room_names(to))
    if callback is None:
        operator = target.except_(skipped)
        (operator.local if is_local else operator).emit(event, *args)
        return
    here = [socket for socket in members(home, to) if socket.id not in skipped]
    for socket in here:
        socket.emit(event, *args, ack=callback)
    is_one_of_ours = len(here) == 1 and to == here[0].id
    if not is_local and not is_one_of_ours and home.server.adapter is not None:
        skipped.update(socket.id for socket in here)
        target.except_(skipped).emit(event, *args, ack=partial(tell_each, callback))


def tell_each(callback: Callable[..., Any], error: object, responses: list[Any]) -> None:
    """Call a function with the answer of each client of other processes; what it raises for one keeps it from none."""
    failures: list[Exception] = []
    for response in responses:
        try:
            callback(*spread((response,)))
        except Exception as failure:
            failures.append(failure)
    if failures:
        raise failures[0]


def members(home: Namespace, to: Rooms) -> list[Socket]:
    """Return the sockets of this process that are in one of these rooms."""
    sockets = home.sockets
    if to is None:
        return list(sockets.values())
    names = room_names(to)
    if len(names) == 1 and names[0] in sockets:
        return [sockets[names[0]]]
    rooms = home.adapter.rooms
    found = set().union(*(rooms.get(name, ()) for name in names))
    return [socket for sid, socket in sockets.items() if sid in found]


def spread(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return what is sent: of one argument that is None nothing, and of one that is a tuple each of its values."""
    if len(args) == 1:
        if args[0] is None:
            return ()
        if type(args[0]) is tuple:
            return args[0]
    return args


def skipped_ids(skip_sid: str | Iterable[str] | None, include_self: bool, own: str | None) -> list[str]:
    """Return the ids of clients that an emit leaves out."""
    found = [] if skip_sid is None else [skip_sid] if isinstance(skip_sid, str) else list(skip_sid)
    return [*found, own] if own is not None and not include_self else found
