"""What a server listens for in Redis: channels, on one connection at a time, which is replaced when it is lost, or deaf."""

from __future__ import annotations

import logging
import os
import random
import socket
from base64 import b16encode
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from ...drivers.locks import native_rlock
from .link import Line, Link

PING_SECONDS: Final = 1.0
"""How often a server says something to itself through Redis …"""
DEAF_SECONDS: Final = 3.0
"""… and after how long without hearing that, or anything else, its connection is replaced."""

PLAIN: Final = "SUBSCRIBE"
PATTERN: Final = "PSUBSCRIBE"
SHARDED: Final = "SSUBSCRIBE"
_KINDS: Final = {PLAIN: b"subscribe", PATTERN: b"psubscribe", SHARDED: b"ssubscribe"}
_UN: Final = {PLAIN: "UNSUBSCRIBE", PATTERN: "PUNSUBSCRIBE", SHARDED: "SUNSUBSCRIBE"}

_log = logging.getLogger("sync_sio.redis")

Heard = Callable[[str, bytes], None]


def server_id() -> str:
    """Return a new name for this server: others show it to operators when it does not answer."""
    host = "".join(letter if letter.isalnum() or letter in "-." else "-" for letter in socket.gethostname())
    return f"{host}-{os.getpid()}-{b16encode(os.urandom(4)).decode().lower()}"


class Ears:
    """Channels that are listened to. Any thread; the connection belongs to its own.

    Args:
        own: a channel that nobody else has anything to do with.
        heard: called with a channel, or the pattern that it has, and what came there, on the thread that listens. Errors are logged.
        beat: called there about once a second, while it is connected.
        confirmed: called there when Redis has confirmed a channel.
    """

    def __init__(
        self,
        link: Link,
        own: str,
        heard: Heard,
        beat: Callable[[], None],
        confirmed: Callable[[], None] = lambda: None,
    ) -> None:
        self.lag = 0.0
        self.replaced = 0
        self._link = link
        self._own = own
        self._heard = heard
        self._beat = beat
        self._confirmed = confirmed
        self._lock = native_rlock()         # guards what is wanted and what has changed
        self._wanted: dict[str, str] = {}
        self._changes: deque[tuple[str, str]] = deque()
        self._there: set[str] = set()
        self._attended: dict[str, tuple[Heard, Callable[[], None]]] = {}
        self._line: Line | None = None
        self._is_asking = False             # what this server says to itself waits behind other things

    def start(self) -> None:
        self._line = self._link.open("listening", self._listen)

    def add(self, kind: str, *channels: str) -> None:
        """Listen there, too. Never waits; it works a moment later."""
        self._change(kind, channels, True)

    def attend(self, kind: str, channel: str, heard: Heard, changed: Callable[[], None]) -> None:
        """Listen to a channel for somebody who has to know: `changed` is called when it is heard from now on, and when no longer."""
        self._attended[channel] = heard, changed
        self.add(kind, channel)

    def remove(self, kind: str, *channels: str) -> None:
        self._change(kind, channels, False)

    def hears(self, channel: str) -> bool:
        """Tell whether Redis has confirmed a channel, on a connection that works."""
        return channel in self._there

    def _change(self, kind: str, channels: tuple[str, ...], is_wanted: bool) -> None:
        with self._lock:
            is_looked_at = bool(self._changes)
            for channel in channels:
                if is_wanted == (channel in self._wanted):
                    continue
                if is_wanted:
                    self._wanted[channel] = kind
                else:
                    del self._wanted[channel]
                    self._there.discard(channel)
                self._changes.append((kind if is_wanted else _UN[kind], channel))
        if self._line is not None and self._line.is_up and not is_looked_at:
            self._link.say("PUBLISH", self._own, b"look")       # whoever listens sleeps until something comes

    # -- on the thread that listens ----------------------------------------------------------------------------------------

    def _listen(self, line: Line) -> None:
        now = self._link.driver.now
        pubsub = _one_node(line.client).pubsub()
        with self._lock:
            self._changes.clear()
            wanted = [(PLAIN, self._own), *((kind, channel) for channel, kind in self._wanted.items())]
        missing = {channel for _, channel in wanted}
        self._subscribe(pubsub, wanted)
        asked_at: float | None = None
        heard_at = next_ping = looked_at = now()
        try:
            while not line.is_over:
                said = pubsub.parse_response(block=False, timeout=PING_SECONDS / 2)
                time = now()
                if time - looked_at > PING_SECONDS:
                    heard_at = time         # this process stood still: Redis is not to blame
                looked_at = time
                if said is not None:
                    heard_at = time
                    self._take(said, line, missing)
                    if said[-1] == b"ping":
                        self.lag = time - (asked_at or time)
                        asked_at = None
                    line.heard()
                if self._changes:
                    with self._lock:
                        changes, self._changes = list(self._changes), deque()
                    self._subscribe(pubsub, changes)
                # while Redis has enough to do with what was said before, nobody is deaf
                if time - max(heard_at, asked_at or time, self._link.answered_at if self._is_asking else 0.0) > DEAF_SECONDS:
                    self.replaced += 1
                    raise ConnectionError(f"nothing was heard for {DEAF_SECONDS} s, not even what this server says to itself")
                if time >= next_ping:
                    next_ping = time + PING_SECONDS
                    if asked_at is None:
                        asked_at, self._is_asking = time, True
                        self._link.say("PUBLISH", self._own, b"ping", tell=self._asked)
                    if line.is_up:
                        self._beat()
        finally:
            self._there = set()
            for _, changed in list(self._attended.values()):
                changed()

    def _asked(self, reply: Any) -> None:
        self._is_asking = False

    def _take(self, said: list[Any], line: Line, missing: set[str]) -> None:
        kind, channel, data = said[0], said[-2].decode(), said[-1]
        if kind in (b"message", b"pmessage", b"smessage"):
            if channel == self._own:
                return
            name = said[1].decode()
            heard, _ = self._attended.get(name) or (self._heard, None)
            hand_over(self._link, heard, name, data)
        elif kind in _CONFIRMED:
            with self._lock:
                if channel == self._own or channel in self._wanted:
                    self._there.add(channel)
            missing.discard(channel)
            if not missing:
                line.up()
            _, changed = self._attended.get(channel) or (None, self._confirmed)
            changed()

    def _subscribe(self, pubsub: Any, changes: list[tuple[str, str]]) -> None:
        start = 0
        for end in range(1, len(changes) + 1):
            if end == len(changes) or changes[end][0] != changes[start][0]:
                pubsub.execute_command(changes[start][0], *(channel for _, channel in changes[start:end]))
                start = end


_CONFIRMED: Final = frozenset(_KINDS.values())


def hand_over(link: Link, heard: Heard, name: str, data: bytes) -> None:
    """Have a message heard; whatever that raises is logged, since it is another server's."""
    try:
        heard(name, data)
    except ValueError as error:
        _log.warning("%r: a message on %s is not understood: %s", link.address, name, error)
    except Exception:
        _log.exception("%r: a message on %s cannot be dealt with", link.address, name)


def _one_node(client: Any) -> Any:
    """Return a client of one node: what is published in a cluster comes to all."""
    return random.choice(client.get_primaries()).redis_connection if hasattr(client, "get_primaries") else client


def escaped(pattern: str) -> str:
    """Return a text as a pattern that only it matches."""
    return "".join("\\" + letter if letter in "*?[]\\" else letter for letter in pattern)
