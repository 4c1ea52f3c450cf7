"""sync_sio in Flask projects: `from sync_sio_flask import SocketIO`. The names are those of Flask-SocketIO, and a few more.

`SocketIO` (extension) keeps a `Table` of handlers and makes a `Mount` for each application: a `sync_sio.Server` in front of it, whose
handlers run in a `Turn`, Flask's contexts of one event. `verbs` are the functions that handlers call.
"""

from .blueprint import SocketBlueprint
from .extension import SocketIO
from .namespace import Namespace
from .refusals import ConnectionRefusedError
from .testing import SocketIOTestClient
from .verbs import call, close_room, disconnect, emit, join_room, leave_room, rooms, send

__all__ = [
    "ConnectionRefusedError",
    "Namespace",
    "SocketBlueprint",
    "SocketIO",
    "SocketIOTestClient",
    "call",
    "close_room",
    "disconnect",
    "emit",
    "join_room",
    "leave_room",
    "rooms",
    "send",
]
