"""What a page is shown of a socket: values that can always be sent, and hold no secrets of the client."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Final

from ..protocol.socketio.packet import EVENT, Packet
from ..sockets.handshake import Handshake, make_handshake

if TYPE_CHECKING:
    from ..sockets.site import Site
    from ..sockets.socket import Socket

MAX_DEPTH: Final = 6
MAX_ITEMS: Final = 100
MAX_TEXT: Final = 1000
HIDDEN: Final = frozenset(("authorization", "cookie", "proxy-authorization"))
"""Headers that would let the reader be somebody else."""


def iso(at: float) -> str:
    """Return seconds since the epoch as JavaScript's `toISOString`."""
    return datetime.fromtimestamp(at, timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def show_socket(socket: Socket, rooms: list[str], data: dict[str, Any]) -> dict[str, Any]:
    """Return a socket as the Admin UI wants it: SerializedSocket. `data` has been through `show_data`."""
    connection, handshake = socket.conn, _handshake(socket)
    headers = handshake.headers
    return {
        "id": socket.id,
        "clientId": connection.id[:12],        # the whole of it is a secret of the client
        "transport": connection.transport.name,
        "nsp": socket.namespace.name,
        "data": data,
        "handshake": {
            "address": headers.get("cf-connecting-ip") or headers.get("x-forwarded-for") or handshake.address,
            "headers": {name: "(hidden)" if name in HIDDEN else value for name, value in headers.items()},
            "query": handshake.query,
            "issued": handshake.issued,
            "secure": handshake.secure,
            "time": handshake.time,
            "url": handshake.url,
            "xdomain": handshake.xdomain,
        },
        "rooms": rooms,
    }


def _handshake(socket: Socket) -> Handshake:
    """Return `socket.handshake` without keeping it: to look at thousands of clients shall not make them larger."""
    core = socket._core
    if core.handshake is not None:
        return core.handshake
    connection = core.connection
    return make_handshake(connection.peek_request(), core.auth, connection.opened_at, connection.remote_address)


def show_data(site: Site, data: dict[str, Any] | None) -> dict[str, Any]:
    """Return a copy of `socket.data` in which everything can be sent, and that can be compared with a later one."""
    found = _plain(site, data or {}, 0)
    assert isinstance(found, dict)
    return found


def _plain(site: Site, value: Any, depth: int) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return value if len(value) <= MAX_TEXT else f"{value[:MAX_TEXT]}… ({len(value)} characters)"
    if isinstance(value, bytes | bytearray | memoryview):
        return f"<{len(value)} bytes>"      # attachments are few, and there may be thousands of sockets
    if isinstance(value, dict | list | tuple | set | frozenset):
        if depth == MAX_DEPTH:
            return "…"
        items = list(value.items() if isinstance(value, dict) else value)     # at once: others may change it meanwhile
        shown, left = items[:MAX_ITEMS], len(items) - MAX_ITEMS
        if isinstance(value, dict):
            plain = {str(key): _plain(site, each, depth + 1) for key, each in shown}
            return plain if left <= 0 else {**plain, "…": f"{left} more"}
        listed = [_plain(site, each, depth + 1) for each in shown]
        return listed if left <= 0 else [*listed, f"… {left} more"]
    return _foreign(site, value, depth)


def _foreign(site: Site, value: Any, depth: int) -> Any:
    """Show an object as clients would receive it, else as `repr` does. Users' code runs: `json_default` and `__repr__`."""
    try:
        text, attachments = site.parser.encode(Packet(EVENT, "/", ["data", value]))
        if text is not None and not attachments and depth < MAX_DEPTH:
            packet = site.parser.decoder().text(text)
            if packet is not None:
                return _plain(site, packet.data[1], depth + 1)
    except Exception:
        pass                                # it has no form there: the rest of this function is for it
    try:
        return _plain(site, repr(value), depth)
    except Exception:
        return f"<{type(value).__name__}>"
