"""Options: ours, those that Flask-SocketIO had, and those of `app.config`."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask

import sync_sio.parsers.msgpack
from sync_sio import RequestRefused
from sync_sio.testing import TestClient
from sync_sio_flask import SocketIO, join_room
from tests.live.servers import wait_for
from tests.redis_server import RedisServer


def options_of(**options: Any) -> Any:
    return SocketIO(Flask("shop"), **options).io.options


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ({}, {"runtime": "auto", "path": "/socket.io", "cors_allowed_origins": None, "ping_interval": 25.0, "ping_timeout": 20.0}),
        ({"async_mode": None}, {"runtime": "auto"}),
        ({"async_mode": "threading"}, {"runtime": "threads"}),
        ({"async_mode": "gevent"}, {"runtime": "gevent"}),
        ({"async_mode": "gevent_uwsgi"}, {"runtime": "gevent"}),
        ({"path": "my/socket.io"}, {"path": "/my/socket.io"}),
        ({"resource": "/events/"}, {"path": "/events"}),
        ({"path": "/events", "resource": "/others"}, {"path": "/events"}),
        ({"path": None, "resource": None}, {"path": "/socket.io"}),
        ({"max_http_buffer_size": 1e8}, {"max_http_buffer_size": 100_000_000}),
        ({"ping_interval": (5, 2), "ping_timeout": 3}, {"ping_interval": 5, "ping_timeout": 3}),
        ({"max_http_buffer_size": 1000, "allow_upgrades": False}, {"max_http_buffer_size": 1000, "allow_upgrades": False}),
        ({"transports": "websocket"}, {"transports": ["websocket"]}),
        ({"transports": None}, {"transports": ("polling", "websocket")}),
        ({"http_compression": False, "compression_threshold": 5}, {"http_compression": False}),
        ({"compression_threshold": 5}, {"http_compression": {"threshold": 5}}),
        ({"cookie": "io"}, {"cookie": "io"}),
        ({"cookie": {"name": "io", "httpOnly": True, "Max-Age": 5}}, {"cookie": {"name": "io", "http_only": True, "max_age": 5}}),
        ({"cors_allowed_origins": []}, {"cors_allowed_origins": False}),
        ({"cors_allowed_origins": "*"}, {"cors_allowed_origins": "*"}),
        ({"cors_allowed_origins": ["https://a.example"]}, {"cors_allowed_origins": ["https://a.example"]}),
        ({"serializer": "msgpack"}, {"parser": sync_sio.parsers.msgpack}),
        ({"serializer": "default"}, {"parser": None}),
        ({"message_queue": None, "channel": "c", "client_manager": None, "monitor_clients": False}, {"adapter": None}),
        ({"max_connections": 5, "health": True}, {"max_connections": 5, "health": True}),
    ],
    ids=str,
)
def test_what_an_option_means(theirs: dict[str, Any], ours: dict[str, Any]) -> None:
    found = options_of(**theirs)
    assert {name: getattr(found, name) for name in ours} == ours


@pytest.mark.parametrize(
    ("wrong", "error", "says"),
    [
        ({"async_mode": "eventlet"}, ValueError, "'threading', 'gevent'"),
        ({"serializer": "pickle"}, ValueError, "parser="),
        ({"message_queue": "amqp://host"}, ValueError, "adapter="),
        ({"message_queue": "redis://", "adapter": object()}, ValueError, "one of them"),
        ({"client_manager": object()}, ValueError, "message_queue="),
        ({"ping_timout": 5}, TypeError, "did you mean 'ping_timeout'"),
        ({"ping_timeout": "5"}, TypeError, "seconds"),
    ],
)
def test_an_option_that_cannot_be_is_named(wrong: dict[str, Any], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        options_of(**wrong)


def test_the_configuration_has_options() -> None:
    app = Flask("shop")
    app.config.update(SYNC_SIO_PING_INTERVAL=5, SYNC_SIO_PING_TIMEOUT=4, SYNC_SIO_MANAGE_SESSION=False, SYNC_SIO_NAMESPACES=["/quiet"])
    socketio = SocketIO(ping_timeout=3)
    socketio.init_app(app)
    assert (socketio.io.options.ping_interval, socketio.io.options.ping_timeout) == (5, 3)  # what is said in the program is stronger
    assert socketio.manage_session is False
    assert socketio.test_client(app, "/quiet").is_connected("/quiet")
    app.config["SYNC_SIO_PINGTIMEOUT"] = 3
    with pytest.raises(TypeError, match="'pingtimeout'"):
        SocketIO(app)


def test_options_of_init_app_are_stronger_than_those_before() -> None:
    socketio = SocketIO(ping_interval=5, ping_timeout=4)
    socketio.init_app(Flask("shop"), ping_timeout=3)
    assert (socketio.io.options.ping_interval, socketio.io.options.ping_timeout) == (5, 3)
    assert socketio.server_options == {"ping_interval": 5, "ping_timeout": 3}


def test_a_function_of_the_origin_alone() -> None:
    asked: list[Any] = []

    def one(origin: str) -> bool:
        asked.append(origin)
        return origin == "https://good.example"

    for function in (one, lambda origin, environ: one(origin)):
        io = SocketIO(Flask("shop"), cors_allowed_origins=function).io
        with TestClient(io, headers={"Origin": "https://good.example"}) as client:
            assert client.connected
        with pytest.raises(RequestRefused):
            TestClient(io, headers={"Origin": "https://bad.example"})
        io.close()
    assert set(asked) == {"https://good.example", "https://bad.example"}


def test_a_cookie_of_functions_is_asked_for_each_client() -> None:
    app = Flask("shop")
    numbers = iter(range(5))
    SocketIO(app, cookie={"name": "io", "path": lambda: f"/{next(numbers)}"})
    for number in range(2):
        answer = app.test_client().get("/socket.io/?EIO=4&transport=polling")
        assert f"Path=/{number}" in answer.headers["Set-Cookie"]


def test_a_json_module_has_a_form_for_what_we_have_none_for() -> None:
    class Money:
        pass

    module = SimpleNamespace(dumps=lambda value: json.dumps(value, default=lambda money: "5 EUR"), loads=json.loads)
    app = Flask("shop")
    socketio = SocketIO(app, json=module)
    socketio.on("e")(lambda: Money())
    assert socketio.test_client(app).emit("e", callback=True) == "5 EUR"


def test_a_json_provider_of_the_application_is_asked() -> None:
    from flask.json.provider import DefaultJSONProvider

    class Money:
        pass

    class Provider(DefaultJSONProvider):
        default = staticmethod(lambda value: "5 EUR")

    app = Flask("shop")
    socketio = SocketIO(app)
    app.json = Provider(app)
    socketio.on("e")(lambda: Money())
    assert socketio.test_client(app).emit("e", callback=True) == "5 EUR"


def test_a_logger_of_yours_gets_what_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    mine = logging.Logger("mine")
    records: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = records.append  # type: ignore[method-assign]
    mine.addHandler(handler)
    ours = logging.getLogger("sync_sio")
    before = list(ours.handlers)
    try:
        for _ in range(2):  # a second server tells it nothing twice
            SocketIO(Flask("shop"), logger=mine)
        logging.getLogger("sync_sio.sockets").warning("told")
        assert [record.getMessage() for record in records] == ["told"]
    finally:
        ours.handlers[:] = before


def test_logger_true_shows_what_is_logged() -> None:
    ours = logging.getLogger("sync_sio")
    before = ours.level, list(ours.handlers)
    try:
        SocketIO(Flask("shop"), logger=True)
        assert ours.isEnabledFor(logging.INFO)
    finally:
        ours.level, ours.handlers[:] = before  # type: ignore[misc]
        ours.setLevel(before[0])


def test_an_emitter_without_an_application_needs_a_queue() -> None:
    with pytest.raises(ValueError, match="message_queue"):
        SocketIO().init_app(None)


def test_a_queue_can_be_read() -> None:
    with_application = SocketIO(Flask("shop"), message_queue="redis://", channel="c")
    without, later = SocketIO(message_queue="redis://"), SocketIO()
    later.init_app(None, message_queue="redis://")
    assert with_application.server_options["client_manager"] == ("redis://", "c", False)
    assert without.server_options["client_manager"].write_only and later.server_options["client_manager"].write_only
    without.init_app(Flask("shop"))                     # the same queue, with an application now
    assert not without.server_options["client_manager"].write_only and without.io.adapter is not None


def test_a_queue_links_servers_and_who_has_none(redis_server: Path, tmp_path: Path) -> None:
    with RedisServer(redis_server, tmp_path) as redis:
        apps = [Flask("one"), Flask("two")]
        ios = [SocketIO(app, message_queue=redis.url, channel="shop", async_mode="threading") for app in apps]
        for socketio in ios:
            socketio.on("room")(lambda room: join_room(room))
        clients = [socketio.test_client(app) for socketio, app in zip(ios, apps, strict=True)]
        clients[0].emit("room", "a")
        wait_for(lambda: all(socketio.io.adapter_status().nodes == 2 for socketio in ios), 20)
        outside = SocketIO(message_queue=redis.url, channel="shop")
        task = SocketIO(Flask("task"), message_queue=redis.url, channel="shop")     # as where a task imports the application
        heard: list[list[str]] = [[], []]

        def hear() -> list[list[str]]:
            for client, events in zip(clients, heard, strict=True):
                events += [event["name"] for event in client.get_received()]
            return heard

        outside.emit("in a", {"x": b"1"}, to="a")
        outside.emit("but a", skip_sid=request_sid(ios[0]))
        task.emit("from a task", to="a")
        ios[1].emit("from two", to="a")
        ios[0].emit("end")
        wait_for(lambda: all("end" in events for events in hear()) and {"from two", "from a task"} <= {*heard[0]}, 10, lambda: str(heard))
        assert sorted(heard[0]) == ["end", "from a task", "from two", "in a"]
        wait_for(lambda: "but a" in hear()[1], 10)
        assert sorted(heard[1]) == ["but a", "end"]
        answers: list[Any] = []
        for number, client in enumerate(clients):
            client.on("question", lambda number=number: number)
        ios[1].emit("question", callback=answers.append)
        ios[1].emit("question", callback=answers.append, ignore_queue=True)
        wait_for(lambda: len(answers) == 3, 10, lambda: str(answers))
        assert sorted(answers) == [0, 1, 1]
        assert ios[1].call("question", to=request_sid(ios[0])) == 0 and ios[1].call("question", to=request_sid(ios[1])) == 1
        with pytest.raises(KeyError, match="nobody"):
            ios[1].call("question", to="nobody", timeout=5)
        with pytest.raises(KeyError):
            ios[1].call("question", to=request_sid(ios[0]), ignore_queue=True)
        assert not task.io.engine.is_started
        with pytest.raises(RuntimeError, match="serves nobody"):
            task.emit("question", callback=print)
        task.close_room("a")
        wait_for(lambda: "a" not in ios[0].io.sockets.adapter.rooms, 10)
        with pytest.raises(ValueError, match="callback"):
            outside.emit("x", callback=print)
        for socketio in ios:
            socketio.io.close()


def request_sid(socketio: SocketIO) -> str:
    """Return the id of the one client of a server."""
    (sid,) = socketio.io.sockets.sockets
    return sid
