"""Requests for sessions of other servers, which go to them and back through Redis: a `Carrier`.

Each server has a channel by its id. What is said there are frames, most of them of tunnels: the bytes of one connection, both ways. Who
is there says so itself when it is asked, so there is nothing to keep, and nobody who is gone to be forgotten.
"""

from __future__ import annotations

import _socket
import itertools
from collections import defaultdict, deque
from collections.abc import Callable
from functools import partial
from typing import Final, Protocol

from ...drivers.base import Driver, Stream, Waiter
from ...drivers.keeping import PlainSocket
from ...drivers.locks import native_rlock
from ...drivers.streams import PlainStream
from .ears import SHARDED
from .frames import DATA, END, GONE, HERE, KNOCK, MAX_DATA, OPEN, PULSE, WIRE, Frame, Place, decode_places, encode_places
from .link import Link, Tell
from .neighbours import Neighbours
from .tunnel import Tunnel

__all__ = ["Routes"]

LOOK_SECONDS: Final = 2.0
"""Between two looks at what is open, at which the other ends are told how far it is."""
SILENT_SECONDS: Final = 10.0
"""A server that has said nothing for so long, although there are tunnels to it, is taken for dead."""
LAST_SECONDS: Final = 0.5
"""How long the end of a server waits for what it says to its clients at last."""
MAX_ON_WAY: Final = 4_000_000
"""Bytes of all tunnels that may be on the way to Redis: the connection is that of broadcasts, too, and keeps only so much for them."""


class Listening(Protocol):
    """What of `Ears` is wanted."""

    def attend(self, kind: str, channel: str, heard: Callable[[str, bytes], None], changed: Callable[[], None]) -> None: ...
    def remove(self, kind: str, *channels: str) -> None: ...
    def hears(self, channel: str) -> bool: ...


class Routes:
    """What one server has to do with requests that go through Redis: a `Carrier`, and the `Home` of its tunnels. Any thread.

    Args:
        prefix: with what the names of channels begin.
        kind: `PLAIN` or `SHARDED`: what kind of channels these are.
    """

    def __init__(self, link: Link, ears: Listening, prefix: str, kind: str) -> None:
        self._link = link
        self._ears = ears
        self._prefix = f"{prefix}-route{WIRE}#"
        self._kind = kind
        self._command = "SPUBLISH" if kind == SHARDED else "PUBLISH"
        self._knows = kind == SHARDED or not link.address.is_cluster
        """Whether Redis' own reply tells how many have got something: in a cluster it counts those at the same node."""
        self._own = ""
        self._is_over = True
        self._driver: Driver
        self._passed: Callable[[bytes, int], None]
        self._ready: Waiter
        """Set when this server has heard itself."""
        self._neighbours: Neighbours
        self._numbers = itertools.count(1)
        self._lock = native_rlock()         # guards what follows
        self._tunnels: dict[tuple[str, int], Tunnel] = {}
        """By who has opened it, and its number there."""
        self._on_way = 0
        self._in_line: deque[Tunnel] = deque()
        self._is_looking = False

    # -- Carrier -----------------------------------------------------------------------------------------------------------

    def start(self, own: str, passed: Callable[[bytes, int], None]) -> None:
        self._own, self._passed, self._driver = own, passed, self._link.driver
        self._neighbours = Neighbours(self._driver, self._knock, None if self._knows else self._ask_all_nodes)
        self._ready = self._driver.waiter()
        self._is_over = False
        self._ears.attend(self._kind, self._channel(own), self._heard, self._changed)

    def wait_until_ready(self, seconds: float) -> None:
        self._ready.wait(seconds)

    def has(self, owner: str) -> bool:
        return self._is_linked and owner != self._own and self._neighbours.has(owner)

    def hand_over(self, owner: str, payload: bytes, stream: Stream) -> bool:
        if not self._is_linked or not 0 <= payload.find(b"\n") < MAX_DATA:
            return False
        number = next(self._numbers)
        tunnel = self._tunnel((self._own, number), owner, stream)
        try:
            tunnel.open(payload)
        except OSError:                     # it cannot be watched: the client has gone
            tunnel.end()
        return True

    @property
    def _is_linked(self) -> bool:
        return not self._is_over and self._ears.hears(self._channel(self._own))

    # -- life --------------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """End all tunnels, after what is on its way to them at this moment. Idempotent."""
        if self._is_over:
            return
        self._is_over = True
        driver = self._driver
        if self._tunnels and driver.may_wait():
            answered = driver.waiter()      # polls that wait are answered in the loop
            driver.post(_set, answered)
            answered.wait(LAST_SECONDS)
        self._ears.remove(self._kind, self._channel(self._own))
        for tunnel in self._all():
            tunnel.close()

    def _all(self) -> list[Tunnel]:
        with self._lock:
            return list(self._tunnels.values())

    def _changed(self) -> None:
        """Our channel is listened to from now on, or no longer: so nobody knows what was missed of what goes on."""
        for tunnel in self._all():
            tunnel.end()
        if self._is_linked:
            self._say(self._own, Frame(self._own, HERE))

    # -- to the others -------------------------------------------------------------------------------------------------------

    def _channel(self, server: str) -> str:
        return f"{self._prefix}{server}#"

    def _say(self, server: str, frame: Frame, tell: Tell | None = None) -> None:
        self._link.say(self._command, self._channel(server), frame.encode(), tell=tell)

    def _knock(self, server: str, tell: Tell) -> None:
        self._say(server, Frame(self._own, KNOCK), tell)

    def _ask_all_nodes(self, server: str, tell: Callable[[int | None], None]) -> None:
        self._link.count(self._channel(server), tell)

    def _tunnel(self, key: tuple[str, int], other: str, stream: Stream) -> Tunnel:
        tunnel = Tunnel(self._driver, stream, key, other, self)
        with self._lock:
            self._tunnels[key] = tunnel
            is_first, self._is_looking = not self._is_looking, True
        if is_first:
            self._driver.later(LOOK_SECONDS, self._look)
        return tunnel

    def say(self, tunnel: Tunnel, kind: int, said: int, data: bytes) -> None:
        opener, number = tunnel.key
        tell = None
        if kind in (OPEN, DATA):
            tell = partial(self._told, tunnel, len(data))
            with self._lock:
                self._on_way += len(data)
        self._say(tunnel.other, Frame(self._own, kind, opener == self._own, number, said, data), tell)

    def may_say(self, tunnel: Tunnel) -> bool:
        with self._lock:
            may = self._on_way < MAX_ON_WAY
            if not may:
                self._in_line.append(tunnel)
        return may

    def over(self, tunnel: Tunnel) -> None:
        with self._lock:
            self._tunnels.pop(tunnel.key, None)

    def _told(self, tunnel: Tunnel, size: int, reply: object) -> None:
        """So many servers have got data of a tunnel, or an exception is why none has: then some lock may be held here."""
        with self._lock:
            self._on_way -= size
        if not isinstance(reply, int):
            self._driver.post(tunnel.end)
            self._driver.post(self._call_next)
            return
        if reply or not self._knows:
            tunnel.go_on()
        else:
            self._neighbours.forget(tunnel.other)
            tunnel.end()
        self._call_next()

    def _call_next(self) -> None:
        while self._in_line and self._on_way < MAX_ON_WAY:
            with self._lock:
                tunnel = self._in_line.popleft() if self._in_line else None
            if tunnel is not None:
                tunnel.go_on()

    # -- from the others (the thread that listens) ---------------------------------------------------------------------------

    def _heard(self, channel: str, data: bytes) -> None:
        frame = Frame.decode(data)
        server = frame.server
        if server == self._own:
            self._ready.set()
            return
        self._neighbours.heard(server)
        if frame.kind == KNOCK:
            self._say(server, Frame(self._own, HERE))
        elif frame.kind == PULSE:
            for place in decode_places(frame.data):
                tunnel = self._find(server, place.is_opener, place.number)
                if tunnel is not None:
                    tunnel.check(place.said)
        elif frame.kind == OPEN:
            self._open(frame)
        elif frame.kind != HERE:
            tunnel = self._find(server, frame.is_opener, frame.number, frame.kind not in (END, GONE))
            if tunnel is None:
                return
            if frame.kind == GONE:
                tunnel.gone()
            else:
                tunnel.hear(frame)

    def _find(self, server: str, is_opener: bool, number: int, is_missed: bool = True) -> Tunnel | None:
        """Return a tunnel to a server, which is told if there is none and it should know."""
        tunnel = self._tunnels.get((server if is_opener else self._own, number))
        if tunnel is not None and tunnel.other == server:
            return tunnel
        if is_missed:
            self._say(server, Frame(self._own, GONE, not is_opener, number))
        return None

    def _open(self, frame: Frame) -> None:
        key = frame.server, frame.number
        if b"\n" not in frame.data or not frame.is_opener or frame.said or key in self._tunnels:
            raise ValueError("a tunnel that begins with no request")
        try:
            if self._is_over:
                raise OSError("this server is about to end")
            near, far = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_STREAM)
        except OSError:                     # there are no descriptors left
            self._say(frame.server, Frame(self._own, GONE, False, frame.number))
            return
        tunnel = self._tunnel(key, frame.server, PlainStream(PlainSocket(fileno=near.detach())))
        self._driver.post(self._passed, frame.data, far.detach())
        tunnel.opened(len(frame.data))

    # -- time --------------------------------------------------------------------------------------------------------------

    def _look(self) -> None:
        """See who is still there, and tell how far the tunnels are, for what was lost behind all else would not be noticed (phase one)."""
        now = self._driver.now()
        places: defaultdict[str, list[Place]] = defaultdict(list)
        for tunnel in self._all():
            tunnel.look(now)
            if self._neighbours.silence(tunnel.other) > SILENT_SECONDS:
                tunnel.end()
            elif said := tunnel.said():
                opener, number = tunnel.key
                places[tunnel.other].append(Place(opener == self._own, number, said))
        for server, theirs in places.items():
            for data in encode_places(theirs):
                self._say(server, Frame(self._own, PULSE, data=data), partial(self._pulsed, server))
        with self._lock:
            self._is_looking = bool(self._tunnels)
        if self._is_looking:
            self._driver.later(LOOK_SECONDS, self._look)

    def _pulsed(self, server: str, reply: object) -> None:
        if self._knows and reply == 0:
            self._driver.post(self._lost, server)

    def _lost(self, server: str) -> None:
        """There is no such server any more."""
        self._neighbours.forget(server)
        for tunnel in self._all():
            if tunnel.other == server:
                tunnel.end()


def _set(waiter: Waiter) -> None:
    waiter.set()
