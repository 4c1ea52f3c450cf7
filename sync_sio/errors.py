"""Every error that sync_sio raises at its users. All derive from `SyncSioError`.

    SyncSioError
    ├── ConnectRefused      raised by middleware: the client gets `connect_error`
    ├── RequestRefused      raised by `allow_request`: the client gets 403
    ├── AckTimeout          also a TimeoutError
    ├── Disconnected        also a ConnectionError
    ├── SlowConsumer        also a ConnectionError
    ├── WrongArguments      also a TypeError
    ├── PayloadTooLarge
    └── ProtocolError       a peer broke the protocol; its kinds live beside the codecs that raise them
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = [
    "AckTimeout",
    "ConnectRefused",
    "Disconnected",
    "PayloadTooLarge",
    "ProtocolError",
    "RequestRefused",
    "SlowConsumer",
    "SyncSioError",
    "WrongArguments",
]


class SyncSioError(Exception):
    """The base of every error in this package."""


class ConnectRefused(SyncSioError):
    """Refuse a client in a namespace: raise it in middleware, or give it to `next`.

    Args:
        message: what the client's `connect_error` says.
        data: anything that can be sent; the client finds it in `error.data`. None: no data.
    """

    def __init__(self, message: str = "refused", data: object = None) -> None:
        super().__init__(message)
        self.message = message
        self.data = data


class RequestRefused(SyncSioError):
    """Refuse a handshake request: raise it in `allow_request`. The client gets 403 with this message."""

    def __init__(self, message: str = "Forbidden") -> None:
        super().__init__(message)
        self.message = message


class AckTimeout(SyncSioError, TimeoutError):
    """Nobody acknowledged in time.

    Attributes:
        responses: for broadcasts, what had been answered by then; empty otherwise.
    """

    def __init__(self, message: str = "operation has timed out", responses: Sequence[object] = ()) -> None:
        super().__init__(message)
        self.responses = list(responses)


class Disconnected(SyncSioError, ConnectionError):
    """The client is gone, or not connected (yet).

    Attributes:
        reason: the disconnect reason, such as `"transport close"`; `""` when there is none.
    """

    def __init__(self, message: str = "the client is not connected", reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason


class SlowConsumer(SyncSioError, ConnectionError):
    """A client did not take what waits for it within `send_timeout`; it has been closed."""


class WrongArguments(SyncSioError, TypeError):
    """A client sent an event with arguments that its handler does not take.

    Attributes:
        path: to what does not fit, if the handler has typed payloads: `[0].age` is `age` of the first argument; else `""`.
        problem: what is wrong with it.
    """

    def __init__(self, message: str, path: str = "", problem: str = "") -> None:
        super().__init__(message)
        self.path = path
        self.problem = problem


class PayloadTooLarge(SyncSioError):
    """Something is larger than the limit that was set for it; the message names both sizes."""


class ProtocolError(SyncSioError):
    """A peer sent what the protocol does not allow. Remote input raises nothing but this and its kinds."""
