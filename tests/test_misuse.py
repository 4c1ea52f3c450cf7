"""Mistakes of callers raise where they are made, and say what was wrong, with the value, and what to do. Nothing is half sent."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask

from sync_sio import Server, admin, tracing
from sync_sio.engine import EngineServer
from sync_sio.metrics import PrometheusMetrics
from sync_sio.sockets.socket import Socket
from sync_sio.testing import TestClient
from sync_sio_flask import SocketIO
from tests.sockets.fakes import Client, World


class Place:
    """A server that nobody serves, and a hub with one client whose socket is in the room `"a"`."""

    def __init__(self) -> None:
        self.io = Server()
        self.world = World()
        self.world.start()
        self.client: Client = self.world.client()
        self.socket: Socket = self.client.join()
        self.socket.join("a")
        self.main = self.world.main
        self.parent = self.world.hub.of(re.compile("^/never"))


@pytest.fixture
def place() -> Iterator[Place]:
    place = Place()
    yield place
    place.world.end()


async def later(*args: Any) -> None: ...


REGISTER: dict[str, Callable[[Place, Any], object]] = {
    "io.on": lambda p, fn: p.io.on("connection", fn),
    "io.once": lambda p, fn: p.io.once("connection", fn),
    "io.event": lambda p, fn: p.io.event("x", fn),
    "io.event as a decorator": lambda p, fn: p.io.event("x")(fn),
    "io.use": lambda p, fn: p.io.use(fn),
    "io.use(admitted)": lambda p, fn: p.io.use(fn, admitted=True),
    "io.on_error": lambda p, fn: p.io.on_error(fn),
    "io.of(name, fn)": lambda p, fn: p.io.of("/x", fn),
    "io.of(rule)": lambda p, fn: p.io.of(fn),
    "io.spawn": lambda p, fn: p.io.spawn(fn),
    "io.attach": lambda p, fn: p.io.attach(fn),
    "io.engine.on": lambda p, fn: p.io.engine.on("headers", fn),
    "io.engine.once": lambda p, fn: p.io.engine.once("connection", fn),
    "io.engine.generate_id": lambda p, fn: setattr(p.io.engine, "generate_id", fn),
    "namespace.on": lambda p, fn: p.main.on("new_namespace", fn),
    "namespace.event": lambda p, fn: p.main.event("x", fn),
    "namespace.adapter.on": lambda p, fn: p.main.adapter.on("join-room", fn),
    "namespace.emit(ack=)": lambda p, fn: p.main.emit("x", ack=fn),
    "namespace.server_side_emit(ack=)": lambda p, fn: p.main.server_side_emit("x", ack=fn),
    "parent.event": lambda p, fn: p.parent.event("x", fn),
    "socket.on": lambda p, fn: p.socket.on("x", fn),
    "socket.once": lambda p, fn: p.socket.once("x", fn),
    "socket.use": lambda p, fn: p.socket.use(fn),
    "socket.on_any": lambda p, fn: p.socket.on_any(fn),
    "socket.prepend_any_outgoing": lambda p, fn: p.socket.prepend_any_outgoing(fn),
    "socket.emit(ack=)": lambda p, fn: p.socket.emit("x", ack=fn),
    "socket.timeout.emit(ack=)": lambda p, fn: p.socket.timeout(1).emit("x", ack=fn),
    "io.to.emit(ack=)": lambda p, fn: p.main.to("a").emit("x", ack=fn),
    "allow_request": lambda p, fn: Server(allow_request=fn),
    "json_default": lambda p, fn: Server(json_default=fn),
    "cookie": lambda p, fn: Server(cookie=fn),
    "cors_allowed_origins": lambda p, fn: Server(cors_allowed_origins=fn),
}


@pytest.mark.parametrize("where", REGISTER)
def test_an_async_function_is_refused_where_it_is_given(place: Place, where: str) -> None:
    with pytest.raises(TypeError, match=r"later.* is async"):
        REGISTER[where](place, later)
    assert place.client.said() == []


@pytest.mark.parametrize("where", REGISTER)
def test_what_is_no_function_is_refused_where_it_is_given(place: Place, where: str) -> None:
    with pytest.raises(TypeError, match=r"\b5\b"):
        REGISTER[where](place, 5)
    assert place.client.said() == []


ROOMS: dict[str, Callable[[Place], Callable[[Any], object]]] = {
    "io.to": lambda p: p.io.to,
    "io.in_": lambda p: p.io.in_,
    "io.except_": lambda p: p.io.except_,
    "operator.to": lambda p: p.main.to("a").to,
    "operator.except_": lambda p: p.main.to("a").except_,
    "socket.join": lambda p: p.socket.join,
    "socket.leave": lambda p: p.socket.leave,
    "socket.to": lambda p: p.socket.to,
    "socket.in_": lambda p: p.socket.in_,
    "socket.except_": lambda p: p.socket.except_,
    "sockets_join": lambda p: p.main.sockets_join,
    "sockets_leave": lambda p: p.main.to("a").sockets_leave,
    "remote.join": lambda p: p.main.fetch_sockets()[0].join,
    "remote.leave": lambda p: p.main.fetch_sockets()[0].leave,
}


@pytest.mark.parametrize("room", ["", None, 1, b"x", ["a", ""], ["a", None], {1}], ids=repr)
@pytest.mark.parametrize("where", ROOMS)
def test_what_is_no_room_is_refused_and_nobody_has_moved(place: Place, where: str, room: Any) -> None:
    before = place.socket.rooms
    with pytest.raises(TypeError, match="is no room"):
        ROOMS[where](place)(room)
    assert place.socket.rooms == before


EMIT: dict[str, Callable[[Place], Callable[..., object]]] = {
    "socket.emit": lambda p: p.socket.emit,
    "socket.emit(ack=)": lambda p: lambda *args: p.socket.emit(*args, ack=print),
    "socket.call": lambda p: p.socket.call,
    "socket.volatile.emit": lambda p: p.socket.volatile.emit,
    "socket.timeout.call": lambda p: p.socket.timeout(1).call,
    "socket.broadcast.emit": lambda p: p.socket.broadcast.emit,
    "namespace.emit": lambda p: p.main.emit,
    "namespace.call": lambda p: p.main.call,
    "namespace.to.emit": lambda p: p.main.to("a").emit,
    "namespace.to.emit(ack=)": lambda p: lambda *args: p.main.to("a").emit(*args, ack=print),
    "namespace.to.call": lambda p: p.main.to("a").call,
    "remote.emit": lambda p: p.main.fetch_sockets()[0].emit,
    "remote.call": lambda p: p.main.fetch_sockets()[0].call,
    "parent.emit": lambda p: p.parent.emit,
    "io.emit before serving": lambda p: p.io.emit,
    "io.call before serving": lambda p: p.io.call,
    "server_side_emit": lambda p: p.main.server_side_emit,
    "server_side_call": lambda p: p.main.server_side_call,
}
RESERVED = ("connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener")


@pytest.mark.parametrize("where", EMIT)
def test_a_reserved_name_is_refused_and_nothing_is_sent(place: Place, where: str) -> None:
    for name in ("connect", "connection", "new_namespace") if where.startswith("server_side") else RESERVED:
        with pytest.raises(ValueError, match=f'"{name}" is a reserved event name'):
            EMIT[where](place)(name)
    assert place.client.said() == [] and not place.socket._core.acks


@pytest.mark.parametrize("where", EMIT)
def test_what_is_no_name_is_refused_and_nothing_is_sent(place: Place, where: str) -> None:
    for name in (None, b"x", 1.5, True, ["x"]):
        with pytest.raises(TypeError, match=re.escape(f"{name!r} is no event name")):
            EMIT[where](place)(name)
    assert place.client.said() == [] and not place.socket._core.acks


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (object(), r"args\[1\]: object cannot be sent"),
        ({"deep": [b"bytes", {1, 2}]}, r'args\[1\]\["deep"\]\[1\]: set cannot be sent'),
        ([b"bytes", {(1, 2): 3}], r"args\[1\]\[1\]: a key of type tuple cannot be sent"),
    ],
)
@pytest.mark.parametrize("where", EMIT)
def test_what_cannot_be_sent_names_the_place_and_nothing_is_sent(place: Place, where: str, value: Any, says: str) -> None:
    with pytest.raises(TypeError, match=says):
        EMIT[where](place)("x", b"before", value)
    assert place.client.said() == [] and not place.socket._core.acks


OPTIONS: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"ping_intervall": 1}, TypeError, "unknown option 'ping_intervall': did you mean 'ping_interval'\\? allowed are"),
    ({"pingInterval": 1}, TypeError, "did you mean 'ping_interval'"),
    ({"cors": "*"}, TypeError, "unknown option 'cors': .*cors_allowed_origins"),
    ({"ping_interval": "25"}, TypeError, "ping_interval='25': seconds are wanted"),
    ({"ping_interval": 0}, ValueError, "ping_interval=0: a number of seconds above 0"),
    ({"ping_timeout": -1}, ValueError, "ping_timeout=-1"),
    ({"upgrade_timeout": float("inf")}, ValueError, "upgrade_timeout=inf"),
    ({"connect_timeout": None}, TypeError, "connect_timeout=None"),
    ({"send_timeout": True}, TypeError, "send_timeout=True"),
    ({"transports": ()}, ValueError, r"transports=\(\): give one or both"),
    ({"transports": 5}, TypeError, "transports=5: a list"),
    ({"transports": "polling"}, ValueError, "transports='polling'"),
    ({"transports": ["ws"]}, ValueError, r"transports=\['ws'\]"),
    ({"path": ""}, ValueError, "path=''"),
    ({"path": "a?b"}, ValueError, r"path='a\?b'"),
    ({"path": None}, TypeError, "path=None"),
    ({"add_trailing_slash": None}, TypeError, "add_trailing_slash=None: True or False"),
    ({"allow_upgrades": "no"}, TypeError, "allow_upgrades='no'"),
    ({"serve_client": "no"}, TypeError, "serve_client='no'"),
    ({"cleanup_empty_child_namespaces": 1}, TypeError, "cleanup_empty_child_namespaces=1"),
    ({"health": "yes"}, TypeError, "health='yes'"),
    ({"runtime": "asyncio"}, ValueError, "runtime='asyncio': allowed are 'auto', 'threads', 'gevent'"),
    ({"ws_engine": "wsproto"}, ValueError, "ws_engine='wsproto': allowed are 'native', 'simple-websocket'"),
    ({"max_http_buffer_size": "1MB"}, TypeError, "max_http_buffer_size='1MB': a whole number"),
    ({"max_http_buffer_size": 0}, ValueError, "max_http_buffer_size=0"),
    ({"max_attachments": -1}, ValueError, "max_attachments=-1"),
    ({"max_namespaces": 0}, ValueError, "max_namespaces=0"),
    ({"max_connections": 0}, ValueError, "max_connections=0"),
    ({"max_buffered_bytes": 1.5}, TypeError, "max_buffered_bytes=1.5"),
    ({"max_handlers": 0}, ValueError, "max_handlers=0"),
    ({"cors_allowed_origins": 5}, TypeError, "cors_allowed_origins is 5"),
    ({"cors_allowed_origins": ["example.com"]}, ValueError, "'example.com' is no origin; write it like https://example.com"),
    ({"cors_allowed_origins": True}, ValueError, 'write "\\*" for every origin'),
    ({"cors_allowed_origins": "*", "cors_credentials": True}, ValueError, "browsers refuse that"),
    ({"cors_credentials": "yes"}, TypeError, "cors_credentials is 'yes'"),
    ({"cors_methods": "G T"}, ValueError, "cors_methods: 'G T'"),
    ({"cors_allowed_headers": 5}, TypeError, "cors_allowed_headers is 5"),
    ({"cors_max_age": "1 h"}, TypeError, "cors_max_age is '1 h'"),
    ({"cookie": 5}, TypeError, "cookie is 5"),
    ({"cookie": {"nme": "x"}}, TypeError, "cookie: unknown nme"),
    ({"per_message_deflate": "yes"}, TypeError, "per_message_deflate is 'yes'"),
    ({"per_message_deflate": {"treshold": 1}}, TypeError, "per_message_deflate: unknown treshold; there are threshold"),
    ({"http_compression": 3}, TypeError, "http_compression is 3"),
    ({"http_compression": {"level": 1}}, TypeError, "http_compression: unknown level"),
    ({"initial_packet": 5}, TypeError, "initial_packet=5"),
    ({"parser": 5}, TypeError, "parser=5: .*encode"),
    ({"adapter": 5}, TypeError, "adapter=5: an adapter is wanted"),
    ({"connection_state_recovery": 3}, TypeError, "connection_state_recovery=3"),
    ({"connection_state_recovery": {"max_duration": 3}}, TypeError, "unknown 'max_duration': there are max_disconnection_duration"),
    ({"trusted_proxies": "10.0.0.0/8"}, TypeError, "trusted_proxies='10.0.0.0/8': a list"),
    ({"trusted_proxies": None}, TypeError, "trusted_proxies=None: a list"),
    ({"trusted_proxies": [5]}, TypeError, "trusted_proxies: 5 is no str"),
    ({"trusted_proxies": ["10.0.0.0/99"]}, ValueError, "'10.0.0.0/99' is neither an address nor a network"),
]


@pytest.mark.parametrize(("options", "error", "says"), OPTIONS, ids=lambda value: str(value) if isinstance(value, dict) else "")
def test_an_option_that_is_wrong_is_named_with_its_value(options: dict[str, Any], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        Server(**options)


@pytest.mark.parametrize(
    ("mistake", "error", "says"),
    [
        (lambda p: Server(3000), TypeError, r"call listen\(3000\) on the server"),
        (lambda p: Server({"path": "/x"}), TypeError, r"options are keyword arguments"),
        (lambda p: Server(p.io), ValueError, "sync_sio.Server at /socket.io.* has the path of the server"),
        (lambda p: p.io.attach(p.io), ValueError, "no request would reach it: give one another path"),
        (lambda p: Server(path="/x/").attach(Server(path="x")), ValueError, "Server at x.* has the path of the server"),
        (lambda p: EngineServer(pingTimeout=3), TypeError, "unknown option 'pingTimeout': did you mean 'ping_timeout'"),
        (lambda p: p.io.listen("3000"), TypeError, "port='3000': a whole number"),
        (lambda p: p.io.start(70000), ValueError, "port=70000: a number from 0 to 65535"),
        (lambda p: p.io.start(certfile="/no/such/file"), FileNotFoundError, "certfile='/no/such/file'"),
        (lambda p: p.io.start(keyfile="key.pem"), ValueError, "without a certfile"),
        (lambda p: p.io.event(1.5), TypeError, "1.5 is no event name"),
        (lambda p: p.io.on(None, print), TypeError, "None is no event name"),
        (lambda p: p.io.on(print), TypeError, "print> is no event name"),           # a decorator without its parentheses
        (lambda p: p.io.once(print), TypeError, "print> is no event name"),
        (lambda p: p.io.of("/x").on(print), TypeError, "print> is no event name"),
        (lambda p: p.socket.on(print), TypeError, "print> is no event name"),
        (lambda p: p.socket.once(print), TypeError, "print> is no event name"),
        (lambda p: p.main.adapter.on(print), ValueError, "print> is none of the adapter's events"),
        (lambda p: p.io.of("a,b"), ValueError, "comma"),
        (lambda p: p.io.of(5), TypeError, r"of\(5\)"),
        (lambda p: p.io.engine.on("conection", print), ValueError, "unknown event 'conection': there are 'connection'"),
        (lambda p: p.io.register(Place), TypeError, "is a class: register an object of it"),
        (lambda p: p.io.register(object()), ValueError, "neither an on_… method nor one that is marked"),
        (lambda p: p.io.event("x", lambda: 1), TypeError, "takes no argument: the first one that it gets is the socket"),
        (lambda p: p.socket.on("x", lambda *, a: 1), TypeError, "keyword-only parameters that nobody gives: a"),
        (lambda p: setattr(p.socket, "id", "x"), AttributeError, "socket.id belongs to sync_sio"),
        (lambda p: setattr(p.socket, "emit", print), AttributeError, "use another name, or socket.data"),
        (lambda p: p.socket.timeout("5"), TypeError, r"timeout\('5'\): seconds are wanted"),
        (lambda p: p.main.timeout(-1), ValueError, r"timeout\(-1\)"),
        (lambda p: p.socket.call("x", timeout="1"), TypeError, r"timeout\('1'\)"),
        (lambda p: p.main.call("x", timeout=-1), ValueError, r"timeout\(-1\)"),
        (lambda p: p.socket.compress("no"), TypeError, r"compress\('no'\): True or False"),
        (lambda p: p.main.to("a").compress(None), TypeError, r"compress\(None\)"),
    ],
)
def test_other_mistakes_say_what_to_do(place: Place, mistake: Callable[[Place], object], error: Any, says: str) -> None:
    with pytest.raises(error, match=says):
        mistake(place)
    assert place.client.said() == []


def test_a_call_where_nothing_may_block_says_what_to_do_instead(place: Place) -> None:
    for call in (place.socket.call, place.main.call):
        with pytest.raises(RuntimeError, match=r"blocks, and this thread may not.*ack="):
            place.world.in_phase_one(lambda call=call: call("x"))
    assert place.client.said() == [] and not place.socket._core.acks


@pytest.mark.parametrize(
    "tool",
    [PrometheusMetrics, tracing.instrument, lambda io: admin.instrument(io, None), TestClient],
    ids=["metrics", "tracing", "admin", "testing"],
)
def test_tools_want_the_server_and_not_what_has_one(tool: Callable[[Any], object]) -> None:
    with pytest.raises(TypeError, match=r"io=<SocketIO of .*>: a sync_sio.Server is wanted; .* attribute io"):
        tool(SocketIO(Flask("shop")))
