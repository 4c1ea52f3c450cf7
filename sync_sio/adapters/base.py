"""What servers of a cluster say to each other, as values, and what an adapter must do with it.

An adapter carries messages and knows nothing of sockets or connections. What is asked, who has answered and how long anybody waits
is kept once for all adapters, in `sockets.cluster`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, runtime_checkable

from ..drivers.base import Driver
from ..types import JsonDefault
from ..workers.carrier import Carrier


@dataclass(frozen=True, slots=True)
class Target:
    """Whom a broadcast is for.

    Attributes:
        rooms: members of any of these; None: everybody; empty: nobody.
        excepts: less the members of these.
    """

    rooms: frozenset[str] | None = None
    excepts: frozenset[str] = field(default_factory=frozenset)


# -- what is said to all other servers ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Broadcast:
    """Send an event to clients.

    Attributes:
        data: `[event, *args]`.
        request: what their answers name: one `ClientCount`, then a `ClientAnswer` or `ClientGone` each; None: no answer is wanted.
        timeout: seconds after which answers are of no use any more; None: there is no such time.
    """

    data: list[Any]
    target: Target
    volatile: bool = False
    compress: bool = True
    request: str | None = None
    timeout: float | None = None


@dataclass(frozen=True, slots=True)
class JoinRooms:
    """Put clients into rooms."""

    target: Target
    rooms: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LeaveRooms:
    """Take clients out of rooms."""

    target: Target
    rooms: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DisconnectClients:
    """Take clients out of the namespace; with `close`, end their connections."""

    target: Target
    close: bool


@dataclass(frozen=True, slots=True)
class Fetch:
    """Tell about clients: wants one `Fetched`."""

    target: Target
    request: str


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """An event for the servers themselves.

    Attributes:
        data: `[event, *args]`.
        request: what one `ServerAnswer` names; None: no answer is wanted.
    """

    data: list[Any]
    request: str | None = None


@dataclass(frozen=True, slots=True)
class Kept:
    """A broadcast that a `RecoveryStore` keeps, with its place among those: it comes to whoever has published it, too.

    Attributes:
        offset: its place, which clients remember; `""`: it has none yet, and clients here get it all the same.
        early: not 0: this server's number of a broadcast that its clients got before it had a place; they do not get it twice.
    """

    broadcast: Broadcast
    offset: str
    early: int = 0


Message = Broadcast | JoinRooms | LeaveRooms | DisconnectClients | Fetch | ServerEvent


# -- what is said to who has asked --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ClientCount:
    """So many clients of this server were asked. The server's one answer to a `Broadcast`; the clients' come beside it."""

    request: str
    count: int


@dataclass(frozen=True, slots=True)
class ClientAnswer:
    """A client has acknowledged; `value` is its first argument."""

    request: str
    value: Any


@dataclass(frozen=True, slots=True)
class ClientGone:
    """A client that was counted has left without an answer. Wires that have no form for it drop it: the time-out decides then."""

    request: str


@dataclass(frozen=True, slots=True)
class ClientRecord:
    """What another server knows about one of its clients; `handshake` is JSON's form of it."""

    id: str
    handshake: dict[str, Any]
    rooms: tuple[str, ...]
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Fetched:
    """The clients of this server that were asked for."""

    request: str
    clients: tuple[ClientRecord, ...]


@dataclass(frozen=True, slots=True)
class ServerAnswer:
    """What a listener of this server has answered."""

    request: str
    value: Any


Answer = ClientCount | ClientAnswer | ClientGone | Fetched | ServerAnswer


# -- the seam -----------------------------------------------------------------------------------------------------------------


class AdapterStatus(NamedTuple):
    """How a server's link to the others is.

    Attributes:
        connected: whether what is published goes out now.
        lag: seconds that what came last had been under way; 0 when that is not known.
        nodes: servers in the cluster, this one included.
        last_error: the last thing that went wrong; None: nothing has.
    """

    connected: bool
    lag: float
    nodes: int
    last_error: str | None


class AdapterListener(Protocol):
    """What an adapter calls, from a thread of its own, with no lock held. It never blocks on a client and does not raise."""

    def received(self, namespace: str, server: str, message: Message | Answer | Kept) -> None:
        """Something came from another server: messages of one server in the order in which it has published them.

        Args:
            server: where answers go. Of an answer: who it is from; `""` if the wire does not tell.
        """
        ...

    def reached(self, request: str, others: int, names: Collection[str]) -> None:
        """So many other servers have got a request: where `others` could not say so before it was published.

        Args:
            names: what some of them are called, as far as it is known; maybe of some that are gone, too.
        """
        ...

    def server_left(self, server: str) -> None:
        """A server that `others` or `reached` named has gone: nobody waits for it any longer."""
        ...

    @property
    def json_default(self) -> JsonDefault | None:
        """What the user's `json_default` is: asked for values that have no form."""
        ...


class Adapter(Protocol):
    """Carries messages between the servers of a cluster. One object per server, for all its namespaces. Any thread.

    Nothing (thread, descriptor) exists before `start`. It may have an attribute `requests_timeout`: seconds in which other servers
    must answer where nothing else is said; 5 without it.
    """

    def start(self, listener: AdapterListener, driver: Driver) -> None:
        """Connect, without waiting for it, and tell `listener` what comes. Called once, and again after `close` or `abandon`."""
        ...

    def close(self) -> None:
        """Send what was published, for a moment at most, and disconnect. Idempotent."""
        ...

    def abandon(self) -> None:
        """This is the child of a fork: forget connections and threads, which are the parent's, and touch none."""
        ...

    def enter(self, namespace: str) -> None:
        """Listen for a namespace, too. After `start`; idempotent."""
        ...

    def leave(self, namespace: str) -> None:
        """Listen for it no more. Idempotent."""
        ...

    def publish(self, namespace: str, message: Message) -> None:
        """Send to all other servers, in the order of the calls of each thread. Never waits for the network.

        Everything of `message` that may change is encoded before this returns.

        Raises:
            TypeError: something in it has no form on this wire; nothing was sent.
        """
        ...

    def answer(self, namespace: str, server: str, answer: Answer) -> None:
        """Send to one server. As `publish` otherwise."""
        ...

    def others(self, namespace: str) -> Collection[str] | int | None:
        """Return the ids of the other servers that will answer, or how many there are where the wire does not tell who.

        From what is known here: never waits for the network. None: that is known when they have been asked, see `reached`.
        """
        ...

    def status(self) -> AdapterStatus:
        """Say how the link is. One that can be lost is counted in an attribute `reconnects`, too: metrics show it where it is there."""
        ...


@runtime_checkable
class RoomsAdapter(Protocol):
    """What an adapter is besides if it must know which rooms there are here. Both are called with the rooms' lock held."""

    def room_made(self, namespace: str, room: str) -> None:
        """A room has its first member, which may be the client whose own it is. In phase one, too: never waits, takes no lock of ours."""
        ...

    def room_gone(self, namespace: str, room: str) -> None:
        """A room has lost its last member."""
        ...


@runtime_checkable
class CarryingAdapter(Protocol):
    """What an adapter is besides if requests may go over it to the server that has their session, see `Carrier`."""

    @property
    def carrier(self) -> Carrier:
        """Started after the adapter, and closed or abandoned with it."""
        ...


@runtime_checkable
class OutsideAdapter(Protocol):
    """What an adapter is besides if a process that serves nobody may speak through it: a task, a command of the shell."""

    def publish_now(self, namespace: str, message: Message, default: JsonDefault | None) -> None:
        """Send to all servers, before `start`, and wait until it is sent: no thread is left behind. Any thread.

        Args:
            message: one that wants no answer.
            default: asked for values that have no form.

        Raises:
            TypeError: something in it has no form on this wire; nothing was sent. Besides, what says that it could not be sent.
        """
        ...


# -- recovery across servers ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """A client that has left, and may come back to any server.

    Attributes:
        rooms: its own included.
        came: the place of the newest broadcast before it came; `""`: not known.
        sure: everything up to the place with this number has surely arrived, if it was sent to it; -1: not known.
    """

    sid: str
    pid: str
    rooms: tuple[str, ...]
    data: dict[str, Any]
    came: str = ""
    sure: int = -1


@dataclass(frozen=True, slots=True)
class Restored:
    """A session that was found and is used up.

    Attributes:
        missed: what was kept in its namespace after what it has seen, for whomever, oldest first …
        end: … up to this place, which is one of any namespace.
    """

    session: SessionRecord
    missed: tuple[Kept, ...]
    end: str


class RecoveryStore(Protocol):
    """What an adapter is besides if clients may come back to other servers than they have left. Any thread."""

    def publish_kept(self, namespace: str, broadcast: Broadcast) -> None:
        """Send to all servers, this one included: it comes back as `Kept`. Otherwise as `publish`."""
        ...

    def position(self, namespace: str) -> str:
        """Return the place up to which everything for a namespace was handed to the listener; `""`: not known."""
        ...

    def number(self, offset: str) -> int:
        """Return a place as a number, by which places are compared: from 0 on; -1 for what is none."""
        ...

    def save(self, namespace: str, session: SessionRecord, seconds: float) -> None:
        """Keep a session for so long. Raises TypeError for data that has no form; never waits."""
        ...

    def restore(self, namespace: str, pid: str, offset: object, then: Callable[[Restored | None], None]) -> None:
        """Look for a session, and call `then` once, on whichever thread; never waits.

        None: there is none, or something that it may have missed is not kept any more, or it cannot be told now.
        """
        ...


ALONE = AdapterStatus(connected=True, lag=0.0, nodes=1, last_error=None)


def check_adapter(adapter: object) -> None:
    """Raise TypeError for what is no adapter, naming what it lacks."""
    wanted = ("start", "close", "abandon", "enter", "leave", "publish", "answer", "others", "status")
    if isinstance(adapter, type):
        raise TypeError(f"adapter={adapter!r}: an object is wanted, not its class: call {adapter.__name__}(…)")
    missing = [name for name in wanted if not callable(getattr(adapter, name, None))]
    if adapter is not None and missing:
        raise TypeError(f"adapter={adapter!r}: an adapter is wanted, such as RedisAdapter(url=…), or None; it lacks {', '.join(missing)}")
