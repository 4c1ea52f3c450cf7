"""Where a connection stands, and what is done when too much waits for it."""

from __future__ import annotations

from enum import Enum


class State(Enum):
    OPENING = "opening"
    OPEN = "open"
    CLOSING = "closing"
    CLOSED = "closed"


class WhenFull(Enum):
    """What `send_parcel` does when too much waits for this client."""

    WAIT = "wait"
    """Over half of `max_buffered_bytes`: the caller waits, at most `send_timeout`; then the client is closed and SlowConsumer raised."""
    CLOSE = "close"
    """Over the whole of it: the client is closed, the caller goes on. For broadcasts and control packets."""
    DROP = "drop"
    """Nothing is sent when the client is known not to take it now: its socket is full, or no GET waits. For what is volatile."""


WAIT, CLOSE, DROP = WhenFull.WAIT, WhenFull.CLOSE, WhenFull.DROP
OPENING, OPEN, CLOSING, CLOSED = State.OPENING, State.OPEN, State.CLOSING, State.CLOSED
