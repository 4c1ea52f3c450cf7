"""How a socket goes: it leaves at once, and it is told in order."""

from __future__ import annotations

from ..drivers.base import Timer
from ..errors import Disconnected
from .acks import Callback, Pending
from .core import ADMITTED, CONNECTED, GONE, Core, State
from .dispatch import call_back, context_of, fire_in, start_on_strand
from .handlers import Own
from .recovery import RECOVERABLE, Session
from .shared_recovery import SharedRecovery
from .socket import Socket


def leave(
    socket: Socket, reason: str, description: object = None, *, drop_events: bool = False, is_refusal: bool = False
) -> State | None:
    """Take a socket out of its namespace. Any thread, no lock held; runs nothing of the user's.

    The change of state decides who does it. From then on no broadcast reaches it and its calls raise; the handlers of
    `disconnecting` and `disconnect` are put on its strand, after what came before, if it was connected.

    Args:
        drop_events: whether events that have not started are dropped.
        is_refusal: do nothing if it is connected by now: a time-out and a late `next` may meet, and CONNECT is the last word.

    Returns:
        The state that it was in; None: it had left already.
    """
    core = socket._core
    site = core.home.site
    if core.state is GONE:
        return None
    site.leaves(socket.id)      # before it is missing anywhere: `io.close` waits for who is here and for who is leaving
    with core.connection.lock:
        before = core.state
        is_ours = before is not GONE and not (is_refusal and before is CONNECTED)
        if is_ours:
            core.reason = reason
            core.is_deaf = drop_events or before is not CONNECTED
            pending, timer = _let_go(core)
            core.move(GONE)             # who sees that without the lock finds the reason
    if not is_ours:
        site.told(socket.id)
        return None
    leave_rooms(socket, before is CONNECTED)
    core.client.forget(socket)
    if core.home.parent is not None:
        core.home.parent.child_left(core.home)
    if timer is not None:
        timer.cancel()
    for waiting in pending:
        error = Disconnected(f"the client has gone ({reason})", reason)
        if isinstance(waiting, Callback):
            call_back(socket, waiting, error)
        else:
            waiting.set(error)
    for probe in site.probes:
        if before is CONNECTED:
            probe.socket_left(socket, reason, core.past_rooms or ())
        elif before is ADMITTED:
            for room in core.past_rooms or ():
                probe.room_left(core.home, room, socket.id)
    if before is CONNECTED:
        start_on_strand(core, _tell, socket, (reason, description), Own.DISCONNECT)
    else:
        core.clear()
        site.told(socket.id)
    return before


def leave_rooms(socket: Socket, was_connected: bool) -> None:
    """Take a socket out of its rooms, and remember it if it may come back. Idempotent with recovery."""
    core = socket._core
    home, seat = core.home, core.seat
    recovery = home.recovery
    if recovery is None or seat is None:
        core.past_rooms = home.rooms.remove(socket.id)
        return
    with recovery.order:
        if seat.has_left:
            return                  # somebody else was quicker, and the id may be another socket's by now
        core.past_rooms = home.rooms.remove(socket.id)
        recovery.depart(socket, seat)
        if core.reason in RECOVERABLE:
            if seat.session is not None:
                recovery.keep(seat.session)         # it was to get that back, and did not live to see it
            elif was_connected:
                recovery.keep(Session(socket.id, seat, core.past_rooms or frozenset(), socket.data, home.site.driver.now()))
    if isinstance(recovery, SharedRecovery):
        for sid, error in recovery.save():
            home.site.logger.error("socket %s has left and cannot be recovered: its data cannot be kept: %s", sid, error)


def _let_go(core: Core) -> tuple[list[Pending], Timer | None]:
    """Take what waits for this client out of its tables (`connection.lock` held), to be told without the lock."""
    connection = core.connection
    acks, core.acks = core.acks, None
    held, core.held = core.held, None
    timer, core.timer = core.timer, None
    for _ in acks or ():
        connection.settle_ack()
    if held:
        connection.let_go(len(held), sum(size for _, size in held))
    return list((acks or {}).values()), timer


def _tell(socket: Socket, why: tuple[str, object]) -> None:
    """Run the handlers of the end (a task of the strand): once, as leaving happens once."""
    core = socket._core
    site, recovery = core.home.site, core.home.recovery
    core.is_deaf = True
    try:
        context_of(socket).run(_fire_both, socket, why)
    finally:
        core.clear()
        site.told(socket.id)
        if recovery is not None and core.seat is not None:
            successor = recovery.told(core.seat)
            if successor is not None:
                site.driver.run(successor)


def _fire_both(socket: Socket, why: tuple[str, object]) -> None:
    fire_in(socket, Own.DISCONNECTING, why)
    socket._core.past_rooms = None
    fire_in(socket, Own.DISCONNECT, why)
