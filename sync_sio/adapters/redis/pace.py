"""How fast streams may be filled: a stream keeps so many entries, and one that it lets go before everybody has read it is lost to them.

So a server adds no more than a part of what a stream keeps before this was read: by itself, and by all who tell how far they are.
That is for bursts. Who is slower than the others for long holds them up for a moment, and then loses what it does not read in time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from ...drivers.locks import native_rlock

AHEAD: Final = 4
"""The part of a stream that may be unread of what one server has added: several add to it."""
TOLD: Final = 4
"""The part of that after which those who read tell how far they are."""
PATIENCE_SECONDS: Final = 2.0
"""How long one server may hold up all others: less than the time after which a subscriber counts as deaf."""
REST_SECONDS: Final = 30.0
"""After that nobody waits for it for so long."""


class _Stream:
    __slots__ = ("ahead", "full_since", "others", "passed", "told", "untold")

    def __init__(self) -> None:
        self.full_since: float | None = None    # since when at least half of the room is taken
        self.ahead: deque[int] = deque()        # places of our entries that somebody has not read
        self.passed = -1                        # up to where we have read …
        self.told = -1                          # … and up to where the others know it
        self.untold = 0
        self.others: dict[str, int] = {}        # the same of those who tell us


class Pace:
    """One per server, for all its streams. Places are numbers, see `streams_wire.number`. Any thread; its lock is a leaf.

    Args:
        max_len: entries that a stream keeps.
        go_on: called when there is room again, with no lock held.
    """

    def __init__(self, streams: Iterable[str], max_len: int, now: Callable[[], float], go_on: Callable[[], None]) -> None:
        self._most = max(1, max_len // AHEAD)
        self._step = max(1, self._most // TOLD)
        self._now = now
        self._go_on = go_on
        self._lock = native_rlock()
        self._streams = {name: _Stream() for name in streams}
        self._slow: dict[str, float] = {}       # until when nobody waits for these

    def room(self) -> int:
        """Return how many entries may be added now. Takes no lock."""
        return self._most - max(len(stream.ahead) for stream in self._streams.values())

    # -- this server -------------------------------------------------------------------------------------------------------

    def added(self, name: str, place: int) -> None:
        """Redis has an entry of ours."""
        stream = self._streams[name]
        with self._lock:
            if place > _least(stream):          # else everybody was quicker than Redis' answer
                stream.ahead.append(place)

    def read(self, name: str, place: int, count: int) -> bool:
        """We have read so many entries, up to this one. Returns whether the others are to be told: by the caller, and `told` then."""
        stream = self._streams[name]
        with self._lock:
            stream.passed = place
            stream.untold += count
            must_tell = stream.untold >= self._step
        self._let_go(stream)
        return must_tell

    def told(self, name: str) -> int:
        """The others are about to be told. Returns up to where we have read; -1: they know it."""
        stream = self._streams[name]
        with self._lock:
            stream.untold = 0
            if stream.told == stream.passed:
                return -1
            stream.told = stream.passed
            return stream.passed

    def lost(self, name: str, place: int) -> None:
        """The stream goes on from another place than it was read to: Redis has lost its newest entries."""
        stream = self._streams[name]
        with self._lock:
            stream.ahead.clear()
            stream.others.clear()
            stream.passed, stream.told, stream.full_since = place, -1, None
        self._go_on()

    # -- the others --------------------------------------------------------------------------------------------------------

    def others_read(self, server: str, name: str, place: int) -> None:
        """Another server has read a stream up to here."""
        stream = self._streams.get(name)
        if stream is not None and place >= 0 and self._now() >= self._slow.get(server, 0.0):
            with self._lock:
                stream.others[server] = place
            self._let_go(stream)

    def forget(self, server: str) -> None:
        """It has gone."""
        for stream in self._streams.values():
            with self._lock:
                stream.others.pop(server, None)
            self._let_go(stream)

    def look(self) -> list[str]:
        """Stop waiting for those who have held up everybody else for too long, and return their names. To be called now and then."""
        now = self._now()
        slow: set[str] = set()
        for stream in self._streams.values():
            with self._lock:
                if not self._is_half_full(stream):
                    continue
                if stream.full_since is None:
                    stream.full_since = now
                middle = stream.ahead[len(stream.ahead) // 2]
                if now - stream.full_since >= PATIENCE_SECONDS and stream.passed >= middle:
                    slow |= {server for server, place in stream.others.items() if place < middle}
        if slow:
            still = {server: until for server, until in self._slow.items() if until > now}
            self._slow = still | dict.fromkeys(slow, now + REST_SECONDS)
        for server in slow:
            self.forget(server)
        return sorted(slow)

    def _let_go(self, stream: _Stream) -> None:
        """What everybody has read needs no room any more."""
        with self._lock:
            was_full = self.room() <= 0
            least, ahead = _least(stream), stream.ahead
            while ahead and ahead[0] <= least:
                ahead.popleft()
            if not self._is_half_full(stream):
                stream.full_since = None
            must_tell = was_full and self.room() > 0
        if must_tell:
            self._go_on()

    def _is_half_full(self, stream: _Stream) -> bool:
        return len(stream.ahead) * 2 > self._most


def _least(stream: _Stream) -> int:
    return min(stream.passed, *stream.others.values()) if stream.others else stream.passed
