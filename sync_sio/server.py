"""The Socket.IO server: composes the floors, owns nothing but their order. Its methods stand for those of the main namespace."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from inspect import iscoroutinefunction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar, overload

from .adapters.base import ALONE, Adapter, AdapterStatus, CarryingAdapter, check_adapter
from .adapters.workers import WorkersAdapter
from .config import AllowedOrigins, Cookie, Runtime, ServerOptions, refuse_unknown
from .drivers.base import Driver, Waiter
from .drivers.locks import native_lock
from .engine.server import EngineServer
from .health import answer_health, health
from .parsers.custom import Checked, check_parser
from .probe import Probe
from .protocol.http import reason_phrase, with_vary
from .protocol.socketio.packet import PacketParser
from .protocol.socketio.parser import JsonParser
from .sockets.broadcaster import Broadcaster
from .sockets.handlers import check_function
from .sockets.hub import Hub
from .sockets.namespace import Namespace
from .sockets.parents import ParentNamespace, Rule
from .sockets.reaching import SERVERS_TIMEOUT
from .sockets.site import Surrounding
from .sockets.socket import Socket
from .types import Environ, JsonDefault, StartResponse, WSGIApp
from .workers.bus import Bus
from .workers.carrier import Carrier
from .wsgi.files import ClientFiles
from .wsgi.takeover import Taken, take

if TYPE_CHECKING:
    from .wsgi.embedded import EmbeddedServer

F = TypeVar("F", bound=Callable[..., Any])
S = TypeVar("S", bound=Surrounding)
T = TypeVar("T")

EXIT_TIMEOUT = 2.0
"""Seconds that the end of the process waits for a `close` that another thread is at."""


class Server(Broadcaster):
    """A Socket.IO v4 server, and a WSGI application.

    Nothing (thread, descriptor, runtime) exists before first use, so importing an application, preloading and forking are safe.

    Args:
        wsgi_app: gets the requests outside `path`; None answers them with 404.
        path: where the server is reached; everything below it is ours.
        runtime: `"threads"`, `"gevent"`, or `"auto"`: gevent when the process is monkey-patched or gevent is serving.
        transports: which of `"polling"` and `"websocket"` may be used.
        allow_upgrades: whether clients that poll may switch to WebSocket.
        ping_interval, ping_timeout: seconds between pings, and for the answer to one.
        upgrade_timeout: seconds from an upgrade's start to its end.
        connect_timeout: seconds in which a client must have joined a namespace.
        max_http_buffer_size: bytes of one message from a client; a larger one is refused before it is buffered.
        max_attachments: binary attachments of one packet; the JavaScript clients take 10.
        max_namespaces: how many namespaces one client may be connected to.
        cors_allowed_origins: which other origins are served: `"*"`, an origin, a list, a compiled pattern, a function; False: no check.
        cors_credentials, cors_methods, cors_allowed_headers, cors_max_age: what preflight answers say.
        cookie: None, a name, a dict or a function of the environ: a cookie with the session id.
        http_compression: whether polling answers are compressed for clients that take it; True, or a dict with `threshold`, in bytes.
        per_message_deflate: whether WebSocket messages are compressed for clients that offer it; True, or a dict with `threshold` and
            zlib's settings.
        allow_request: `f(environ)`: False, or `RequestRefused`, refuses a handshake.
        initial_packet: a message that follows the open packet.
        json_default: `f(value)` for what JSON has no form for.
        parser: None for JSON, `sync_sio.parsers.msgpack`, or any object with `encode()` and `decoder()`, see `sync_sio.parsers`.
        adapter: what links this server to others of its cluster; None: it is alone, or one of several workers of this machine, which
            link themselves.
        connection_state_recovery: whether a client that was cut off gets back its id, rooms and data, and what it missed; True, or a
            dict with `max_disconnection_duration`, `skip_middlewares` and the bounds, see `RecoveryOptions`.
        cleanup_empty_child_namespaces: whether dynamic namespaces are let go when the last client has left.
        serve_client: whether the JavaScript client is served below `path`.
        health: whether `GET {path}/health` tells how the server is, see `Server.health`.
        max_connections: more clients get 503.
        max_buffered_bytes: outbound bytes that one connection may hold: from half of it `socket.emit` waits.
        send_timeout: seconds that `socket.emit` may wait then.
        max_handlers: handlers that run at once; None: 64 threads or 1000 greenlets.
        ws_engine: `"native"`, or `"simple-websocket"`: a thread per WebSocket on that library.
        allow_eio3: whether Socket.IO v2 clients are served, which speak Engine.IO's third revision.
        trusted_proxies: addresses or networks whose `X-Forwarded-*` headers are believed; `"unix"`: whoever comes over a Unix socket.

    Raises:
        TypeError: an unknown option, or one of the wrong type. ValueError: an impossible value. Both name it.

    Threads: every method may be called from any thread or greenlet.
    """

    socket_class: ClassVar[type[Socket]] = Socket
    """What sockets are made of: a subclass of the server may say one of `Socket`, with properties and methods of its own."""

    def __init__(
        self,
        wsgi_app: WSGIApp | None = None,
        *,
        path: str = "/socket.io",
        add_trailing_slash: bool = True,
        runtime: Runtime = "auto",
        transports: Sequence[str] = ("polling", "websocket"),
        allow_upgrades: bool = True,
        ping_interval: float = 25.0,
        ping_timeout: float = 20.0,
        upgrade_timeout: float = 10.0,
        connect_timeout: float = 45.0,
        max_http_buffer_size: int = 1_000_000,
        max_attachments: int = 10,
        max_namespaces: int = 100,
        cors_allowed_origins: AllowedOrigins = None,
        cors_credentials: bool | None = None,
        cors_methods: Sequence[str] = ("GET", "POST"),
        cors_allowed_headers: Sequence[str] | None = None,
        cors_max_age: int | None = None,
        cookie: Cookie = None,
        http_compression: bool | Mapping[str, Any] = True,
        per_message_deflate: bool | Mapping[str, Any] = False,
        allow_request: Callable[[Environ], object] | None = None,
        initial_packet: str | bytes | None = None,
        json_default: JsonDefault | None = None,
        parser: Any = None,
        adapter: Adapter | None = None,
        connection_state_recovery: bool | Mapping[str, Any] | None = None,
        cleanup_empty_child_namespaces: bool = False,
        serve_client: bool = True,
        health: bool = False,
        max_connections: int | None = None,
        max_buffered_bytes: int = 16_000_000,
        send_timeout: float = 20.0,
        max_handlers: int | None = None,
        ws_engine: Literal["native", "simple-websocket"] = "native",
        allow_eio3: bool = False,
        trusted_proxies: Sequence[str] = (),
        _driver: Driver | None = None,
        _take: Callable[[Environ], Taken] = take,
        **unknown: object,
    ) -> None:
        refuse_unknown(ServerOptions, unknown)
        self.options = ServerOptions(
            path=path,
            add_trailing_slash=add_trailing_slash,
            runtime=runtime,
            transports=transports,
            allow_upgrades=allow_upgrades,
            ping_interval=ping_interval,
            ping_timeout=ping_timeout,
            upgrade_timeout=upgrade_timeout,
            connect_timeout=connect_timeout,
            max_http_buffer_size=max_http_buffer_size,
            max_attachments=max_attachments,
            max_namespaces=max_namespaces,
            cleanup_empty_child_namespaces=cleanup_empty_child_namespaces,
            connection_state_recovery=connection_state_recovery,
            cors_allowed_origins=cors_allowed_origins,
            cors_credentials=cors_credentials,
            cors_methods=cors_methods,
            cors_allowed_headers=cors_allowed_headers,
            cors_max_age=cors_max_age,
            cookie=cookie,
            http_compression=http_compression,
            per_message_deflate=per_message_deflate,
            allow_request=allow_request,
            initial_packet=initial_packet,
            json_default=json_default,
            parser=parser,
            adapter=adapter,
            serve_client=serve_client,
            health=health,
            max_connections=max_connections,
            max_buffered_bytes=max_buffered_bytes,
            send_timeout=send_timeout,
            max_handlers=max_handlers,
            ws_engine=ws_engine,
            allow_eio3=allow_eio3,
            trusted_proxies=trusted_proxies,
        )
        _check_app(wsgi_app, self.options.path)
        self._hub = Hub(self, self.options, _parser_of(self.options))
        self._hub.site.socket_class = self.socket_class
        self.engine = EngineServer(wsgi_app, _options=self.options, _listener=self._hub, _driver=_driver, _take=_take)
        """The Engine.IO server below: connections, session ids, headers, refused requests."""
        self.engine.on_exit = self._close_at_exit
        self.engine.on_start = self._start_spawned
        self.engine.on_workers = self._link_workers
        self.engine.find_carrier = self._carrier
        self.sockets: Namespace = self._hub.of("/")
        """The main namespace."""
        self._everybody = self.sockets._everybody
        self.adapter = adapter
        self.http_server: EmbeddedServer | None = None
        """The embedded server of `listen` and `start`, if any."""
        self._health_path = f"/{path.strip('/')}/health"
        self._files = ClientFiles() if serve_client else None
        self._lock = native_lock()
        self._to_spawn: list[tuple[Callable[..., Any], tuple[Any, ...]]] = []
        self._is_closed = False
        self._closing: Waiter | None = None

    def __repr__(self) -> str:
        return f"<sync_sio.Server at {self.options.path}, {self.engine.clients_count} clients>"

    # -- serving -----------------------------------------------------------------------------------------------------------

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """The WSGI application."""
        path = environ.get("PATH_INFO", "")
        if self.options.health and environ.get("REQUEST_METHOD") in ("GET", "HEAD") and path == self._health_path:
            return answer_health(self, environ, start_response)
        if self._files is not None and path.endswith((".js", ".map")) and self.engine.serves(path):
            name = path.removeprefix("/" + self.options.path.strip("/")).removeprefix("/")
            answer = self._files.find(name, environ.get("HTTP_IF_NONE_MATCH"), environ.get("HTTP_ACCEPT_ENCODING"))
            if answer is not None:
                cors = self.engine.origins.headers(environ.get("HTTP_ORIGIN"), environ)
                start_response(f"{answer.status} {reason_phrase(answer.status)}", with_vary(answer.headers + cors))
                return [answer.body] if environ.get("REQUEST_METHOD") != "HEAD" else []
        return self.engine(environ, start_response)

    def attach(self, wsgi_app: WSGIApp) -> Server:
        """Set the application that gets the requests outside `path`, and return this server: `app.wsgi_app = io.attach(app.wsgi_app)`."""
        _check_app(wsgi_app, self.options.path)
        self.engine.wsgi_app = wsgi_app
        return self

    def listen(
        self,
        port: int = 3000,
        host: str = "127.0.0.1",
        *,
        certfile: str | None = None,
        keyfile: str | None = None,
        backlog: int = 2048,
    ) -> None:
        """Serve until Ctrl-C or SIGTERM on the embedded server, which is gevent's when the runtime is gevent; HTTPS with a certificate."""
        running = self.start(port, host, certfile=certfile, keyfile=keyfile, backlog=backlog)
        try:
            running.http_server.serve_forever()
        finally:
            running.stop()

    def start(
        self,
        port: int = 0,
        host: str = "127.0.0.1",
        *,
        certfile: str | None = None,
        keyfile: str | None = None,
        backlog: int = 2048,
    ) -> Running:
        """Serve in the background; port 0 takes a free one. The result has `.port`, `.url` and `.stop()`, and is a context manager.

        On gevent it is served while greenlets run: the thread that has called this must wait in gevent's ways, as `io.sleep` does, or be
        patched.
        """
        from .wsgi.embedded import EmbeddedServer  # not for those who have a web server

        _check_address(port, certfile, keyfile)
        driver = self.engine.start()
        kind: Literal["threads", "gevent"] = "gevent" if driver.name == "gevent" else "threads"
        http_server = EmbeddedServer(self, host, port, kind, certfile=certfile, keyfile=keyfile, backlog=backlog)
        http_server.start()
        self.http_server = http_server
        return Running(self, http_server)

    def close(self, timeout: float = 2.0) -> None:
        """End it all: every socket gets `"server shutting down"`, WebSockets are closed with 1001, waiting polls get an answer.

        Clients are not told to stay away, so they reconnect to whoever serves next. Waits up to `timeout` seconds for the disconnect
        handlers, but not for the one that it is called from. Requests that come later get 503. Idempotent; runs by itself when the
        process ends.
        """
        engine = self.engine
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = engine.is_closed = True
            closing = self._closing = engine.driver.waiter() if engine.is_started else None
        if closing is None:
            self._hub.unlink()
            return
        try:
            deadline = engine.driver.now() + timeout
            self._hub.close("server shutting down")
            engine.shut_down()
            self._hub.wait_until_told(timeout)
            self._hub.unlink()              # clients elsewhere have heard of the end, and what the handlers of `disconnect` say
            engine.stop(max(0.0, deadline - engine.driver.now()))
        finally:
            closing.set()

    def _close_at_exit(self) -> None:
        self.close()
        if self._closing is not None:
            self._closing.wait(EXIT_TIMEOUT)        # somebody else may have begun it, whom the end of the process would cut off

    def spawn(self, fn: Callable[..., Any], *args: Any) -> None:
        """Run `fn(*args)` beside everything else, on a thread or greenlet of its own, whichever is right.

        Before this process serves, it is queued and starts when it does: in each process of a web server that forks.
        """
        check_function(fn, "spawn")
        if not self.engine.is_started:      # else without the lock: a signal handler may spawn, and its thread may hold it
            with self._lock:
                if not self._has_started():
                    self._to_spawn.append((fn, args))
                    return
        self.engine.driver.spawn(fn, *args)

    def sleep(self, seconds: float) -> None:
        """Wait, in the way that is right for the runtime."""
        self.engine.start().sleep(seconds)

    def _has_started(self) -> bool:
        return self.engine.is_started       # another thread may have been first

    def _start_spawned(self) -> None:
        with self._lock:
            waiting = list(self._to_spawn)
        for fn, args in waiting:
            self.engine.driver.spawn(fn, *args)

    def _link_workers(self, bus: Bus) -> None:
        """The workers of this machine are a cluster, if there is no other."""
        if self._hub.adapter is None or isinstance(self._hub.adapter, WorkersAdapter):
            self._hub.set_adapter(WorkersAdapter(bus, self.options.json_default))

    def _carrier(self) -> Carrier | None:
        adapter = self._hub.adapter
        return adapter.carrier if isinstance(adapter, CarryingAdapter) else None

    def add_probe(self, probe: Probe) -> None:
        """Tell a tool what happens here from now on. Any thread."""
        with self._lock:
            self.engine.probes = self._hub.site.probes = (*self.engine.probes, probe)

    def remove_probe(self, probe: Probe) -> None:
        """Tell this tool nothing more; calls that are on their way may still come. One that was not added is ignored."""
        with self._lock:
            self.engine.probes = self._hub.site.probes = tuple(each for each in self.engine.probes if each is not probe)

    def health(self) -> dict[str, Any]:
        """Tell how this process is doing, at little cost.

        Returns:
            `status`: `"ok"`, or `"closing"` after `close()`. `pid`. `runtime`: None before the first request. `uptime`: seconds since
            then. `clients`: engine connections; `max_connections`. `sockets` and `rooms`: all together; `namespaces`: the same for
            each by its name. With the option `health` it is served as JSON at `{path}/health`, with 503 while the server closes.
        """
        return health(self)

    def audit(self) -> list[str]:
        """Name what is left when nothing should be: sockets, rooms, acks, connections, timers. For tests; empty is good."""
        return self._hub.audit() + self.engine.audit()

    # -- namespaces --------------------------------------------------------------------------------------------------------

    @overload
    def of(self, name: str, fn: Callable[..., Any] | None = None) -> Namespace: ...
    @overload
    def of(self, name: Rule, fn: Callable[..., Any] | None = None) -> ParentNamespace: ...
    def of(self, name: str | Rule, fn: Callable[..., Any] | None = None) -> Namespace | ParentNamespace:
        """Return the namespace of this name, made if need be; `""` is `/` and `abc` is `/abc`. `fn` becomes a connection listener.

        A compiled pattern, or `f(name, auth, environ) -> bool`, gives a dynamic one: namespaces are made when a client asks for a name
        that it allows, share what is registered with the parent, and get what the parent broadcasts.
        """
        return self._hub.of(name, fn)

    @property
    def namespaces(self) -> dict[str, Namespace | ParentNamespace]:
        """A snapshot: the namespaces by name, and behind them the dynamic ones, under names such as `/_0` that no client can ask for."""
        return self._hub.all()

    @overload
    def on(self, event: str, fn: F) -> F: ...
    @overload
    def on(self, event: str) -> Callable[[F], F]: ...
    def on(self, event: str, fn: Any = None) -> Any:
        """Call `fn(socket)` for each `"connection"` (or `"connect"`). As a call or a decorator; returns `fn`."""
        return self.sockets.on(event) if fn is None else self.sockets.on(event, fn)

    @overload
    def once(self, event: str, fn: F) -> F: ...
    @overload
    def once(self, event: str) -> Callable[[F], F]: ...
    def once(self, event: str, fn: Any = None) -> Any:
        """The same for the next time only."""
        return self.sockets.once(event) if fn is None else self.sockets.once(event, fn)

    def off(self, event: str | None = None, fn: Callable[..., Any] | None = None) -> None:
        """Remove a listener, all of one event, or all."""
        self.sockets.off(event, fn)

    remove_listener = off
    remove_all_listeners = off

    def listeners(self, event: str) -> list[Callable[..., Any]]:
        """Return the listeners of one event."""
        return self.sockets.listeners(event)

    @overload
    def event(self, name: F) -> F: ...
    @overload
    def event(self, name: str, fn: F, *, concurrent: bool = False) -> F: ...
    @overload
    def event(self, name: str | None = None, *, concurrent: bool = False) -> Callable[[F], F]: ...
    def event(self, name: Any = None, fn: Any = None, *, concurrent: bool = False) -> Any:
        """Handle an event of every socket of the main namespace: `@io.event`, `@io.event("name")`, or `io.event("name", fn)`."""
        return self.sockets.event(name, fn, concurrent=concurrent)

    def register(self, handlers: T) -> T:
        """Take an object's `on_…` methods, and those marked with `event`, as handlers of the main namespace."""
        return self.sockets.register(handlers)

    def on_error(self, fn: F) -> F:
        """Call `fn(error, socket, event, args)` once for each handler that fails, in whichever namespace."""
        return self._hub.on_error(fn)

    def around(self, fn: S) -> S:
        """Have your functions run inside a context manager: `fn(socket, event, args)` makes one for each event. Returns the function.

        It is entered before the catch-all listeners, the packet middleware and the handlers of the event, and left after them, before a
        result is acknowledged: here a framework's context is pushed, what a session has learned is saved, a span is measured. The same
        holds for `"connection"`, `"disconnecting"`, `"disconnect"` and `"error"`, for the namespace's middleware (the event is
        `"middleware"`), and for acknowledgement callbacks (the event that was emitted). What runs for no client, listeners of other
        servers' events and of rooms, callbacks of broadcasts, rules of dynamic namespaces, has None for the socket. The first is the
        outermost.

        An exception of a handler is told to `on_error` and never reaches it; its own keeps the functions from running, or refuses
        the client in middleware, and is told, too. Functions given to `spawn` and to `io.engine.on` run without.
        """
        return self._hub.around(fn)

    @overload
    def use(self, fn: F, *, admitted: bool = False) -> F: ...
    @overload
    def use(self, fn: None = None, *, admitted: bool = False) -> Callable[[F], F]: ...
    def use(self, fn: Any = None, *, admitted: bool = False) -> Any:
        """Add middleware for those who connect: `fn(socket)` raises to refuse, `fn(socket, next)` calls `next` when it knows."""
        return self.sockets.use(fn, admitted=admitted)

    # -- other servers -------------------------------------------------------------------------------------------------------

    @property
    def adapter(self) -> Adapter | None:
        """What links this server to others; None: nothing does. May be set until the server serves. Several workers of one machine that
        were given none link themselves when they do.

        Not to be mixed up with `io.sockets.adapter`, which knows who is in which room.
        """
        return self._hub.adapter

    @adapter.setter
    def adapter(self, adapter: Adapter | None) -> None:
        check_adapter(adapter)
        self._hub.set_adapter(adapter)
        self.engine.starts_with_pages = adapter is not None

    def adapter_status(self) -> AdapterStatus:
        """Return how the link to other servers is: (connected, lag, nodes, last_error). In memory: `(True, 0.0, 1, None)`."""
        adapter = self._hub.adapter
        return ALONE if adapter is None else adapter.status()

    def server_side_emit(self, event: str, *args: Any, ack: Callable[..., Any] | None = None) -> None:
        """Send an event to the other servers' `io.on(event)` listeners, see `Namespace.server_side_emit`."""
        self.sockets.server_side_emit(event, *args, ack=ack)

    def server_side_call(self, event: str, *args: Any, timeout: float = SERVERS_TIMEOUT) -> list[Any]:
        """The same, and block for their answers, see `Namespace.server_side_call`."""
        return self.sockets.server_side_call(event, *args, timeout=timeout)


class Running:
    """A server that serves in the background. As a context manager it stops at the end."""

    def __init__(self, server: Server, http_server: EmbeddedServer) -> None:
        self._server = server
        self.http_server = http_server

    @property
    def port(self) -> int:
        """The TCP port that it listens on."""
        return self.http_server.port

    @property
    def url(self) -> str:
        """Where clients find it, with scheme, host and port."""
        return self.http_server.url

    def stop(self) -> None:
        """Close the server and stop listening. Idempotent."""
        self._server.close()
        self.http_server.stop()

    def __enter__(self) -> Running:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()


def _parser_of(options: ServerOptions) -> PacketParser:
    if options.parser is None:
        return JsonParser(options.max_attachments, options.json_default, options.max_http_buffer_size * options.max_attachments)
    check_parser(options.parser, options.json_default)
    return Checked(options.parser, options.json_default)


def _check_address(port: object, certfile: str | None, keyfile: str | None) -> None:
    if isinstance(port, bool) or not isinstance(port, int):
        raise TypeError(f"port={port!r}: a whole number is wanted")
    if not 0 <= port < 65536:
        raise ValueError(f"port={port!r}: a number from 0 to 65535 is wanted; 0 takes a free one")
    if keyfile is not None and certfile is None:
        raise ValueError(f"keyfile={keyfile!r} without a certfile: HTTPS needs both")
    for name, file in (("certfile", certfile), ("keyfile", keyfile)):
        if file is not None and not Path(file).is_file():
            raise FileNotFoundError(f"{name}={file!r}: there is no such file")


def _check_app(wsgi_app: object, path: str) -> None:
    if isinstance(wsgi_app, int | str) and not isinstance(wsgi_app, bool):
        raise TypeError(f"{wsgi_app!r} is no WSGI application; to serve on a port, call listen({wsgi_app!r}) on the server")
    if isinstance(wsgi_app, Mapping):
        raise TypeError("options are keyword arguments: Server(**options)")
    if wsgi_app is not None and not callable(wsgi_app):
        raise TypeError(f"{wsgi_app!r} is no WSGI application: a function of (environ, start_response) is wanted, or None")
    if any(map(iscoroutinefunction, (wsgi_app, getattr(type(wsgi_app), "__call__", None)))):  # noqa: B004  # it is callable; is its __call__ async?
        raise TypeError(f"{wsgi_app!r} is async, as ASGI applications are: a WSGI application is wanted")
    if isinstance(wsgi_app, Server) and wsgi_app.options.path.strip("/") == path.strip("/"):
        raise ValueError(f"{wsgi_app!r} has the path of the server in front of it, so no request would reach it: give one another path")


