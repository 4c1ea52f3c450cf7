"""Taking connections over from real servers. Each has one worker and one thread, wherever it lets one choose."""

from __future__ import annotations

import contextlib
import io
import re
import resource
import socket
import time
from typing import Any

import pytest

from sync_sio.wsgi import swap
from sync_sio.wsgi.takeover import CannotTake, hurry, may_take, take
from tests.wsgi.conftest import Launch
from tests.wsgi.servers import Server, has_uwsgi

# Which of them keep a connection for further requests.
KEEP_ALIVE = (
    "embedded-threads", "embedded-threads-tls", "embedded-gevent", "embedded-gevent-tls", "embedded-gevent-patched",
    "gunicorn-gthread", "gunicorn-gthread-tls", "gunicorn-gevent", "gunicorn-gevent-tls", "gunicorn-gevent_pywsgi",
    "gunicorn-gevent_websocket",
    "pywsgi", "pywsgi-tls", "pywsgi-patched", "pywsgi-websocket", "pywsgi-websocket-tls", "cheroot", "cheroot-tls", "waitress", "django",
)  # fmt: skip
CLOSING = ("gunicorn-sync", "gunicorn-sync-tls", "werkzeug", "werkzeug-tls", "flask-run", "wsgiref")
LOSES_READ_AHEAD = ("uwsgi",)
WITHOUT_ACCESS_LOG = ("embedded", "cheroot", "waitress")


# Not among what the tests install: it is compiled where it is installed, and optional in what it promises.
UWSGI = pytest.param("uwsgi", marks=pytest.mark.skipif(not has_uwsgi(), reason="uWSGI is not here; run: pip install uwsgi"))


@pytest.fixture(scope="module", params=[*KEEP_ALIVE, *CLOSING, UWSGI])
def server(request: pytest.FixtureRequest, launch: Launch) -> Server:
    return launch(request.param)


def test_bytes_pass_both_ways_after_the_call_has_ended(server: Server) -> None:
    with contextlib.closing(server.connect()) as client:
        client.upgrade()
        client.echo(b"hello")
        # a worker that still had the connection would poll it, or end it, within this time
        time.sleep(0.05)
        client.echo(b"again")
        client.echo(bytes(range(256)) * 200)
        assert server.page("/plain") == b"plain"
        client.echo(b"still there")


def test_what_is_sent_right_behind_the_request_is_not_lost(server: Server) -> None:
    if server.kind in LOSES_READ_AHEAD:
        assert server.page("/reason") == b"None"  # its read-ahead is in C; clients that wait for the 101 lose nothing
        return
    with contextlib.closing(server.connect()) as client:
        client.upgrade(behind=b"early " * 500)
        assert client.receive(3000) == b"early " * 500
        client.echo(b"late")


def test_held_connections_leave_the_only_worker_thread_free_and_nothing_behind(server: Server) -> None:
    server.page("/held")  # starts what the application needs
    before = descriptors(server)
    with contextlib.ExitStack() as stack:
        clients = []
        # one by one: a server with one thread gives it to the handshake of the next, and waits there for the request
        for _ in range(20):
            clients.append(stack.enter_context(contextlib.closing(server.connect())))
            clients[-1].upgrade()
        started = time.monotonic()
        assert server.page("/plain") == b"plain"
        assert time.monotonic() - started < 2
        assert server.page("/held") == b"20"
        for client in clients:
            client.echo(b"x")
        # the sinks are gone as soon as the server is done with them
        assert wait_for_descriptors(server, before + 20) <= before + 22
    server.wait_for_page("/held", b"0")
    assert wait_for_descriptors(server, before) <= before + 2


def test_a_poll_that_waits_is_answered_from_outside(server: Server) -> None:
    with contextlib.ExitStack() as stack:
        clients = []
        for _ in range(5):
            clients.append(stack.enter_context(contextlib.closing(server.connect())))
            clients[-1].send(b"GET /park HTTP/1.1\r\nHost: x\r\n\r\n")
        for client in clients:
            assert client.response() == (200, b"parked")
            assert client.rest() == b""


def test_keep_alive_works_for_what_is_answered_in_line(server: Server) -> None:
    started = time.monotonic()
    with contextlib.closing(server.connect()) as client:
        for _ in range(20 if server.kind.startswith("embedded") else 3 if server.kind in KEEP_ALIVE else 1):
            assert client.get("/plain") == (200, b"plain")
        if server.kind in KEEP_ALIVE:
            client.send(b"POST /post HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello")
            assert client.response() == (200, b"hello")
            client.upgrade()
            client.echo(b"on the same connection")
    # 40 ms for each is what an answer in two pieces takes without TCP_NODELAY
    assert not server.kind.startswith("embedded") or time.monotonic() - started < 0.6


def test_the_far_end_sees_the_end(server: Server) -> None:
    client = server.connect()
    client.upgrade()
    client.close()
    server.wait_for_page("/held", b"0")


def test_the_access_log_shows_the_upgrade(server: Server) -> None:
    if server.kind.startswith(WITHOUT_ACCESS_LOG) or "websocket" in server.kind:
        return
    deadline = time.monotonic() + 2
    # in each server's own words, and werkzeug paints them
    while not re.search(r"GET /echo.*\b101\b", re.sub(r"\x1b\[\d*m", "", server.log)):
        assert time.monotonic() < deadline, server.log
        time.sleep(0.02)


def descriptors(server: Server) -> int:
    return int(server.page("/descriptors"))


def wait_for_descriptors(server: Server, count: int) -> int:
    """Return how many are open, as soon as they are not more than `count` (and two: the pages' own), or later."""
    deadline = time.monotonic() + 2
    while (now := descriptors(server)) > count + 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    return now


def test_granian_is_refused_with_a_reason(launch: Launch) -> None:
    server = launch("granian")
    assert server.page("/reason").lower().startswith(b"granian keeps its sockets to itself")
    with contextlib.closing(server.connect()) as client:
        status, body = client.get("/park")
        assert status == 501 and b"granian" in body.lower()
        assert client.get("/plain") == (200, b"plain")


@pytest.mark.parametrize("mark", [{"HTTP_VERSION": "2"}, {"SERVER_PROTOCOL": "HTTP/2"}, {"SERVER_PROTOCOL": "HTTP/2.0"}])
def test_http2_is_refused(mark: dict[str, str]) -> None:
    class Sock:
        pass

    environ: dict[str, Any] = {"wsgi.input": io.BytesIO(), "gunicorn.socket": Sock(), **mark}
    assert "HTTP/2" in str(may_take(environ))
    with pytest.raises(CannotTake, match="HTTP/2"):
        take(environ)


def test_an_unknown_server_is_refused_with_its_name() -> None:
    environ = {"wsgi.input": io.BytesIO(), "SERVER_SOFTWARE": "Abacus/1.0"}
    assert may_take(environ) == "Abacus/1.0 keeps its sockets to itself (wsgi.input is a BytesIO): use a server such as gunicorn"
    assert "this server" in str(may_take({}))


def test_a_socket_of_an_unknown_kind_is_refused() -> None:
    assert "of a kind that cannot be taken over, builtins.object" in str(may_take({"werkzeug.socket": object()}))


def test_a_foreign_websocket_library_is_named() -> None:
    assert "another WebSocket library" in str(may_take({"wsgi.websocket": object()}))



def test_hurry_sets_no_delay_where_it_can() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as sock:
        hurry({"werkzeug.socket": sock, "wsgi.input": io.BytesIO()})
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    for environ in ({}, {"wsgi.input": io.BytesIO()}, {"werkzeug.socket": object()}, {"SERVER_PROTOCOL": "HTTP/2"}):
        hurry(environ)


def test_descriptors_that_select_takes_are_left_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 4096), hard))
    numbers = []
    for first in (swap.BEYOND_SELECT, 1 << 30):         # and where the process may not have so many
        monkeypatch.setattr(swap, "BEYOND_SELECT", first)
        ours, theirs = socket.socketpair()
        with ours, theirs:
            stream, leftover = swap.swap(ours, lambda: b"ahead")
            numbers.append(stream.fd)
            theirs.sendall(b"hello")
            assert (stream.recv(100), leftover, ours.recv(100)) == (b"hello", b"ahead", b"")
            stream.close()
    assert numbers[0] >= 1024 > numbers[1]
