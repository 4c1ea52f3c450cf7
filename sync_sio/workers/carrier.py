"""The seam between the engine, which passes a request on to the server that has its session, and whatever gets it there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from ..drivers.base import Stream

__all__ = ["Carrier"]


class Carrier(Protocol):
    """A way to servers elsewhere, which are known by the ids with which the ids of their sessions begin. Any thread."""

    def start(self, own: str, passed: Callable[[bytes, int], None]) -> None:
        """Take requests for sessions of ours. Called once, when what carries them has been started.

        Args:
            own: this server's id.
            passed: gets (payload, descriptor) of a request; phase one. The payload may be the beginning of the one that was handed over,
                but for its first line, which is whole: the rest comes on the descriptor.
        """
        ...

    def wait_until_ready(self, seconds: float) -> None:
        """Block until others can reach this server, for so long at most."""
        ...

    def has(self, owner: str) -> bool:
        """Tell whether a server is there. May block for a moment; False, too, where that cannot be told now.

        Args:
            owner: what a client has said, whatever it is.
        """
        ...

    def hand_over(self, owner: str, payload: bytes, stream: Stream) -> bool:
        """Have a server answer on this connection, which is the carrier's from now on; never waits.

        When the server goes, the connection is closed.

        Args:
            payload: a line, and what is to be read before the stream.

        Returns:
            False: nothing has happened, and the stream is the caller's still.
        """
        ...
