"""The embedded server on both runtimes, over real connections. What it has in common with others, `test_takeover` shows."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import queue
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import gevent
import pytest

from sync_sio.types import Environ, StartResponse
from sync_sio.wsgi import serving
from sync_sio.wsgi.embedded import EmbeddedServer
from sync_sio.wsgi.serving import HttpConnection
from sync_sio.wsgi.takeover import parking_of, take
from tests.wsgi.servers import ROOT, Client, Server

Runtime = Literal["threads", "gevent"]

PARK = b"GET /park HTTP/1.1\r\nHost: x\r\n\r\n"
TAKE = b"GET /take HTTP/1.1\r\nHost: x\r\n\r\n"
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


class Site:
    """An application with a page for each thing that an application may do."""

    def __init__(self, runtime: str = "threads") -> None:
        self.closed: list[str] = []
        self.release = threading.Event()
        self.entered = threading.Semaphore(0)
        self.runtime = runtime
        self.parked: queue.Queue[Any] = queue.Queue()
        self.gone: queue.Queue[str] = queue.Queue()

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        return getattr(self, environ["PATH_INFO"].strip("/") or "plain")(environ, start_response)  # type: ignore[no-any-return]

    def plain(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"pl", b"ain"]

    def length(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 All Right", [("Content-Length", "5")])
        yield b"hel"
        yield b""
        yield b"lo"

    def stream(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        site = self

        class Stream:
            def __iter__(self) -> Iterator[bytes]:
                yield from (b"one ", b"", b"two")

            def close(self) -> None:
                site.closed.append("stream")

        start_response("200 OK", [])
        return Stream()

    def write(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        write = start_response("200 OK", [])
        write(b"written ")
        return [b"returned"]

    def echo(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        body = environ["wsgi.input"].read()
        start_response("200 OK", [])
        return [body]

    def ignore(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response("413 Payload Too Large", [])
        return [b"no"]

    def empty(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response("204 No Content", [])
        return []

    def close(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [("Connection", "close"), ("Keep-Alive", "x")])
        return [b"bye"]

    def fail(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        raise RuntimeError("on purpose")

    def late(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [])
        yield b"begun"
        raise RuntimeError("on purpose")

    def short(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Length", "10")])
        return [b"short"]

    def long(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Length", "4")])
        return [b"long and longer"]

    def split(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [("X", "a\r\nSet-Cookie: evil")])
        return []

    def silent(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        return [b"no status"]

    def changed(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [])
        start_response("500 Oops", [], (RuntimeError, RuntimeError("x"), None))
        return [b"changed"]

    def wait(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        self.entered.release()
        if self.runtime == "threads":
            self.release.wait(10)
        else:
            while not self.release.is_set():
                gevent.sleep(0.01)
        return self.plain(environ, start_response)

    def big(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [])
        return [b"x" * 3_000_000]

    def park(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        parking = parking_of(environ)
        assert parking is not None
        if not parking.park(lambda: self.gone.put("gone")):
            start_response("409 Conflict", [])
            return [b"not read"]
        self.parked.put(parking)
        if environ["QUERY_STRING"] == "slow":
            self.wait(environ, lambda *_: None)  # type: ignore[arg-type]
        start_response("200 OK", [("Content-Length", "5")])
        return [b"wrong"]

    def take(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        taken = take(environ)
        taken.stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\ntaken")
        taken.stream.close()
        start_response("101 Switching Protocols", [])
        return []

    def environ(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [])
        kept = {key: value for key, value in environ.items() if isinstance(value, str | bool)}
        return [repr(kept).encode()]


@contextlib.contextmanager
def serving_on(runtime: Runtime, site: Site, certfile: str | None = None) -> Iterator[EmbeddedServer]:
    """On gevent the hub is that of a thread, so that tests may block."""
    server = EmbeddedServer(site, runtime=runtime, certfile=certfile)
    if runtime == "threads":
        with server:
            yield server
        return
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        wait_for(lambda: server.port != 0 and server._arrivals is not None)
        yield server
    finally:
        site.release.set()
        server.stop()
        thread.join(5)
        assert not thread.is_alive()


@pytest.fixture(params=["threads", "gevent"])
def runtime(request: pytest.FixtureRequest) -> Runtime:
    kind: Runtime = request.param
    return kind


@pytest.fixture
def site(runtime: Runtime) -> Site:
    return Site(runtime)


@pytest.fixture
def server(runtime: Runtime, site: Site, caplog: pytest.LogCaptureFixture) -> Iterator[EmbeddedServer]:
    caplog.set_level(logging.DEBUG, "sync_sio")
    with serving_on(runtime, site) as server:
        yield server
        site.release.set()
    # what a test has expected in the log it has cleared
    assert not caplog.get_records("call")


@pytest.fixture
def client(server: EmbeddedServer) -> Iterator[Client]:
    with contextlib.closing(Client(server.port)) as client:
        yield client


def request(client: Client, path: str, more: bytes = b"", method: str = "GET", version: str = "1.1") -> tuple[int, bytes]:
    client.send(f"{method} {path} HTTP/{version}\r\nHost: x\r\n".encode() + (more or b"\r\n"))
    return client.response(method)


def is_over(client: Client) -> bool:
    return client.rest() == b""


# --- answers


def test_bodies_of_every_kind_on_one_connection(client: Client, site: Site) -> None:
    assert request(client, "/") == (200, b"plain")
    assert client.headers["content-length"] == "5" and client.headers["date"].endswith("GMT")
    assert request(client, "/length") == (200, b"hello")
    assert request(client, "/stream") == (200, b"one two")
    assert client.headers["transfer-encoding"] == "chunked"
    wait_for(lambda: site.closed == ["stream"])
    assert request(client, "/write") == (200, b"written returned")
    assert request(client, "/empty") == (204, b"")
    assert "content-length" not in client.headers
    assert request(client, "/changed") == (500, b"changed")
    assert request(client, "/", method="HEAD") == (200, b"") and request(client, "/stream", method="HEAD") == (200, b"")
    assert request(client, "/big") == (200, b"x" * 3_000_000)
    assert request(client, "/close") == (200, b"bye") and client.headers["connection"] == "close"
    assert "keep-alive" not in client.headers and is_over(client)


def test_http_1_0_ends_with_the_answer_unless_it_asks(client: Client) -> None:
    assert request(client, "/", b"Connection: keep-alive\r\n\r\n", version="1.0") == (200, b"plain")
    assert client.headers["connection"] == "keep-alive"
    client.send(b"GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    assert client.response() == (200, b"one two") and client.headers["connection"] == "close"


def test_requests_may_be_pipelined_and_cut_anywhere(client: Client) -> None:
    data = GET + b"\r\n" + b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello" + GET
    client.send(data)
    assert [client.response() for _ in range(3)] == [(200, b"plain"), (200, b"hello"), (200, b"plain")]
    for index in range(len(GET)):
        client.send(GET[index : index + 1])
    assert client.response() == (200, b"plain")


def test_the_environ(client: Client, server: EmbeddedServer) -> None:
    body = request(client, "/environ?a=1")[1].decode()
    for part in (f"'SERVER_PORT': '{server.port}'", "'REMOTE_ADDR': '127.0.0.1'", "'wsgi.url_scheme': 'http'", "'QUERY_STRING': 'a=1'"):
        assert part in body
    assert server.url == f"http://127.0.0.1:{server.port}"


# --- bodies of requests


def test_chunked_requests(client: Client) -> None:
    chunked = b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\nTrailer: x\r\n\r\n"
    for _ in range(2):
        assert request(client, "/echo", chunked, "POST") == (200, b"hello world")


def test_a_client_that_expects_is_told_to_go_on(client: Client) -> None:
    client.send(b"POST /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
    assert client.head() == 100
    client.send(b"hello")
    assert client.response() == (200, b"hello")
    assert request(client, "/") == (200, b"plain")


def test_a_client_that_expects_is_not_told_when_nobody_reads(client: Client) -> None:
    client.send(b"POST /ignore HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
    assert client.response() == (413, b"no") and client.headers["connection"] == "close"
    assert is_over(client)


def test_a_small_body_that_nobody_reads_does_not_end_the_connection(client: Client) -> None:
    client.send(b"POST /ignore HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n" + b"x" * 1000 + GET)
    assert [client.response(), client.response()] == [(413, b"no"), (200, b"plain")]


def test_a_large_body_that_nobody_reads_does_not_keep_the_answer_from_its_client(client: Client) -> None:
    client.send(b"POST /ignore HTTP/1.1\r\nHost: x\r\nContent-Length: 10000000\r\n\r\n" + b"x" * 200_000)
    assert client.response() == (413, b"no") and client.headers["connection"] == "close"


def test_a_body_that_is_not_what_it_says_is_a_bad_request(client: Client) -> None:
    assert request(client, "/echo", b"Transfer-Encoding: chunked\r\n\r\nnonsense\r\n", "POST")[0] == 400
    assert is_over(client)


# --- garbage

BAD = [
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400), (b"garbage\r\n\r\n", 400), (b"GET / HTTP/1.1\n\n", 400), (b"\x00" * 100, 400),
    (b"GET / HTTP/1.1\r\n\r\n", 400), (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505), (b"GET / HTTP/1.1\r\nHost: x\r\nA b\r\n\r\n", 400),
    (b"GET /" + b"a" * 40_000, 431), (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 200 + b"\r\n", 431),
    (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
]  # fmt: skip


@pytest.mark.parametrize(("data", "status"), BAD)
def test_garbage_is_refused_and_only_its_connection_ends(data: bytes, status: int, client: Client, server: EmbeddedServer) -> None:
    with contextlib.closing(Client(server.port)) as other:
        assert request(other, "/") == (200, b"plain")
        client.send(data)
        assert client.response()[0] == status
        assert client.headers["connection"] == "close" and is_over(client)
        assert request(other, "/") == (200, b"plain")


def test_clients_that_go_at_any_moment_leave_nothing(server: EmbeddedServer) -> None:
    post = b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhel"
    for data in (b"", b"GE", b"GET / HTTP/1.1\r\n", post, b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n"):
        client = Client(server.port)
        client.send(data)
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")  # closing resets the connection
        client.close()
    wait_for(lambda: not connections(server))


def test_connections_that_are_over_wait_for_no_collector(server: EmbeddedServer, site: Site) -> None:
    gc.collect()
    gc.disable()
    try:
        for data in (GET, GET + GET, b"GET /close HTTP/1.1\r\nHost: x\r\n\r\n", b"garbage\r\n\r\n", PARK, TAKE):
            with contextlib.closing(Client(server.port)) as client:
                client.send(data)
                if data is PARK:
                    site.parked.get(timeout=5).finish(200, TEXT, b"later", no_rest)
                client.response()
        site.closed.clear()
        wait_for(lambda: not any(isinstance(thing, HttpConnection) for thing in gc.get_objects()))
    finally:
        gc.enable()


# --- applications that fail


def test_an_application_that_fails_is_a_500_and_logged(server: EmbeddedServer, caplog: pytest.LogCaptureFixture) -> None:
    for path in ("/fail", "/split", "/silent", "/nothing"):
        caplog.clear()
        with contextlib.closing(Client(server.port)) as client:
            assert request(client, path) == (500, b"Internal Server Error\n") and is_over(client)
        assert [record.getMessage() for record in caplog.records] == [f"the application failed on GET {path}"]
    caplog.clear()


@pytest.mark.parametrize(("path", "status"), [("/late", 200), ("/short", 200)])
def test_an_answer_that_is_cut_ends_the_connection(path: str, status: int, client: Client, caplog: pytest.LogCaptureFixture) -> None:
    client.send(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert client.head() == status
    with pytest.raises(ConnectionError):
        client.response()
    assert len(caplog.records) == 1
    caplog.clear()


def test_an_answer_that_is_too_long_is_cut(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    assert request(client, "/long") == (200, b"long")
    assert len(caplog.records) == 1
    caplog.clear()
    assert request(client, "/") == (200, b"plain")


# --- time


def test_slow_clients_hold_nobody_else(server: EmbeddedServer) -> None:
    post = b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n"
    with contextlib.ExitStack() as stack:
        for data in (b"", b"GET / HT", post, b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n"):
            for _ in range(10):
                stack.enter_context(contextlib.closing(Client(server.port))).send(data)
        with contextlib.closing(Client(server.port)) as client:
            assert request(client, "/") == (200, b"plain")


def test_idle_connections_and_slow_heads_end(server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "IDLE_TIMEOUT", 0.2)
    monkeypatch.setattr(serving, "HEAD_TIMEOUT", 0.2)
    with contextlib.closing(Client(server.port)) as client:
        assert request(client, "/") == (200, b"plain")
        assert is_over(client)
    with contextlib.closing(Client(server.port)) as client:
        client.send(b"GET / HT")
        assert client.response()[0] == 408 and is_over(client)


def test_stop_ends_within_a_second_and_lets_requests_end(runtime: Runtime, site: Site) -> None:
    with contextlib.ExitStack() as stack, serving_on(runtime, site) as server:
        idle, busy, stuck = (stack.enter_context(contextlib.closing(Client(server.port))) for _ in range(3))
        assert request(idle, "/") == (200, b"plain")
        busy.send(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
        site.entered.acquire(timeout=5)
        threading.Timer(0.1, site.release.set).start()
        started = time.monotonic()
        server.stop()
        assert busy.response() == (200, b"plain") and busy.headers["connection"] == "close"
        assert is_over(idle) and is_over(stuck)
        assert time.monotonic() - started < 1
        wait_for(lambda: not connections(server))
        with pytest.raises(OSError):
            Client(server.port)
        server.stop()


def test_stop_does_not_wait_for_what_never_ends(runtime: Runtime, site: Site) -> None:
    with serving_on(runtime, site) as server, contextlib.closing(Client(server.port)) as client:
        client.send(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
        site.entered.acquire(timeout=5)
        started = time.monotonic()
        server.stop()
        assert is_over(client) and time.monotonic() - started < 1
        site.release.set()


def test_serve_forever_ends_with_stop(runtime: Runtime, site: Site) -> None:
    server = EmbeddedServer(site, runtime=runtime)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    wait_for(lambda: server.port != 0)
    with contextlib.closing(Client(server.port)) as client:
        assert request(client, "/") == (200, b"plain")
    server.stop()
    thread.join(2)
    assert not thread.is_alive()


def test_a_port_in_use_is_said(server: EmbeddedServer, site: Site) -> None:
    with pytest.raises(OSError, match="in use"):
        EmbeddedServer(site, port=server.port).start()


# --- answers that come later

TEXT = [("Content-Type", "text/plain")]


def no_rest(_: int) -> None:
    pytest.fail("all of it fitted")


def test_an_answer_may_come_later_and_the_connection_goes_on(client: Client, site: Site) -> None:
    for _ in range(3):
        client.send(PARK)
        assert site.parked.get(timeout=5).finish(200, TEXT, b"later", no_rest) == 0
        assert client.response() == (200, b"later") and "connection" not in client.headers
        assert request(client, "/") == (200, b"plain")
    assert site.gone.empty()


def test_an_answer_may_come_before_the_application_has_returned(server: EmbeddedServer, client: Client, site: Site) -> None:
    client.send(PARK.replace(b"/park", b"/park?slow"))
    parking = site.parked.get(timeout=5)
    site.entered.acquire(timeout=5)
    assert parking.finish(200, TEXT, b"early", no_rest) == 0
    assert client.response() == (200, b"early")
    client.send(GET)
    with contextlib.closing(Client(server.port)) as other:      # nobody else waits for that application
        assert request(other, "/") == (200, b"plain")
    site.release.set()
    assert client.response() == (200, b"plain")


def test_what_is_sent_ahead_is_answered_in_order(client: Client, site: Site) -> None:
    client.send(PARK + PARK + GET)
    for text in (b"one", b"two"):
        site.parked.get(timeout=5).finish(200, TEXT, text, no_rest)
        assert client.response() == (200, text)
    assert client.response() == (200, b"plain")
    client.send(PARK)
    parking = site.parked.get(timeout=5)
    client.send(GET)
    parking.finish(200, TEXT, b"three", no_rest)
    assert [client.response(), client.response()] == [(200, b"three"), (200, b"plain")]


def test_a_client_that_hangs_up_is_told_of_once(server: EmbeddedServer, site: Site) -> None:
    for sends_ahead in (b"", b"x" * 100, b"x" * 200_000):
        client = Client(server.port)
        client.send(PARK)
        parking = site.parked.get(timeout=5)
        client.send(sends_ahead)
        client.close()
        if len(sends_ahead) < 1000:         # one that floods is not listened to any more: the answer tells
            assert site.gone.get(timeout=5) == "gone"
        parking.finish(200, TEXT, b"late", no_rest)
        wait_for(lambda: not connections(server))
        parking.finish(200, TEXT, b"later", no_rest)
    assert site.gone.qsize() <= 1


def test_clients_that_want_no_other_request_get_none(client: Client, site: Site) -> None:
    client.send(PARK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    site.parked.get(timeout=5).finish(200, TEXT, b"bye", no_rest)
    assert client.response() == (200, b"bye") and client.headers["connection"] == "close" and is_over(client)


def test_a_request_that_was_not_read_cannot_be_parked(client: Client) -> None:
    assert request(client, "/park", b"Content-Length: 5\r\n\r\nhello", "POST") == (409, b"not read")
    assert request(client, "/") == (200, b"plain")


def test_an_answer_that_does_not_fit_is_sent_as_the_client_takes_it(client: Client, site: Site) -> None:
    sent: queue.Queue[int] = queue.Queue()
    body = b"x" * 20_000_000
    client.send(PARK)
    left = site.parked.get(timeout=5).finish(200, TEXT, body, sent.put)
    assert 0 < left < len(body) + 1000 and sent.empty()
    client.send(GET)
    assert client.response() == (200, body) and sent.get(timeout=5) == left
    assert client.response() == (200, b"plain") and sent.empty()


@pytest.mark.parametrize("hangs_up", [True, False])
def test_an_answer_that_is_not_taken_is_given_up(
    hangs_up: bool, server: EmbeddedServer, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "IDLE_TIMEOUT", 75.0 if hangs_up else 0.3)
    sent: queue.Queue[int] = queue.Queue()
    with contextlib.closing(Client(server.port)) as client:
        client.send(PARK)
        left = site.parked.get(timeout=5).finish(200, TEXT, b"x" * 20_000_000, sent.put)
        if hangs_up:
            client.close()
        assert sent.get(timeout=5) == left > 0
        wait_for(lambda: not connections(server))
        assert site.gone.empty() and sent.empty()


def test_stop_leaves_a_parked_request_to_who_answers_it(runtime: Runtime, site: Site) -> None:
    with contextlib.ExitStack() as stack:
        with serving_on(runtime, site) as server:
            client = stack.enter_context(contextlib.closing(Client(server.port)))
            client.send(PARK)
            parking = site.parked.get(timeout=5)
            started = time.monotonic()
        assert time.monotonic() - started < 1
        parking.finish(200, TEXT, b"the end", no_rest)
        assert client.response() == (200, b"the end") and client.headers["connection"] == "close"
        assert runtime == "gevent" or is_over(client)       # that hub's thread has ended in this test


# --- TLS


def test_a_handshake_holds_only_its_own_connection(runtime: Runtime, site: Site, certfile: Path) -> None:
    with serving_on(runtime, site, str(certfile)) as server, contextlib.ExitStack() as stack:
        for data in (b"", b"\x16\x03\x01", b"GET / HTTP/1.1\r\n\r\n"):
            stack.enter_context(contextlib.closing(Client(server.port))).send(data)
        client = stack.enter_context(contextlib.closing(Client(server.port, is_tls=True)))
        assert request(client, "/big") == (200, b"x" * 3_000_000)
        assert b"'wsgi.url_scheme': 'https'" in request(client, "/environ")[1]
        assert server.url.startswith("https://127.0.0.1:")


def test_a_certificate_that_is_none_is_said_at_once(site: Site, tmp_path: Path) -> None:
    (tmp_path / "bad.pem").write_text("nonsense")
    with pytest.raises(ssl.SSLError):
        EmbeddedServer(site, certfile=str(tmp_path / "bad.pem"))
    with pytest.raises(FileNotFoundError):
        EmbeddedServer(site, certfile=str(tmp_path / "none.pem"))


# --- processes


@pytest.mark.parametrize("kind", ["embedded-threads", "embedded-gevent", "embedded-gevent-patched"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_cleanly(kind: str, number: int, tmp_path: Path, certfile: Path) -> None:
    server = Server(kind, tmp_path / "log", certfile)
    try:
        with contextlib.closing(server.connect()) as idle, contextlib.closing(server.connect()) as held:
            assert idle.get("/plain") == (200, b"plain")
            held.upgrade()
            started = time.monotonic()
            server.process.send_signal(number)
            assert server.process.wait(5) == 0 and server.log == ""
            assert time.monotonic() - started < 2
    finally:
        server.process.kill()


STOPPED_FROM_A_FOREIGN_THREAD = """
import gevent, gevent.monkey, time, urllib.request
from sync_sio.wsgi.embedded import EmbeddedServer
Thread = gevent.monkey.get_original("threading", "Thread")

def page(environ, start_response):
    start_response("200 OK", [])
    return [b"page"]

def visit():
    print(urllib.request.urlopen(server.url).read())
    server.stop()

server = EmbeddedServer(page, runtime="gevent")
server.start()
Thread(target=visit).start()
server.serve_forever()
print("ended")
"""


def test_gevents_may_be_stopped_from_a_foreign_thread() -> None:
    command = [sys.executable, "-c", STOPPED_FROM_A_FOREIGN_THREAD]
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "NO_PROXY": "*"}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=20)
    assert (done.stdout, done.stderr) == ("b'page'\nended\n", "")


# --- addresses


@pytest.mark.parametrize("host", ["", "0.0.0.0", "localhost"])
def test_other_addresses(site: Site, host: str) -> None:
    with EmbeddedServer(site, host) as server, contextlib.closing(Client(server.port)) as client:
        assert request(client, "/") == (200, b"plain")
        assert server.url.startswith("http://localhost:" if host == "localhost" else "http://127.0.0.1:")


def connections(server: EmbeddedServer) -> Any:
    assert server._service is not None
    return server._service.connections


def wait_for(is_there: Any, timeout: float = 5.0) -> None:
    deadline = time.monotonic() + timeout
    while not is_there():
        assert time.monotonic() < deadline
        time.sleep(0.01)
