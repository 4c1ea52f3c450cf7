"""A client that comes back: its session, and what the stream has of what it missed, fetched step by step. Nobody waits for it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from ...drivers.locks import native_rlock
from ..base import Broadcast, Kept, Restored, SessionRecord
from . import streams_wire as wire
from .link import Link

SECONDS: Final = 3.0
"""How long a client that comes back may be kept waiting; then it begins anew."""
PAGE: Final = 200
"""Entries that are fetched at a time."""
MAX_PAGES: Final = 100
GET_AND_DELETE: Final = "local found = redis.call('GET', KEYS[1]) redis.call('DEL', KEYS[1]) return found"
"""GETDEL came with Redis 6.2. In one step: a session is given back once."""
INFO: Final = "if redis.call('EXISTS', KEYS[1]) == 0 then return {} end return redis.call('XINFO', 'STREAM', KEYS[1])"

_log = logging.getLogger("sync_sio.redis")


class Search:
    """The search for one session. `then` is called once."""

    def __init__(
        self, link: Link, stream: str, max_len: int, namespace: str, offset: object, then: Callable[[Restored | None], None]
    ) -> None:
        self._link = link
        self._stream = stream
        self._max_len = max_len
        self._namespace = namespace
        self._offset = offset
        self._then: Callable[[Restored | None], None] | None = then
        self._lock = native_rlock()
        self._session: SessionRecord
        self._start = -1
        self._end = ""
        self._missed: list[Kept] = []
        self._pages = 0
        self._timer = link.driver.later(SECONDS, self._finish, None)

    def begin(self, key: str) -> None:
        if self._link.is_connected:
            self._link.say("EVAL", GET_AND_DELETE, 1, key, tell=self._step(self._got_session))
        else:
            self._finish(None)

    def _step(self, step: Callable[[Any], None]) -> Callable[[Any], None]:
        return partial(self._go_on, step)

    def _go_on(self, step: Callable[[Any], None], reply: Any) -> None:
        try:
            if isinstance(reply, Exception):
                raise ValueError(str(reply))
            step(reply)
        except ValueError as error:
            _log.debug("a session is not restored: %s", error)
            self._finish(None)

    def _finish(self, restored: Restored | None) -> None:
        with self._lock:
            then, self._then = self._then, None
        if then is not None:
            self._timer.cancel()
            then(restored)

    def _got_session(self, reply: Any) -> None:
        if not reply:
            raise ValueError("there is none")
        session = self._session = wire.from_session(reply)
        came = wire.number(session.came)
        seen = came if self._offset is None else wire.number(str(self._offset))
        if seen < 0:
            raise ValueError(f"offset {self._offset!r} is none of this stream's")
        self._start = max(seen, came, session.sure)
        self._link.say("XRANGE", self._stream, "-", "+", "COUNT", 1, tell=self._step(self._got_oldest))
        self._link.say("XREVRANGE", self._stream, "+", "-", "COUNT", 1, tell=self._step(self._got_newest))
        if not self._start:
            self._link.say("EVAL", INFO, 1, self._stream, tell=self._step(self._got_info))
        self._end = wire.place(self._start)
        self._fetch()

    def _got_oldest(self, reply: Any) -> None:
        oldest = wire.number(_text(reply[0][0])) if reply else -1
        if self._start > 0 and not 0 <= oldest <= self._start:
            raise ValueError(f"the stream does not reach back to {wire.place(self._start)}")

    def _got_newest(self, reply: Any) -> None:
        if self._start > 0 and not (reply and self._start <= wire.number(_text(reply[0][0]))):
            raise ValueError(f"the stream has not come to {wire.place(self._start)}")

    def _got_info(self, reply: Any) -> None:
        """Nothing had ever been written when it came: nothing may have been dropped since."""
        info = dict(zip(reply[::2], reply[1::2], strict=True))
        length = info.get(b"length", 0)
        # from Redis 7 on it says how many there have been
        if info.get(b"entries-added", length) != length or length >= self._max_len:
            raise ValueError("the stream does not reach back to its beginning")

    def _fetch(self) -> None:
        after = wire.following(self._end)
        self._link.say("XRANGE", self._stream, after, "+", "COUNT", PAGE, tell=self._step(self._got_page))

    def _got_page(self, reply: Any) -> None:
        for place, fields in reply:
            self._end = _text(place)
            if fields and fields.get(b"nsp") == self._namespace.encode() and fields.get(b"type") == b"3":
                try:
                    found = wire.from_entry(fields)
                except ValueError:
                    continue                # nobody has got it
                if found is not None and isinstance(found[2], Broadcast) and not found[2].volatile:
                    self._missed.append(Kept(found[2], self._end))
        self._pages += 1
        if len(reply) < PAGE:
            self._finish(Restored(self._session, tuple(self._missed), self._end))
        elif self._pages >= MAX_PAGES:
            raise ValueError("too much was missed")
        elif self._then is not None:
            self._fetch()


def _text(place: Any) -> str:
    text: str = place.decode() if isinstance(place, bytes) else place
    return text
