"""Flask's contexts in handlers: the application, the request, `g`, the session, who is logged in, what is torn down."""

from __future__ import annotations

import gc
import threading
import weakref
from pathlib import Path
from typing import Any

import flask_login
import pytest
from cachelib import FileSystemCache
from flask import Flask, copy_current_request_context, current_app, g, got_request_exception, has_request_context, request, session, url_for
from flask_session import Session

from sync_sio_flask import SocketIO, SocketIOTestClient, call, emit, join_room, rooms

from .conftest import Make


def test_the_application_and_the_request_are_there(app: Flask, socketio: SocketIO) -> None:
    app.get("/page")(lambda: "")

    @socketio.on("e")
    def handle(value: int) -> tuple[Any, ...]:
        current_app.logger.warning("logging works")
        return current_app.name, request.path, request.namespace, request.event, url_for("<lambda>")  # type: ignore[attr-defined]

    client = socketio.test_client(app)
    assert client.emit("e", 5, callback=True) == ["shop", "/socket.io/", "/", {"message": "e", "args": [5]}, "/page"]


def test_g_is_new_for_each_event(app: Flask, socketio: SocketIO) -> None:
    @socketio.on("e")
    def handle() -> int:
        g.count = g.get("count", 0) + 1
        return g.count  # type: ignore[no-any-return]

    client = socketio.test_client(app)
    assert [client.emit("e", callback=True) for _ in range(3)] == [1, 1, 1]


def test_each_event_has_a_request_of_its_own(make: Make) -> None:
    app, socketio = make(async_handlers=True)
    meeting = threading.Barrier(2)
    seen: list[Any] = []

    @socketio.on("e")
    def handle(number: int) -> None:
        before = request.event["args"]  # type: ignore[attr-defined]
        meeting.wait(10)  # both handlers of one client are here at once
        seen.append((before, request.event["args"], request._get_current_object()))  # type: ignore[attr-defined]

    client = socketio.test_client(app)._clients["/"]
    client.emit("e", 1)
    client.call("e", 2)
    while len(seen) < 2:
        client.settle()
    (one, also_one, first), (two, also_two, second) = sorted(seen, key=lambda each: each[0])
    assert (one, also_one, two, also_two) == ((1,), (1,), (2,), (2,)) and first is not second


def test_what_is_torn_down_after_each_event(app: Flask, socketio: SocketIO) -> None:
    ended: list[Any] = []
    app.teardown_request(lambda error: ended.append(("request", error)))
    app.teardown_appcontext(lambda error: ended.append(("app", error)))
    socketio.on("e")(lambda: None)
    client = socketio.test_client(app)
    ended.clear()
    client.emit("e")
    assert ended == [("request", None), ("app", None)]


def test_what_is_torn_down_is_told_of_the_error(app: Flask, socketio: SocketIO) -> None:
    ended: list[Any] = []
    signalled: list[Any] = []
    app.teardown_appcontext(ended.append)
    error = ValueError("on purpose")

    def fail() -> None:
        raise error

    def hear(sender: Flask, exception: Exception) -> None:
        signalled.append((sender, exception))

    socketio.on("e")(fail)
    got_request_exception.connect(hear, app)
    client = socketio.test_client(app)
    ended.clear()
    with pytest.raises(ValueError, match="on purpose"):
        client.emit("e")
    assert ended == [error] and signalled == [(app, error)]


def test_functions_around_requests_do_not_run(app: Flask, socketio: SocketIO) -> None:
    ran: list[str] = []
    app.before_request(lambda: ran.append("before"))
    app.after_request(lambda response: ran.append("after") or response)
    socketio.on("e")(lambda: None)
    socketio.test_client(app).emit("e")
    assert ran == []


def test_everything_that_the_server_calls_is_in_context(app: Flask, socketio: SocketIO) -> None:
    seen: list[str] = []
    io = socketio.io

    def note(what: str) -> None:
        seen.append(f"{what} {current_app.name} {request.sid == g.setdefault('sid', request.sid)}")  # type: ignore[attr-defined]

    io.use(lambda socket: note("middleware"))
    io.on("connection", lambda socket: (note("connection"), socket.on("e", lambda: note("socket.on"))))
    io.event("disconnect", lambda socket, reason: note("disconnect"))
    client = socketio.test_client(app)
    client.emit("e")
    client.disconnect()
    assert seen == [f"{what} shop True" for what in ("middleware", "connection", "socket.on", "disconnect")]


def test_the_context_is_gone_afterwards(app: Flask, socketio: SocketIO) -> None:
    seen: list[bool] = []

    @socketio.on("e")
    def handle() -> None:
        thread = threading.Thread(target=lambda: seen.append(has_request_context()))
        thread.start()
        thread.join(5)
        thread = threading.Thread(target=copy_current_request_context(lambda: seen.append(has_request_context())))
        thread.start()
        thread.join(5)

    client = socketio.test_client(app)
    client.emit("e")
    assert seen == [False, True] and not has_request_context()


def test_an_event_leaves_nothing_to_the_collector(app: Flask, socketio: SocketIO) -> None:
    seen: list[Any] = []
    socketio.on("e")(lambda: seen.append(weakref.ref(request._get_current_object())))  # type: ignore[attr-defined]
    client = socketio.test_client(app)
    gc.disable()
    try:
        client.emit("e")
        assert seen[0]() is None
    finally:
        gc.enable()


def test_a_context_that_is_carried_to_a_thread_knows_its_client(app: Flask, socketio: SocketIO) -> None:
    @socketio.on("e")
    def handle() -> None:
        @copy_current_request_context
        def work() -> None:
            join_room("r")
            emit("own", request.sid in rooms())  # type: ignore[attr-defined]

        socketio.start_background_task(work).join(10)

    client, other = socketio.test_client(app), socketio.test_client(app)
    client.emit("e")
    socketio.emit("room", to="r")
    assert [(each["name"], each["args"]) for each in client.get_received()] == [("own", [True]), ("room", [])]
    assert other.get_received() == []


# -- the session ----------------------------------------------------------------------------------------------------------------


def with_sessions(app: Flask, socketio: SocketIO) -> None:
    """Pages and handlers that read and write the session."""

    @app.get("/set/<value>")
    def set_(value: str) -> str:
        session["value"] = value
        return ""

    @app.get("/get")
    def get() -> str:
        return str(session.get("value"))

    @socketio.on("set")
    def on_set(value: str) -> None:
        session["value"] = value

    socketio.on("get")(lambda: session.get("value"))


def test_a_connection_has_a_copy_of_the_session(app: Flask, socketio: SocketIO) -> None:
    with_sessions(app, socketio)
    browser = app.test_client()
    browser.get("/set/page")
    client, other = (socketio.test_client(app, flask_test_client=browser) for _ in range(2))
    assert client.emit("get", callback=True) == "page"
    client.emit("set", "handler")
    assert client.emit("get", callback=True) == "handler"  # it is kept from event to event
    assert other.emit("get", callback=True) == browser.get("/get").text == "page"  # and is nobody else's
    browser.get("/set/later")
    assert client.emit("get", callback=True) == "handler"


def test_the_copy_is_shared_by_the_namespaces_of_a_connection(app: Flask, socketio: SocketIO) -> None:
    with_sessions(app, socketio)
    socketio.on("get", namespace="/other")(lambda: session.get("value"))
    client = socketio.test_client(app)
    client.emit("set", "here")
    client.connect("/other")
    assert client.emit("get", callback=True, namespace="/other") == "here"


def test_a_copy_needs_no_secret_key() -> None:
    app = Flask("shop")
    socketio = SocketIO(app)
    with_sessions(app, socketio)
    client = socketio.test_client(app)
    client.emit("set", "kept")
    assert client.emit("get", callback=True) == "kept"


def test_sessions_on_the_server_go_both_ways(make: Make, tmp_path: Path) -> None:
    app, socketio = make(manage_session=False)
    app.config.update(SESSION_TYPE="cachelib", SESSION_CACHELIB=FileSystemCache(str(tmp_path)))
    Session(app)
    with_sessions(app, socketio)
    browser = app.test_client()
    browser.get("/set/page")
    client = socketio.test_client(app, flask_test_client=browser)
    assert client.emit("get", callback=True) == "page"
    client.emit("set", "handler")
    assert browser.get("/get").text == "handler"
    browser.get("/set/later")
    assert client.emit("get", callback=True) == "later"


def test_a_change_that_no_cookie_can_carry_is_told_once(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    app, socketio = make(manage_session=False)
    with_sessions(app, socketio)
    browser = app.test_client()
    browser.get("/set/page")
    client = socketio.test_client(app, flask_test_client=browser)
    assert client.emit("get", callback=True) == "page" and caplog.records == []
    for _ in range(2):
        client.emit("set", "handler")
    assert [record.name for record in caplog.records] == ["sync_sio.flask"] and "manage_session=True" in caplog.text
    assert client.emit("get", callback=True) == browser.get("/get").text == "page"


def test_manage_session_may_be_set_later(app: Flask, socketio: SocketIO) -> None:
    assert socketio.manage_session
    with_sessions(app, socketio)
    socketio.manage_session = False
    client = socketio.test_client(app)
    client.emit("set", "lost")
    assert client.emit("get", callback=True) is None or client.emit("get", callback=True) == []


# -- who is logged in -----------------------------------------------------------------------------------------------------------


class User(flask_login.UserMixin):  # type: ignore[misc]
    def __init__(self, name: str) -> None:
        self.id = name


@pytest.fixture
def loaded(app: Flask) -> list[str]:
    """Flask-Login, and whom it has loaded."""
    found: list[str] = []
    manager = flask_login.LoginManager(app)

    @manager.user_loader
    def load(name: str) -> User:
        found.append(name)
        return User(name)

    @app.get("/login/<name>")
    def login(name: str) -> str:
        flask_login.login_user(User(name), remember=True)
        return name

    app.get("/login", endpoint="login_page")(lambda: "")
    return found


def logged_in(app: Flask, socketio: SocketIO, name: str = "ada") -> SocketIOTestClient:
    browser = app.test_client()
    browser.get(f"/login/{name}")
    return socketio.test_client(app, flask_test_client=browser)


@pytest.mark.usefixtures("loaded")
def test_current_user_is_who_logged_in(app: Flask, socketio: SocketIO) -> None:
    socketio.on("who")(lambda: flask_login.current_user.get_id())
    ada, bob = logged_in(app, socketio), logged_in(app, socketio, "bob")
    nobody = socketio.test_client(app)
    assert ada.emit("who", callback=True) == "ada"
    assert bob.emit("who", callback=True) == "bob"
    assert nobody.emit("who", callback=True) == []


def test_a_user_is_loaded_when_asked_for(app: Flask, socketio: SocketIO, loaded: list[str]) -> None:
    socketio.on("who")(lambda: (flask_login.current_user.get_id(), flask_login.current_user.get_id()))
    socketio.on("nothing")(lambda: None)
    client = logged_in(app, socketio)
    loaded.clear()
    client.emit("nothing")
    assert loaded == []
    client.emit("who")
    assert loaded == ["ada"]


@pytest.mark.usefixtures("loaded")
def test_login_required_refuses_events_and_connects(app: Flask, socketio: SocketIO) -> None:
    socketio.on("secret")(flask_login.login_required(lambda: "secret"))
    socketio.on("connect", namespace="/secret")(flask_login.login_required(lambda: None))
    ada, nobody = logged_in(app, socketio), socketio.test_client(app)
    assert ada.emit("secret", callback=True) == "secret"
    with pytest.raises(Exception, match="401"):
        nobody.emit("secret")
    ada.connect("/secret")
    assert ada.is_connected("/secret")
    with pytest.raises(Exception, match="401"):
        nobody.connect("/secret")
    assert not nobody.is_connected("/secret")
    app.login_manager.login_view = "login_page"  # type: ignore[attr-defined]  # leads to a page instead
    with pytest.raises(Exception, match="401"):
        nobody.emit("secret")


@pytest.mark.usefixtures("loaded")
def test_logging_in_from_a_handler_lasts_as_long_as_the_connection(app: Flask, socketio: SocketIO) -> None:
    socketio.on("login")(lambda name: flask_login.login_user(User(name)))
    socketio.on("who")(lambda: flask_login.current_user.get_id())
    client = socketio.test_client(app)
    assert client.emit("who", callback=True) == []
    client.emit("login", "ada")
    assert client.emit("who", callback=True) == "ada"


def test_a_handler_that_waits_for_its_client_keeps_its_context(app: Flask, socketio: SocketIO) -> None:
    @socketio.on("e")
    def handle() -> tuple[bool, Any]:
        sid = request.sid  # type: ignore[attr-defined]
        answer = call("question")
        emit("after")
        return sid == request.sid, answer  # type: ignore[attr-defined]

    client = socketio.test_client(app)
    client.on("question", lambda: "answer")
    assert client.emit("e", callback=True) == [True, "answer"]
    assert [each["name"] for each in client.get_received()] == ["after"]
