"""The connections of a server to Redis: one that says, in order, others that listen; all of them come back by themselves.

redis-py blocks, so each connection is used by one thread: the operating system's, which cannot stop gevent's hub; or, where gevent
has monkey-patched what redis-py is made of, a greenlet, since its sockets cooperate then.
"""

from __future__ import annotations

import logging
import random
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from os import urandom
from typing import Any, Final

from ...drivers.base import Driver, Waiter
from ...drivers.choose import is_monkey_patched
from ...drivers.locks import native_rlock
from .address import Address, disconnect, forget
from .batches import Command, Value, replies

FIRST_WAIT: Final = 0.05
LONGEST_WAIT: Final = 0.5
"""Seconds between two tries to connect; doubled from the first to the longest."""
STEADY_SECONDS: Final = 5.0
"""A connection that has held for so long was a good one: the next tries begin at the shortest wait again."""
IDLE_SECONDS: Final = 2.0
"""After so long without anything to send it is looked whether Redis is still there."""
IN_A_ROW: Final = 64
"""Messages after which a greenlet lets others run: what comes without a pause is read without a switch."""
MAX_COMMANDS: Final = 500
"""Commands that are sent before their replies are read."""
MAX_BATCH_BYTES: Final = 1_000_000
MAX_WAITING_BYTES: Final = 16_000_000
"""What may wait while Redis cannot be reached; the oldest goes first."""

_log = logging.getLogger("sync_sio.redis")

Tell = Callable[[Any], object]
Said = tuple[Command, Tell | None, int, "Command | None"]
"""A command, who hears what came of it, its size in bytes, and what is sent instead when it may have arrived already."""


class Line:
    """One connection that is kept, and the thread that uses it.

    Attributes:
        client: redis-py's, of this line alone; a new one for each try.
    """

    def __init__(self, link: Link, name: str, work: Callable[[Line], None], lost: Callable[[BaseException], object]) -> None:
        self.client: Any = None
        self.name = name
        self.is_up = False
        self.ended: Waiter = link.driver.waiter()
        self.halted: Waiter = link.driver.waiter()
        self._link = link
        self._work = work
        self._lost = lost
        self._in_a_row = 0

    @property
    def is_over(self) -> bool:
        """Whether the line is wanted no longer: `work` returns."""
        return self._link.is_over or self.halted.value is not None

    def up(self) -> None:
        """It works: called by `work` when it has connected, however often."""
        if not self.is_up:
            self.is_up = True
            self._link.changed(None)

    def heard(self) -> None:
        """A message was read: called by `work` for each."""
        self._in_a_row += 1
        if self._in_a_row >= IN_A_ROW:
            self._in_a_row = 0
            if is_monkey_patched():
                self._link.driver.sleep(0)

    def halt(self) -> None:
        """End the line: what it waits for is cut off. Any thread."""
        self.halted.set(True)
        disconnect(self.client)

    def run(self) -> None:
        link, wait = self._link, 0.0
        try:
            while not self.is_over:
                begun = link.driver.now()
                try:
                    self.client = link.address.client()
                    if not self.is_over:    # it may have been halted while there was no client yet
                        self._work(self)
                    error: BaseException | None = None
                except link.address.troubles as trouble:
                    error = trouble
                except Exception as fault:
                    if not self.is_over:    # else its sockets were closed under it, which redis-py does not expect
                        _log.exception("%r: %s failed; it is begun again", link.address, self.name)
                    error = fault
                finally:
                    disconnect(self.client)
                if self.is_over:
                    return
                is_steady = self.is_up and link.driver.now() - begun > STEADY_SECONDS
                self.is_up = False
                error = error or ConnectionError("the connection has ended")
                link.changed(error, self)
                self._lost(error)
                wait = FIRST_WAIT if is_steady or not wait else min(wait * 2, LONGEST_WAIT)
                self.halted.wait(wait * random.uniform(0.5, 1.0))
        finally:
            self.ended.set()


class Link:
    """One per server and adapter. Nothing exists before `start`. Any thread.

    Args:
        url: see `Address`.
        resends: whether what was sent when the connection broke is sent again. It may have arrived: so it comes twice, or not at all.
    """

    def __init__(self, url: str, resends: bool = False) -> None:
        self.address = Address(url)
        self.driver: Driver
        self.is_over = True
        self.last_error: str | None = None
        self.reconnects = 0
        """How often the connection was lost and came back."""
        self._resends = resends
        self._home = urandom(4).hex()       # what any node of a cluster takes, servers send to different ones
        self._renew()

    def _renew(self) -> None:
        self.answered_at = 0.0
        """When Redis has last answered what was said."""
        self.room: Callable[[], int] = lambda: MAX_COMMANDS
        """Tells how many commands may be sent now; `go_on` is called when there are more. The lock is held."""
        self._lock = native_rlock()         # guards what follows; held for a few lines, never while anything is sent
        self._lines: list[Line] = []
        self._is_lost = False
        self._waiting: deque[Said] = deque()
        self._waiting_bytes = 0
        self._dropped = 0
        self._bell: Waiter | None = None
        self._questions: deque[tuple[Callable[[Any], Any], Callable[[Any, BaseException | None], object]]] = deque()
        self._asking_bell: Waiter | None = None
        self._has_asked = False

    # -- life --------------------------------------------------------------------------------------------------------------

    def start(self, driver: Driver) -> None:
        """Connect, without waiting for it. Called once, and again after `close` or `abandon`."""
        self.driver = driver
        self._renew()
        self.is_over = False
        self.open("sending", self._send)

    def close(self, seconds: float = 1.0) -> None:
        """Send what was said, for `seconds` at most, then disconnect, and wait for the threads if this one may. Idempotent."""
        if self.is_over:
            return
        driver = self.driver
        deadline = driver.now() + seconds
        said = driver.waiter()
        if driver.may_wait() and self.is_connected:
            self.say("PING", tell=said.set)
            said.wait(seconds)
        self.is_over = True
        with self._lock:
            lines, self._lines = self._lines, []
            self._waiting.clear()
            self._waiting_bytes = 0
            bells = [self._bell, self._asking_bell]
        for bell in bells:
            if bell is not None:
                bell.set()
        for line in lines:
            line.halt()
        if driver.may_wait():
            for line in lines:
                line.ended.wait(max(0.0, deadline - driver.now()))

    def abandon(self) -> None:
        """This is the child of a fork: forget it all, and leave the parent its connections."""
        self.is_over = True
        lines = self._lines
        self._renew()
        for line in lines:                  # a greenlet of the parent's is here, too, and must not read what is not for us
            line.halted.set(True)
            forget(line.client)

    @property
    def is_connected(self) -> bool:
        """Whether all lines are up."""
        lines = self._lines
        return not self.is_over and bool(lines) and all(line.is_up for line in lines)

    # -- lines -------------------------------------------------------------------------------------------------------------

    def open(
        self, name: str, work: Callable[[Line], None], lost: Callable[[BaseException], object] = lambda error: None
    ) -> Line:
        """Keep one more connection.

        Args:
            work: `work(line)` uses `line.client`, calls `line.up()` when it has connected, and returns when `line.is_over`. When it
                raises what redis-py does, it is called again, with a new client, after a moment that grows.
            lost: called with the reason after each time that the connection was lost or could not be made.
        """
        line = Line(self, name, work, lost)
        with self._lock:
            self._lines.append(line)
        if is_monkey_patched():
            self.driver.spawn(line.run)
        else:
            threading.Thread(target=line.run, name=f"sync_sio redis {name}", daemon=True).start()
        return line

    def drop(self, line: Line) -> None:
        """Keep a connection no longer."""
        with self._lock:
            if line in self._lines:
                self._lines.remove(line)
        line.halt()
        self.changed(None)                  # it may have been the last that was lost

    def changed(self, error: BaseException | None, lost: Line | None = None) -> None:
        """A line is up, or was lost for a reason: the operator hears of the first that goes, and of the last that is back."""
        with self._lock:
            if lost is not None and lost not in self._lines:
                return                      # nobody wants it any more
            if error is not None:
                self.last_error = f"{type(error).__name__}: {error}"
                is_news = not self._is_lost
                self._is_lost = True
            else:
                is_news = self._is_lost and all(line.is_up for line in self._lines)
                if is_news:
                    self._is_lost = False
                    self.reconnects += 1
            dropped = self._dropped
            if is_news and error is None:
                self._dropped = 0
        if not is_news or self.is_over:
            return
        if error is not None:
            _log.warning("%r: not connected: %s: clients here are served, other servers are not reached", self.address, error)
        elif dropped:
            _log.warning("%r: connected again; %d messages were too much to keep, and are lost", self.address, dropped)
        else:
            _log.warning("%r: connected again", self.address)

    # -- to Redis ----------------------------------------------------------------------------------------------------------

    def say(self, *command: Value, tell: Tell | None = None, again: Command | None = None) -> None:
        """Send a command, in the order of the calls. Never waits: while Redis cannot be reached, what is said is kept, up to a limit.

        After `close` nothing is sent, and nobody is told.

        Args:
            tell: called with the reply, or with the exception, on the thread that sends; with an exception, too, when it was too much.
            again: a command that does the same, unless this one has arrived: sent when the connection broke before the reply.
        """
        size = size_of(command)
        dropped: list[Tell] = []
        with self._lock:
            if self.is_over:
                return
            self._waiting.append((command, tell, size, again))
            self._waiting_bytes += size
            while self._waiting_bytes > MAX_WAITING_BYTES and len(self._waiting) > 1:
                _, late, gone, _ = self._waiting.popleft()
                self._waiting_bytes -= gone
                self._dropped += 1
                if late is not None:
                    dropped.append(late)
            bell, self._bell = self._bell, None
        if bell is not None:
            bell.set()
        for late in dropped:
            late(OverflowError(f"more than {MAX_WAITING_BYTES} bytes wait for Redis"))

    def go_on(self) -> None:
        """There is room again."""
        with self._lock:
            bell, self._bell = self._bell, None
        if bell is not None:
            bell.set()

    def _send(self, line: Line) -> None:
        client = line.client
        client.ping()
        line.up()
        while not line.is_over:
            batch = self._take(line)
            if batch:
                self._send_all(client, batch)
            elif not line.is_over:
                client.ping()

    def _take(self, line: Line) -> list[Said]:
        """Return what is to be sent next; nothing after a while of waiting for it."""
        batch = self._next()
        if batch or line.is_over:
            return batch
        with self._lock:
            bell = None if (self._waiting and self.room() > 0) or line.is_over else self.driver.waiter()
            self._bell = bell
        if bell is not None:
            bell.wait(IDLE_SECONDS)
        return [] if line.is_over else self._next()

    def _next(self) -> list[Said]:
        batch: list[Said] = []
        with self._lock:
            waiting, size = self._waiting, 0
            most = min(MAX_COMMANDS, self.room())
            while waiting and len(batch) < most and size < MAX_BATCH_BYTES:
                batch.append(waiting.popleft())
                size += batch[-1][2]
            self._waiting_bytes -= size
        return batch

    def _send_all(self, client: Any, batch: list[Said]) -> None:
        done = 0
        try:
            found = replies(self.address, client, [command for command, _, _, _ in batch], self._home)
            for (_, tell, _, _), reply in zip(batch, found, strict=True):
                done += 1
                self._replied(tell, reply)
        except self.address.troubles as error:
            rest = batch[done:]
            kept: list[Said] = [
                (again or command, tell, size, again) for command, tell, size, again in rest if self._resends or again is not None
            ]
            with self._lock:
                self._waiting.extendleft(reversed(kept))
                self._waiting_bytes += sum(size for _, _, size, _ in kept)
            for _, tell, _, again in rest:
                if tell is not None and not self._resends and again is None:
                    tell(error)
            raise

    def _replied(self, tell: Tell | None, reply: Any) -> None:
        self.answered_at = self.driver.now()
        if isinstance(reply, Exception):
            text = f"{type(reply).__name__}: {reply}"
            if text != self.last_error:
                _log.error("%r: refused: %s", self.address, reply)
            self.last_error = text
        if tell is not None:
            tell(reply)

    # -- questions ---------------------------------------------------------------------------------------------------------

    def ask(self, question: Callable[[Any], Any], tell: Callable[[Any, BaseException | None], object]) -> None:
        """Have `question(client)` run on a thread of ours, which may block, and `tell(answer, error)` called there. Never waits.

        One after another, on a connection of their own, which is made for the first. What is asked while Redis cannot be reached
        fails when that is noticed.
        """
        with self._lock:
            is_first, self._has_asked = not self._has_asked, True
            self._questions.append((question, tell))
            bell = self._asking_bell
        if is_first:
            self.open("asking", self._answer, self._fail)
        elif bell is not None:
            bell.set()

    def count(self, channel: str, tell: Callable[[int | None], object]) -> None:
        """Have Redis count who listens to a channel that is not sharded, at all nodes of a cluster. None: it cannot be told now."""
        if self.address.is_cluster:
            self.ask(partial(_subscribers, self.address.troubles, channel), lambda count, error: tell(count))
        else:
            self.say("PUBSUB", "NUMSUB", channel, tell=lambda reply: tell(reply[1] if isinstance(reply, list) else None))

    def _answer(self, line: Line) -> None:
        client = line.client
        client.ping()
        line.up()
        while not line.is_over:
            with self._lock:
                entry = self._questions.popleft() if self._questions else None
                bell = self._asking_bell = None if entry is not None or line.is_over else self.driver.waiter()
            if entry is None:
                if bell is not None:
                    bell.wait()
                continue
            question, tell = entry
            try:
                answer = question(client)
            except self.address.troubles as error:
                tell(None, error)
                if not self.address.is_refusal(error):
                    raise
            else:
                tell(answer, None)

    def _fail(self, error: BaseException) -> None:
        while self._questions:
            self._questions.popleft()[1](None, error)


def _subscribers(troubles: tuple[type[BaseException], ...], channel: str, client: Any) -> int:
    """Return how many listen to a channel, at all nodes of a cluster. One by one: redis-py's own sum leaves some out."""
    count = 0
    for node in client.get_nodes():
        with suppress(*troubles):        # a replica that is down has no subscribers
            count += sum(number for _, number in node.redis_connection.pubsub_numsub(channel))
    return count


def size_of(command: Command) -> int:
    """Return about how many bytes a command takes."""
    return sum(len(part) for part in command if isinstance(part, str | bytes)) + 100
