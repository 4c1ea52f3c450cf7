"""How a socket comes: middleware → rooms → CONNECT → connection handlers, before any event of its client.

Users' code runs on the socket's strand. Without middleware the reader itself connects the socket: a client is not kept waiting
because handlers of others use up the pool.
"""

from __future__ import annotations

from ..drivers.strand import Strand
from ..engine.state import WhenFull
from ..errors import ConnectRefused
from ..protocol.parcel import Batch, Parcel
from ..protocol.socketio.packet import CONNECT, CONNECT_ERROR, Packet
from .core import ADMITTED, CONNECTED, GONE, PENDING, new_id
from .dispatch import context_of, dispatch_early, drop_context_if_empty, report, start_on_strand
from .handlers import Handler, Own
from .leaving import leave
from .middleware import GO_ON, LATER, Middleware, ask
from .recovery import Seat, Session
from .socket import Socket


def admit(socket: Socket) -> None:
    """Start (phase one), with the middleware that the namespace has now."""
    core = socket._core
    home = core.home
    middlewares = home.middlewares
    if core.seat is not None and core.seat.is_recovered and home.recovery is not None and home.recovery.options.skip_middlewares:
        _come_in(socket)
    elif middlewares:
        start_on_strand(core, _begin, socket, middlewares, Own.MIDDLEWARE)
    else:
        _come_in(socket)


def _come_in(socket: Socket) -> None:
    """Nobody has refused it."""
    seat = socket._core.seat
    if seat is not None and seat.session is not None:
        _continue(socket, seat, seat.session)
    elif socket._core.state is ADMITTED or _enter_rooms(socket):
        _connect(socket)


def _begin(socket: Socket, middlewares: tuple[Middleware, ...]) -> None:
    context_of(socket).run(_Admission(socket, middlewares).walk_in, GO_ON)
    drop_context_if_empty(socket)


class _Admission:
    """The way of one socket through the middleware, which may rest until a `next` is called."""

    __slots__ = ("_at", "_is_continued", "_middlewares", "_socket")

    def __init__(self, socket: Socket, middlewares: tuple[Middleware, ...]) -> None:
        self._socket = socket
        # it is in no room before it gets what it missed
        self._is_continued = socket._core.seat is not None and socket._core.seat.is_recovered
        self._middlewares = middlewares
        self._at = 0

    def walk_in(self, verdict: object) -> None:
        """Go on from `verdict`, in what `io.around` was given."""
        socket = self._socket
        try:
            with socket._core.home.site.surround(socket, Own.MIDDLEWARE.value, []):
                self.walk(verdict)
        except BaseException as error:      # the wall of the turn: as of middleware itself
            refuse(socket, error)

    def walk(self, verdict: object) -> None:
        """Go on from `verdict`: to the next function, into the namespace, or to a refusal."""
        socket = self._socket
        core = socket._core
        while verdict is GO_ON and self._at < len(self._middlewares):
            if core.state is GONE:
                return
            middleware = self._middlewares[self._at]
            self._at += 1
            if middleware.is_admitted and core.state is PENDING and not self._is_continued and not _enter_rooms(socket):
                return
            if middleware.takes_next and core.timer is None:
                # armed before, as `next` may be called before the function returns
                driver = core.home.site.driver
                core.timer = timer = driver.later(core.home.site.connect_timeout, _time_out, socket)
                if core.state is GONE:          # it has left meanwhile, and may not have seen the timer
                    timer.cancel()
                    return
            try:
                verdict = ask(middleware, socket, core.connection.lock, self._resume)
            except BaseException as error:  # the wall of the turn: whatever middleware raises refuses one client
                verdict = error
        if verdict is LATER or core.state is GONE:
            return
        if verdict is GO_ON:
            _come_in(socket)
        else:
            refuse(socket, verdict)

    def _resume(self, verdict: object) -> None:
        start_on_strand(self._socket._core, _walk_on, self, verdict, Own.MIDDLEWARE)


def _walk_on(admission: _Admission, verdict: object) -> None:
    context_of(admission._socket).run(admission.walk_in, verdict)
    drop_context_if_empty(admission._socket)


def _enter_rooms(socket: Socket) -> bool:
    core = socket._core
    with core.connection.lock:
        if not core.move(ADMITTED):
            return False
    home = core.home
    if home.recovery is None or core.seat is None:
        rooms = home.rooms.admit(socket.id)
    else:
        with home.recovery.order:
            rooms = home.rooms.admit(socket.id)
            if rooms is not None:
                home.recovery.enter(socket, core.seat)
    if rooms is None:
        return False
    _tell_rooms(socket, rooms)
    return True


def _tell_rooms(socket: Socket, rooms: frozenset[str]) -> None:
    home = socket._core.home
    for probe in home.site.probes:
        for room in sorted(rooms, key=socket.id.__ne__):        # its own is the first
            probe.room_joined(home, room, socket.id)


def _connect(socket: Socket) -> None:
    core = socket._core
    is_free = _open(socket)
    if is_free is not None:
        core.connection.send_parcel(_parcel_of_reply(socket), WhenFull.CLOSE)
        _tell_connected(socket)
        if is_free:
            core.home.site.driver.run(core.strand)      # not before CONNECT went out


def _continue(socket: Socket, seat: Seat, session: Session) -> None:
    """Connect one who comes back: into its rooms, with what it missed before the reply. Handlers run after the old socket's."""
    core = socket._core
    home, connection, driver = core.home, core.connection, core.home.site.driver
    recovery = home.recovery
    assert recovery is not None
    with connection.lock:
        if not core.move(ADMITTED):
            return
        core.strand = Strand(connection)        # middleware may be at work on the other, and in its context
        if core.context is not None:
            core.context = core.context.copy()
    with recovery.order:
        if seat.has_left:
            return                              # and its id may be another socket's by now
        if recovery.has_lost(session):
            recovery.begin_anew(socket, session, new_id())      # middleware took too long
        is_free = _open(socket)
        if is_free is None:
            return
        seat.session = None
        # its tasks wait until the old socket, whose id it has, has been told of its end
        is_free = recovery.follow(session.former, core.strand)
        if seat.is_recovered:
            home.rooms.join(socket.id, session.rooms)
        # in one piece: a client keeps events that come before CONNECT, but their offsets only when CONNECT has come
        connection.send_parcel(Batch([*recovery.missed(session), _parcel_of_reply(socket)]), WhenFull.CLOSE)
        rooms = home.rooms.admit(socket.id)     # after that: questions to many do not wait for the order
        recovery.enter(socket, seat)
    assert rooms is not None
    _tell_rooms(socket, rooms)
    _tell_connected(socket)
    if is_free:
        driver.run(core.strand)


def _parcel_of_reply(socket: Socket) -> Parcel:
    core = socket._core
    data = {"sid": socket.id} if core.seat is None else {"sid": socket.id, "pid": core.seat.pid}
    if core.connection.protocol == 3:
        return core.home.site.parcel(Packet(CONNECT, core.home.name))       # it knows its id already
    return core.home.site.parcel(Packet(CONNECT, core.home.name, data))


def _tell_connected(socket: Socket) -> None:
    core = socket._core
    core.client.joined()
    for probe in core.home.site.probes:
        probe.socket_connected(socket)


def _open(socket: Socket) -> bool | None:
    """Let events through to the strand. Returns whether somebody must run it; None: the socket has left."""
    core = socket._core
    home, connection = core.home, core.connection
    with connection.lock:
        # one hold: whoever sees CONNECTED and puts an event comes after all that were held
        if not core.move(CONNECTED):
            return None
        held, core.held = core.held, None
        timer, core.timer = core.timer, None
        is_free = False
        if home.server_handlers.get("connection") or (core.seat is not None and core.seat.session is not None):
            is_free = core.strand.put(_greet, socket, None, home.habits[Own.CONNECTION])
        else:
            core.is_ready = True
        for event, size in held or ():
            connection.let_go(1, size)
            habit = home.habits.get(event[0][0], home.other_habit)
            is_free = core.strand.put(dispatch_early, socket, event, habit, size) or is_free
    if timer is not None:
        timer.cancel()
    return is_free


def _greet(socket: Socket, nothing: None) -> None:
    context_of(socket).run(_run_connection_handlers, socket)
    drop_context_if_empty(socket)


def _run_connection_handlers(socket: Socket) -> None:
    core = socket._core
    home = core.home
    try:
        with home.site.surround(socket, Own.CONNECTION.value, []):
            for handler in tuple(home.server_handlers.get("connection", ())):
                if not handler.is_once or home.may_run_once(home.server_handlers, "connection", handler):
                    _run_connection_handler(socket, handler)
    except BaseException as error:          # the wall of the turn
        report(socket, error, "connection", [])
    core.is_ready = True


def _run_connection_handler(socket: Socket, handler: Handler) -> None:
    try:
        handler.fn(socket)
    except BaseException as error:          # the wall of the turn: others run
        report(socket, error, "connection", [])


def refuse(socket: Socket, verdict: object) -> None:
    """Refuse a client that is not connected: CONNECT_ERROR, and it leaves what it had joined. Any thread, no lock held."""
    core = socket._core
    logger = core.home.site.logger
    if isinstance(verdict, ConnectRefused):
        refusal = verdict
    elif isinstance(verdict, BaseException):
        logger.error("socket %s: middleware of %s failed: the client is refused", socket.id, core.home.name, exc_info=verdict)
        refusal = ConnectRefused("internal server error")
    else:
        if verdict is not False:
            logger.warning(
                "middleware of %s gave %r, so the client is refused: return nothing to go on, raise ConnectRefused to refuse",
                core.home.name,
                verdict,
            )
        refusal = ConnectRefused()
    try:
        parcel = _parcel_of_refusal(socket, refusal)
    except TypeError:
        logger.exception("socket %s: the data of ConnectRefused cannot be sent", socket.id)
        parcel = _parcel_of_refusal(socket, ConnectRefused("internal server error"))
    if leave(socket, "", is_refusal=True) is not None:
        for probe in core.home.site.probes:
            probe.socket_refused(core.home.name)
        core.connection.send_parcel(parcel, WhenFull.CLOSE)


def _parcel_of_refusal(socket: Socket, refusal: ConnectRefused) -> Parcel:
    home = socket._core.home
    data: dict[str, object] = {"message": refusal.message}
    if refusal.data is not None:
        data["data"] = refusal.data
    if socket._core.connection.protocol == 3:
        return home.site.parcel(Packet(CONNECT_ERROR, home.name, refusal.message if refusal.data is None else refusal.data))
    return home.site.parcel(Packet(CONNECT_ERROR, home.name, data))


def _time_out(socket: Socket) -> None:
    """`next` was not called in time (a timer: phase one)."""
    if socket._core.state in (PENDING, ADMITTED):
        refuse(socket, ConnectRefused("the server did not decide in time"))
