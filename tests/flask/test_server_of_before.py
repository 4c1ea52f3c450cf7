"""`socketio.server`: what applications used of python-socketio's server, and of its insides."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from flask import Flask, request

from sync_sio_flask import SocketIO, SocketIOTestClient, join_room


@pytest.fixture
def clients(app: Flask, socketio: SocketIO) -> list[SocketIOTestClient]:
    socketio.on("join")(join_room)
    socketio.on("id")(lambda: request.sid)  # type: ignore[attr-defined]
    return [socketio.test_client(app) for _ in range(2)]


@pytest.fixture
def ids(clients: list[SocketIOTestClient]) -> list[str]:
    return [client.emit("id", callback=True) for client in clients]


def test_clients_are_moved_by_id(socketio: SocketIO, clients: list[SocketIOTestClient], ids: list[str]) -> None:
    server = socketio.server
    server.enter_room(ids[0], "r")
    server.enter_room(ids[0], 5, "/")
    assert set(server.rooms(ids[0])) == {ids[0], "r", 5}
    server.emit("told", {"a": 1}, to="r")
    server.emit("told", (1, 2), room=5)
    server.emit("told", skip_sid=ids[1])
    server.send("text", to=ids[0])
    assert [each["args"] for each in clients[0].get_received()] == [[{"a": 1}], [1, 2], [], "text"]
    server.leave_room(ids[0], "r")
    server.close_room(5)
    assert server.rooms(ids[0]) == [ids[0]] and clients[1].get_received() == []
    server.disconnect(ids[0])
    assert not clients[0].is_connected() and server.rooms(ids[0]) == []


def test_who_is_in_a_room(socketio: SocketIO, clients: list[SocketIOTestClient], ids: list[str]) -> None:
    manager = socketio.server.manager
    for client in clients:
        client.emit("join", "r")
    clients[0].emit("join", 5)
    assert set(manager.rooms["/"]["r"]) == set(ids) and set(manager.rooms["/"][5]) == {ids[0]}
    assert manager.rooms["/"][None] == {sid: client.eio_sid for sid, client in zip(ids, clients, strict=True)}
    assert sorted(sid for sid, _ in manager.get_participants("/", "r")) == sorted(ids)
    assert list(manager.get_participants("/", 5)) == [(ids[0], clients[0].eio_sid)]
    assert len(list(manager.get_participants("/", None))) == 2 and list(manager.get_participants("/", "nobody")) == []
    assert manager.is_connected(ids[0], "/") and not manager.is_connected("x", "/")
    assert manager.get_namespaces() == ["/"] and set(manager.get_rooms(ids[0], "/")) == {ids[0], "r", 5}


def test_what_is_known_of_a_client(socketio: SocketIO, clients: list[SocketIOTestClient], ids: list[str]) -> None:
    server = socketio.server
    assert server.get_environ(ids[0]) is server.environ[clients[0].eio_sid]  # type: ignore[index]
    assert server.environ[clients[0].eio_sid]["saved_session"] == {}  # type: ignore[index]
    assert server.get_environ("nobody") is None
    assert clients[0].eio_sid in server.eio.sockets
    assert isinstance(server.transport(ids[0]), str)
    with pytest.raises(KeyError, match="nobody"):
        server.transport("nobody")


def test_what_is_kept_of_a_client(socketio: SocketIO, clients: list[SocketIOTestClient], ids: list[str]) -> None:
    server = socketio.server
    with server.session(ids[0]) as session:
        session["a"] = 1
    server.save_session(ids[1], {"b": 2})
    assert server.get_session(ids[0]) == {"a": 1} and server.get_session(ids[1]) == {"b": 2}


def test_call_and_callbacks(socketio: SocketIO, clients: list[SocketIOTestClient], ids: list[str]) -> None:
    answers: list[Any] = []
    answered = threading.Event()
    clients[0].on("question", lambda *args: args)
    assert socketio.server.call("question", (1, 2), to=ids[0]) == (1, 2)
    assert socketio.server.call("question", sid=ids[0]) is None
    socketio.server.emit("question", 3, to=ids[0], callback=lambda *args: (answers.append(args), answered.set()))
    assert answered.wait(5) and answers == [(3,)]


def test_options_and_handlers_can_be_read(socketio: SocketIO, clients: list[SocketIOTestClient]) -> None:
    server = socketio.server
    assert server.eio.ping_timeout == 20.0 and server.eio.allow_upgrades is True and server.eio.cookie is None
    assert set(server.handlers["/"]) == {"join", "id"}
    assert server.async_mode == socketio.async_mode == "threading"
    assert socketio.sockio_mw is socketio.io and socketio.wsgi_server is None


def test_background_work(app: Flask, socketio: SocketIO, clients: list[SocketIOTestClient]) -> None:
    go_on = threading.Event()

    def work(first: int, second: int = 0) -> None:
        go_on.wait(10)
        socketio.sleep(0)
        socketio.emit("done", (first, second))

    task = socketio.start_background_task(work, 1, second=2)
    assert task and task.is_alive()
    go_on.set()
    task.join(10)
    assert not task.is_alive()
    assert clients[0].get_received() == [{"name": "done", "args": [1, 2], "namespace": "/"}]


def test_background_work_belongs_to_the_application_that_began_it() -> None:
    socketio = SocketIO()
    apps = [Flask("red"), Flask("blue")]
    for app in apps:
        socketio.init_app(app)
    tasks: list[Any] = []
    socketio.on("go")(lambda: tasks.append(socketio.start_background_task(socketio.emit, "done")))
    red, blue = (socketio.test_client(app) for app in apps)
    red.emit("go")
    tasks[0].join(10)
    assert len(red.get_received()) == 1 and blue.get_received() == []


def test_a_task_that_fails_has_ended(socketio: SocketIO, clients: list[SocketIOTestClient], caplog: pytest.LogCaptureFixture) -> None:
    def work() -> None:
        raise ValueError("on purpose")

    task = socketio.start_background_task(work)
    task.join(10)
    assert not task.is_alive()
