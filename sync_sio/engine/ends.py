"""Ends that somebody has to do something about: what their descriptions say, and which of them the operator is told."""

from __future__ import annotations

from ..errors import ProtocolError, SlowConsumer
from ..notices import Notices
from ..protocol.websocket.frames import TOO_BIG, FrameError


class QueueOverflow(ProtocolError):
    """A client sends more than its handlers get through, and does not wait."""

    def __init__(self, count: int, size: int) -> None:
        super().__init__(f"{count} events of {size} bytes wait for their handlers: the client has been closed, as it sends too much")


def slow_consumer(size: int, limit: int, seconds: float | None = None) -> SlowConsumer:
    if seconds is None:
        return SlowConsumer(f"{size} bytes wait for this client, over max_buffered_bytes={limit}: it has been closed")
    return SlowConsumer(
        f"{size} bytes wait for this client, over half of max_buffered_bytes={limit}, for send_timeout={seconds} s: it has been closed"
    )


def tell_operator(notices: Notices, connection_id: str, description: object) -> None:
    """Some ends ask for something to be done: for a faster client, or another limit."""
    if isinstance(description, SlowConsumer):
        notices.warn("slow consumer", "connection %s: %s", connection_id, description)
    elif isinstance(description, FrameError) and description.code == TOO_BIG:
        notices.warn(
            "max_http_buffer_size",
            "connection %s: %s: raise max_http_buffer_size if such messages are wanted",
            connection_id,
            description,
        )
    elif isinstance(description, QueueOverflow):
        notices.warn("queued events", "connection %s: %s", connection_id, description)
