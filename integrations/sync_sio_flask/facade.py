"""`socketio.server`: what applications used of python-socketio's `Server`, for clients that are named by their ids. New code uses `io`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sync_sio import Server, Socket

from .targets import emit, namespace_name, room_name, skipped_ids, spread
from .turn import current_turn

if TYPE_CHECKING:
    from .mount import Mount

_ROOMS = "_sync_sio_flask_rooms"
_SESSION = "_sync_sio_flask_session"


class ServerFacade:
    """The verbs of python-socketio's server. Everything may be called from any thread."""

    def __init__(self, mount: Mount) -> None:
        self._mount = mount
        self.manager = ManagerFacade(mount)

    @property
    def io(self) -> Server:
        return self._mount.io

    @property
    def eio(self) -> EngineFacade:
        return EngineFacade(self._mount.io)

    @property
    def async_mode(self) -> str:
        """`"gevent"` or `"threading"`; before the first client, what it will be unless gevent serves without having patched anything."""
        runtime = self.io.health()["runtime"] or self.io.options.runtime
        if runtime == "auto":
            runtime = "gevent" if is_patched() else "threads"
        return "gevent" if runtime == "gevent" else "threading"

    @property
    def handlers(self) -> dict[str, dict[str, Callable[..., Any]]]:
        """A snapshot: functions by namespace and event."""
        found: dict[str, dict[str, Callable[..., Any]]] = {}
        table = self._mount.table
        for namespace, event in sorted(table.events):
            fn = table.handler(namespace, event)
            if fn is not None:
                found.setdefault(namespace, {})[event] = fn
        return found

    @property
    def environ(self) -> dict[str, dict[str, Any]]:
        """A snapshot: the WSGI environs of the handshakes, by the connections' ids."""
        return {socket.conn.id: socket.request for home in self._mount.homes() for socket in home}

    # -- sending -------------------------------------------------------------------------------------------------------------

    def emit(
        self,
        event: str,
        data: Any = None,
        to: Any = None,
        room: Any = None,
        skip_sid: Any = None,
        namespace: str | None = None,
        callback: Callable[..., Any] | None = None,
        ignore_queue: bool = False,
    ) -> None:
        """Send an event to all clients of a namespace, or to those of `to`."""
        home = self._mount.home(namespace)
        if home is not None:
            skipped = skipped_ids(skip_sid, True, None)
            emit(home, event, spread((data,)), room if to is None else to, skipped, callback, ignore_queue, self._sender(home.name))

    def send(self, data: Any, to: Any = None, **options: Any) -> None:
        self.emit("message", data, to, **options)

    def call(
        self,
        event: str,
        data: Any = None,
        to: str | None = None,
        sid: str | None = None,
        namespace: str | None = None,
        timeout: float | None = 60.0,
        ignore_queue: bool = False,
    ) -> Any:
        """Send an event to one client and block for its answer: None, one value, or a tuple of several.

        Of a client of another process it is the first value. Raises KeyError when it is not connected, ValueError when none is named.
        """
        target = to or sid
        if not target:
            raise ValueError(f"call({event!r}): one client is asked, by its id: to=…")
        home, args = self._mount.home(namespace), spread((data,))
        if home is None or ignore_queue or self.io.adapter is None or self.find(target, namespace) is not None:
            return self._find(target, namespace).call(event, *args, timeout=timeout)
        responses = home.to(target).call(event, *args, timeout=timeout)
        if not responses:
            raise KeyError(f"no client {target!r} is connected to {home.name}, or it has left before it answered")
        return responses[0]

    # -- a client ------------------------------------------------------------------------------------------------------------

    def enter_room(self, sid: str, room: Any, namespace: str | None = None) -> None:
        name, home = room_name(room), self._mount.home(namespace)
        socket = self.find(sid, namespace)
        if socket is None:
            if home is not None:
                home.in_(sid).sockets_join(name)        # another server may have it
            return
        if name != room:
            socket.__dict__.setdefault(_ROOMS, {})[name] = room
        socket.join(name)

    def leave_room(self, sid: str, room: Any, namespace: str | None = None) -> None:
        name, home = room_name(room), self._mount.home(namespace)
        socket = self.find(sid, namespace)
        if socket is not None:
            socket.leave(name)
            socket.__dict__.get(_ROOMS, {}).pop(name, None)
        elif home is not None:
            home.in_(sid).sockets_leave(name)

    def close_room(self, room: Any, namespace: str | None = None) -> None:
        name, home = room_name(room), self._mount.home(namespace)
        if home is not None:
            home.in_(name).sockets_leave(name)

    def rooms(self, sid: str, namespace: str | None = None) -> list[Any]:
        """Return the rooms of a client, its own among them; none when it is not here."""
        socket = self.find(sid, namespace)
        return [] if socket is None else rooms_of(socket)

    def disconnect(self, sid: str, namespace: str | None = None, ignore_queue: bool = False) -> None:
        socket, home = self.find(sid, namespace), self._mount.home(namespace)
        if socket is not None:
            socket.disconnect()
        elif home is not None:
            home.in_(sid).disconnect_sockets()

    def get_environ(self, sid: str, namespace: str | None = None) -> dict[str, Any] | None:
        socket = self.find(sid, namespace)
        return None if socket is None else socket.request

    def transport(self, sid: str, namespace: str | None = None) -> str:
        """Return `"polling"` or `"websocket"`. Raises KeyError for a client that is not here."""
        return self._find(sid, namespace).conn.transport.name

    def get_session(self, sid: str, namespace: str | None = None) -> dict[str, Any]:
        found: dict[str, Any] = self._find(sid, namespace).__dict__.setdefault(_SESSION, {})
        return found

    def save_session(self, sid: str, session: dict[str, Any], namespace: str | None = None) -> None:
        self._find(sid, namespace).__dict__[_SESSION] = session

    @contextmanager
    def session(self, sid: str, namespace: str | None = None) -> Iterator[dict[str, Any]]:
        session = self.get_session(sid, namespace)
        yield session
        self.save_session(sid, session, namespace)

    # -- the rest ------------------------------------------------------------------------------------------------------------

    def start_background_task(self, target: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return self._mount.socketio.start_background_task(target, *args, **kwargs)

    def sleep(self, seconds: float = 0) -> None:
        self.io.sleep(seconds)

    def instrument(self, auth: Any = None, mode: str = "development", read_only: bool = False, namespace: str = "/admin") -> None:
        """Have npm's Admin UI shown what goes on, see `sync_sio.admin.instrument`."""
        from sync_sio.admin import instrument

        options: Mapping[str, Any] = {"auth": auth or None, "mode": mode, "read_only": read_only, "namespace_name": namespace}
        instrument(self.io, **options)

    def shutdown(self) -> None:
        self.io.close()

    def find(self, sid: str | None, namespace: str | None) -> Socket | None:
        """Return a client of this process; also one that is coming, or leaving, in whose handler this is called."""
        name = namespace_name(namespace)
        turn = current_turn()
        if turn is not None and turn.mount is self._mount and turn.socket.id == sid and turn.socket.namespace.name == name:
            return turn.socket
        home = self._mount.home(name)
        return None if home is None else home.sockets.get(sid or "")

    def _find(self, sid: str | None, namespace: str | None) -> Socket:
        socket = self.find(sid, namespace)
        if socket is None:
            raise KeyError(f"no client {sid!r} is connected to {namespace or '/'} here")
        return socket

    def _sender(self, name: str) -> Socket | None:
        turn = current_turn()
        return turn.socket if turn is not None and turn.mount is self._mount and turn.socket.namespace.name == name else None


class ManagerFacade:
    """`socketio.server.manager`: who is where, in this process. Snapshots."""

    def __init__(self, mount: Mount) -> None:
        self._mount = mount

    @property
    def rooms(self) -> dict[str, dict[Any, dict[str, str]]]:
        """By namespace and room the ids of clients, with those of their connections; everybody is in the room None."""
        found: dict[str, dict[Any, dict[str, str]]] = {}
        for home in self._mount.homes():
            rooms = found.setdefault(home.name, {})
            for socket in home:
                for room in (None, *rooms_of(socket)):
                    rooms.setdefault(room, {})[socket.id] = socket.conn.id
        return found

    def get_namespaces(self) -> list[str]:
        return [home.name for home in self._mount.homes()]

    def get_participants(self, namespace: str, room: Any) -> Iterator[tuple[str, str]]:
        """Yield the ids of the clients in a room, or in several, and of their connections; None: of all."""
        from .targets import members

        home = self._mount.home(namespace)
        for socket in members(home, room) if home is not None else ():
            yield socket.id, socket.conn.id

    def is_connected(self, sid: str, namespace: str) -> bool:
        return self._mount.facade.find(sid, namespace) is not None

    def get_rooms(self, sid: str, namespace: str) -> list[Any]:
        return self._mount.facade.rooms(sid, namespace)


class EngineFacade:
    """`socketio.server.eio`."""

    def __init__(self, io: Server) -> None:
        self._io = io

    @property
    def sockets(self) -> Mapping[str, Any]:
        """The connections by their ids."""
        return self._io.engine.clients

    def __getattr__(self, name: str) -> Any:
        return getattr(self._io.options, name)


def is_patched() -> bool:
    """Tell whether gevent has replaced Python's threads."""
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and monkey.is_module_patched("threading")


def rooms_of(socket: Socket) -> list[Any]:
    """Return the rooms of a client as they were named."""
    names: dict[str, Any] = socket.__dict__.get(_ROOMS, {})
    return [names.get(room, room) for room in socket.rooms]
