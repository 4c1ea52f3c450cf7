"""What a client in memory knows, and what comes to it: the far end of a `Line`."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, Final

from ..drivers.base import Driver, Habit, Waiter
from ..drivers.locks import native_lock
from ..drivers.strand import Strand
from ..errors import ConnectRefused, Disconnected
from ..protocol.parcel import Parcel
from ..protocol.socketio.packet import ACK, CONNECT, CONNECT_ERROR, DISCONNECT, EVENT, Packet, PacketParser
from ..sockets.acks import as_response
from ..sockets.aside import Aside
from ..sockets.handlers import check_function
from .line import PING, Line

Outcome = list[Any] | Disconnected

_running: Final[ContextVar[Strand | None]] = ContextVar("running", default=None)
"""Where the function of a test's that runs here is a task."""


class FarEnd:
    """One client of one namespace, over one connection after the other.

    `lock` guards all of it, and is the lock of `strand`, on which the test's functions run: so what has come is taken in, and put
    there, in one order, whichever thread does it. `driver` and `line` are there once it has been `attach`ed.
    """

    def __init__(self, namespace: str, parser: PacketParser, handlers: Mapping[str | int, Callable[..., Any]]) -> None:
        self.namespace = namespace
        self.parser = parser
        self.lock = native_lock()
        self.strand = Strand(Aside(self.lock))
        self.handlers: dict[Any, list[Callable[..., Any]]] = {
            event: [check_function(fn, "TestClient(on=…)")] for event, fn in handlers.items()
        }
        self.events: deque[Packet] = deque()
        self.errors: list[BaseException] = []
        self.count = 0
        """Packets that have come."""
        self.id = ""
        self.is_connected = False
        self.is_answered = False
        """Whether it was connected over this line."""
        self.is_recovered = False
        self.refusal: ConnectRefused | None = None
        self.reason = ""
        self.driver: Driver
        self.line: Line
        self._habit = Habit()
        self._pid: str | None = None
        self._offset: str | None = None
        self._acks: dict[int, Callable[[Outcome], object]] = {}
        self._next_ack = 0
        self._waiters: list[Waiter] = []

    def attach(self, line: Line) -> None:
        """Begin anew, over a line that is not open yet."""
        self.driver = line.driver
        self.line = line
        self.is_answered = False
        self.refusal = None
        self.reason = ""
        for packet in self.events:
            packet.id = None                # nobody waits for an answer any more
        self._decoder = self.parser.decoder()

    # -- out ---------------------------------------------------------------------------------------------------------------------

    def join(self, auth: Mapping[str, Any] | None) -> None:
        """Ask to be connected; with what is remembered of the last time, if the server has recovery."""
        known = {"pid": self._pid, "offset": self._offset} if self._pid is not None else {}
        data = {**(auth or {}), **{name: value for name, value in known.items() if value is not None}}
        self._say(Packet(CONNECT, self.namespace, data or None))

    def send(self, event: str | int, args: tuple[Any, ...], then: Callable[[Outcome], object] | None) -> int | None:
        """Send an event; `then` is given the outcome, with `lock` held. Returns the number of the acknowledgement that is awaited.

        Raises:
            TypeError: it cannot be encoded.
            Disconnected: it was not sent.
        """
        number = None
        with self.lock:
            if then is not None:
                number = self._next_ack
                self._next_ack += 1
        messages = self._encode(Packet(EVENT, self.namespace, [event, *args], number))
        with self.lock:
            if not self.is_connected:
                raise Disconnected(f"{event!r} was not sent: the client is not connected any more ({self.reason})", self.reason)
            if number is not None and then is not None:
                self._acks[number] = then
        self.line.send(*messages)
        return number

    def forget(self, number: int | None) -> None:
        """Await an acknowledgement no more."""
        if number is not None:
            self._acks.pop(number, None)

    def leave(self) -> None:
        """Say goodbye, if it is connected."""
        if self.end("io client disconnect"):
            self._say(Packet(DISCONNECT, self.namespace))

    def _say(self, packet: Packet) -> None:
        self.line.send(*self._encode(packet))

    def _encode(self, packet: Packet) -> list[tuple[str, bytes]]:
        text, attachments = self.parser.encode(packet)
        messages = [] if text is None else [("4", text)]
        return messages + [("b", attachment) for attachment in attachments]

    # -- in ----------------------------------------------------------------------------------------------------------------------

    def wake(self) -> None:
        """Part of `Ear`."""
        self._wake_waiters()
        self.driver.post(self.pump)         # the test may be busy, and its functions are to answer

    def pump(self) -> None:
        """Take in what has come. Any thread."""
        with self.lock:
            line = self.line
            was_over = line.is_over         # before the look: nothing comes after it
            before = self.count
            try:
                while line.inbox:
                    self._take(line.inbox.popleft())
            except Exception as error:      # as of the JavaScript client: who cannot read goes
                self.errors.append(error)
                self.end("parse error")
                self.driver.post(line.hang_up, "transport close")
            if was_over:
                self.end("transport close")
            if self.count != before:
                self._wake_waiters()

    def end(self, reason: str) -> bool:
        """Be connected no more; False: it was not. Any thread."""
        with self.lock:
            if not self.is_connected:
                return False
            self.is_connected = False
            self.reason = reason
            acks, self._acks = self._acks, {}
            for then in acks.values():
                then(Disconnected(f"the client is not connected any more ({reason})", reason))
            self._wake_waiters()
        return True

    def on(self, event: str | int, fn: Callable[..., Any]) -> None:
        """Give `fn` the events of this name, and what the server has asked already: it waits, and a test cannot always be quicker."""
        with self.lock:
            self.handlers.setdefault(event, []).append(fn)
            events, self.events = self.events, deque()
            for packet in events:
                if packet.id is not None and packet.data[0] == event:
                    self.run(self._handle, (fn,), packet.data, packet.id)
                else:
                    self.events.append(packet)

    @property
    def is_running(self) -> bool:
        """Whether this is called from one of the test's functions that `strand` runs."""
        return _running.get() is self.strand

    def run(self, fn: Callable[..., object], *args: Any) -> None:
        """Have a function of the test's run as a turn, after those before it. Any thread, with `lock` or without."""
        if self.strand.put(_run, self, (fn, args), self._habit):
            self.driver.run(self.strand)

    def fail(self, error: BaseException) -> None:
        """Have an error raised in the test."""
        self.errors.append(error)
        self._wake_waiters()

    def _take(self, parcel: Parcel) -> None:
        for is_binary, data in parcel.packets():
            if data == PING and not is_binary:
                self.driver.post(self.line.send, ("3", b""))
            elif is_binary or data[:1] == b"4":
                packet = self._decoder.binary(data) if is_binary else self._decoder.text(data[1:])
                if packet is not None:
                    self.count += 1
                    self._sort(packet)

    def _sort(self, packet: Packet) -> None:
        data = packet.data
        if packet.type == EVENT:
            if self._pid is not None and packet.id is None and len(data) > 1 and isinstance(data[-1], str):
                self._offset = data.pop()   # the server ends no event with a str without adding one
            handlers = tuple(self.handlers.get(data[0], ()))
            if handlers:
                self.run(self._handle, handlers, data, packet.id)
            else:
                self.events.append(packet)
        elif packet.type == ACK:
            then = self._acks.pop(packet.id, None) if packet.id is not None else None
            if then is not None:
                then(data)
        elif packet.type == CONNECT:
            self.id, pid = data["sid"], data.get("pid")
            self.is_recovered = pid is not None and pid == self._pid
            self._pid = pid
            self.is_answered = self.is_connected = True
        elif packet.type == CONNECT_ERROR:
            self.refusal = ConnectRefused(data["message"], data.get("data"))
        elif packet.type == DISCONNECT:
            self.end("io server disconnect")

    def _handle(self, handlers: tuple[Callable[..., Any], ...], data: list[Any], number: int | None) -> None:
        results = [fn(*data[1:]) for fn in handlers]
        if number is not None and self.is_connected:
            result = next((result for result in results if result is not None), None)
            self._say(Packet(ACK, self.namespace, as_response(result), number))

    # -- waiting -----------------------------------------------------------------------------------------------------------------

    def wait_until(self, is_so: Callable[[], bool], timeout: float | None) -> bool:
        """Block until something is so (True), which is looked at whenever something has come, or `timeout` seconds are over."""
        driver = self.driver
        deadline = None if timeout is None else driver.now() + timeout
        while True:
            waiter = driver.waiter()
            self._waiters.append(waiter)    # before the look: what comes after it wakes us
            try:
                self.pump()
                if is_so():
                    return True
                if not waiter.wait(None if deadline is None else max(0.0, deadline - driver.now())):
                    self.pump()
                    return is_so()
            finally:
                self._waiters.remove(waiter)

    def _wake_waiters(self) -> None:
        for waiter in tuple(self._waiters):
            waiter.set()


def _run(end: FarEnd, call: tuple[Callable[..., object], tuple[Any, ...]]) -> None:
    fn, args = call
    token = _running.set(end.strand)
    try:
        fn(*args)
    except BaseException as error:          # the wall of the turn: it is raised in the test
        end.fail(error)
    finally:
        _running.reset(token)
