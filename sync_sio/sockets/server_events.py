"""Events of servers for servers: `io.server_side_emit(…)` there, the listeners of `io.on(event)` here."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from ..adapters.base import ServerEvent
from ..errors import AckTimeout
from ..protocol.socketio.packet import EVENT, Packet
from .acks import Ack, as_response
from .aside import MAX_WAITING, call_back, report_aside, run_in
from .handlers import EventName, check_name
from .reaching import check_answers, cluster_of, publish

if TYPE_CHECKING:
    from .namespace import Namespace

RESERVED: Final = ("connect", "connection", "new_namespace")
"""Names that servers do not send each other: `io.on` hears of our own things under them."""


def emit_to_servers(home: Namespace, event: EventName, args: tuple[Any, ...], ack: Callable[..., Any] | None) -> None:
    """Send an event to the other servers; `ack(error, responses)` is called once, and at once with none when there are no others."""
    _check(home, event, args)
    data = [event, *args]
    if ack is None:
        publish(home, ServerEvent(data))
        return
    cluster = cluster_of(home)
    if cluster is None:
        check_answers(home, f"server_side_emit({event!r})")
        call_back(home, event, ack, None, [])
    else:
        what = f"answer to {event!r}"
        inquiry = cluster.inquire(
            home.name, what, lambda request: ServerEvent(data, request), cluster.timeout, partial(call_back, home, event, ack)
        )
        inquiry.asked()
        inquiry.arm()


def call_servers(home: Namespace, event: EventName, args: tuple[Any, ...], seconds: float) -> list[Any]:
    """The same, and block for the responses. Raises AckTimeout with those that have come."""
    _check(home, event, args)
    cluster = cluster_of(home)
    if cluster is None:
        check_answers(home, f"server_side_call({event!r})")
        return []
    data = [event, *args]
    error, responses = cluster.ask(home.name, f"answer to {event!r}", lambda request: ServerEvent(data, request), seconds)
    if error is not None:
        raise AckTimeout(str(error), responses)
    return responses


def _check(home: Namespace, event: EventName, args: tuple[Any, ...]) -> None:
    if check_name(event) in RESERVED:
        raise ValueError(f'"{event}" is a reserved event name: {", ".join(RESERVED)} cannot be sent to other servers')
    home.site.parser.encode(Packet(EVENT, home.name, [event, *args]))      # alone, too: a mistake shows before there is a cluster


# -- here ---------------------------------------------------------------------------------------------------------------------


def receive(home: Namespace, data: list[Any], answer: Callable[[Any], None] | None) -> None:
    """Have our listeners called for another server's event, one event after the other (any thread, no lock held).

    Args:
        answer: called with what the listeners answer, at most once; None: the other server does not ask.
    """
    event = data[0] if data else ""
    if event in RESERVED or not home.server_handlers.get(event):
        return
    if len(home.strand) >= MAX_WAITING:
        too_many = "%s: %d events of other servers wait for their listeners: more are dropped"
        home.site.warn_once(("servers", home.name), too_many, home.name, MAX_WAITING)
        return
    if home.strand.put(_run, home, (data, answer), home.habits.get(event, home.other_habit)):
        home.site.driver.run(home.strand)


def _run(home: Namespace, item: tuple[list[Any], Callable[[Any], None] | None]) -> None:
    data = item[0]
    try:
        Context().run(run_in, home.site, data[0], _run_listeners, (home, *item), data[1:])
    except BaseException as error:          # the wall of the turn
        report_aside(home, error, data[0], data[1:])


def _run_listeners(home: Namespace, data: list[Any], answer: Callable[[Any], None] | None) -> None:
    event, args = data[0], data[1:]
    ack = Ack(None if answer is None else lambda response: lambda: answer(_one(response)), home.strand.flow.lock)
    takes_ack = has_failed = False
    result: Any = None
    for handler in tuple(home.server_handlers.get(event, ())):
        if handler.is_once and not home.may_run_once(home.server_handlers, event, handler):
            continue
        try:
            if not handler.low <= len(args) <= handler.high:
                raise handler.wrong_arguments(event, len(args))
            if handler.takes_ack:
                takes_ack = True
                handler.call_with_ack(None, args, ack)
            else:
                returned = handler.fn(*args)
                if result is None:
                    result = returned
        except BaseException as error:      # the wall of the turn
            has_failed = True
            report_aside(home, error, event, args)
    if not has_failed and (result is not None or not takes_ack):
        ack(*as_response(result))


def _one(response: list[Any]) -> Any:
    # between servers an answer is one value
    return response[0] if len(response) == 1 else response or None
