"""A client comes back: its ghost goes, and its session is taken up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .leaving import leave, leave_rooms
from .recovery import Recovery, Session


def session_of(recovery: Recovery, auth: Mapping[str, Any]) -> Session | None:
    """Return what a client asks to have back with its CONNECT (phase one); None: nothing, or there is nothing to be had.

    Who is still here by that id is a ghost: its connection is dead, and nobody has noticed. It leaves now, at the latest.
    """
    pid = auth.get("pid")
    if not isinstance(pid, str):
        return None
    ghost = recovery.ghost(pid)
    if ghost is not None:
        leave(ghost, "transport close", "its client came back on another connection")
        leave_rooms(ghost, True)                # another thread may be in the middle of it
        ghost._core.connection.abort("transport close", "its client came back on another connection")
    return recovery.take(pid, auth.get("offset"))
