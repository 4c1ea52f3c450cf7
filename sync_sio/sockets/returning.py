"""A client comes back: its ghost goes, and its session is taken up."""

from __future__ import annotations

from typing import Final

from .core import Core, new_id
from .leaving import leave, leave_rooms
from .recovery import Recovery, Seat
from .socket import Socket

_WHY: Final = "its client came back on another connection"


def enter(core: Core) -> Socket | None:
    """Make the socket of a client that connects, and have its namespace know it (phase one). None: that has just been let go."""
    home = core.home
    if home.recovery is not None and core.connection.protocol == 4:
        socket = _return(home.recovery, core)
        if socket is not None:
            return socket
        core.seat = Seat(new_id())
    socket = home.site.socket_class(new_id() if core.connection.protocol == 4 else _old_id(core), core)
    return socket if home.rooms.enter(socket.id, socket) else None


def _return(recovery: Recovery, core: Core) -> Socket | None:
    """Make the socket with the session that its client asks to have back. None: it asks for nothing, or there is nothing to be had.

    Who is still here by its `pid` is a ghost: that connection is dead, and nobody has noticed; or the client has given it up and
    tries again. It leaves now, at the latest.
    """
    auth = core.auth or {}
    pid = auth.get("pid")
    while isinstance(pid, str):
        ghost = recovery.ghost(pid)
        if ghost is not None:
            leave(ghost, "transport close", _WHY)
            leave_rooms(ghost, True)            # another thread may be in the middle of it
            ghost._core.connection.abort("transport close", _WHY)
        with recovery.order:
            if recovery.ghost(pid) is not None:
                continue                        # the client has tried twice at once
            session = recovery.take(pid, auth.get("offset"))
            if session is None:
                break
            socket = core.home.site.socket_class(session.sid, core)
            if not core.home.rooms.enter(socket.id, socket):
                break
            core.seat, core.data = session.seat, session.data
            recovery.claim(socket, session.seat)
            return socket
    return None


def _old_id(core: Core) -> str:
    """Return what a Socket.IO v2 client takes for its id: the engine's, after the namespace."""
    sid = core.connection.id
    return sid if core.home.name == "/" else f"{core.home.name}#{sid}"
