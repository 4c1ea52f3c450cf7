"""One event: middleware → handlers → acknowledgement. Everything here is a task of a strand, or runs inside one."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from contextvars import Context
from functools import partial
from typing import TYPE_CHECKING, Any

from ..drivers.base import Habit
from ..drivers.strand import Strand
from ..engine.state import WAIT
from ..errors import SlowConsumer, SyncSioError, WrongArguments
from ..protocol.parcel import Parcel
from ..protocol.socketio.packet import ACK, Packet
from .acks import Ack, Callback, as_response
from .aside import Answering
from .core import CONNECTED, Core, Event, on_strand_of
from .handlers import Handler, Key, Own
from .middleware import GO_ON, LATER, ask

if TYPE_CHECKING:
    from .socket import Socket

Later = list[Callable[[], None]]
"""Acknowledgements that wait until what `io.around` was given has been left."""

# -- tasks --------------------------------------------------------------------------------------------------------------------


def dispatch(socket: Socket, event: Event) -> None:
    """Run one event on the socket's strand, in the socket's context."""
    core = socket._core
    if core.is_deaf:
        return
    context = core.context or context_of(socket)
    if core.middlewares or core.any_incoming or core.home.site.surroundings:
        context.run(_check, socket, core, event)
        return
    data, number = event
    handlers = core.home.handlers.get(data[0])
    if handlers and len(handlers) == 1 and core.handlers is None and (handler := handlers[0]).is_plain:
        context.run(_run_plain, socket, core, handler, data, number)
    else:
        context.run(_handle, socket, core, data, number)


def dispatch_early(socket: Socket, event: Event) -> None:
    """The same for an event that came before the connection handlers had returned: is it a concurrent one after all?"""
    core = socket._core
    name = event[0][0]
    if is_concurrent(core, name):
        start_beside(core, dispatch_beside, socket, event, core.home.habits.get(name, core.home.other_habit), 0)
    else:
        dispatch(socket, event)


def dispatch_beside(socket: Socket, event: Event) -> None:
    """Run a concurrent event, on a strand of its own and in a copy of the socket's context."""
    core = socket._core
    if not core.is_deaf:
        _copied_context(socket).run(_check, socket, core, event)


def answer(socket: Socket, number: int, response: list[Any]) -> None:
    """Give a client's acknowledgement to who waits for it (phase one: nothing of the user's runs here)."""
    core = socket._core
    pending = core.take_ack(number)
    if isinstance(pending, Callback):
        call_back(socket, pending, response)
    elif pending is not None:
        pending.set(response)


def call_back(socket: Socket, callback: Callback, outcome: list[Any] | SyncSioError) -> None:
    """Have a callback told that the client has answered, or why it has not; whoever took it from the table does this, once."""
    if callback.timer is not None:
        callback.timer.cancel()
    args = callback.args(outcome)
    if args is None:
        return
    home = socket._core.home
    strand = Strand(Answering(socket._core))
    if strand.put(_call_back, socket, (callback, args), home.habits[Own.ANSWER]):
        home.site.driver.run(strand)


def _call_back(socket: Socket, item: tuple[Callback, list[Any]]) -> None:
    callback, args = item
    core = socket._core
    context = _copied_context(socket)
    if core.home.site.surroundings:
        context.run(_run_callback, socket, callback, args)
    else:
        context.run(run_handlers, socket, core, callback.event, args, (callback.handler,), b"")


def _run_callback(socket: Socket, callback: Callback, args: list[Any]) -> None:
    try:
        with socket._core.home.site.surround(socket, callback.event, args):
            run_handlers(socket, socket._core, callback.event, args, (callback.handler,), b"")
    except BaseException as error:          # a wall, as below
        report(socket, error, callback.event, args)


def tell_error(socket: Socket, error: BaseException) -> None:
    """Fire `"error"` for what the client did."""
    context_of(socket).run(fire_in, socket, Own.ERROR, (error,))


def start_beside(
    core: Core, task: Callable[[Any, Any], None], subject: object, item: object, habit: Habit, size: int
) -> None:
    """Start a task beside what the socket's strand does."""
    strand = Strand(core.connection)
    if strand.put(task, subject, item, habit, size):
        core.home.site.driver.run(strand)


def start_on_strand(core: Core, task: Callable[[Any, Any], None], subject: object, item: object, key: Key) -> None:
    """Start a task after what the socket's strand has to do."""
    if core.strand.put(task, subject, item, core.home.habits.get(key)):
        core.home.site.driver.run(core.strand)


def is_concurrent(core: Core, event: Key) -> bool:
    return event in core.home.concurrent or (core.concurrent is not None and event in core.concurrent)


def drop_context_if_empty(socket: Socket) -> None:
    """Let go of a context in which nothing was set: most clients never have one, and it is a quarter of what they cost."""
    core = socket._core
    with core.connection.lock:
        if core.context is not None and len(core.context) == 1:
            core.context = None


def context_of(socket: Socket) -> Context:
    """Return the context in which a socket's handlers run one after the other."""
    core = socket._core
    with core.connection.lock:
        context = core.context
        if context is None:
            context = core.context = Context()
            context.run(on_strand_of.set, socket.id)
        return context


def _copied_context(socket: Socket) -> Context:
    context = socket._core.context
    if context is None:
        return Context()        # nothing was set in it, or the client is gone: none is kept for its sake
    context = context.copy()
    context.run(on_strand_of.set, "")
    return context


# -- an event -----------------------------------------------------------------------------------------------------------------


def _check(socket: Socket, core: Core, event: Event) -> None:
    """Show an event to catch-all listeners, then to packet middleware, then to its handlers."""
    if core.home.site.surroundings:
        _surrounded(socket, core, event[0], _check_in, socket, core, event)
    else:
        _check_in(socket, core, event, None)


def _surrounded(socket: Socket, core: Core, data: list[Any], fn: Callable[..., None], *args: Any) -> None:
    """Run `fn(*args, later)` in what `io.around` was given. Only after that the client has its answer: what is saved then is there."""
    later: Later = []
    event, given = (data[0], data[1:]) if data else ("", [])
    try:
        with core.home.site.surround(socket, event, given):
            fn(*args, later)
    except BaseException as error:          # a wall, as below
        report(socket, error, event, given)
    else:
        for finish in later:
            finish()


def _check_in(socket: Socket, core: Core, event: Event, later: Later | None) -> None:
    data, number = event
    for fn in core.any_incoming:
        try:
            fn(*data)
        except BaseException as error:      # a wall, as below
            report(socket, error, data[0], data[1:])
    if core.middlewares:
        _EventChain(socket, data, number).walk(GO_ON, later)
    else:
        _handle(socket, core, data, number, later)


def _handle(socket: Socket, core: Core, data: list[Any], number: bytes, later: Later | None = None) -> None:
    event = data[0]
    handlers = core.home.handlers.get(event)
    if core.handlers is not None:
        handlers = (*(handlers or ()), *core.handlers.get(event, ()))
    if handlers:
        run_handlers(socket, core, event, data[1:], handlers, number, later)
    elif event in core.home.server_handlers:
        core.home.site.warn_once(
            (core.home.name, event),
            "clients send %r to %s and nobody handles it, but on(%r) was called on the server: it hears other servers; "
            "for events of clients use io.event or socket.on",
            event,
            core.home.name,
            event,
        )


def _run_plain(socket: Socket, core: Core, handler: Handler, data: list[Any], number: bytes) -> None:
    """The same as `run_handlers` for the one ordinary function that most events have."""
    event = data[0]
    data[0] = socket                        # and so they are the function's arguments, without another list
    try:
        if not handler.low <= len(data) - 1 <= handler.high:
            raise handler.wrong_arguments(event, len(data) - 1)
        result = handler.fn(*data)
    except BaseException as error:          # one of the four walls: a handler's sys.exit() ends no thread of ours
        report(socket, error, event, data[1:])
    else:
        if number:
            _acknowledge(socket, core, event, data, result, number)


def _acknowledge(socket: Socket, core: Core, event: Any, given: list[Any], result: Any, number: bytes) -> None:
    """Send the result of a handler that was given the socket and what came."""
    if core.state is not CONNECTED:
        return
    home = core.home
    site = home.site
    response = list(result) if type(result) is tuple else [] if result is None else [result]
    try:
        parcel = site.pack_bytes(home.name, result, number) if type(result) is bytes else site.pack(ACK, home.name, response, number)
        if parcel is None:
            parcel = site.parcel_slowly(Packet(ACK, home.name, response, int(number)))
        if site.probes:
            for probe in site.probes:
                probe.ack_sent(home, parcel)
        core.connection.send_parcel(parcel, WAIT)
    except SlowConsumer:
        pass    # it has been closed, and the operator told: nobody here could do more about it
    except BaseException as error:          # it cannot be encoded
        report(socket, error, event, given[1:])


def run_handlers(
    socket: Socket,
    core: Core,
    event: Any,
    args: list[Any],
    handlers: tuple[Handler, ...],
    number: bytes,
    later: Later | None = None,
) -> None:
    """Run all handlers of one event and acknowledge it if the client asked for that (`number`): here, or whoever gave `later` does."""
    result: Any = None
    ack: Ack | None = None
    count = len(args)
    has_failed = False
    refusal: WrongArguments | None = None
    for handler in handlers:
        if handler.is_once and not core.may_run_once(event, handler):
            continue
        try:
            if not handler.low <= count <= handler.high:
                raise handler.wrong_arguments(event, count)
            given = args if handler.payloads is None else handler.typed(event, args)
            if handler.takes_ack:
                if ack is None:
                    ack = _ack_for(core, number)
                handler.call_with_ack(socket, given, ack)
            else:
                returned = handler.fn(socket, *given) if handler.takes_socket else handler.fn(*given)
                if result is None:
                    result = returned
        except BaseException as error:      # a wall, as above
            has_failed = True
            if refusal is None and type(error) is WrongArguments and error.path:
                refusal = error
            report(socket, error, event, args)
    if refusal is not None:
        result = {"error": {"code": "invalid_payload", "path": refusal.path, "message": refusal.problem}}
    elif has_failed:
        return
    if not number:
        return
    if ack is None:
        if later is None:
            _acknowledge(socket, core, event, [socket, *args], result, number)
        else:
            later.append(partial(_acknowledge, socket, core, event, [socket, *args], result, number))
    elif result is not None:
        if later is None:
            _give_to(ack, socket, event, args, result)
        else:
            later.append(partial(_give_to, ack, socket, event, args, result))


def _give_to(ack: Ack, socket: Socket, event: Any, args: list[Any], result: Any) -> None:
    try:
        ack(*as_response(result))
    except SlowConsumer:
        pass    # as above
    except BaseException as error:          # as above
        report(socket, error, event, args)


def _ack_for(core: Core, number: bytes) -> Ack:
    return Ack(partial(_prepare_ack, core, number) if number else None, core.connection.lock)


def _prepare_ack(core: Core, number: bytes, response: list[Any]) -> Callable[[], None]:
    home = core.home
    return partial(_send_ack, core, home.site.parcel(Packet(ACK, home.name, response, int(number))))


def _send_ack(core: Core, parcel: Parcel) -> None:
    if core.state is CONNECTED:
        for probe in core.home.site.probes:
            probe.ack_sent(core.home, parcel)
        with suppress(SlowConsumer):        # as above
            core.connection.send_parcel(parcel, WAIT)


# -- our own events, and errors -----------------------------------------------------------------------------------------------


def fire_in(socket: Socket, own: Own, args: tuple[Any, ...]) -> None:
    """The same as `fire`, in what `io.around` was given."""
    core = socket._core
    if not core.home.handlers.get(own) and (core.handlers is None or not core.handlers.get(own)):
        return
    try:
        with core.home.site.surround(socket, own.value, list(args)):
            fire(socket, own, args)
    except BaseException as error:          # a wall, as below
        report(socket, error, own.value, list(args))


def fire(socket: Socket, own: Own, args: tuple[Any, ...]) -> None:
    """Run the handlers of one of our own events; each gets as many arguments as it takes."""
    core = socket._core
    shared = core.home.handlers.get(own, ())
    mine = core.handlers.get(own, ()) if core.handlers is not None else ()
    for handler in (*shared, *mine):
        if handler.is_once and not core.may_run_once(own, handler):
            continue
        given = args[: handler.high]
        try:
            if len(given) < handler.low:
                raise handler.wrong_arguments(own.value, len(given))
            if handler.takes_socket:
                handler.fn(socket, *given)
            else:
                handler.fn(*given)
        except BaseException as error:      # a wall, as above
            if own is Own.ERROR:
                core.home.site.logger.error('socket %s: a handler of "error" failed', socket.id, exc_info=error)
            else:
                report(socket, error, own.value, list(args))


def report(socket: Socket, error: BaseException, event: Any, args: list[Any]) -> None:
    """Log what a handler raised, and tell `on_error` and the socket's `"error"`."""
    core = socket._core
    logger = core.home.site.logger
    if isinstance(error, WrongArguments):
        logger.info("socket %s: %s", socket.id, error)
    else:
        logger.error("socket %s: a handler of %r failed", socket.id, event, exc_info=error)
    for listener in (*core.home.site.error_listeners, *core.home.error_listeners):
        try:
            listener(error, socket, event, args)
        except BaseException:               # a wall, as above
            logger.exception("socket %s: on_error failed", socket.id)
    fire(socket, Own.ERROR, (error,))


# -- packet middleware --------------------------------------------------------------------------------------------------------


class _EventChain:
    """The way of one event through `socket.use` functions. One that calls `next` later lets other events pass."""

    __slots__ = ("_at", "_data", "_middlewares", "_number", "_socket")

    def __init__(self, socket: Socket, data: list[Any], number: bytes) -> None:
        self._socket = socket
        self._data = data
        self._number = number
        self._middlewares = socket._core.middlewares
        self._at = 0

    def walk(self, verdict: object, later: Later | None) -> None:
        """Go on from `verdict`: to the next function, to the handlers, or to an error."""
        core = self._socket._core
        while verdict is GO_ON and self._at < len(self._middlewares):
            middleware = self._middlewares[self._at]
            self._at += 1
            try:
                verdict = ask(middleware, self._data, core.connection.lock, self._resume)
            except BaseException as error:  # a wall, as above
                verdict = error
            else:
                # what a plain one returns means nothing, but for False
                verdict = verdict if middleware.takes_next or verdict is False else GO_ON
        if verdict is LATER:
            return
        if verdict is GO_ON:
            if self._data:
                _handle(self._socket, core, self._data, self._number, later)
            return
        if verdict is False:
            verdict = SyncSioError(f"middleware refused event {self._data[:1]}")
        if not isinstance(verdict, SyncSioError):
            cause = verdict if isinstance(verdict, BaseException) else None
            core.home.site.logger.warning("socket %s: packet middleware refused: %r", self._socket.id, verdict, exc_info=cause)
        fire(self._socket, Own.ERROR, (verdict,))

    def walk_in(self, verdict: object) -> None:
        """The same in what `io.around` was given, when a `next` was called late."""
        core = self._socket._core
        if core.home.site.surroundings:
            _surrounded(self._socket, core, self._data, self.walk, verdict)
        else:
            self.walk(verdict, None)

    def _resume(self, verdict: object) -> None:
        start_on_strand(self._socket._core, _walk_on, self, verdict, Own.MIDDLEWARE)


def _walk_on(chain: _EventChain, verdict: object) -> None:
    socket = chain._socket
    if not socket._core.is_deaf:
        context_of(socket).run(chain.walk_in, verdict)
