"""What a connection asks of those around it: the server above, the transports below, an upgrade beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, TypeVar

from ..config import EngineOptions
from ..drivers.base import Driver, Habit, Watched
from ..notices import Notices
from ..probe import Probe
from ..protocol.parcel import Parcel
from ..types import Environ

C = TypeVar("C", contravariant=True)
"""`Connection`, which stands above this file."""


class Home(Protocol[C]):
    """The engine server, as its connections see it."""

    options: EngineOptions
    driver: Driver
    notices: Notices
    is_closed: bool
    """The process is about to end: nothing new is served, and nobody may be left to run what is posted."""
    is_plain: bool
    """There is no floor above: users hear of messages here."""
    habits: Mapping[str, Habit]
    """What is learned about the listeners of each event of connections."""
    probes: tuple[Probe, ...]
    lingering: set[Watched]
    """WebSockets that have sent their close frame and wait for the client's."""

    def has_greeters(self) -> bool:
        """Tell whether listeners are told of each connection: one that has not run yet may still want to hear of its end."""
        ...

    def pong(self, connection: C) -> None: ...

    def pinged(self, connection: C) -> None:
        """A client of the third revision has pinged us."""
        ...

    def forget(self, connection: C) -> None: ...


class Transport(Protocol):
    """How bytes reach the client now: polling or WebSocket."""

    @property
    def name(self) -> str: ...

    def may_take(self) -> bool:
        """Tell whether what is sent now goes out at once (lock held): if not, a volatile parcel is dropped."""
        ...

    def poke(self) -> None:
        """Something waits in the outbox: see to it (lock held)."""
        ...

    def may_close(self) -> bool:
        """Tell whether the client can be told of the end now, with nothing before it (lock held)."""
        ...

    def finish(self) -> None:
        """Tell the client of the end, and let go of the descriptor (no lock held). Idempotent."""
        ...


class Lane(Protocol):
    """Where bytes are written without further ado: a stream, or the socket under it."""

    def send(self, data: bytes, /) -> int:
        """Return how many were taken: 0 when none fits, which some say with BlockingIOError. Raises OSError when it is broken."""
        ...


class DirectTransport(Transport, Protocol):
    """A transport that writes at once: our own WebSocket. All but `on_readable` with the lock held."""

    is_armed: bool
    """Something is left, and the loop tells when there is room."""

    @property
    def lane(self) -> Lane | None:
        """Where a parcel's frames may be written as they are; None: `write` has to do something with them."""
        ...

    def keep(self, rest: memoryview) -> None:
        """Keep the rest of a write, and have the loop tell when there is room."""
        ...

    def write(self, parcel: Parcel) -> None:
        """Send a parcel; nothing waits before it. What does not fit is kept."""
        ...

    def drain(self) -> None:
        """Send what waits, as far as it fits."""
        ...

    def read_again(self) -> None:
        """The connection may be read again."""
        ...

    def on_readable(self) -> None:
        """Read once (phase one)."""
        ...


class Candidate(Protocol):
    """An upgrade in progress, as its WebSocket sees it (phase one)."""

    def on_text(self, data: bytes) -> None: ...

    def on_lost(self) -> None: ...

    def stop(self) -> None:
        """This WebSocket is closed: keep no timers for it."""
        ...


class RequestRecord(Protocol):
    """What is kept of the handshake request, in little memory."""

    def expand(self) -> Environ: ...
