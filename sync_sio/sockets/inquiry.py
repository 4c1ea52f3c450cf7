"""One question to many: it collects answers until all have come, or the time is over."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

from ..adapters.base import Answer, ClientAnswer, ClientCount, ClientGone, Fetched
from ..drivers.base import Timer, Waiter
from ..errors import AckTimeout
from .aside import start_aside

if TYPE_CHECKING:
    from .site import Site
    from .socket import Socket

Told = Callable[[AckTimeout | None, list[Any]], object]


class Inquiry:
    """Who asked, whose answers are missing, what has come.

    It stands in the table of acknowledgements of each client that was asked (`Pending`): whoever takes it from there, because of
    an answer or as the client leaves, calls `set`, once. So each client is counted down once, in whatever order things happen.
    It holds itself open until `asked`: an answer that comes while others are still being asked does not end it.

    Args:
        what: what was asked, for messages: `"acknowledgement of 'news'"`.
        seconds: how long anybody waits; None: for ever. `arm`, or a caller that blocks, sees to that.
        tell: called once with (error, responses), without a lock, maybe in phase one: it must not run user code.
        relay: on a server that asks its clients for another: gets each client's answer instead of `responses`.

    Threads: any. The lock is a leaf; tables of acknowledgements are never touched with it.
    """

    __slots__ = (
        "_away",
        "_clients",
        "_heard",
        "_is_asking",
        "_is_counting",
        "_is_over",
        "_lock",
        "_names",
        "_relay",
        "_seconds",
        "_servers",
        "_site",
        "_sockets",
        "_tell",
        "_timer",
        "_unnamed",
        "_what",
        "number",
        "request",
        "responses",
    )

    def __init__(
        self,
        site: Site,
        what: str,
        tell: Told,
        seconds: float | None,
        request: str = "",
        others: Collection[str] | int | None = 0,
        relay: Callable[[ClientAnswer | ClientGone], None] | None = None,
    ) -> None:
        self.request = request
        self.number = -1
        self.responses: list[Any] = []
        self._site = site
        self._what = what
        self._tell = tell
        self._relay = relay
        self._lock = site.driver.lock()
        self._clients = 0                   # may be below 0 for a moment: answers may overtake their server's count
        self._away: dict[str, int] = {}     # clients of other servers, as far as the wire tells whose they are
        self._servers = set[str]() if others is None or isinstance(others, int) else set(others)
        self._unnamed = others if isinstance(others, int) else 0        # below 0 while it is not known how many were asked
        self._is_counting = others is None
        self._heard: set[str] = set()       # servers that have answered, where that is known …
        self._names: Collection[str] = ()   # … and what those are called that were asked
        self._is_asking = True
        self._sockets: list[Socket] = []
        self._seconds = seconds
        self._timer: Timer | None = None
        self._is_over = False

    # -- whoever asks ------------------------------------------------------------------------------------------------------

    def expect(self, sockets: list[Socket]) -> None:
        """These have the inquiry in their tables, under `number`."""
        with self._lock:
            self._clients += len(sockets)
            if not self._is_over:
                self._sockets = sockets
                return
        self._forget(sockets)               # the time was over before all were asked

    def asked(self) -> None:
        """Everybody was asked: from now on the last answer ends it."""
        self._count(is_asking=False)

    def reached(self, others: int, names: Collection[str]) -> None:
        """So many other servers were asked, some of which have these names."""
        with self._lock:
            is_new, self._is_counting = self._is_counting, False
            if not is_new:
                return
            self._unnamed += others
            self._names = names
        self._count()

    def arm(self) -> None:
        """Have it end when the time is over, though nobody blocks for it."""
        if self._seconds is None:
            return
        timer = self._site.driver.later(self._seconds, start_aside, self._site, _expire, self, None)
        with self._lock:
            is_over = self._is_over
            if not is_over:
                self._timer = timer
        if is_over:
            timer.cancel()

    def expire(self) -> bool:
        """The time is over. False: it had ended already, or ends just now, and `tell` is or was called. Not in phase one."""
        with self._lock:
            if self._is_over:
                return False
            self._is_over = True
            sockets, self._sockets = self._sockets, []
            why, responses = self._why(), self.responses
        self._forget(sockets)
        if self._relay is None:             # else the server that asks tells it
            for probe in self._site.probes:
                probe.ack_missed("many")
        self._end(AckTimeout(why, responses), responses)
        return True

    # -- who answers -------------------------------------------------------------------------------------------------------

    def set(self, value: Any) -> bool:
        """A client has answered (a list), or left, or could not be asked. Whoever took this from the client's table calls it."""
        is_answer = isinstance(value, list)
        response = value[0] if is_answer and value else None
        if self._relay is not None:
            self._relay(ClientAnswer(self.request, response) if is_answer else ClientGone(self.request))
        self._count(clients=1, responses=[response] if is_answer else [])
        return True

    def received(self, server: str, answer: Answer) -> None:
        """Another server has answered, or one of its clients."""
        if isinstance(answer, ClientAnswer):
            self._count(clients=1, home=server, responses=[answer.value])
        elif isinstance(answer, ClientGone):
            self._count(clients=1, home=server)
        elif isinstance(answer, ClientCount):
            self._count(clients=-answer.count, home=server, server=server)
        elif isinstance(answer, Fetched):
            self._count(server=server, responses=answer.clients)
        else:
            self._count(server=server, responses=[answer.value])

    def server_left(self, server: str) -> None:
        """Wait for it, and for its clients, no longer."""
        with self._lock:
            clients = self._away.pop(server, 0)
        if clients or server in self._servers or server in self._names:
            self._count(clients=clients, server=server)

    # -- inside ------------------------------------------------------------------------------------------------------------

    def _count(
        self,
        clients: int = 0,
        server: str | None = None,
        responses: Collection[Any] = (),
        is_asking: bool | None = None,
        home: str = "",
    ) -> None:
        with self._lock:
            if self._is_over:
                return
            self.responses += responses
            self._clients -= clients
            if home:
                self._away[home] = self._away.get(home, 0) - clients
            if server in self._servers:
                self._servers.discard(server)
            elif server is not None and server not in self._heard and (self._unnamed or self._is_counting):
                self._unnamed -= 1
                if server:
                    self._heard.add(server)
            if is_asking is not None:
                self._is_asking = is_asking
            if self._is_asking or self._is_counting or self._clients > 0 or self._unnamed > 0 or self._servers:
                return
            self._is_over = True
            self._sockets = []
        self._end(None, self.responses)

    def _end(self, error: AckTimeout | None, responses: list[Any]) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
        self._tell(error, responses)

    def _forget(self, sockets: list[Socket]) -> None:
        for socket in sockets:
            socket._core.take_ack(self.number)

    def _why(self) -> str:
        names = sorted(self._servers.union(self._names) - self._heard)
        servers = len(self._servers) + self._unnamed
        missing = [f"{self._clients} clients"] * (self._clients > 0)
        if self._is_counting:
            missing.append("other servers, which cannot be reached")
        elif servers > 0:
            missing.append(f"{servers} servers" + (f" ({', '.join(names)})" if 0 < len(names) <= servers else ""))
        return f"no {self._what} within {self._seconds} s from {' and '.join(missing)}; {len(self.responses)} responses have come"


def _expire(inquiry: Inquiry, nothing: None) -> None:
    inquiry.expire()


def waiter_for(site: Site, what: str) -> Waiter:
    """Return what this thread may wait with. Raises RuntimeError when it may not block."""
    if not site.driver.may_wait():
        raise RuntimeError(f"waiting for the {what} blocks, and this thread may not: give a callback with ack=, or use io.spawn")
    return site.driver.waiter()


def wait_for(inquiry: Inquiry, waiter: Waiter, seconds: float | None) -> tuple[AckTimeout | None, list[Any]]:
    """Block until an inquiry that tells this waiter has ended: by itself, or now that the time is over."""
    if not waiter.wait(seconds):
        inquiry.expire()
        waiter.wait()           # it has been told by now, or is about to be
    outcome: tuple[AckTimeout | None, list[Any]] = waiter.value
    return outcome
