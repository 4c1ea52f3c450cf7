"""From polling to WebSocket without losing or reordering a packet.

The probe runs on a candidate while polling goes on. What waits, waits in the connection's outbox, which belongs to no transport: the switch
is one hold of the lock that says where the outbox drains to.
"""

from __future__ import annotations

from typing import Final, Protocol

from ..drivers.base import Timer
from ..protocol.parcel import Parcel
from .connection import Connection
from .polling import PollingTransport
from .seams import Candidate, DirectTransport, Transport
from .state import CLOSED, CLOSING

PROBE_ANSWER: Final = Parcel.control(b"3probe")
NOOP_INTERVAL: Final = 0.1
"""Seconds between the noops that let the client's polls go while it prepares the switch."""


class Target(Transport, Protocol):
    """A WebSocket that a connection may switch to."""

    upgrade: Candidate | None

    @property
    def direct(self) -> DirectTransport | None:
        """What sends at once, if it can."""
        ...

    def send_control(self, parcel: Parcel) -> None:
        """Send a packet past the outbox (lock held)."""
        ...


class Upgrade:
    """One upgrade in progress. Its methods are called in phase one.

    `connection.candidate`, under the connection's lock, says whether it is still on.
    """

    __slots__ = ("connection", "is_over", "is_probed", "polling", "ticker", "timeout", "websocket")

    def __init__(self, connection: Connection, polling: PollingTransport, websocket: Target) -> None:
        self.connection = connection
        self.polling = polling
        self.websocket = websocket
        self.is_probed = False
        self.is_over = False
        self.ticker: Timer | None = None
        self.timeout: Timer | None = None

    def begin(self) -> bool:
        """Become the connection's candidate. False: it has one, is on WebSocket already, or has ended; then this WebSocket is closed."""
        connection, websocket = self.connection, self.websocket
        websocket.upgrade = self
        with connection.lock:
            is_on = connection.state is not CLOSED and connection.candidate is None and connection.transport is self.polling
            if is_on:
                connection.candidate = websocket
        if is_on:
            self.timeout = connection.driver.later(connection.home.options.upgrade_timeout, self.abandon)
            self._stop_if_over()
        return is_on

    def on_text(self, data: bytes) -> None:
        """The probe, or the switch; anything else ends the attempt."""
        if data == b"2probe" and not self.is_probed:
            self.is_probed = True
            with self.connection.lock:
                self.websocket.send_control(PROBE_ANSWER)
            self.connection.fire("upgrading", self.websocket)
            self._tick()
        elif data == b"5":
            self._switch()
        else:
            self.abandon()

    def on_lost(self) -> None:
        self.abandon()

    def abandon(self) -> None:
        """End the attempt; the client stays on polling. Idempotent."""
        with self.connection.lock:
            if self.connection.candidate is self.websocket:
                self.connection.candidate = None
        self.stop()
        if self.websocket.upgrade is not None:
            self.websocket.finish()

    def _tick(self) -> None:
        if self.connection.candidate is self.websocket:
            self.polling.nudge()
            self.ticker = self.connection.driver.later(NOOP_INTERVAL, self._tick)
            self._stop_if_over()

    def _stop_if_over(self) -> None:
        if self.is_over:
            self.stop()                     # it ended while the timer was made

    def stop(self) -> None:
        """Cancel the timers, those that are just made included. Any thread; idempotent."""
        self.is_over = True
        for timer in (self.ticker, self.timeout):
            if timer is not None:
                timer.cancel()

    def _switch(self) -> None:
        connection, websocket = self.connection, self.websocket
        is_done = is_conflict = False
        with connection.lock:
            if connection.candidate is websocket and connection.state is not CLOSED:
                if self.polling.is_posting:
                    is_conflict = True
                    connection._end("transport error", "an upgrade packet while a POST is read")
                else:
                    is_done = True
                    connection.candidate = None
                    websocket.upgrade = None
                    connection.switch_to(websocket, websocket.direct)
                    connection.upgraded = True
                    if connection.outbox is not None:
                        websocket.poke()
                    elif connection.state is CLOSING:
                        connection.drained()
        self.stop()
        if is_done:
            self.polling.release(self.polling.form.goodbye)
            for probe in connection.home.probes:
                probe.transport_changed(connection)
            connection.fire("upgrade", websocket)
        elif is_conflict:
            connection.tell()
        else:
            self.abandon()
