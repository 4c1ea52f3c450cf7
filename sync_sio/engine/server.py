"""The Engine.IO server: who is connected, which options hold, and the WSGI door.

Usable on its own::

    engine = EngineServer()

    @engine.on("connection")
    def connected(connection):
        connection.on("message", lambda data: connection.send(data))

    application = engine
"""

from __future__ import annotations

import atexit
import logging
import os
import weakref
from collections.abc import Callable, Iterable, Mapping
from inspect import iscoroutinefunction
from typing import Any, TypeVar, overload

from ..config import EngineOptions, refuse_unknown
from ..drivers.base import Driver, Habit, Watched
from ..drivers.choose import choose, refuse_late_patching
from ..drivers.locks import native_lock, native_rlock
from ..notices import Notices
from ..probe import Probe
from ..protocol.cookie import Cookie
from ..protocol.cors import Origins
from ..protocol.websocket.deflate import DeflateOptions
from ..types import Environ, StartResponse, WSGIApp
from ..workers.bus import Bus
from ..workers.carrier import Carrier
from ..wsgi.compression import HttpCompression
from ..wsgi.hosting import hosting_of
from ..wsgi.takeover import Taken, take
from .connection import EVENTS, Connection
from .door import Door
from .events import Events, call_all
from .heartbeat import Heartbeat
from .listener import Listener, Receiver
from .plain import PlainListener
from .routing import CannotMeet, Routing
from .state import CLOSED

logger = logging.getLogger("sync_sio.engine")
F = TypeVar("F", bound=Callable[..., Any])

_made: dict[str, int] = {}
"""How many servers were made for each path: mounted at different places, they may have the same one."""
_made_lock = native_lock()


class EngineServer:
    """An Engine.IO v4 server, and a WSGI application.

    Nothing starts before the first request (or `start`): importing, preloading and forking are safe, and a fork's child starts afresh.

    Args:
        wsgi_app: gets the requests outside `path`; None answers them with 404.
        options: those of `EngineOptions`.

    Threads: every method may be called from any thread. `_starting` guards the start, `_lock` the registry's growth.
    """

    def __init__(
        self,
        wsgi_app: WSGIApp | None = None,
        *,
        _options: EngineOptions | None = None,
        _listener: Listener[Connection] | None = None,
        _driver: Driver | None = None,
        _take: Callable[[Environ], Taken] = take,
        **options: Any,
    ) -> None:
        if _options is None:
            known = EngineOptions.__dataclass_fields__
            refuse_unknown(EngineOptions, {name: value for name, value in options.items() if name not in known})
            _options = EngineOptions(**options)
        self.options = _options
        self.wsgi_app = wsgi_app
        self.origins = Origins(
            _options.cors_allowed_origins,
            _options.cors_credentials,
            _options.cors_methods,
            _options.cors_allowed_headers,
            _options.cors_max_age,
        )
        self.cookie = None if callable(_options.cookie) else Cookie.of(_options.cookie)
        self.compression = HttpCompression.of(_options.http_compression)
        self.deflate_options = DeflateOptions.of(_options.per_message_deflate)
        self._generate_id: Callable[[Environ], str] | None = None
        self.connections: dict[str, Connection] = {}
        self.habits: Mapping[str, Habit] = {name: Habit() for name in ("connection", *EVENTS)}
        self.lingering: set[Watched] = set()
        self.probes: tuple[Probe, ...] = ()
        self.events = Events("connection", "connection_error", "initial_headers", "headers")
        self.driver: Driver
        self.notices: Notices
        self.heartbeat: Heartbeat
        self.routing: Routing | None = None
        """The way to other servers: workers of this address, or of a cluster; None: there are none, or no way to them."""
        self.why_alone = ""
        with _made_lock:
            number = _made[_options.path] = _made.get(_options.path, 0) + 1
        self.purpose = f"{_options.path} {number}"
        """Which server of its process this is: the same in all workers, which run the same program."""
        self.is_started = False
        self.started_at = 0.0
        self.is_closed = False
        self.has_looked_around = False
        self.on_exit: Callable[[], None] = self.stop
        """Runs when the process ends. The server that is built on this one closes itself first."""
        self.starts_with_pages = False
        """Whether the first request starts it, be it for a page: what pages emit goes to other servers."""
        self.on_workers: Callable[[Bus], None] = _ignore
        """Runs before `on_start` when there are other workers."""
        self.find_carrier: Callable[[], Carrier | None] = _nobody
        """Finds what carries requests to servers elsewhere, when the floor above has started."""
        self.on_start: Callable[[], None] = _nothing
        """Runs when the runtime is known and everything below is ready."""
        self.take = _take
        self.is_plain = _listener is None
        self._listener: Listener[Connection] = PlainListener() if _listener is None else _listener
        self._given_driver = _driver
        self._lock = native_lock()
        self._starting = native_rlock()
        self._door = Door(self)
        _reset_after_fork(self)

    # -- users' side -------------------------------------------------------------------------------------------------------

    @property
    def generate_id(self) -> Callable[[Environ], str] | None:
        """`f(environ) -> str` for session ids of your own, URL-safe and unique. None gives 20 random characters."""
        return self._generate_id

    @generate_id.setter
    def generate_id(self, fn: Callable[[Environ], str] | None) -> None:
        if fn is not None and not callable(fn):
            raise TypeError(f"generate_id = {fn!r}: a function of the environ is wanted, or None")
        if iscoroutinefunction(fn):
            raise TypeError(f"generate_id = {fn!r} is async; sync_sio is synchronous: write it with `def`, it may block")
        self._generate_id = fn

    @property
    def clients_count(self) -> int:
        """How many clients are connected to this process."""
        return len(self.connections)

    @property
    def clients(self) -> dict[str, Connection]:
        """The connections of this process by id: a snapshot."""
        return dict(self.connections)

    @overload
    def on(self, name: str, listener: F) -> F: ...
    @overload
    def on(self, name: str) -> Callable[[F], F]: ...
    def on(self, name: str, listener: Any = None) -> Any:
        """Call `listener` for one of these events; as a call or a decorator.

        `"connection"(connection)`: a client is there. `"connection_error"(error)`: a request was refused; `error.code`, `.message`,
        `.context`, `.request`. `"initial_headers"(headers, environ)`: once per session, before its first response;
        `"headers"(headers, environ)`: before every response of a session. Both change the dict: a list gives several lines.
        """
        return self.events.on(name, listener)

    @overload
    def once(self, name: str, listener: F) -> F: ...
    @overload
    def once(self, name: str) -> Callable[[F], F]: ...
    def once(self, name: str, listener: Any = None) -> Any:
        """The same for the next time only."""
        return self.events.once(name, listener)

    def off(self, name: str, listener: Callable[..., Any] | None = None) -> None:
        """Remove a listener, or all of one event."""
        self.events.off(name, listener)

    def close(self) -> None:
        """Close every connection: WebSockets with a close frame, polls with an answer. New ones are accepted again."""
        self.close_all("forced close")

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """The WSGI application: our path here, everything else to the wrapped application."""
        if self.serves(environ.get("PATH_INFO", "")):
            return self._door.handle(environ, start_response)
        if self.wsgi_app is not None:
            if not self.is_started and not self.is_closed and (self.starts_with_pages or hosting_of(environ).is_shared):
                self.start(environ)         # a page may emit to the clients of others, though this process has none yet
            return self.wsgi_app(environ, start_response)
        start_response("404 Not Found", [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", "9")])
        return [b"not found"]

    def serves(self, path: str) -> bool:
        """Tell whether a request to `path` is ours."""
        prefix = "/" + self.options.path.strip("/")
        if self.options.add_trailing_slash:
            return path.startswith(prefix + "/")
        return path == prefix or path.startswith(prefix + "/")

    # -- life --------------------------------------------------------------------------------------------------------------

    def start(self, environ: Environ | None = None) -> Driver:
        """Settle the runtime and start, if that has not happened. `environ`: the request in hand, which tells what serves it."""
        if self.is_started:
            if self.driver.name == "threads":
                refuse_late_patching()
            return self.driver
        must_tell = False
        with self._starting:                # no leaf: whoever starts makes all other locks in it
            if not self._has_started():
                options = self.options
                self.driver = self._given_driver or choose(options.runtime, environ, options.max_handlers)
                self.notices = Notices(logger, self.driver.now)
                self.heartbeat = Heartbeat(self.driver, options.ping_interval, options.ping_timeout, self.notices.remind)
                self.started_at = self.driver.now()
                if environ is not None and self._given_driver is None and hosting_of(environ).is_shared:
                    self._join_workers(environ)
                self._listener.start(self.driver)
                carrier = self.find_carrier()
                if carrier is not None:
                    self.routing = self.routing or Routing(self)
                    self.routing.go_far(carrier)
                self.is_started = must_tell = True
                _close_at_exit(self)
        if must_tell:
            self.on_start()
        return self.driver

    def _join_workers(self, environ: Environ) -> None:
        """Several processes serve this address: find the others."""
        try:
            self.routing = Routing(self, environ)
        except CannotMeet as error:
            self.why_alone = str(error)
        else:
            assert self.routing.bus is not None
            self.on_workers(self.routing.bus)

    def run_on(self, driver: Driver) -> None:
        """Run on this driver instead of one that fits what serves. Raises RuntimeError when it has started."""
        with self._starting:
            if self._has_started():
                raise RuntimeError("the server has started already, so its runtime is settled: make a new one for each test")
            self._given_driver = driver

    def _has_started(self) -> bool:
        return self.is_started              # another thread may have been first

    def close_all(self, reason: str, code: int | None = None) -> None:
        """End every connection now; what waits for slow ones is dropped."""
        for connection in list(self.connections.values()):
            connection.abort(reason, None, code)

    def shut_down(self) -> None:
        """Refuse what comes from now on, and end what is there: the process is about to."""
        with self._lock:
            self.is_closed = True
        self.close_all("forced close", 1001)
        if self.is_started:
            self.heartbeat.stop()
            self.notices.remind(at_once=True)

    def stop(self, timeout: float = 2.0) -> None:
        """End it all, for good: WebSockets are closed with 1001, polls answered, our threads ended. Runs when the process ends, too."""
        self.shut_down()
        if self.is_started:
            for websocket in list(self.lingering):
                self.driver.discard(websocket)      # what it has to say is said, and nobody will read the answer
            if self.routing is not None:
                self.routing.close()
            self.driver.stop(timeout)

    def reset(self) -> None:
        """Start afresh in the child of a fork: the clients stay with the parent."""
        self._lock = native_lock()
        self._starting = native_rlock()
        if self.is_started:
            self.is_started = self.has_looked_around = False
            self.driver.abandon()
            if self.routing is not None:
                self.routing.abandon()
                self.routing = None
            self.connections = {}
            self.lingering = set()
            self._listener.reset()

    def audit(self) -> list[str]:
        """Name what is left when nothing should be."""
        if not self.is_started:
            return []
        left = [f"{connection!r} is registered" for connection in self.connections.values()]
        if len(self.heartbeat):
            left.append(f"{len(self.heartbeat)} connections have a heartbeat")
        found = self.driver.audit()
        return left + (found if self.routing is None else self.routing.audit(found))

    # -- what connections and the door need ----------------------------------------------------------------------------------

    def register(self, connection: Connection) -> bool:
        """Make a connection known. False: `max_connections` are there already, or its id is taken."""
        limit = self.options.max_connections
        with self._lock:
            if self.is_closed or (limit is not None and len(self.connections) >= limit) or connection.id in self.connections:
                return False
            self.connections[connection.id] = connection
        return True

    def opened(self, connection: Connection) -> None:
        """Its open packet is on its way: it lives from here on."""
        for probe in self.probes:
            probe.connection_opened(connection)
        connection.open()
        self.heartbeat.opened(connection)
        if connection.state is CLOSED:
            self.forget(connection)         # lost between the two
            return
        connection.receiver.opened()
        if self.events.has("connection"):
            strand = connection.strand
            if strand.put(_call_connected, self, connection, self.habits["connection"]):
                connection.driver.run(strand)

    def receiver(self, connection: Connection) -> Receiver:
        return self._listener.opened(connection)

    def has_greeters(self) -> bool:
        return self.events.has("connection")

    def pong(self, connection: Connection) -> None:
        if connection.protocol == 4:
            self.heartbeat.pong(connection)
            connection.fire("heartbeat")
        else:
            connection.receive("3", b"")

    def pinged(self, connection: Connection) -> None:
        self.heartbeat.listen(connection)
        connection.fire("heartbeat")

    def forget(self, connection: Connection) -> None:
        if self.connections.get(connection.id) is connection:
            self.connections.pop(connection.id, None)       # another thread may have been quicker
        self.heartbeat.forget(connection)


def _nothing() -> None:
    pass


def _ignore(bus: Bus) -> None:
    pass


def _nobody() -> None:
    return None


def _call_connected(server: EngineServer, connection: Connection) -> None:
    call_all(server.events.take("connection"), (connection,), connection.id)


def _reset_after_fork(server: EngineServer) -> None:
    reference = weakref.ref(server)

    def reset() -> None:
        alive = reference()
        if alive is not None:
            alive.reset()

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=reset)


def _close_at_exit(server: EngineServer) -> None:
    reference = weakref.ref(server)

    def close() -> None:
        alive = reference()
        if alive is not None and alive.is_started:
            alive.on_exit()

    atexit.register(close)
