"""A socket's state: what is behind the `Socket` that users hold in their hands."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from contextvars import Context, ContextVar
from enum import Enum
from os import urandom
from typing import TYPE_CHECKING, Any, Final

from ..drivers.base import Timer
from ..drivers.strand import Strand
from ..engine.connection import Connection
from ..errors import SyncSioError
from .acks import MAX_PENDING_ACKS, Pending
from .handlers import Handler, Key, Registry, take_once
from .handshake import Handshake
from .middleware import Middleware
from .observers import Observers

if TYPE_CHECKING:
    from .demux import Demux
    from .namespace import Namespace
    from .recovery import Seat


Event = tuple[list[Any], bytes]
"""What a client said: `[name, *args]`, and the number of the acknowledgement that it asks for, in digits; empty: it asks for none."""


def new_id() -> str:
    """Return 20 characters. Not the engine's id, which is a secret between it and the client."""
    return urlsafe_b64encode(urandom(15)).decode()


class State(Enum):
    """The way of a socket. `pending`: its middleware runs. `admitted`: broadcasts reach it. `connected`: CONNECT was sent."""

    PENDING = "pending"
    ADMITTED = "admitted"
    CONNECTED = "connected"
    GONE = "gone"


PENDING, ADMITTED, CONNECTED, GONE = State.PENDING, State.ADMITTED, State.CONNECTED, State.GONE

_MOVES: Final = {
    PENDING: (ADMITTED, GONE),
    ADMITTED: (CONNECTED, GONE),
    CONNECTED: (GONE,),
    GONE: (),
}

on_strand_of: Final[ContextVar[str]] = ContextVar("on_strand_of", default="")
"""The id of the socket whose strand runs this code; "" elsewhere, in concurrent handlers and in callbacks."""


class Core:
    """A socket's insides. `connection.lock` guards state, handlers, acks, held and the making of containers.

    What most clients never use is made when it is used. It knows no `Socket`: so there is no cycle, and a client that has
    gone is freed at once.
    """

    __slots__ = (
        "acks",
        "answering",
        "any_incoming",
        "any_outgoing",
        "auth",
        "client",
        "concurrent",
        "connection",
        "context",
        "data",
        "handlers",
        "handshake",
        "held",
        "home",
        "is_deaf",
        "is_ready",
        "middlewares",
        "past_rooms",
        "reason",
        "seat",
        "state",
        "strand",
        "timer",
    )

    def __init__(self, home: Namespace, client: Demux, connection: Connection, auth: dict[str, Any] | None) -> None:
        self.home = home
        self.client = client                # all sockets of the connection
        self.connection = connection
        self.auth = auth
        self.strand = Strand(connection)
        self.state = PENDING
        self.is_ready = False               # the connection handlers have returned
        self.is_deaf = False                # what is dispatched from now on is dropped
        self.reason = ""
        self.seat: Seat | None = None       # with recovery on
        self.acks: dict[int, Pending] | None = None
        self.answering = 0                  # callbacks that have their answer and have not returned
        self.any_incoming: Observers = ()
        self.any_outgoing: Observers = ()
        self.concurrent: set[Key] | None = None
        self.context: Context | None = None
        self.data: dict[str, Any] | None = None
        self.handlers: Registry | None = None
        self.handshake: Handshake | None = None
        self.held: list[tuple[Event, int]] | None = None       # events that came while middleware ran
        self.middlewares: tuple[Middleware, ...] = ()
        self.past_rooms: frozenset[str] | None = None           # the rooms, for "disconnecting"
        self.timer: Timer | None = None

    @property
    def has_its_id(self) -> bool:
        """Tell whether its id means this socket in the rooms, and cannot be the one of a socket that continues it."""
        return self.seat is None or not self.seat.has_left

    def move(self, to: State) -> bool:
        """Change the state (`connection.lock` held). False: not from here, as somebody else was quicker."""
        if to not in _MOVES[self.state]:
            return False
        self.state = to
        return True

    def put_ack(self, number: int, pending: Pending) -> bool:
        """Have somebody wait for an answer. False: the client is gone. Raises SyncSioError when it owes too many."""
        with self.connection.lock:
            if self.state is GONE:
                return False
            if self.acks is None:
                self.acks = {}
            if len(self.acks) + self.answering >= MAX_PENDING_ACKS:
                raise SyncSioError(f"{MAX_PENDING_ACKS} acknowledgements of this client are awaited already")
            self.acks[number] = pending
            self.connection.owe_ack()
            return True

    def take_ack(self, number: int) -> Pending | None:
        """Return who waits for an answer; it is theirs alone then."""
        with self.connection.lock:
            pending = self.acks.pop(number, None) if self.acks else None
            if pending is not None:
                self.connection.settle_ack()
            return pending

    def may_run_once(self, key: Key, handler: Handler) -> bool:
        """Remove a handler that runs once. False: somebody else was quicker, so it must not run."""
        if handler.takes_socket:
            return self.home.may_run_once(self.home.handlers, key, handler)
        with self.connection.lock:
            is_first = take_once(self.handlers, key, handler)
            if self.handlers and not self.handlers.get(key):
                self.handlers.pop(key, None)        # names may be made up, one for each answer
            return is_first

    def clear(self) -> None:
        """Let go of what is of no use any more, once all has been told."""
        with self.connection.lock:
            self.context = self.handlers = self.concurrent = self.past_rooms = self.timer = None
            self.middlewares = self.any_incoming = self.any_outgoing = ()
