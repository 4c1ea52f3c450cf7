"""How an event goes to one client, and how its answer is waited for."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

from ..engine.state import DROP, WAIT
from ..errors import AckTimeout, Disconnected, SyncSioError
from ..protocol.socketio.packet import EVENT, Packet
from .acks import Callback, Pending, as_result
from .broadcast import Flags, check_seconds
from .core import ADMITTED, CONNECTED, GONE, PENDING, Core, on_strand_of
from .dispatch import call_back, dispatch, dispatch_early
from .handlers import EventName, check_emitted, check_function
from .observers import tell_outgoing
from .recovery import RECOVERABLE
from .rooms import Target

if TYPE_CHECKING:
    from .socket import Socket


def send(socket: Socket, event: EventName, args: tuple[Any, ...], flags: Flags) -> None:
    """Send an event that wants no answer."""
    check_emitted(event)
    core = socket._core
    home = core.home
    packet = Packet(EVENT, home.name, [event, *args])
    if home.recovery is not None and core.seat is not None and core.state is not PENDING:
        if core.state is not GONE and not flags.volatile:
            core.connection.wait_for_room()
        if core.state is not GONE or core.reason in RECOVERABLE:
            # noted for its own room, whether it is here or may come back
            home.deliver_or_keep(packet, Target(frozenset((socket.id,))), flags)
    elif core.state is not GONE:
        parcel = home.site.parcel(_with_blank(packet, core), flags.compress)
        for probe in home.site.probes:
            probe.event_sent((socket,), packet, parcel)
        if core.connection.send_parcel(parcel, DROP if flags.volatile else WAIT) and core.any_outgoing:
            tell_outgoing((socket,), packet.data)


def _with_blank(packet: Packet, core: Core) -> Packet:
    """Return a packet that goes out before CONNECT, with recovery, so that its client takes no str at its end for an offset."""
    recovery = core.home.recovery
    if recovery is None or core.seat is None or not isinstance(packet.data[-1], str):
        return packet
    return Packet(packet.type, packet.namespace, [*packet.data, recovery.draw()[1]])


def ask_for(socket: Socket, event: EventName, args: tuple[Any, ...], ack: Callable[..., Any], flags: Flags) -> None:
    """Send an event and have `ack` called with the answer.

    An event that is volatile and was dropped is not answered: its callback hears so at once if it hears of errors, or is dropped
    with it. Nothing waits in a table for what cannot come.
    """
    check_emitted(event)
    callback = Callback(event, check_function(ack, "ack"), flags.timeout is not None)
    number, is_sent = _ask(socket, event, args, callback, flags)
    if not is_sent and (number is None or socket._core.take_ack(number) is not None):
        call_back(socket, callback, _why_not_sent(socket, event))


def call(socket: Socket, event: EventName, args: tuple[Any, ...], timeout: float | None, flags: Flags) -> Any:
    """Send an event and block until its answer is there. See `Socket.call`."""
    check_emitted(event)
    if timeout is not None:
        check_seconds(timeout)
    core = socket._core
    driver = core.home.site.driver
    if core.state is not CONNECTED:
        _refuse_call(socket, event)
    if not driver.may_wait():
        raise RuntimeError(f"call({event!r}) blocks, and this thread may not: use emit with ack=, or io.spawn")
    waiter = driver.waiter()
    number, is_sent = _ask(socket, event, args, waiter, flags)
    if number is None:
        _refuse_call(socket, event)
    if not is_sent:
        core.take_ack(number)
        raise _why_not_sent(socket, event)
    if not waiter.wait(timeout):
        if core.take_ack(number) is not None:
            for probe in core.home.site.probes:
                probe.ack_missed("client")
            raise AckTimeout(f"no acknowledgement of {event!r} within {timeout} s{_what_waits_behind(socket)}")
        waiter.wait()                   # it came just now: whoever took it from the table is about to hand it over
    if isinstance(waiter.value, Disconnected):
        raise waiter.value
    return as_result(waiter.value)


def _ask(
    socket: Socket, event: EventName, args: tuple[Any, ...], pending: Pending, flags: Flags
) -> tuple[int | None, bool]:
    """Send an event that wants an answer. Returns its number (None: the client is gone), and whether it went out."""
    core = socket._core
    home = core.home
    number = home.ack_number()
    packet = Packet(EVENT, home.name, [event, *args], number)
    parcel = home.site.parcel(packet, flags.compress)
    if not core.put_ack(number, pending):
        return None, False
    if isinstance(pending, Callback) and flags.timeout is not None:
        _arm(socket, number, pending, flags.timeout)
    for probe in home.site.probes:
        probe.event_sent((socket,), packet, parcel)
    is_sent = core.connection.send_parcel(parcel, DROP if flags.volatile else WAIT)
    if is_sent and core.any_outgoing:
        tell_outgoing((socket,), packet.data)
    return number, is_sent


def _arm(socket: Socket, number: int, callback: Callback, seconds: float) -> None:
    # after it was put into the table, where the timer looks for it: the client may have gone, or the time be over, by now
    core = socket._core
    timer = core.home.site.driver.later(seconds, _time_out, socket, number, seconds)
    with core.connection.lock:
        is_awaited = core.acks is not None and core.acks.get(number) is callback
        if is_awaited:
            callback.timer = timer
    if not is_awaited:
        timer.cancel()


def _time_out(socket: Socket, number: int, seconds: float) -> None:
    """No answer in time (a timer: phase one)."""
    callback = socket._core.take_ack(number)
    if isinstance(callback, Callback):
        for probe in socket._core.home.site.probes:
            probe.ack_missed("client")
        call_back(socket, callback, AckTimeout(f"no acknowledgement of {callback.event!r} within {seconds} s"))


def _why_not_sent(socket: Socket, event: EventName) -> SyncSioError:
    core = socket._core
    if core.state is not GONE and core.connection.ready_state == "open":
        return AckTimeout(f"{event!r} was not sent: it is volatile, and the client could not take it")
    return Disconnected(f"{event!r} was not sent: the client is gone ({core.reason or 'it is being closed'})", core.reason)


def _refuse_call(socket: Socket, event: EventName) -> NoReturn:
    core = socket._core
    if core.state in (PENDING, ADMITTED):
        raise Disconnected(f"call({event!r}): the client is not connected yet, so it cannot answer while middleware runs")
    raise _why_not_sent(socket, event)


def _what_waits_behind(socket: Socket) -> str:
    if on_strand_of.get() != socket.id:
        return ""
    # JavaScript that awaits our answer before it gives its own waits for us, and we for it
    for fn, _, item, *_ in socket._core.strand.waiting():
        if fn is dispatch or fn is dispatch_early:
            return (
                f": event {item[0][0]!r} of this client waits behind the handler that called; "
                "if the client answers only after that, register it with concurrent=True"
            )
    return ""
