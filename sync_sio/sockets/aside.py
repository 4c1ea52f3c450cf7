"""Turns beside the events of clients: callbacks, events of other servers, news about rooms."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextvars import Context
from typing import TYPE_CHECKING, Any, Final

from ..drivers.base import Lock
from ..drivers.strand import Strand
from .handlers import Own

if TYPE_CHECKING:
    from .core import Core
    from .registrations import Registrations
    from .site import Site


MAX_WAITING: Final = 10_000
"""News that may wait for listeners that do not get through them; more are dropped, and a warning says so."""


class Aside:
    """A `Flow` without a connection: nothing is gathered, and nothing is ever too much."""

    __slots__ = ("corked", "is_paused", "lock", "max_queued_bytes", "queued", "queued_bytes")

    id = "none"

    def __init__(self, lock: Lock) -> None:
        self.lock = lock
        self.corked = 0
        self.queued = self.queued_bytes = 0
        self.max_queued_bytes = sys.maxsize
        self.is_paused = False

    def uncork(self) -> None: ...

    def on_full(self) -> None: ...

    def on_worked(self) -> None: ...


class Answering:
    """A connection as the `Flow` of callbacks: its client was asked for each answer, and is not to be blamed for how many wait.

    They count for the socket that asked instead, which may not ask for more than so many.
    """

    __slots__ = ("_connection", "_core", "id", "is_paused", "lock", "max_queued_bytes", "queued_bytes")

    def __init__(self, core: Core) -> None:
        connection = core.connection
        self._core = core
        self._connection = connection
        self.id = connection.id
        self.lock = connection.lock
        self.queued_bytes = 0
        self.max_queued_bytes = sys.maxsize
        self.is_paused = False

    @property
    def corked(self) -> int:
        return self._connection.corked

    @corked.setter
    def corked(self, thread: int) -> None:
        self._connection.corked = thread

    def uncork(self) -> None:
        self._connection.uncork()

    @property
    def queued(self) -> int:
        return self._core.answering

    @queued.setter
    def queued(self, count: int) -> None:
        self._core.answering = count

    def on_full(self) -> None: ...

    def on_worked(self) -> None: ...


def start_aside(site: Site, task: Callable[[Any, Any], object], subject: object, item: object) -> None:
    """Start a task beside everything else. Any thread, phase one included."""
    strand = Strand(site.aside)
    if strand.put(task, subject, item):
        site.driver.run(strand)


def call_back(home: Registrations, event: object, fn: Callable[..., Any], *args: Any) -> None:
    """Have a user's function called, as a turn of its own; on this thread where no turn runs yet, before the server has started."""
    if home.site.is_started:
        strand = Strand(home.site.aside)
        if strand.put(_call_back, home, (event, fn, args), home.habits[Own.ANSWER]):
            home.site.driver.run(strand)
    else:
        _call_back(home, (event, fn, args))


def _call_back(home: Registrations, call: tuple[object, Callable[..., Any], tuple[Any, ...]]) -> None:
    event, fn, args = call
    try:
        Context().run(run_in, home.site, event, fn, args)
    except BaseException as error:          # the wall of the turn
        report_aside(home, error, event, list(args))


def run_in(site: Site, event: object, fn: Callable[..., Any], args: Sequence[Any], told: Sequence[Any] | None = None) -> Any:
    """Call what is called for no client, in what `io.around` was given, and told of: `args` if nothing else. Raises what it raises."""
    with site.surround(None, event, list(args if told is None else told)):
        return fn(*args)


def report_aside(home: Registrations, error: BaseException, event: object, args: list[Any]) -> None:
    """Log what a user's function raised that was called for no client, and tell `on_error`, with None for the socket."""
    logger = home.site.logger
    logger.error("%s: a listener or callback of %r failed", home.name, event, exc_info=error)
    for listener in (*home.site.error_listeners, *home.error_listeners):
        try:
            listener(error, None, event, args)
        except BaseException:               # as above
            logger.exception("%s: on_error failed", home.name)
