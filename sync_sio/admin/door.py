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


Check = Callable[[str, str], object]


def as_check(auth: Auth | None) -> Check | None:
    """Return the function that knows the right name and password. Raises TypeError, ValueError for what cannot be meant."""
    return auth if auth is None or callable(auth) else _check_of(auth)


def _check_of(auth: Mapping[str, str]) -> Check:
    wanted = "dict(username=…, password=…) is wanted, a function of both, or None"
    if not isinstance(auth, Mapping):
        raise TypeError(f"auth is a {type(auth).__name__}: {wanted}")     # not its value: it may be a password
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

    def __init__(self, io: Server, home: Namespace, check: Check) -> None:
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
