"""`message_queue=`: the Redis by which servers are linked, and processes without a server emit."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from sync_sio import Emitter

from .targets import Rooms, namespace_name, room_names


class Queue(NamedTuple):
    """The address of a Redis, and the key of its channels; and whether it is only written to, where there is no application.

    Found as `socketio.server_options["client_manager"]`.
    """

    url: str
    key: str
    write_only: bool = False


def take_queue(options: dict[str, Any]) -> Queue | None:
    """Take what tells of a queue out of `options`. Returns it; None: there is none.

    Raises:
        ValueError: a queue that is no Redis, or a client manager.
    """
    manager = options.pop("client_manager", None)
    if manager and not isinstance(manager, Queue):
        raise ValueError(f"client_manager={manager!r}: servers are linked by an adapter of sync_sio: adapter=…, or message_queue=, a Redis")
    channel = options.pop("channel", None)
    url = options.pop("message_queue", None)
    for name in ("write_only", "monitor_clients"):
        options.pop(name, None)
    if not url:
        return None
    scheme = str(url).partition(":")[0].partition("+")[0]
    if scheme not in ("redis", "rediss", "unix", "valkey", "valkeys"):
        raise ValueError(f"message_queue={scheme}:…: servers are linked by Redis: redis://…, or by another adapter: adapter=")
    return Queue(str(url), str(channel or "socket.io"))


class Outside:
    """Emits to the clients of all servers from a process that has none."""

    def __init__(self, queue: Queue) -> None:
        self._emitter = Emitter(queue.url, key=queue.key)

    def emit(self, event: str, args: tuple[Any, ...], namespace: str | None, to: Rooms, skip: Iterable[str], has_callback: bool) -> None:
        """Send an event to all in `to` but those in `skip`. Raises ValueError for a callback: nothing comes back to this process."""
        if has_callback:
            raise ValueError("callback=: this SocketIO has no application, and gets no answers")
        operator = self._emitter.of(namespace_name(namespace)).except_(skip)
        (operator if to is None else operator.to(room_names(to))).emit(event, *args)

    def close_room(self, room: Any, namespace: str | None) -> None:
        """Have all clients leave a room."""
        names = room_names(room)
        self._emitter.of(namespace_name(namespace)).to(names).sockets_leave(names)
