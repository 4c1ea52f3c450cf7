"""A client in memory, to test an application with: `with TestClient(io) as client: …`."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar, overload

from ..drivers.base import Habit, Waiter
from ..drivers.locks import native_lock
from ..drivers.strand import Strand
from ..errors import AckTimeout, ConnectRefused, Disconnected
from ..protocol.parcel import Parcel
from ..protocol.socketio.packet import ACK, CONNECT, CONNECT_ERROR, DISCONNECT, EVENT, Packet
from ..sockets.acks import as_response, as_result
from ..sockets.aside import Aside
from ..sockets.handlers import check_emitted, check_function
from .line import PING, Line, environ_of

if TYPE_CHECKING:
    from ..server import Server
    from ..sockets.socket import Socket

F = TypeVar("F", bound=Callable[..., Any])


class TestClient:
    """A client of one namespace, in the process of its server: nothing is listened on, and nothing is encoded twice.

    It goes the whole way that a client's WebSocket would go: `allow_request`, origins, middleware, the parser, handlers on their
    strands. The server starts when the first client comes, on its own runtime. What the server has sent is there when its `emit`
    returns, or when its handler ends; `settle` waits for handlers.

    Args:
        io: the server; it need not serve.
        namespace, auth: as of the JavaScript client.
        headers, query: of the handshake's request, beside those that it needs.
        environ: entries of its WSGI environ.
        timeout: seconds in which it must be connected; and `settle` and the end of a `with` block must have waited.
        raise_errors: whether an exception in one of the server's handlers for this client is raised in the test as well, by the next
            call of a method here, or at the end of the `with` block. They are logged and given to `on_error` in any case.

    Raises:
        ConnectRefused: middleware refused it, or there is no such namespace.
        RequestRefused: the request was: by `allow_request`, as its origin is foreign, or as the server is closed.

    Threads: any. `_lock` guards what has come, and is held while that is taken in.
    """

    __test__ = False

    def __init__(
        self,
        io: Server,
        namespace: str = "/",
        auth: Mapping[str, Any] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        environ: Mapping[str, Any] | None = None,
        timeout: float = 5.0,
        raise_errors: bool = False,
    ) -> None:
        self.namespace = namespace if namespace.startswith("/") else "/" + namespace
        self.auth = auth
        self.timeout = timeout
        self.id = ""
        """The socket's id; `""` when it was never connected."""
        self.recovered = False
        self._reason = ""
        self._io = io
        self._site = io._hub.site
        self._environ = environ_of(io.options.path, headers or {}, query or {}, environ or {})
        self._lock = native_lock()
        self._handlers: dict[Any, list[Callable[..., Any]]] = {}
        self._errors: list[BaseException] = []
        self._raises = raise_errors
        self._pid: str | None = None
        self._offset: str | None = None
        self._is_connected = False
        io._hub.site.error_listeners.append(self._note_error)
        self.connect()

    def __repr__(self) -> str:
        return f"<TestClient {self.id or '(not connected)'} in {self.namespace}>"

    def __enter__(self) -> TestClient:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.disconnect()
        if kind is None:
            self._raise_errors()

    # -- there and away --------------------------------------------------------------------------------------------------------

    @property
    def connected(self) -> bool:
        """Whether it is connected."""
        self._pump()
        return self._is_connected

    @property
    def reason(self) -> str:
        """Why it is not connected any more: `"io server disconnect"`, `"io client disconnect"`, `"transport close"`; `""` while it is."""
        self._pump()
        return self._reason

    @property
    def socket(self) -> Socket:
        """The server's socket for it. Raises Disconnected when it is not connected."""
        found = self._io.of(self.namespace).sockets.get(self.id)
        if found is None:
            raise Disconnected(f"{self!r} has no socket on the server ({self.reason or 'it has left'})", self.reason)
        return found

    def connect(self) -> None:
        """Connect once more, after an end; where recovery is on, with what is remembered of the last time. Raises as the class does."""
        self._events: deque[list[Any]] = deque()
        self._acks: dict[int, Callable[[list[Any] | Disconnected], object]] = {}
        self._next_ack = 0
        self._waiters: list[Waiter] = []
        self._refusal: ConnectRefused | None = None
        self._reason = ""
        self._line = line = Line(self._io.engine, dict(self._environ), self)
        self._driver = line.driver
        self._strand = Strand(Aside(self._driver.lock()))
        self._decoder = self._site.parser.decoder()
        auth = dict(self.auth or {})
        if self._pid is not None:
            auth |= {"pid": self._pid} if self._offset is None else {"pid": self._pid, "offset": self._offset}
        self._say(Packet(CONNECT, self.namespace, auth or None))
        if not self._wait_until(lambda: self._is_connected or self._refusal is not None or not line.is_open, self.timeout):
            line.hang_up("transport close")
            raise AckTimeout(f"{self!r} was not answered within {self.timeout} s: is middleware still at work?")
        if self._refusal is not None:
            line.hang_up("transport close")
            raise self._refusal
        if not self._is_connected:
            raise Disconnected(f"{self!r}: the connection was closed ({line.connection.reason})", line.connection.reason)

    def disconnect(self) -> None:
        """Leave as the JavaScript client does, and wait until the server's `disconnect` handlers have run. Idempotent."""
        core = self._core()
        if self._is_connected:
            self._end("io client disconnect")
            self._say(Packet(DISCONNECT, self.namespace))
        self._line.hang_up("transport close")
        self._wait_for_strand(core)
        listeners = self._site.error_listeners
        if self._note_error in listeners:
            listeners.remove(self._note_error)

    def lose(self, reason: str = "transport close") -> None:
        """Have the connection break, without a goodbye, for the reason that the server is to see; and wait for its handlers."""
        core = self._core()
        self._end("transport close")
        self._line.hang_up(reason)
        self._wait_for_strand(core)

    # -- sending ---------------------------------------------------------------------------------------------------------------

    def emit(self, event: str | int, *args: Any, ack: Callable[..., Any] | None = None) -> None:
        """Send an event, and do not wait for its handlers; `settle` does. `ack(*response)` is called when it has been answered."""
        self._raise_errors()
        if ack is None:
            self._ask(event, args, None)
            return
        check_function(ack, "ack")
        self._ask(event, args, lambda outcome: self._run(ack, outcome) if isinstance(outcome, list) else None)

    def call(self, event: str | int, *args: Any, timeout: float | None = 5.0) -> Any:
        """Send an event and block for its acknowledgement: None, one value, or a tuple of several.

        Raises:
            AckTimeout: none came within `timeout` seconds; None waits for ever.
            Disconnected: the client is not connected, or was disconnected meanwhile.
        """
        self._raise_errors()
        answers: list[list[Any] | Disconnected] = []
        number = self._ask(event, args, answers.append)
        if not self._wait_until(lambda: bool(answers), timeout):
            self._acks.pop(number, None)
            self._raise_errors()
            raise AckTimeout(f"the server has not acknowledged {event!r} within {timeout} s")
        self._raise_errors()
        outcome = answers[0]
        if isinstance(outcome, Disconnected):
            raise outcome
        return as_result(outcome)

    # -- receiving -------------------------------------------------------------------------------------------------------------

    @overload
    def on(self, event: str | int, fn: F) -> F: ...
    @overload
    def on(self, event: str | int) -> Callable[[F], F]: ...
    def on(self, event: str | int, fn: Any = None) -> Any:
        """Call `fn(*args)` for each event of this name; its result is the acknowledgement, as on the server. Call or decorator.

        It runs beside the test, as a handler of the server does, so it answers a `call` wherever that is made. Such events are not
        received by `receive`. What it raises is raised in the test, by the next method that is called.
        """
        if fn is None:
            return lambda function: self.on(event, function)
        self._handlers.setdefault(event, []).append(check_function(fn, "client.on"))
        return fn

    def receive(self, timeout: float = 1.0) -> list[Any]:
        """Return the next event as `[event, *args]`, waiting for it if need be.

        Raises:
            TimeoutError: none came within `timeout` seconds.
            Disconnected: none is left, and none can come.
        """
        self._raise_errors()
        self._wait_until(lambda: bool(self._events) or not self.connected, timeout)
        self._raise_errors()
        with self._lock:
            if self._events:
                return self._events.popleft()
        if not self.connected:
            raise Disconnected(f"{self!r} has received everything, and is not connected any more ({self.reason})", self.reason)
        raise TimeoutError(f"{self!r} received no event within {timeout} s")

    @property
    def received(self) -> list[list[Any]]:
        """The events that have come and were not taken by `receive`, as `[event, *args]`. Call `settle` before it to be sure."""
        self._pump()
        with self._lock:
            return list(self._events)

    def settle(self) -> None:
        """Wait until the server has handled what this client has sent so far, and the client what the server has.

        After it, what is not in `received` was not sent to this client by those handlers. Handlers that are registered with
        `concurrent=True`, and background work, are not waited for.

        Raises:
            TimeoutError: a handler has not come to its end within `timeout` seconds.
        """
        self._wait_for_strand(self._core())
        self._pump()
        self._wait_for(self._strand)
        self._raise_errors()

    # -- inside: what has come ---------------------------------------------------------------------------------------------------

    def wake(self) -> None:
        """Part of `Ear`."""
        self._wake_waiters()
        self._driver.post(self._pump)

    def _wake_waiters(self) -> None:
        for waiter in tuple(self._waiters):
            waiter.set()

    def _pump(self) -> None:
        """Take in what has come: one thread at a time, in order."""
        effects: list[Callable[[], object]] = []
        with self._lock:
            inbox = self._line.inbox
            while inbox:
                effects += self._take(inbox.popleft())
        if not self._line.is_open:
            self._end("transport close")
        for effect in effects:
            effect()
        if effects:
            self._wake_waiters()            # they may be what is waited for

    def _take(self, parcel: Parcel) -> list[Callable[[], object]]:
        effects: list[Callable[[], object]] = []
        for is_binary, data in parcel.packets():
            if data == PING and not is_binary:
                effects.append(self._line.pong)
            elif is_binary or data[:1] == b"4":
                packet = self._decoder.binary(data) if is_binary else self._decoder.text(data[1:])
                if packet is not None:
                    effect = self._sort(packet)
                    if effect is not None:
                        effects.append(effect)
        return effects

    def _sort(self, packet: Packet) -> Callable[[], object] | None:
        data = packet.data
        if packet.type == EVENT:
            if self._pid is not None and packet.id is None and len(data) > 1 and isinstance(data[-1], str):
                self._offset = data.pop()           # which the JavaScript client remembers, too
            handlers = tuple(self._handlers.get(data[0], ()))
            if handlers:
                return lambda: self._run(self._handle, [handlers, data, packet.id])
            with self._lock:
                self._events.append(data)
        elif packet.type == ACK:
            waiting = self._acks.pop(packet.id, None) if packet.id is not None else None
            if waiting is not None:
                return lambda: waiting(data)
        elif packet.type == CONNECT:
            self.id, pid = data["sid"], data.get("pid")
            self.recovered = pid is not None and pid == self._pid
            self._pid = pid
            self._is_connected = True
        elif packet.type == CONNECT_ERROR:
            self._refusal = ConnectRefused(data["message"], data.get("data"))
        elif packet.type == DISCONNECT:
            return lambda: self._end("io server disconnect")
        return None

    def _run(self, fn: Callable[..., Any], args: list[Any]) -> None:
        """Have a function of the test's run as a turn, after those before it."""
        if self._strand.put(_run, self, (fn, args), _HABIT):
            self._driver.run(self._strand)

    def _handle(self, handlers: tuple[Callable[..., Any], ...], data: list[Any], number: int | None) -> None:
        results = [fn(*data[1:]) for fn in handlers]
        if number is not None and self._is_connected:
            result = next((result for result in results if result is not None), None)
            self._say(Packet(ACK, self.namespace, as_response(result), number))

    def _end(self, reason: str) -> None:
        with self._lock:
            if not self._is_connected:
                return
            self._is_connected = False
            self._reason = reason
            acks, self._acks = self._acks, {}
        for waiting in acks.values():
            waiting(Disconnected(f"{self!r} is not connected any more ({reason})", reason))

    # -- inside: what goes, and waiting --------------------------------------------------------------------------------------------

    def _ask(
        self, event: str | int, args: tuple[Any, ...], then: Callable[[list[Any] | Disconnected], object] | None
    ) -> int:
        check_emitted(event)
        self._pump()
        if not self.connected:
            raise Disconnected(f"{event!r} was not sent: {self!r} is not connected any more ({self.reason})", self.reason)
        number = None
        if then is not None:
            with self._lock:
                number = self._next_ack
                self._next_ack += 1
                self._acks[number] = then
        if self._driver.may_wait():
            self._line.connection.wait_until_resumed()
        self._say(Packet(EVENT, self.namespace, [event, *args], number))
        return -1 if number is None else number

    def _say(self, packet: Packet) -> None:
        text, attachments = self._site.parser.encode(packet)
        messages = [] if text is None else [(False, text)]
        self._line.send(*messages, *((True, attachment) for attachment in attachments))

    def _wait_until(self, is_so: Callable[[], bool], timeout: float | None) -> bool:
        driver = self._driver
        deadline = None if timeout is None else driver.now() + timeout
        while True:
            waiter = driver.waiter()
            self._waiters.append(waiter)    # before the look: what comes after it wakes us
            try:
                self._pump()
                if is_so():
                    return True
                if not waiter.wait(None if deadline is None else deadline - driver.now()):
                    self._pump()
                    return is_so()
            finally:
                self._waiters.remove(waiter)

    def _core(self) -> Any:
        socket = self._io.of(self.namespace).sockets.get(self.id)
        return None if socket is None else socket._core

    def _wait_for_strand(self, core: Any) -> None:
        if core is not None:
            self._wait_for(core.strand)

    def _wait_for(self, strand: Strand) -> None:
        """Wait until what lies in a strand has been run, unless it is the one that this is called from."""
        waiter = self._driver.waiter()
        if strand.put(_reached, waiter, None):
            self._driver.run(strand)
        if not waiter.wait(self.timeout):
            raise TimeoutError(f"{self!r}: a handler has not come to its end within {self.timeout} s")

    def _note_error(self, error: BaseException, socket: Socket | None, event: object, args: object) -> None:
        if self._raises and socket is not None and socket.id == self.id:
            self._errors.append(error)

    def _raise_errors(self) -> None:
        if self._errors:
            raise self._errors.pop(0)


_HABIT = Habit()


def _run(client: TestClient, call: tuple[Callable[..., Any], list[Any]]) -> None:
    fn, args = call
    try:
        fn(*args)
    except BaseException as error:      # the wall of the turn: it is raised in the test
        client._errors.append(error)
        client.wake()


def _reached(waiter: Waiter, nothing: None) -> None:
    waiter.set()
