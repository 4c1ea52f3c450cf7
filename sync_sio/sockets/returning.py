"""A client comes back: its ghost goes, and its session is taken up."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from .core import Core, new_id
from .leaving import leave, leave_rooms
from .recovery import Recovery, Seat
from .shared_recovery import Found, SharedRecovery
from .socket import Socket

if TYPE_CHECKING:
    from .namespace import Namespace

_WHY: Final = "its client came back on another connection"


def enter(core: Core, found: Found | None = None) -> Socket | None:
    """Make the socket of a client that connects, and have its namespace know it (phase one). None: that has just been let go.

    Args:
        found: what `look_for` has found for it.
    """
    home = core.home
    recovery = home.recovery
    if recovery is not None and core.connection.protocol == 4:
        if isinstance(recovery, SharedRecovery):
            socket = None if found is None else _take_up(recovery, core, found)
        else:
            socket = _return(recovery, core)
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
        _evict(recovery, pid)
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


def must_look_for(home: Namespace, protocol: int, auth: dict[str, Any] | None) -> bool:
    """Tell whether the other servers may know the session that a client asks to have back: `look_for` it."""
    return protocol == 4 and isinstance(home.recovery, SharedRecovery) and auth is not None and isinstance(auth.get("pid"), str)


def look_for(home: Namespace, auth: dict[str, Any], then: Callable[[Found | None], None]) -> None:
    """Have `then` called with the session that a client asks to have back, or None (phase one, both)."""
    recovery, pid = home.recovery, auth["pid"]
    assert isinstance(recovery, SharedRecovery)
    _evict(recovery, pid)               # it is found where those who have left are
    recovery.restore(pid, auth.get("offset"), then)


def _take_up(recovery: SharedRecovery, core: Core, found: Found) -> Socket | None:
    with recovery.order:
        if not recovery.is_free_for(found):
            return None                 # the client has tried twice at once
        socket = core.home.site.socket_class(found.sid, core)
        if not core.home.rooms.enter(socket.id, socket):
            return None
        core.seat, core.data = found.seat, found.data
        recovery.claim(socket, found.seat)
        return socket


def _evict(recovery: Recovery, pid: str) -> None:
    ghost = recovery.ghost(pid)
    if ghost is not None:
        leave(ghost, "transport close", _WHY)
        leave_rooms(ghost, True)            # another thread may be in the middle of it
        ghost._core.connection.abort("transport close", _WHY)


def _old_id(core: Core) -> str:
    """Return what a Socket.IO v2 client takes for its id: the engine's, after the namespace."""
    sid = core.connection.id
    return sid if core.home.name == "/" else f"{core.home.name}#{sid}"
