"""`flask sync-sio`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import socketio as their_socketio
from flask import Flask
from flask.testing import FlaskCliRunner
from itsdangerous import TimestampSigner, URLSafeTimedSerializer

from sync_sio_flask import Namespace, SocketIO, join_room


class Old(TimestampSigner):
    def get_timestamp(self) -> int:
        return super().get_timestamp() - 60


class Desk(Namespace):
    def on_draw(self, stroke: int) -> None: ...


def join(room: Any) -> None:
    join_room(room)


@pytest.fixture
def app() -> Flask:
    app = Flask("shop")
    app.config.update(SECRET_KEY="a secret", SYNC_SIO_CONTROL=True)
    return app


@pytest.fixture
def socketio(app: Flask) -> Iterator[SocketIO]:
    socketio = SocketIO(app)
    socketio.on("join")(join)
    socketio.on_namespace(Desk("/desk"))
    socketio.io.event("native", native)
    yield socketio
    socketio.io.close()


def native(socket: Any) -> None: ...


@pytest.fixture
def runner(app: Flask, socketio: SocketIO) -> FlaskCliRunner:
    return app.test_cli_runner()


@pytest.fixture
def url(socketio: SocketIO) -> Iterator[str]:
    with socketio.io.start() as running:
        yield running.url


def words(text: str) -> list[list[str]]:
    return [re.split(r"\s{2,}", line) for line in text.splitlines()]


def test_namespaces(runner: FlaskCliRunner) -> None:
    result = runner.invoke(args=["sync-sio", "namespaces"])
    assert result.exit_code == 0, result.output
    assert words(result.output) == [["NAMESPACE", "HANDLERS"], ["/", "2"], ["/desk", "1"]]


def test_handlers(runner: FlaskCliRunner) -> None:
    result = runner.invoke(args=["sync-sio", "handlers"])
    assert words(result.output) == [
        ["NAMESPACE", "EVENT", "HANDLER"],
        ["/", "join", f"{__name__}.join"],
        ["/", "native", f"{__name__}.native"],
        ["/desk", "draw", f"{__name__}.Desk.on_draw"],
    ]
    result = runner.invoke(args=["sync-sio", "handlers", "--namespace", "/desk"])
    assert [line[1] for line in words(result.output)] == ["EVENT", "draw"]


def test_rooms_and_clients_of_a_server_that_runs(runner: FlaskCliRunner, url: str) -> None:
    with their_socketio.SimpleClient() as one, their_socketio.SimpleClient() as two:
        for client in (one, two):
            client.connect(url)
            client.call("join", "kitchen")
        one.call("join", 5)
        result = runner.invoke(args=["sync-sio", "rooms", "--url", url])
        assert words(result.output) == [["NAMESPACE", "ROOM", "CLIENTS"], ["/", "5", "1"], ["/", "kitchen", "2"]]
        result = runner.invoke(args=["sync-sio", "rooms", "--namespace", "/desk", "--url", url])
        assert words(result.output) == [["NAMESPACE", "ROOM", "CLIENTS"]]
        result = runner.invoke(args=["sync-sio", "rooms", "--namespace", "/nothing", "--url", url])
        assert result.exit_code == 1 and "/desk" in result.output
        result = runner.invoke(args=["sync-sio", "namespaces", "--live"], env={"SYNC_SIO_URL": url})
        assert words(result.output)[:2] == [["NAMESPACE", "HANDLERS", "CLIENTS", "ROOMS"], ["/", "2", "2", "2"]]


def test_emit(runner: FlaskCliRunner, url: str) -> None:
    with their_socketio.SimpleClient() as one, their_socketio.SimpleClient() as two:
        for client in (one, two):
            client.connect(url)
        one.call("join", "kitchen")
        result = runner.invoke(args=["sync-sio", "emit", "news", '{"a": [1, null]}', "plain text", "5", "--url", url])
        assert result.exit_code == 0, result.output
        for client in (one, two):
            assert client.receive(timeout=10) == ["news", {"a": [1, None]}, "plain text", 5]
        runner.invoke(args=["sync-sio", "emit", "supper", "--to", "kitchen", "--url", url])
        runner.invoke(args=["sync-sio", "emit", "end", "--to", one.sid, "--to", two.sid, "--url", url])
        assert [one.receive(timeout=10)[0] for _ in range(2)] == ["supper", "end"]
        assert two.receive(timeout=10)[0] == "end"
        result = runner.invoke(args=["sync-sio", "emit", "connect", "--url", url])
        assert result.exit_code == 1 and "reserved" in result.output


def test_what_went_wrong_is_said(app: Flask, runner: FlaskCliRunner, url: str) -> None:
    def said(*args: str) -> str:
        result = runner.invoke(args=["sync-sio", "rooms", "--url", *args])
        assert result.exit_code == 1
        return result.output

    assert "does not answer" in said("http://127.0.0.1:9")
    app.secret_key = None
    assert "no SECRET_KEY" in said(url)


@pytest.mark.parametrize("debug", [True, False])
def test_it_is_off_but_in_debug_mode(debug: bool) -> None:
    serving, asking = Flask("shop"), Flask("shop")      # the command sets `debug` of the application that it loads
    for app in (serving, asking):
        app.secret_key = "a secret"
    serving.debug = debug
    SocketIO(asking)
    with SocketIO(serving).io.start() as running:
        result = asking.test_cli_runner().invoke(args=["sync-sio", "rooms", "--url", running.url])
    assert (result.exit_code == 0) is debug
    assert debug or "SYNC_SIO_CONTROL" in result.output


def test_only_who_has_the_key_may_ask(app: Flask, socketio: SocketIO) -> None:
    browser = app.test_client()
    wish = {"verb": "state"}
    signed = URLSafeTimedSerializer("a secret", salt="sync_sio_flask.control").dumps(wish)
    assert browser.post("/socket.io-control", data=signed).json == {"/": {"sockets": 0, "rooms": {}}, "/desk": {"sockets": 0, "rooms": {}}}
    session = URLSafeTimedSerializer("a secret", salt="cookie-session").dumps(wish)
    another = URLSafeTimedSerializer("another", salt="sync_sio_flask.control").dumps(wish)
    for body in (session, another, signed + "x", "", "{}", b"\xff" * 100):
        assert browser.post("/socket.io-control", data=body).status_code == 403, body
    assert browser.get("/socket.io-control").status_code == 404
    old = URLSafeTimedSerializer("a secret", salt="sync_sio_flask.control", signer=Old).dumps(wish)
    assert browser.post("/socket.io-control", data=old).status_code == 403
