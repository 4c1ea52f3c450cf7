"""Who gets what is sent."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from flask import Flask, has_request_context, request

from sync_sio import AckTimeout
from sync_sio_flask import SocketIO, SocketIOTestClient, call, close_room, emit, join_room, leave_room, rooms, send
from sync_sio_flask import disconnect as disconnect_client
from sync_sio_flask.targets import tell_each

from .conftest import Make


@pytest.fixture
def clients(app: Flask, socketio: SocketIO) -> list[SocketIOTestClient]:
    """Three clients; `ask` has a handler call `emit` with these options, the first two are in the room 5."""
    socketio.on("join")(join_room)
    socketio.on("leave")(leave_room)
    socketio.on("rooms")(lambda: sorted(map(str, rooms())))
    socketio.on("ask")(lambda options: emit("told", 1, **options))
    socketio.on("id")(lambda: request.sid)  # type: ignore[attr-defined]
    found = [socketio.test_client(app) for _ in range(3)]
    for client in found[:2]:
        client.emit("join", 5)
    return found


def reached(clients: list[SocketIOTestClient]) -> list[int]:
    return [len(client.get_received()) for client in clients]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [1, 0, 0]),
        ({"include_self": False}, [0, 0, 0]),
        ({"broadcast": True}, [1, 1, 1]),
        ({"broadcast": True, "include_self": False}, [0, 1, 1]),
        ({"to": 5}, [1, 1, 0]),
        ({"room": 5}, [1, 1, 0]),
        ({"to": 5, "include_self": False}, [0, 1, 0]),
        ({"to": "5"}, [0, 0, 0]),
        ({"to": [5, "nowhere"]}, [1, 1, 0]),
        ({"to": "{other}"}, [0, 0, 1]),
        ({"to": [5, "{other}"]}, [1, 1, 1]),
        ({"to": "{own}"}, [1, 0, 0]),
        ({"to": "{own}", "skip_sid": "{own}"}, [0, 0, 0]),
        ({"to": 5, "skip_sid": "{own}"}, [0, 1, 0]),
        ({"broadcast": True, "skip_sid": ["{own}", "{other}"]}, [0, 1, 0]),
        ({"broadcast": True, "ignore_queue": True}, [1, 1, 1]),
        ({"namespace": "/"}, [1, 0, 0]),
    ],
    ids=str,
)
def test_whom_emit_reaches(clients: list[SocketIOTestClient], options: dict[str, Any], expected: list[int]) -> None:
    ids = {"{own}": clients[0].emit("id", callback=True), "{other}": clients[2].emit("id", callback=True)}

    def said(value: Any) -> Any:
        return [said(each) for each in value] if isinstance(value, list) else ids.get(value, value)

    clients[0].emit("ask", {name: said(value) for name, value in options.items()})
    assert reached(clients) == expected


@pytest.mark.parametrize(
    ("options", "expected"),
    [({}, [1, 1, 1]), ({"to": 5}, [1, 1, 0]), ({"room": 5}, [1, 1, 0]), ({"to": []}, [0, 0, 0]), ({"to": (5,)}, [1, 1, 0])],
    ids=str,
)
def test_whom_the_emit_of_the_extension_reaches(
    socketio: SocketIO, clients: list[SocketIOTestClient], options: dict[str, Any], expected: list[int]
) -> None:
    socketio.emit("told", 1, **options)
    assert reached(clients) == expected


def test_the_emit_of_the_extension_in_a_handler(socketio: SocketIO, clients: list[SocketIOTestClient]) -> None:
    socketio.on("all")(lambda: socketio.emit("told"))
    socketio.on("others")(lambda: socketio.emit("told", include_self=False))
    clients[0].emit("all")
    assert reached(clients) == [1, 1, 1]
    clients[0].emit("others")
    assert reached(clients) == [0, 1, 1]


@pytest.mark.parametrize(
    ("args", "sent"),
    [
        ((), []),
        ((None,), []),
        ((1,), [1]),
        (((1, 2),), [1, 2]),
        (([1, 2],), [[1, 2]]),
        ((1, 2), [1, 2]),
        ((None, 1), [None, 1]),
        ((b"x",), [b"x"]),
    ],
)
def test_what_is_sent(app: Flask, socketio: SocketIO, args: tuple[Any, ...], sent: list[Any]) -> None:
    socketio.on("e")(lambda: emit("own", *args))
    client = socketio.test_client(app)
    client.emit("e")
    socketio.emit("all", *args)
    assert [each["args"] for each in client.get_received()] == [sent, sent]


def test_send_is_message_or_json(app: Flask, socketio: SocketIO) -> None:
    @socketio.on("e")
    def handle() -> None:
        send("text")
        send({"a": 1}, json=True)
        socketio.send("from the extension")
        socketio.send([1], json=True, broadcast=True)

    client = socketio.test_client(app)
    client.emit("e")
    assert client.get_received() == [
        {"name": "message", "args": "text", "namespace": "/"},
        {"name": "json", "args": {"a": 1}, "namespace": "/"},
        {"name": "message", "args": "from the extension", "namespace": "/"},
        {"name": "json", "args": [1], "namespace": "/"},
    ]


def test_values_that_flask_has_a_form_for(app: Flask, socketio: SocketIO) -> None:
    from decimal import Decimal

    class Price:
        def __html__(self) -> str:
            return "<b>5</b>"

    socketio.on("e")(lambda: (Decimal("1.10"), Price()))
    assert socketio.test_client(app).emit("e", callback=True) == ["1.10", "<b>5</b>"]


def test_a_callback_gets_the_answer_in_the_clients_context(app: Flask, socketio: SocketIO) -> None:
    answers: list[Any] = []
    done = threading.Event()

    def answered(*args: Any) -> None:
        answers.append((args, request.sid))  # type: ignore[attr-defined]
        emit("thanks")
        done.set()

    socketio.on("e")(lambda: emit("question", 2, callback=answered))
    socketio.on("id")(lambda: request.sid)  # type: ignore[attr-defined]
    client = socketio.test_client(app)
    client.on("question", lambda number: (number, number + 1))
    client.emit("e")
    assert done.wait(5)
    assert answers == [((2, 3), client.emit("id", callback=True))]
    assert [each["name"] for each in client.get_received()] == ["thanks"]


def test_a_callback_of_a_room_is_called_for_each_client(socketio: SocketIO, clients: list[SocketIOTestClient]) -> None:
    answers: list[Any] = []
    all_here = threading.Semaphore(0)

    def answered(name: str) -> None:
        answers.append(name)
        all_here.release()

    for client, name in zip(clients, "abc", strict=True):
        client.on("question", lambda name=name: name)
    socketio.emit("question", to=5, callback=answered)
    assert all_here.acquire(timeout=5) and all_here.acquire(timeout=5)
    assert sorted(answers) == ["a", "b"]


def test_an_answer_of_another_process_is_told_although_an_earlier_one_failed() -> None:
    answers: list[Any] = []

    def answered(*answer: Any) -> None:
        answers.append(answer)
        if len(answers) == 1:
            raise ValueError("on purpose")

    with pytest.raises(ValueError, match="on purpose"):
        tell_each(answered, None, [1, None, [2, 3]])
    assert answers == [(1,), (), ([2, 3],)]


def test_call_blocks_for_the_answer(app: Flask, socketio: SocketIO) -> None:
    socketio.on("e")(lambda: call("sum", 1, 2))
    client = socketio.test_client(app)
    client.on("sum", lambda a, b: a + b)
    assert client.emit("e", callback=True) == 3


def test_call_of_another_client(app: Flask, socketio: SocketIO) -> None:
    socketio.on("id")(lambda: request.sid)  # type: ignore[attr-defined]
    socketio.on("e")(lambda sid: call("question", to=sid))
    asking, asked = socketio.test_client(app), socketio.test_client(app)
    asked.on("question", lambda: ("a", "b"))
    sid = asked.emit("id", callback=True)
    assert asking.emit("e", sid, callback=True) == ["a", "b"]
    assert socketio.call("question", to=sid) == ("a", "b")
    with pytest.raises(KeyError, match="nobody"):
        socketio.call("question", to="nobody")
    with pytest.raises(ValueError, match="to="):
        socketio.call("question")


def test_call_times_out(app: Flask, socketio: SocketIO) -> None:
    socketio.on("e")(lambda: call("question", timeout=0.01))
    with pytest.raises(TimeoutError) as caught:
        socketio.test_client(app).emit("e")
    assert isinstance(caught.value, AckTimeout)


def test_rooms_are_joined_and_left(clients: list[SocketIOTestClient]) -> None:
    first = clients[0]
    own = first.emit("id", callback=True)
    first.emit("join", "kitchen")
    assert first.emit("rooms", callback=True) == sorted(["5", "kitchen", own])
    first.emit("leave", 5)
    first.emit("leave", "not in it")
    assert first.emit("rooms", callback=True) == sorted(["kitchen", own])


def test_a_room_may_be_anything_and_is_what_it_was(app: Flask, socketio: SocketIO) -> None:
    found: list[Any] = []

    @socketio.on("e")
    def handle() -> None:
        for room in ("5", 5, ("game", 1)):
            join_room(room)
        leave_room("5")
        found.extend(rooms())

    client = socketio.test_client(app)
    client.emit("e")
    assert {5, ("game", 1)} < set(found) and "5" not in found
    socketio.emit("told", to="5")
    assert client.get_received() == []
    socketio.emit("told", to=5)
    assert len(client.get_received()) == 1


def test_no_name_that_a_client_chooses_is_a_room_of_another_kind(app: Flask, socketio: SocketIO) -> None:
    socketio.on("join")(join_room)
    client = socketio.test_client(app)
    for name in ("5", "\x005", "\0'5'", "int:5"):
        client.emit("join", name)
    socketio.emit("told", to=5)
    assert client.get_received() == []


def test_close_room_empties_it(socketio: SocketIO, clients: list[SocketIOTestClient]) -> None:
    socketio.on("close")(close_room)
    clients[2].emit("close", 5)
    socketio.emit("told", to=5)
    assert reached(clients) == [0, 0, 0]
    clients[0].emit("join", 5)
    socketio.close_room(5)
    socketio.emit("told", to=5)
    assert reached(clients) == [0, 0, 0]


def test_another_client_is_moved_and_disconnected(socketio: SocketIO, clients: list[SocketIOTestClient]) -> None:
    socketio.on("move")(lambda sid: join_room("new", sid=sid))
    socketio.on("show")(lambda sid: rooms(sid))
    socketio.on("kick")(lambda sid: disconnect_client(sid))
    sid = clients[2].emit("id", callback=True)
    clients[0].emit("move", sid)
    assert set(clients[0].emit("show", sid, callback=True)) == {sid, "new"}
    clients[0].emit("kick", sid)
    assert not clients[2].is_connected() and clients[0].is_connected()
    clients[0].emit("kick", sid)  # nobody who is gone is an error
    assert clients[0].emit("show", sid, callback=True) == []


def test_rooms_of_namespaces_are_apart(app: Flask, socketio: SocketIO) -> None:
    for name in ("/a", "/b"):
        socketio.on("join", namespace=name)(join_room)
    client = socketio.test_client(app, namespace="/a")
    client.connect("/b")
    client.emit("join", "r", namespace="/a")
    socketio.emit("told", to="r", namespace="/b")
    assert client.get_received("/b") == []
    socketio.emit("told", to="r", namespace="/a")
    assert client.get_received("/a") == [{"name": "told", "args": [], "namespace": "/a"}]


def test_a_page_emits(app: Flask, socketio: SocketIO, clients: list[SocketIOTestClient]) -> None:
    @app.get("/tell/<kind>")
    def tell(kind: str) -> str:
        if kind == "room":
            emit("told", to=5)
        elif kind == "all":
            emit("told", broadcast=True)
        elif kind == "extension":
            socketio.emit("told", skip_sid=clients[0].emit("id", callback=True))
        else:
            emit("told")
        return "told"

    browser = app.test_client()
    for kind, expected in (("room", [1, 1, 0]), ("all", [1, 1, 1]), ("extension", [0, 1, 1])):
        assert browser.get(f"/tell/{kind}").text == "told"
        assert reached(clients) == expected
    app.testing = True
    with pytest.raises(RuntimeError, match="broadcast=True"):
        browser.get("/tell/nobody")


def test_a_thread_emits(socketio: SocketIO, clients: list[SocketIOTestClient]) -> None:
    thread = threading.Thread(target=lambda: socketio.emit("told", has_request_context()))
    thread.start()
    thread.join(5)
    assert [each["args"] for each in clients[1].get_received()] == [[False]]


def test_what_cannot_be_sent_is_the_callers_error(socketio: SocketIO, clients: list[SocketIOTestClient]) -> None:
    with pytest.raises(TypeError):
        socketio.emit("told", object())
    with pytest.raises(ValueError, match="reserved"):
        socketio.emit("connect")
    with pytest.raises(TypeError, match="None is no room"):
        socketio.server.enter_room("x", None)
    assert reached(clients) == [0, 0, 0]


def test_events_of_one_client_are_handled_in_order(app: Flask, socketio: SocketIO) -> None:
    seen: list[int] = []
    socketio.on("e")(seen.append)
    with_many = socketio.test_client(app)._clients["/"]
    for number in range(200):
        with_many.emit("e", number)
    with_many.settle()
    assert seen == list(range(200))


def test_async_handlers_run_beside_each_other(make: Make) -> None:
    app, socketio = make(async_handlers=True)
    stopped = threading.Event()
    socketio.on("start")(lambda: stopped.wait(10))
    socketio.on("stop")(stopped.set)
    client = socketio.test_client(app)._clients["/"]
    ended: list[Any] = []
    client.emit("start", ack=ended.append)
    client.call("stop")
    while not ended:
        client.settle()
    assert ended == [True]


def test_emitting_makes_no_namespace(app: Flask, socketio: SocketIO) -> None:
    socketio.emit("told", namespace="/nowhere")
    socketio.close_room("r", namespace="/nowhere")
    server = socketio.server
    for verb in (server.enter_room, server.leave_room):
        verb("sid", "r", "/nowhere")
    server.disconnect("sid", "/nowhere")
    assert server.rooms("sid", "/nowhere") == [] and list(server.manager.get_participants("/nowhere", None)) == []
    assert not socketio.test_client(app, "/nowhere").is_connected("/nowhere")
