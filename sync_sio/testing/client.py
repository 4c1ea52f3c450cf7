"""A client in memory, to test an application with: `with TestClient(io) as client: …`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar, overload

from ..config import check_server
from ..drivers.base import Waiter
from ..drivers.locks import get_ident
from ..drivers.strand import Strand
from ..errors import AckTimeout, Disconnected
from ..sockets.acks import as_result
from ..sockets.handlers import check_emitted, check_function
from .far_end import FarEnd, Outcome
from .line import Line, environ_of

if TYPE_CHECKING:
    from ..server import Server
    from ..sockets.socket import Socket

F = TypeVar("F", bound=Callable[..., Any])


class TestClient:
    """A client of one namespace, in the process of its server: nothing is listened on.

    It goes the whole way that a client's WebSocket would go: `allow_request`, origins, middleware, the parser, handlers on their
    strands. The server starts when the first client comes, on its own runtime. What the server has sent is there when its `emit`
    returns, or when its handler ends; `settle` waits for handlers.

    Args:
        io: the server; it need not serve.
        namespace, auth: as of the JavaScript client.
        on: functions for events, as `on` takes them, for what the server sends as soon as the client is connected.
        headers, query: of the handshake's request, beside those that it needs.
        environ: entries of its WSGI environ.
        timeout: seconds in which it must be connected; and `settle` and the end of a `with` block must have waited.
        raise_errors: whether an exception in one of the server's handlers for this client is raised in the test as well, by the next
            call of a method here, or at the end of the `with` block. Without, it is the cause of the AckTimeout or TimeoutError that
            comes of it. It is logged and given to `on_error` in any case.

    Raises:
        ConnectRefused: middleware refused it, or there is no such namespace.
        RequestRefused: the request was: by `allow_request`, as its origin is foreign, or as the server is closed.

    Threads: any.
    """

    __test__ = False

    def __init__(
        self,
        io: Server,
        namespace: str = "/",
        auth: Mapping[str, Any] | None = None,
        *,
        on: Mapping[str | int, Callable[..., Any]] | None = None,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        environ: Mapping[str, Any] | None = None,
        timeout: float = 5.0,
        raise_errors: bool = False,
    ) -> None:
        check_server(io)
        self.namespace = namespace if namespace.startswith("/") else "/" + namespace
        self.auth = auth
        self.timeout = timeout
        self._io = io
        self._site = site = io._hub.site
        self._environ = environ_of(io.options.path, headers or {}, query or {}, environ or {})
        self._end = FarEnd(self.namespace, site.parser, on or {})
        self._raises = raise_errors
        self._failure: tuple[object, BaseException] | None = None
        self._socket: Socket | None = None
        self.connect()

    def __repr__(self) -> str:
        return f"<TestClient {self.id or '(not connected)'} in {self.namespace}>"

    def __enter__(self) -> TestClient:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None:
            self.disconnect()
            self._raise_errors()
            return
        with suppress(TimeoutError):        # what the test has raised says more
            self.disconnect()

    # -- there and away --------------------------------------------------------------------------------------------------------

    @property
    def id(self) -> str:
        """The socket's id; `""` when it was never connected."""
        return self._end.id

    @property
    def connected(self) -> bool:
        """Whether it is connected."""
        self._end.pump()
        return self._end.is_connected

    @property
    def recovered(self) -> bool:
        """Whether it has got back, the last time that it connected, what it had before."""
        return self._end.is_recovered

    @property
    def reason(self) -> str:
        """Why it is not connected any more: `"io server disconnect"`, `"io client disconnect"`, `"transport close"`; `""` while it is."""
        self._end.pump()
        return self._end.reason

    @property
    def socket(self) -> Socket:
        """The server's socket for it. Raises Disconnected when it is not connected."""
        found = self._find()
        if found is None:
            raise Disconnected(f"{self!r} has no socket on the server ({self.reason or 'it has left'})", self.reason)
        return found

    def connect(self) -> None:
        """Connect once more, after an end; where recovery is on, with what is remembered of the last time. Raises as the class does.

        Does nothing while it is connected.
        """
        end = self._end
        if end.is_connected:
            return
        self._line = line = Line(self._io.engine, dict(self._environ), end)
        self._failure = None
        end.attach(line)
        self._site.error_listeners.append(self._note_error)
        try:
            line.open()
            end.join(self.auth)
            if not end.wait_until(lambda: end.is_answered or end.refusal is not None or line.is_over, self.timeout):
                raise TimeoutError(f"{self!r} was not answered within {self.timeout} s: is middleware still at work?")
            end.pump()
            if end.refusal is not None:
                raise end.refusal
            if not end.is_answered:
                raise Disconnected(f"{self!r}: the connection was closed ({line.connection.reason})", line.connection.reason)
        except BaseException:
            line.hang_up("transport close")
            self._forget_errors()
            raise
        self._socket = self._find()
        if self._socket is None:
            # a handler has sent it away already: `settle` has no strand to wait for, so it is waited for here
            end.wait_until(lambda: not end.is_connected, self.timeout)
            self._site.wait_until_told(self.timeout, only=self.id)

    def disconnect(self) -> None:
        """Leave as the JavaScript client does, and wait until the server's `disconnect` handlers have run. Idempotent.

        Raises:
            TimeoutError: they have not come to their end within `timeout` seconds.
        """
        self._end.pump()
        self._end.leave()
        self._go("transport close")

    def lose(self, reason: str = "transport close") -> None:
        """Have the connection break, without a goodbye, for the reason that the server is to see; and wait as `disconnect` does."""
        self._go(reason)

    # -- sending ---------------------------------------------------------------------------------------------------------------

    def emit(self, event: str | int, *args: Any, ack: Callable[..., Any] | None = None) -> None:
        """Send an event, and do not wait for its handlers; `settle` does. `ack(*response)` is called when it has been answered.

        Blocks while the server does not read, as hundreds of events wait for their handlers.

        Raises:
            Disconnected: the client is not connected.
            TimeoutError: the server has not read on within `timeout` seconds.
        """
        if ack is None:
            self._send(event, args, None)
            return
        answered, run = check_function(ack, "ack"), self._end.run
        self._send(event, args, lambda outcome: run(answered, *outcome) if isinstance(outcome, list) else None)

    def call(self, event: str | int, *args: Any, timeout: float | None = 5.0) -> Any:
        """Send an event and block for its acknowledgement: None, one value, or a tuple of several.

        Raises:
            AckTimeout: none came within `timeout` seconds; None waits for ever.
            Disconnected: the client is not connected, or was disconnected meanwhile.
        """
        end = self._end
        answers: list[Outcome] = []
        number = self._send(event, args, answers.append)
        in_time = end.wait_until(lambda: bool(answers or end.errors), timeout)
        end.forget(number)
        self._raise_errors()
        if not in_time or not answers:
            raise AckTimeout(f"the server has not acknowledged {event!r} within {timeout} s{self._why()}") from self._cause()
        if isinstance(answers[0], Disconnected):
            raise answers[0]
        return as_result(answers[0])

    # -- receiving -------------------------------------------------------------------------------------------------------------

    @overload
    def on(self, event: str | int, fn: F) -> F: ...
    @overload
    def on(self, event: str | int) -> Callable[[F], F]: ...
    def on(self, event: str | int, fn: Any = None) -> Any:
        """Call `fn(*args)` for each event of this name from now on; its result is the acknowledgement. Call or decorator.

        What the server has asked before, and nobody has received, is answered, too. It runs beside the test, as a handler of the
        server does, so it answers a `call` wherever that is made. Such events are not received by `receive`. What it raises is
        raised in the test, by the next method that is called, or at the end of the block.
        """
        if fn is None:
            return lambda function: self.on(event, function)
        self._end.on(event, check_function(fn, "client.on"))
        return fn

    def receive(self, timeout: float = 1.0) -> list[Any]:
        """Return the next event as `[event, *args]`, waiting for it if need be.

        Raises:
            TimeoutError: none came within `timeout` seconds.
            Disconnected: none is left, and none can come.
        """
        end = self._end
        self._raise_errors()
        end.wait_until(lambda: bool(end.events or end.errors) or not end.is_connected, timeout)
        self._raise_errors()
        with end.lock:
            if end.events:
                return end.events.popleft().data  # type: ignore[no-any-return]
        if not end.is_connected:
            raise Disconnected(f"{self!r} has received everything, and is not connected any more ({end.reason})", end.reason)
        names = ", ".join(map(repr, tuple(end.handlers)))
        given = f" but what the functions of {names} are given" if names else ""
        raise TimeoutError(f"{self!r} received no event{given} within {timeout} s{self._why()}") from self._cause()

    @property
    def received(self) -> list[list[Any]]:
        """The events that have come and were not taken by `receive`, as `[event, *args]`. Call `settle` before it to be sure."""
        end = self._end
        end.pump()
        with end.lock:
            return [packet.data for packet in end.events]

    def settle(self) -> None:
        """Wait until the server has handled what this client has sent, the client what the server has, and so on until both rest.

        After it, what is not in `received` was not sent to this client by those handlers. Handlers that are registered with
        `concurrent=True`, and background work, are not waited for.

        Raises:
            TimeoutError: a handler has not come to its end within `timeout` seconds.
        """
        end, line = self._end, self._line
        deadline = end.driver.now() + self.timeout
        while True:
            moved = end.count, line.count
            self._wait_for(line.strand)
            if self._socket is not None:
                self._wait_for(self._socket._core.strand)
            end.pump()
            self._wait_for_functions()
            if moved == (end.count, line.count):
                break                       # nothing went to or fro while each was seen to be done
            if end.driver.now() > deadline:
                raise TimeoutError(f"{self!r} and the server went on talking for {self.timeout} s")
        self._raise_errors()

    # -- inside ------------------------------------------------------------------------------------------------------------------

    def _send(self, event: str | int, args: tuple[Any, ...], then: Callable[[Outcome], object] | None) -> int | None:
        check_emitted(event)
        end, line = self._end, self._line
        end.pump()
        self._raise_errors()
        if line.is_paused and end.driver.may_wait() and not end.wait_until(lambda: not line.is_paused, self.timeout):
            raise TimeoutError(
                f"{event!r} was not sent: {line.connection.queued} events of {self!r} wait for their handlers since {self.timeout} s"
            )
        return end.send(event, args, then)

    def _go(self, reason: str) -> None:
        end = self._end
        self._line.hang_up(reason)
        end.pump()
        try:
            if not self._site.wait_until_told(self.timeout, only=self.id):
                raise TimeoutError(f"{self!r}: its disconnect handlers, or those before them, go on after {self.timeout} s")
            self._wait_for(self._line.strand)
            self._wait_for_functions()
        finally:
            self._forget_errors()

    def _forget_errors(self) -> None:
        with suppress(ValueError):          # it did already
            self._site.error_listeners.remove(self._note_error)

    def _find(self) -> Socket | None:
        home = self._io._hub.find(self.namespace)       # `of` would make it
        return None if home is None else home.sockets.get(self.id)

    def _wait_for_functions(self) -> None:
        if not self._end.is_running:
            self._wait_for(self._end.strand)

    def _wait_for(self, strand: Strand | None) -> None:
        """Wait until what lies in a strand has been run. Not from one of its own tasks."""
        if strand is None or strand.is_idle:
            return
        waiter = self._end.driver.waiter()
        if strand.put(_reached, waiter, strand):
            self._end.driver.run(strand)
        if not waiter.wait(self.timeout):
            raise TimeoutError(f"{self!r}: a handler has not come to its end within {self.timeout} s")

    def _note_error(self, error: BaseException, socket: Socket | None, event: object, args: object) -> None:
        if socket is not None and socket._core.connection is self._line.connection:
            self._failure = event, error
            if self._raises:
                self._end.fail(error)

    def _why(self) -> str:
        return "" if self._failure is None else f"; the server's handler of {self._failure[0]!r} has failed: {self._failure[1]!r}"

    def _cause(self) -> BaseException | None:
        return None if self._failure is None else self._failure[1]

    def _raise_errors(self) -> None:
        if self._end.errors:
            raise self._end.errors.pop(0)


def _reached(waiter: Waiter, strand: Strand) -> None:
    strand.uncork(get_ident())          # what the turn has gathered so far is sent before anybody hears that it has come so far
    waiter.set()
