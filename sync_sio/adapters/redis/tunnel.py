"""A connection that goes through Redis: its one end, which is at the client's side or at the owner's, and does the same on both.

Frames are counted, so what was lost on the way is noticed, and ends the tunnel: a client that finds its connection closed comes back. Of
each direction only so much is under way that what waits, in Redis and behind it, is bounded, see `WINDOW`.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, Protocol

from ...drivers.base import Driver, Stream
from .frames import CREDIT, DATA, END, MAX_DATA, OPEN, WINDOW, Frame, decode_credit, encode_credit

__all__ = ["Tunnel"]

PATIENCE_SECONDS: Final = 30.0
"""How long somebody who takes nothing of the last bytes is waited for."""


class Home(Protocol):
    """Whose tunnels these are. Nothing of it waits or takes a lock of a connection; all is called with the tunnel's lock held."""

    def say(self, tunnel: Tunnel, kind: int, said: int, data: bytes) -> None:
        """Say a frame to the other end, after those that were said before.

        Of OPEN and DATA `tunnel.go_on` is called, on the thread that sends, when Redis has it for the other end; `tunnel.end`, in the
        loop, when nobody has got it.
        """
        ...

    def may_say(self, tunnel: Tunnel) -> bool:
        """Tell whether more data may be said now. False: `tunnel.go_on` is called when it may."""
        ...

    def over(self, tunnel: Tunnel) -> None:
        """It has ended here: called once."""
        ...


class _State(Enum):
    BOTH = "both ends are there"
    ENDING = "the other end has ended: what it has said is passed on still"
    OVER = "it has ended here"


BOTH, ENDING, OVER = _State


class Tunnel:
    """A `base.Watched`. Any thread: the loop reads and writes, the thread that listens writes, and the one that sends reads on.

    Args:
        stream: this end of the connection, the tunnel's from now on.
        key: who has opened it, and its number there.
        other: the server at the other end.

    `lock` guards all of it, and keeps reading and writing apart, as TLS wants it. One frame with data is on the way to Redis at a time:
    what comes meanwhile goes with the next.
    """

    def __init__(self, driver: Driver, stream: Stream, key: tuple[str, int], other: str, home: Home) -> None:
        self.fd = stream.fd
        self.key = key
        self.other = other
        self.lock = driver.lock()
        self._driver = driver
        self._stream = stream
        self._home = home
        self._state = BOTH
        # from here
        self._said = 0
        self._credit = WINDOW
        self._must_wait = False
        """Redis does not have the last data yet, or has enough to do with what others say."""
        self._ahead: memoryview | bytes = b""
        """What goes before that which the stream gives."""
        self._is_away = False
        """The stream is not listened to: nothing more may be said now."""
        self._is_released = False
        """It is not watched either, as it has broken; what it has to give is read to the end all the same."""
        # from there
        self._heard = 0
        self._waiting = bytearray()
        self._passed = 0
        """Bytes that were passed on, and for which no credit was given yet."""
        self._wants_room = False
        """Something waits, and the loop tells when there is room."""
        self._moved_at = driver.now()

    def __repr__(self) -> str:
        return f"<tunnel {self.key[1]} of {self.key[0]}, to {self.other}>"

    # -- what Routes calls -------------------------------------------------------------------------------------------------

    def open(self, payload: bytes) -> None:
        """Begin it, with these bytes before the stream's."""
        with self.lock:
            self._driver.watch(self)
            self._ahead = memoryview(payload)[MAX_DATA:]
            self._say_data(OPEN, payload[:MAX_DATA])

    def opened(self, size: int) -> None:
        """It was begun by the other end, with so many bytes, which have been passed on."""
        with self.lock:
            self._driver.watch(self)
            self._heard = 1
            self._credit_for(size)

    def hear(self, frame: Frame) -> None:
        """The other end has said something. Raises ValueError for what cannot be; the tunnel has ended then."""
        with self.lock:
            if self._state is OVER:
                return
            if frame.said != self._heard:
                self._end()                 # something was lost
                return
            self._heard += 1
            try:
                self._take(frame)
            except ValueError:
                self._end()
                raise

    def gone(self) -> None:
        """There is no other end: it has ended before, or never was."""
        with self.lock:
            if self._state is BOTH:
                self._finish()

    def said(self) -> int:
        """Return how many frames were said; 0: the other end has ended, and is not there to be told."""
        with self.lock:
            return self._said if self._state is BOTH else 0

    def check(self, said: int) -> None:
        """The other end has said so many: if one of them was lost, nothing else may follow that would show it."""
        with self.lock:
            if self._heard < said:
                self._end()

    def look(self, now: float) -> None:
        """See whether it is of any use still (phase one)."""
        with self.lock:
            if self._state is ENDING and now - self._moved_at > PATIENCE_SECONDS:
                self._end()

    def end(self) -> None:
        """End it, here and at the other end. Idempotent."""
        with self.lock:
            self._end()

    def close(self) -> None:
        """The same, after what this end has to say at this moment, and may."""
        with self.lock:
            while self._state is BOTH and self._credit and (data := self._stream.recv(min(MAX_DATA, self._credit))):
                self._say_data(DATA, data)
            self._end()

    # -- from here: the lock held --------------------------------------------------------------------------------------------

    def _say(self, kind: int, data: bytes = b"") -> None:
        said = self._said
        self._said += 1
        self._home.say(self, kind, said, data)

    def _say_data(self, kind: int, data: bytes) -> None:
        self._credit -= len(data)
        self._must_wait = True
        self._say(kind, data)

    def _read_on(self) -> None:
        """Say what there is to say, as far as that may be."""
        while self._state is BOTH and self._credit and not self._must_wait:
            if not self._home.may_say(self):
                self._must_wait = True
                return
            room = min(MAX_DATA, self._credit)
            if self._ahead:
                self._say_data(DATA, bytes(self._ahead[:room]))
                self._ahead = self._ahead[room:]
                continue
            data = self._stream.recv(room)
            if data is None:
                self._look_here()
                return
            if not data:
                self._end()
                return
            self._say_data(DATA, data)

    def _may_read_on(self) -> None:
        if self._is_away or self._ahead or self._stream.is_tls:     # TLS may have read what no poll reports
            self._read_on()

    def _look_here(self) -> None:
        if self._is_released:
            self._is_released = self._is_away = False
            self._driver.watch(self)
            self._arm()
        elif self._is_away:
            self._is_away = False
            self._arm()

    def _arm(self) -> None:
        if not self._is_released:
            self._driver.set_interest(self, not self._is_away, self._wants_room)

    # -- from there: the lock held -------------------------------------------------------------------------------------------

    def _take(self, frame: Frame) -> None:
        if frame.kind == DATA:
            if len(self._waiting) + len(frame.data) > WINDOW or self._state is ENDING:
                raise ValueError("more comes through a tunnel than may")
            self._waiting += frame.data
            if len(self._waiting) == len(frame.data):
                self._drain()
        elif frame.kind == CREDIT:
            self._credit += decode_credit(frame.data)
            self._may_read_on()
        elif frame.kind == END:
            self._state = ENDING
            self._moved_at = self._driver.now()
            self._look_here()
            self._drain()
        else:
            raise ValueError(f"a frame of kind {frame.kind} in a tunnel")

    def _drain(self) -> None:
        waiting, passed = self._waiting, 0
        try:
            while waiting:
                sent = self._stream.send(bytes(waiting[:MAX_DATA]))
                if not sent:
                    break
                del waiting[:sent]
                passed += sent
        except OSError:
            self._end()
            return
        if passed:
            self._moved_at = self._driver.now()
        if self._state is BOTH:
            self._credit_for(passed)
        elif not waiting:
            self._finish()
            return
        if bool(waiting) != self._wants_room:
            self._wants_room = not self._wants_room
            self._arm()

    def _credit_for(self, size: int) -> None:
        self._passed += size
        if self._passed >= WINDOW // 2:
            self._say(CREDIT, encode_credit(self._passed))
            self._passed = 0

    # -- the end: the lock held ----------------------------------------------------------------------------------------------

    def _end(self) -> None:
        if self._state is BOTH:
            self._say(END)
        if self._state is not OVER:
            self._finish()

    def _finish(self) -> None:
        self._state = OVER
        self._home.over(self)
        self._stream.shutdown()
        self._driver.discard(self)

    # -- the loop, and the thread that sends -----------------------------------------------------------------------------------

    def go_on(self) -> None:
        """More may be said."""
        with self.lock:
            self._must_wait = False
            self._may_read_on()

    def on_readable(self) -> None:
        with self.lock:
            if self._state is OVER:
                return
            if self._state is ENDING:
                if self._stream.recv(MAX_DATA) == b"":      # what else it says is for nobody
                    self._finish()
            elif not self._must_wait and self._credit and not self._ahead:
                self._read_on()
            elif not self._is_away:
                self._is_away = True
                self._arm()
            elif not self._is_released:     # nobody asked: it has broken, which would be reported again and again
                self._is_released = True
                self._driver.release(self)

    def on_writable(self) -> None:
        with self.lock:
            if self._state is not OVER:
                self._drain()

    def on_discarded(self) -> None:
        with self.lock:
            self._end()
            self._stream.close()
