"""Who may look: a name and a password, or the session that they once gave."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from hmac import compare_digest
from secrets import token_hex
from typing import TYPE_CHECKING, Final

from ..drivers.locks import native_lock
from ..errors import ConnectRefused
from ..notices import Notices

if TYPE_CHECKING:
    from ..server import Server
    from ..sockets.namespace import Namespace
    from ..sockets.socket import Socket

Auth = Mapping[str, str] | Callable[[str, str], object]
SESSION_SECONDS: Final = 86400.0
SESSION: Final = "admin_session"
"""The attribute of a page's socket that bears the session which it was given."""
MAX_SESSIONS: Final = 1000
"""The oldest is forgotten: its page asks for the password again."""

logger = logging.getLogger("sync_sio.admin")


def make_door(io: Server, home: Namespace, auth: Auth | None) -> Callable[[Socket], None]:
    """Return the middleware that lets pages in. Raises TypeError, ValueError for an `auth` that cannot be meant."""
    if auth is None:
        logger.warning("auth=None: whoever connects to %s may look at this server without a password", home.name)
        return _let_in
    return Door(io, home, auth if callable(auth) else _plain(auth)).check


def _let_in(socket: Socket) -> None:
    pass


def _plain(auth: Mapping[str, str]) -> Callable[[str, str], bool]:
    wanted = "auth is dict(username=…, password=…), a function of both, or None"
    if not isinstance(auth, Mapping):
        raise TypeError(f"auth={auth!r}: {wanted}")
    if set(auth) != {"username", "password"}:
        raise ValueError(f"auth with {', '.join(map(repr, auth)) or 'nothing'}: {wanted}")
    for key, value in auth.items():
        if not isinstance(value, str):
            raise TypeError(f"auth: the {key} is a {type(value).__name__}, and a str is wanted")
        if not value:
            raise ValueError(f"auth: the {key} is empty; to let everybody in, say auth=None")
    if auth["password"].startswith("$2"):
        raise ValueError("auth: the password looks like a bcrypt hash: give the password itself, or a function that checks it")
    name, password = _bytes(auth["username"]), _bytes(auth["password"])

    def check(given_name: str, given_password: str) -> bool:
        # both always: how long it takes tells nothing
        is_name, is_password = compare_digest(_bytes(given_name), name), compare_digest(_bytes(given_password), password)
        return is_name and is_password

    return check


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


class Door:
    """The sessions of one server process. `_lock` guards them."""

    def __init__(self, io: Server, home: Namespace, check: Callable[[str, str], object]) -> None:
        self._io = io
        self._home = home
        self._check = check
        self._lock = native_lock()
        self._sessions: dict[str, float] = {}       # until when; the oldest first
        self._notices = Notices(logger, self._now)

    def check(self, socket: Socket) -> None:
        """Let a page in, or refuse it (middleware)."""
        said = socket.handshake.auth
        known, name, password = (said.get(key) for key in ("sessionId", "username", "password"))
        if isinstance(known, str) and self._knows(known):
            return
        if isinstance(name, str) and isinstance(password, str):
            if self._check(name, password):
                vars(socket)[SESSION] = session = self._new_session()
                socket.emit("session", session)
                return
            self._notices.warn("credentials", "%s: wrong credentials from %s", self._home.name, socket.handshake.address)
        raise ConnectRefused("invalid credentials")

    def _now(self) -> float:
        return self._io.engine.driver.now()

    def _knows(self, session: str) -> bool:
        now = self._now()
        with self._lock:
            return self._sessions.get(session, now) > now

    def _new_session(self) -> str:
        now, session = self._now(), token_hex(8)
        with self._lock:
            for old, until in list(self._sessions.items()):
                if until > now and len(self._sessions) < MAX_SESSIONS:
                    break
                del self._sessions[old]
            self._sessions[session] = now + SESSION_SECONDS
        return session
