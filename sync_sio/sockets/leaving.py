"""How a socket goes: it leaves at once, and it is told in order."""

from __future__ import annotations

from ..drivers.base import Timer
from ..errors import Disconnected
from .acks import Callback
from .dispatch import context_of, fire, start_on_strand
from .handlers import Own
from .socket import CONNECTED, GONE, Socket, State


def leave(socket: Socket, reason: str, description: object = None, *, drop_events: bool = False) -> State | None:
    """Take a socket out of its namespace. Any thread, no lock held; runs nothing of the user's.

    The change of state decides who does it. From then on no broadcast reaches it and its calls raise; the handlers of
    `disconnecting` and `disconnect` are put on its strand, after what came before, if it was connected.

    Args:
        drop_events: whether events that have not started are dropped.

    Returns:
        The state that it was in; None: it had left already.
    """
    core = socket._core
    connection = core.connection
    with connection.lock:
        before = core.state
        if not core.move(GONE):
            return None
        core.reason = reason
        core.is_deaf = drop_events or before is not CONNECTED
        pending, core.acks = core.acks or {}, None
        for _ in pending:
            connection.settle_ack()
        held, core.held = core.held, None
        if held:
            connection.on_worked(len(held), sum(size for _, size in held))
        timer: Timer | None
        timer, core.timer = core.timer, None
    core.past_rooms = core.home.rooms.remove(socket.id)
    core.client.forget(socket)
    if timer is not None:
        timer.cancel()
    for waiting in pending.values():
        if not isinstance(waiting, Callback):
            waiting.set(Disconnected(f"the client has gone ({reason})", reason))
    if before is CONNECTED:
        core.home.site.left(socket.id)
        start_on_strand(core, _tell, socket, (reason, description), Own.DISCONNECT)
    else:
        core.clear()
    return before


def _tell(socket: Socket, why: tuple[str, object]) -> None:
    """Run the handlers of the end (a task of the strand): once, as leaving happens once."""
    core = socket._core
    core.is_deaf = True
    try:
        context_of(socket).run(_fire_both, socket, why)
    finally:
        core.clear()
        core.home.site.told(socket.id)


def _fire_both(socket: Socket, why: tuple[str, object]) -> None:
    fire(socket, Own.DISCONNECTING, why)
    socket._core.past_rooms = None
    fire(socket, Own.DISCONNECT, why)
