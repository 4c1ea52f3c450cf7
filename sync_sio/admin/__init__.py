"""The server's side of the Socket.IO Admin UI: who is connected, in which rooms, and what is said, live in a browser.

    from sync_sio.admin import instrument

    instrument(io, auth={"username": "admin", "password": os.environ["ADMIN_PASSWORD"]})

Then open https://admin.socket.io (with `cors_allowed_origins=["https://admin.socket.io"]`) or a copy of your own of npm's
`@socket.io/admin-ui`. Nothing is patched, and nothing is watched while no page is open.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from ..config import check_server
from .commands import add_commands
from .desk import Desks, features
from .door import Auth, Door, as_check, logger

if TYPE_CHECKING:
    from ..server import Server

__all__ = ["Auth", "instrument"]


def instrument(
    io: Server,
    auth: Auth | None,
    namespace_name: str = "/admin",
    mode: Literal["development", "production"] = "development",
    read_only: bool = False,
) -> None:
    """Let the Admin UI look at this server.

    Args:
        auth: `dict(username=…, password=…)`, the password as it is; or `f(username, password) -> bool`, for passwords that are kept as
            hashes; or None: whoever finds the namespace is let in, which is logged as a warning.
        namespace_name: the namespace that the page connects to.
        mode: `"development"` shows every socket, room and event; `"production"` only counts.
        read_only: the page may look, but neither emit, nor join, leave or disconnect sockets.

    Raises:
        TypeError, ValueError: something that cannot be meant; the message names it.
    """
    check_server(io)
    if mode not in ("development", "production"):
        raise ValueError(f'mode={mode!r}: "development" or "production" is wanted')
    if not isinstance(namespace_name, str):
        raise TypeError(f"namespace_name={namespace_name!r}: a str is wanted")
    check = as_check(auth)
    home = io.of(namespace_name)
    if home is io.sockets:
        raise ValueError(f"namespace_name={namespace_name!r}: the main namespace is your clients'; give the page one of its own")
    if not home.is_shown:
        raise ValueError(f"namespace_name={namespace_name!r}: an admin is there already; another one needs a namespace of its own")
    is_development = mode == "development"
    desks = Desks(io, home, features(is_development, read_only), is_development)
    home.is_shown = False
    if check is None:
        logger.warning("auth=None: whoever connects to %s may look at this server without a password", home.name)
    else:
        home.use(Door(io, home, check).check)
    home.use(desks.before_rooms)
    home.use(desks.in_rooms, admitted=True)
    home.on("connection", desks.connected)
    home.event("disconnect", desks.disconnected)
    if not read_only:
        add_commands(io, home)
