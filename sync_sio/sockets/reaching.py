"""What is done to many clients at once, wherever they are connected: here directly, elsewhere through the cluster, which comes first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from ..adapters.base import Broadcast, ClientRecord, DisconnectClients, Fetch, JoinRooms, LeaveRooms, Message, Target
from ..engine.state import CLOSE, DROP
from ..errors import AckTimeout, SyncSioError
from ..protocol.socketio.packet import EVENT, Packet
from .broadcast import PLAIN, Flags
from .handlers import EventName
from .inquiry import Inquiry, Told, wait_for, waiter_for
from .observers import tell_outgoing
from .remote import RemoteSocket, here, there

if TYPE_CHECKING:
    from .cluster import Cluster
    from .namespace import Namespace
    from .socket import Socket

SERVERS_TIMEOUT: Final = 5.0
"""Seconds in which other servers must answer where nothing else was said."""


def cluster_of(home: Namespace, flags: Flags = PLAIN) -> Cluster | None:
    """Return the other servers; None: there are none, they are not meant, or nothing has started yet."""
    return None if flags.local or not home.is_started else home.site.cluster


def publish(home: Namespace, message: Message, flags: Flags = PLAIN) -> None:
    """Tell the other servers, if they are meant, too."""
    cluster = home.site.cluster
    if cluster is not None and not flags.local:
        cluster.publish(home.name, message)


def check_answers(home: Namespace, what: str, flags: Flags = PLAIN) -> None:
    """Raise RuntimeError where nothing has started and others are meant, who could not answer."""
    cluster = home.site.cluster
    if cluster is not None and not flags.local:
        cluster.check_serving(what)


# -- a question to clients ----------------------------------------------------------------------------------------------------


def ask_clients(
    home: Namespace, event: EventName, args: tuple[Any, ...], target: Target, flags: Flags, seconds: float | None, tell: Told
) -> Inquiry:
    """Send an event that all of `target` are to acknowledge, everywhere. The server has started; see `Inquiry` for the rest.

    Raises:
        TypeError: something in `args` cannot be sent; nobody was asked.
    """
    packet = Packet(EVENT, home.name, [event, *args], home.ack_number())
    what = f"acknowledgement of {event!r}"
    cluster = cluster_of(home, flags)
    if cluster is None:
        inquiry = Inquiry(home.site, what, tell, seconds)
    else:
        home.site.parcel(packet)        # what cannot be sent is published nowhere

        def message(request: str) -> Broadcast:
            return Broadcast(packet.data, target, flags.volatile, flags.compress, request, seconds)

        inquiry = cluster.inquire(home.name, what, message, seconds, tell)
    ask_here(home, packet, target, flags, inquiry)
    inquiry.asked()
    return inquiry


def call_clients(
    home: Namespace, event: EventName, args: tuple[Any, ...], target: Target, flags: Flags, seconds: float | None
) -> list[Any]:
    """The same, and block for the responses. Raises AckTimeout with those that have come."""
    waiter = waiter_for(home.site, f"acknowledgements of {event!r}")
    inquiry = ask_clients(home, event, args, target, flags, seconds, lambda *outcome: waiter.set(outcome))
    error, responses = wait_for(inquiry, waiter, seconds)
    if error is not None:
        raise error
    return responses


def ask_here(home: Namespace, packet: Packet, target: Target, flags: Flags, inquiry: Inquiry) -> int:
    """Ask the clients of this server. Returns how many; no answer ends the inquiry before `asked`.

    All of them have it in their tables before the first is sent anything, so a count is right from the beginning. Who cannot be sent
    anything is not awaited: it is leaving, or it is volatile and was dropped.
    """
    assert packet.id is not None
    number = inquiry.number = packet.id
    parcel = home.site.parcel(packet, flags.compress)
    recipients: Sequence[Socket] = home.rooms.recipients(target)
    for probe in home.site.probes:
        probe.event_sent(recipients, packet, parcel)
    asked = [socket for socket in recipients if _put(socket, number, inquiry)]
    inquiry.expect(asked)
    when_full = DROP if flags.volatile else CLOSE
    for socket in recipients:
        core = socket._core
        if not core.connection.send_parcel(parcel, when_full):
            if core.take_ack(number) is not None:
                inquiry.set(None)
        elif core.any_outgoing:
            tell_outgoing((socket,), packet.data)
    return len(asked)


def _put(socket: Socket, number: int, inquiry: Inquiry) -> bool:
    core = socket._core
    try:
        return core.put_ack(number, inquiry)
    except SyncSioError as error:
        core.home.site.warn_once(("acks", socket.id), "socket %s: %s: a broadcast does not wait for its answer", socket.id, error)
        return False


# -- the other utilities ------------------------------------------------------------------------------------------------------


def fetch(home: Namespace, target: Target, flags: Flags) -> list[RemoteSocket]:
    """Describe the clients of `target`, everywhere.

    Raises:
        AckTimeout: another server did not answer in time; `responses` are the clients that are known by then.
        TypeError: the data of one of them cannot be sent.
    """
    found = [here(socket) for socket in home.rooms.recipients(target)]
    cluster = cluster_of(home, flags)
    if cluster is None:
        return found
    records: list[ClientRecord]
    seconds = cluster.timeout if flags.timeout is None else flags.timeout
    error, records = cluster.ask(home.name, "answer to fetch_sockets", lambda request: Fetch(target, request), seconds)
    found += [there(each, home) for each in records]
    if error is not None:
        raise AckTimeout(str(error), found)
    return found


def join_all(home: Namespace, target: Target, rooms: tuple[str, ...], flags: Flags) -> None:
    publish(home, JoinRooms(target, rooms), flags)
    for socket in home.recipients(target):
        socket.join(rooms)


def leave_all(home: Namespace, target: Target, rooms: tuple[str, ...], flags: Flags) -> None:
    publish(home, LeaveRooms(target, rooms), flags)
    for socket in home.recipients(target):
        for room in rooms:
            socket.leave(room)


def disconnect_all(home: Namespace, target: Target, close: bool, flags: Flags) -> None:
    publish(home, DisconnectClients(target, close), flags)
    for socket in home.recipients(target):
        home.disconnect(socket, close)
