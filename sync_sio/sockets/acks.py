"""Acknowledgements, both ways: what a handler answers with, and who waits for a client's answer."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any, Final, Literal, Protocol

from ..drivers.base import Lock, Timer, Waiter
from ..errors import SyncSioError
from .handlers import Handler

MAX_PENDING_ACKS: Final = 10_000
"""Answers that one client may owe us; the next emit that asks for one raises."""


DEFAULT_TIMEOUT: Final = 60.0
"""Seconds in which answers must come where nothing else was said."""


class Unset(Enum):
    """What a parameter is when it was not given, where None means something else."""

    UNSET = "not given"

    def __repr__(self) -> str:
        return self.value


UNSET: Final = Unset.UNSET
Timeout = float | None | Literal[Unset.UNSET]
"""Of a call: seconds; None: for ever; not given: what `.timeout()` said, else 60 s."""


class Callback:
    """`socket.emit(…, ack=fn)`: the function that waits for the answer.

    Attributes:
        wants_error: it is `fn(error, *response)` and hears of every end; else `fn(*response)`, which hears of answers only.
        timer: for the one that hears of a time-out.
    """

    __slots__ = ("event", "handler", "timer", "wants_error")

    def __init__(self, event: object, fn: Callable[..., Any], wants_error: bool = False) -> None:
        self.event = event
        self.handler = Handler(fn, takes_socket=False, may_ack=False)
        self.wants_error = wants_error
        self.timer: Timer | None = None

    def args(self, outcome: list[Any] | SyncSioError) -> list[Any] | None:
        """Return what to call it with; None: not at all."""
        if not self.wants_error:
            return outcome if isinstance(outcome, list) else None
        if isinstance(outcome, list):
            return [None, *outcome]
        # no response: what the function needs beside the error is None
        return [outcome, *[None] * (self.handler.low - 1)]


class Collector(Protocol):
    """Something that waits for the answers of many clients."""

    def set(self, value: Any) -> bool: ...


Pending = Waiter | Callback | Collector
"""Who waits for an answer: a blocked `call`, a callback, or a broadcast. What has `set` gets the list of arguments, or Disconnected."""


class Ack:
    """What a handler's parameter `ack` is: `ack(*response)` answers the client.

    The first call counts, later ones are ignored, as is any when the client asked for no answer or is gone. May be called
    from any thread, also long after the handler has returned.

    Attributes:
        requested: whether the client waits for an answer.
    """

    __slots__ = ("_lock", "_send", "requested")

    def __init__(self, send: Callable[[list[Any]], Callable[[], None]] | None, lock: Lock) -> None:
        self._send = send
        self._lock = lock
        self.requested = send is not None

    def __call__(self, *response: Any) -> None:
        """Answer.

        Raises:
            TypeError: something in `response` cannot be sent; nothing was, and another answer may be given.
        """
        prepare = self._send
        if prepare is None:
            return
        send = prepare(list(response))        # encoded first: what cannot be sent does not use up the answer
        with self._lock:
            if self._send is None:
                return
            self._send = None
        send()


def as_response(result: Any) -> list[Any]:
    """Return a handler's result as the arguments of its acknowledgement: exactly `tuple` means several."""
    if result is None:
        return []
    return list(result) if type(result) is tuple else [result]


def as_result(response: list[Any]) -> Any:
    """Return a client's acknowledgement as the result of `call`: None, one value, or a tuple."""
    if len(response) == 1:
        return response[0]
    return tuple(response) if response else None
