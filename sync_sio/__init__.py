"""sync_sio: a Socket.IO v4 server for synchronous Python. This file is the public face, nothing else.

`Server` is the WSGI application and everything that users call. Below it, from top to bottom: `sockets` (namespaces, events, rooms,
acks), `engine` (who is connected and how bytes reach them), `wsgi` (HTTP, taking sockets over), `drivers` (threads or gevent: the only code
that blocks) and `protocol` (bytes and values; pure). docs/explanation/architecture.md has the picture.
"""

from .emitter import Emitter
from .errors import (
    AckTimeout,
    ConnectRefused,
    Disconnected,
    PayloadTooLarge,
    ProtocolError,
    RequestRefused,
    SlowConsumer,
    SyncSioError,
    WrongArguments,
)
from .server import Server
from .sockets.handlers import event
from .sockets.namespace import Namespace
from .sockets.socket import Socket

__version__ = "0.1.0"

__all__ = [
    "AckTimeout",
    "ConnectRefused",
    "Disconnected",
    "Emitter",
    "Namespace",
    "PayloadTooLarge",
    "ProtocolError",
    "RequestRefused",
    "Server",
    "SlowConsumer",
    "Socket",
    "SyncSioError",
    "WrongArguments",
    "__version__",
    "event",
]
