"""What is sent when the transaction is committed, and only then."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db import transaction


def on_commit(sender: Any, using: str | None = None) -> OnCommit:
    """Have `on_commit(io.to("board")).emit("note", 5)` wait for the end of the transaction, so that who hears of it finds it.

    Without a transaction it happens at once, and never if that is rolled back. What is sent is what the arguments are by then.

    Args:
        sender: `io`, a namespace, a socket, or what their `to`, `volatile` and so on return.
        using: the database whose transaction it is; None: the default one.
    """
    return OnCommit(sender, using)


class OnCommit:
    """What may wait for a commit: whatever returns nothing."""

    __slots__ = ("_sender", "_using")

    def __init__(self, sender: Any, using: str | None) -> None:
        self._sender = sender
        self._using = using

    def emit(self, event: str | int, *args: Any) -> None:
        """Send an event then. What cannot be sent is an error that Django logs then: the transaction is over, and others wait, too."""
        self._later(self._sender.emit, event, *args)

    def send(self, *args: Any) -> None:
        """Send the event `"message"` then."""
        self._later(self._sender.send, *args)

    def sockets_join(self, rooms: str | Iterable[str]) -> None:
        """Have the clients join rooms then."""
        self._later(self._sender.sockets_join, rooms)

    def sockets_leave(self, rooms: str | Iterable[str]) -> None:
        """Have the clients leave rooms then."""
        self._later(self._sender.sockets_leave, rooms)

    def disconnect_sockets(self, close: bool = False) -> None:
        """Disconnect the clients then."""
        self._later(self._sender.disconnect_sockets, close)

    def _later(self, fn: Any, *args: Any) -> None:
        connection = transaction.get_connection(self._using)
        if connection.get_autocommit() and not connection.in_atomic_block:
            fn(*args)
            return

        def run() -> None:
            fn(*args)

        transaction.on_commit(run, using=self._using, robust=True)
