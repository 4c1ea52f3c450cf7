"""How the engine tells the floor above. Everything here is called in phase one: no user code, no waiting, no lock held."""

from __future__ import annotations

from typing import Protocol, TypeVar

from ..drivers.base import Driver

C = TypeVar("C", contravariant=True)
"""`Connection`, which stands above this file."""


class Receiver(Protocol):
    """One connection's ear."""

    def opened(self) -> None:
        """The connection is open: what is sent now goes out. Called once, before anything else."""
        ...

    def text(self, data: bytes, start: int = 0) -> None:
        """Take the text of a message, `data[start:]`: UTF-8, checked. Raise ProtocolError to have the connection closed."""
        ...

    def texts(self, messages: list[bytes], start: int) -> None:
        """Take several at once, that came with one read: the same as `text` for each."""
        ...

    def binary(self, data: bytes) -> None:
        """Take a binary message. Raise ProtocolError to have the connection closed."""
        ...

    def closed(self, reason: str, description: object) -> None:
        """The connection is gone. Called once."""
        ...


class Listener(Protocol[C]):
    """The floor above the engine: `sockets.hub.Hub`, or what `EngineServer` has for users of its own."""

    def start(self, driver: Driver) -> None:
        """The runtime is known. Called before the first connection; in a fork's child again."""
        ...

    def opened(self, connection: C) -> Receiver:
        """A client is there. What is sent now follows the open packet."""
        ...

    def reset(self) -> None:
        """This is the child of a fork: the clients stay with the parent. Forget them, keep what users registered."""
        ...
