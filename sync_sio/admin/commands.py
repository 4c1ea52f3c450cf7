"""What a page may do to our sockets."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..server import Server
    from ..sockets.broadcast import BroadcastOperator
    from ..sockets.namespace import Namespace
    from ..sockets.socket import Socket

logger = logging.getLogger("sync_sio.admin")


def add_commands(io: Server, home: Namespace) -> None:
    """Handle the page's commands. A filter is a room or a socket's id; none means the whole namespace."""

    def target(nsp: object, filter: object) -> BroadcastOperator | None:
        # not io.of: a page that misspells a name shall not make a namespace
        found = io._hub.namespaces.get(nsp) if isinstance(nsp, str) else None
        if found is None:
            logger.info("%s: a page names namespace %r, which is not there", home.name, nsp)
            return None
        return found.in_(filter) if isinstance(filter, str) and filter else found.except_(())

    @home.event("emit")
    def emit(socket: Socket, nsp: object, filter: object, event: object, *args: Any) -> None:
        whom = target(nsp, filter)
        if whom is not None and isinstance(event, str):
            try:
                whom.emit(event, *args)
            except ValueError as error:     # a reserved name
                logger.info("%s: a page may not do that: %s", home.name, error)

    @home.event("join")
    def join(socket: Socket, nsp: object, room: object, filter: object = None) -> None:
        whom = target(nsp, filter)
        if whom is not None and isinstance(room, str) and room:
            whom.sockets_join(room)

    @home.event("leave")
    def leave(socket: Socket, nsp: object, room: object, filter: object = None) -> None:
        whom = target(nsp, filter)
        if whom is not None and isinstance(room, str) and room:
            whom.sockets_leave(room)

    @home.event("_disconnect")
    def disconnect(socket: Socket, nsp: object, close: object, filter: object = None) -> None:
        whom = target(nsp, filter)
        if whom is not None:
            whom.disconnect_sockets(close is True)
