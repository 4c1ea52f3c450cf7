"""sync_sio in Django projects: `"sync_sio_django"` in `INSTALLED_APPS`.

`from sync_sio_django import io` in each app's `sockets.py`, which is found by itself, in views and in signals; `get_wsgi_application`
from here in `wsgi.py`. Names are imported when they are asked for: Django imports this package before models may be.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from .commit import on_commit
    from .guards import Guard, login_required, permission_required, user_passes_test
    from .server import Server
    from .socket import Socket
    from .wsgi import get_wsgi_application

    io: Server
    """The server of this project, made from `settings.SYNC_SIO`."""

__all__ = [
    "Guard",
    "Server",
    "Socket",
    "get_wsgi_application",
    "io",
    "login_required",
    "on_commit",
    "permission_required",
    "user_passes_test",
]

_HOMES: Final = {
    "Guard": "guards",
    "Server": "server",
    "Socket": "socket",
    "get_wsgi_application": "wsgi",
    "login_required": "guards",
    "on_commit": "commit",
    "permission_required": "guards",
    "user_passes_test": "guards",
}


def __getattr__(name: str) -> Any:
    if name == "io":
        found: Any = import_module(".server", __name__).get_server()
    elif name in _HOMES:
        found = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = found
    return found
