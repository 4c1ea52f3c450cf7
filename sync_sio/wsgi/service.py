"""What all connections of one embedded server share."""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from ..drivers.base import Driver, Habit
from ..drivers.keeping import PlainSocket
from ..types import Environ, WSGIApp
from .http1 import Head

if TYPE_CHECKING:
    from .serving import HttpConnection

__all__ = ["Service", "TlsSocket"]

MAX_HABITS: Final = 64

_PLACE: Final = re.compile(r"(?:https?://[^/?]*)?/([^/?]*)")


class TlsSocket(PlainSocket):
    """OpenSSL wants a socket that can be weakly referred to."""

    __slots__ = ("__weakref__",)


@dataclass(slots=True)
class Service:
    """One server: its application, what is the same in every environ, and who is connected.

    `connections` is changed by the loop and by turns, one call at a time, and copied before it is looked through.
    """

    app: WSGIApp
    environ: Environ
    driver: Driver
    tls: ssl.SSLContext | None
    connections: set[HttpConnection] = field(default_factory=set)
    habits: dict[str, Habit] = field(default_factory=dict)

    def habit(self, head: Head) -> Habit:
        """Return what is known of the requests to one part of the site: a page that blocks is kept from the thread that reads."""
        matched = _PLACE.match(head.target)
        name = matched[1] if matched else ""
        habit = self.habits.get(name)
        if habit is None:
            if len(self.habits) >= MAX_HABITS:
                name = ""
            habit = self.habits.setdefault(name, Habit())
        return habit
