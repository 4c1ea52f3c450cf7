"""What the acceptance application does for tests of engine connections: the namespace `/conn`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

EVENTS = ("message", "packet", "packet_create", "drain", "heartbeat", "upgrading", "upgrade", "close")


def register(io: Any, note: Callable[..., None]) -> None:
    namespace = io.of("/conn")

    @namespace.on("connection")  # type: ignore[untyped-decorator, unused-ignore]
    def connected(socket: Any) -> None:
        if socket.handshake.auth.get("listen"):
            for name in EVENTS:
                socket.conn.on(name, lambda *args, name=name: note(f"conn {socket.id}", name, *map(plain, args)))

    @namespace.event("conn")  # type: ignore[untyped-decorator, unused-ignore]
    def conn(socket: Any) -> dict[str, Any]:
        names = ("id", "protocol", "ready_state", "upgraded", "upgrading", "remote_address", "buffered_bytes")
        return {name: getattr(socket.conn, name) for name in names} | {
            "transport": socket.conn.transport.name,
            "method": socket.conn.request["REQUEST_METHOD"],
            "is_client": io.engine.clients[socket.conn.id] is socket.conn,
        }

    @namespace.event("large")  # type: ignore[untyped-decorator, unused-ignore]
    def large(socket: Any, size: int, compress: bool) -> None:
        socket.compress(compress).emit("large", "x" * size)

    @namespace.event("volatile flood")  # type: ignore[untyped-decorator, unused-ignore]
    def volatile_flood(socket: Any, count: int, size: int) -> None:
        most = 0
        for number in range(count):
            socket.volatile.compress(False).emit("gust", number, "x" * size, b"attached")
            most = max(most, socket.conn.buffered_bytes)
        socket.emit("after the flood")
        note(f"conn {socket.id}", "flooded", most)

    @namespace.event("close")  # type: ignore[untyped-decorator, unused-ignore]
    def close(socket: Any, discard: bool) -> None:
        socket.emit("last words")
        socket.conn.close(discard)


def plain(value: Any) -> Any:
    """A packet or a transport as JSON has it."""
    if hasattr(value, "data"):
        return [value.type, value.data if isinstance(value.data, str) else list(value.data)]
    return getattr(value, "name", value)
