"""`SocketIO`: Socket.IO for Flask applications, in the words of Flask-SocketIO."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, overload
from weakref import WeakSet

from flask import Flask, current_app, has_app_context

from sync_sio import Server

from .background import Task, mount_of
from .facade import ServerFacade
from .mount import Mount, mount_in
from .namespace import Namespace
from .options import read_options
from .queue import Outside, take_queue
from .table import Handler, Table, check_event
from .targets import Rooms, emit, namespace_name, skipped_ids, spread
from .turn import current_turn

if TYPE_CHECKING:
    from flask.testing import FlaskClient

    from .testing import SocketIOTestClient

F = TypeVar("F", bound=Callable[..., Any])
N = TypeVar("N", bound=Namespace)


class Reason:
    """Why a client has gone, as `disconnect` handlers are told."""

    SERVER_DISCONNECT = "server disconnect"
    CLIENT_DISCONNECT = "client disconnect"
    PING_TIMEOUT = "ping timeout"
    TRANSPORT_CLOSE = "transport close"
    TRANSPORT_ERROR = "transport error"


class SocketIO:
    """Socket.IO for one application or several: each has a server of its own, and what is registered here is registered with all.

    Args:
        app: the application; None: `init_app` is called later.
        options: those of `sync_sio.Server`, those of Flask-SocketIO, and what `app.config` has as `SYNC_SIO_<OPTION>`.

    Threads: registering is done before serving. Everything else may be called from any thread or greenlet; outside of handlers and
    requests it is about the application that was given last.
    """

    reason: ClassVar[type[Reason]] = Reason

    def __init__(self, app: Flask | None = None, **options: Any) -> None:
        self.table = Table()
        self.server_options: dict[str, Any] = options
        self.manage_session: bool = options.get("manage_session", True)
        self._mounts: WeakSet[Mount] = WeakSet()
        self._last: Mount | None = None
        self._outside: Outside | None = None        # what emits where there is no application
        if app is not None or options.get("message_queue"):
            self.init_app(app)

    def __repr__(self) -> str:
        return f"<SocketIO of {', '.join(repr(mount.app) for mount in self._mounts) or 'no application yet'}>"

    def init_app(self, app: Flask | None, **options: Any) -> None:
        """Put a server in front of an application: `app.wsgi_app` is the server from now on.

        WSGI middleware that changes requests, `ProxyFix` for example, goes around it, so is put there afterwards.

        Raises:
            TypeError, ValueError: an option that does not exist, or cannot be.
        """
        options = {**self.server_options, **options}
        queue = take_queue(dict(options))
        if queue is not None:
            options["client_manager"] = queue._replace(write_only=app is None)
        if app is None:
            if queue is None:
                raise ValueError("SocketIO without an application emits through a Redis: message_queue='redis://…' is wanted")
            self._outside = Outside(queue)
            self.server_options = options
            return
        read = read_options(app, options)
        self.server_options = options
        self.manage_session = read.manage_session
        mount = Mount(self, app, read)
        app.extensions["socketio"] = self
        self._mounts.add(mount)
        self._last = mount

    # -- what there is -----------------------------------------------------------------------------------------------------

    @property
    def mount(self) -> Mount:
        """What belongs to the application of now: of the handler or the request that runs here, else to the last one.

        Raises:
            RuntimeError: there is none yet.
        """
        found = self.find_mount()
        if found is None:
            raise RuntimeError("this SocketIO has no application yet: SocketIO(app), or init_app(app)")
        return found

    def find_mount(self) -> Mount | None:
        turn = current_turn()
        if turn is not None and turn.mount.socketio is self:
            return turn.mount
        if has_app_context():
            found = mount_in(current_app, self)
            if found is not None:
                return found
        started_for = mount_of.get()
        return started_for if started_for is not None and started_for.socketio is self else self._last

    @property
    def io(self) -> Server:
        """The server, with the whole API of sync_sio. Raises RuntimeError before `init_app`."""
        return self.mount.io

    sockio_mw = io

    @property
    def server(self) -> ServerFacade:
        """The verbs of python-socketio's server."""
        return self.mount.facade

    @property
    def wsgi_server(self) -> Any:
        """The web server of `run`; None: another one serves."""
        return self.io.http_server

    @property
    def async_mode(self) -> str:
        """`"threading"` or `"gevent"`."""
        return self.server.async_mode

    @property
    def handlers(self) -> list[tuple[str, Handler, str]]:
        """What was registered, as (event, function, namespace)."""
        return [(event, fn, namespace) for (namespace, event), fn in self.table.handlers.items()]

    @property
    def namespace_handlers(self) -> list[Namespace]:
        """The objects that were registered."""
        return list(self.table.objects.values())

    @property
    def exception_handlers(self) -> dict[str, Handler]:
        return self.table.error_handlers

    @property
    def default_exception_handler(self) -> Handler | None:
        return self.table.default_error_handler

    # -- registering -------------------------------------------------------------------------------------------------------

    def on(self, message: str, namespace: str | None = None) -> Callable[[F], F]:
        """Handle an event, `"connect"`, or `"disconnect"`: a decorator. The last function of an event is the one that is called.

        Args:
            message: the event; `"*"`: each one that nothing else is for; its name is the first argument then.
            namespace: None is `"/"`; `"*"`: each one in which nothing else is for it.

        Raises:
            TypeError: the event is no str; or what is decorated is no function, or async.
        """
        check_event(message)

        def decorate(fn: F) -> F:
            self.on_event(message, fn, namespace)
            return fn

        return decorate

    @overload
    def event(self, namespace: F) -> F: ...
    @overload
    def event(self, namespace: str | None = None) -> Callable[[F], F]: ...
    def event(self, namespace: Any = None) -> Any:
        """Handle the event of the function's name: `@socketio.event`, `@socketio.event(namespace="/x")`."""
        if callable(namespace):
            return self.on(namespace.__name__)(namespace)
        return lambda function: self.on(function.__name__, namespace)(function)

    def on_event(self, message: str, handler: Handler, namespace: str | None = None) -> None:
        """The same as `on`, as a call. Raises TypeError for what is no function, or async."""
        self.table.add(namespace_name(namespace), message, handler)
        self._refresh()

    def on_namespace(self, namespace_handler: N) -> N:
        """Take the methods of an object of a class that derives from `Namespace`. Raises ValueError for anything else."""
        self.table.add_object(namespace_handler)
        namespace_handler.attach(self)
        self._refresh()
        return namespace_handler

    @overload
    def on_error(self, namespace: F) -> F: ...
    @overload
    def on_error(self, namespace: str | None = None) -> Callable[[F], F]: ...
    def on_error(self, namespace: Any = None) -> Any:
        """Call `fn(exception)` for what handlers of a namespace raise; what it returns is the acknowledgement.

        A decorator: `@socketio.on_error` and `@socketio.on_error()` are for `"/"`, `@socketio.on_error("/x")` for another one.
        """
        if callable(namespace):
            return self.on_error()(namespace)

        def decorate(fn: F) -> F:
            self.table.add_error_handler(namespace_name(namespace), fn)
            return fn

        return decorate

    def on_error_default(self, exception_handler: F) -> F:
        """The same for namespaces that have none of their own."""
        self.table.set_default_error_handler(exception_handler)
        return exception_handler

    def _refresh(self) -> None:
        for mount in tuple(self._mounts):
            mount.refresh()

    # -- sending -----------------------------------------------------------------------------------------------------------

    def emit(
        self,
        event: str,
        *args: Any,
        namespace: str | None = None,
        to: Rooms = None,
        room: Rooms = None,
        include_self: bool = True,
        skip_sid: str | Iterable[str] | None = None,
        callback: Callable[..., Any] | None = None,
        broadcast: bool = True,
        ignore_queue: bool = False,
    ) -> None:
        """Send an event to all clients of a namespace, or to those of `to`. From anywhere.

        Args:
            args: what is sent: nothing for None alone, several values for a tuple alone.
            to, room: a room, a client's id, or a list of them.
            include_self: whether the client is reached whose handler runs here.
            skip_sid: ids that are left out.
            callback: called with the answer of each client, in a request context of that client. For those of other processes in an app
                context, with the first value, and when all of them have answered, or a minute is over.
            ignore_queue: reach the clients of this process only.

        Raises:
            TypeError: something in `args` cannot be sent. ValueError: a reserved name.
        """
        if self._outside is not None and self.find_mount() is None:
            skipped = skipped_ids(skip_sid, True, None)
            self._outside.emit(event, spread(args), namespace, room if to is None else to, skipped, callback is not None)
            return
        mount = self.mount
        home = mount.home(namespace)
        if home is None:
            return
        turn = current_turn()
        sender = turn.socket if turn is not None and turn.mount is mount and turn.socket.namespace.name == home.name else None
        skipped = skipped_ids(skip_sid, include_self, None if sender is None else sender.id)
        emit(home, event, spread(args), room if to is None else to, skipped, callback, ignore_queue, sender)

    def send(
        self,
        data: Any,
        json: bool = False,
        namespace: str | None = None,
        to: Rooms = None,
        callback: Callable[..., Any] | None = None,
        include_self: bool = True,
        skip_sid: str | Iterable[str] | None = None,
        room: Rooms = None,
        broadcast: bool = True,
        ignore_queue: bool = False,
    ) -> None:
        """Send the event `"message"`, or with `json` the event `"json"`; the rest as of `emit`."""
        self.emit(
            "json" if json else "message",
            data,
            namespace=namespace,
            to=to,
            room=room,
            include_self=include_self,
            skip_sid=skip_sid,
            callback=callback,
            ignore_queue=ignore_queue,
        )

    def call(
        self,
        event: str,
        *args: Any,
        namespace: str | None = None,
        to: str | None = None,
        room: str | None = None,
        timeout: float | None = 60.0,
        ignore_queue: bool = False,
    ) -> Any:
        """Send an event to one client and block for its answer: None, one value, or a tuple of several.

        Of a client of another process it is the first value.

        Raises:
            AckTimeout: a TimeoutError: no answer in time.
            Disconnected: a ConnectionError: the client has gone meanwhile; at once.
            KeyError: no such client is connected. ValueError: none was named.
        """
        target = to or room
        return self.server.call(event, spread(args), to=target, namespace=namespace, timeout=timeout, ignore_queue=ignore_queue)

    def close_room(self, room: Any, namespace: str | None = None) -> None:
        """Have all clients leave a room."""
        if self._outside is not None and self.find_mount() is None:
            self._outside.close_room(room, namespace)
        else:
            self.server.close_room(room, namespace)

    # -- the process -------------------------------------------------------------------------------------------------------

    def run(self, app: Flask, host: str | None = None, port: int | None = None, **options: Any) -> None:
        """Serve the application until Ctrl-C, SIGTERM or `stop`, see `running.run`."""
        from .running import run

        if mount_in(app, self) is None:
            self.init_app(app)
        run(mount_in(app, self) or self.mount, host, port, **options)

    def stop(self) -> None:
        """End what `run` has begun; from a handler or a page."""
        from .running import stop

        stop(self.mount)

    def start_background_task(self, target: Callable[..., Any], *args: Any, **kwargs: Any) -> Task:
        """Run a function beside everything else, on a thread or greenlet. Before this process serves it waits until it does."""
        return Task(self.mount, target, args, kwargs).start()

    def sleep(self, seconds: float = 0) -> None:
        """Wait, in the way that is right for the runtime."""
        self.io.sleep(seconds)

    def test_client(
        self,
        app: Flask,
        namespace: str | None = None,
        query_string: str | None = None,
        headers: Any = None,
        auth: dict[str, Any] | None = None,
        flask_test_client: FlaskClient | None = None,
    ) -> SocketIOTestClient:
        """Return a client for tests, connected unless it was refused, see `SocketIOTestClient`."""
        from .testing import SocketIOTestClient

        return SocketIOTestClient(app, self, namespace, query_string, headers, auth, flask_test_client)
