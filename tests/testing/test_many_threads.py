"""Clients in memory from many threads or greenlets at once, and in a process that gevent has patched."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sync_sio import Server
from sync_sio.testing import TestClient
from tests.tools import ROOT

RUNTIMES = os.environ.get("SYNC_SIO_TEST_RUNTIMES", "threads gevent").split()


@pytest.fixture(params=RUNTIMES)
def io(request: pytest.FixtureRequest) -> Iterator[Server]:
    io = Server(runtime=request.param)
    io.event("echo", lambda socket, *args: args)
    yield io
    io.close()


def test_who_is_sent_away_at_once_is_seen_to_be_gone(io: Server) -> None:
    """Wherever the client's thread and the server's are interrupted."""
    io.on("connection", lambda socket: socket.disconnect())
    gone: list[str] = []
    io.event("disconnect", lambda socket, reason: gone.append(reason))
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for number in range(1, 1001):
            client = TestClient(io)
            client.settle()
            assert not client.connected and len(gone) == number
    finally:
        sys.setswitchinterval(interval)


def at_once(io: Server, *tasks: Callable[[], object]) -> None:
    """Run them beside each other, as this runtime does; raise what one of them raises."""
    problems: list[BaseException] = []

    def run(task: Callable[[], object]) -> None:
        try:
            task()
        except BaseException as problem:
            problems.append(problem)

    if io.engine.start({}).name == "gevent":
        import gevent

        gevent.joinall([gevent.spawn(run, task) for task in tasks], timeout=20)
    else:
        threads = [threading.Thread(target=run, args=(task,), daemon=True) for task in tasks]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
            assert not thread.is_alive()
    if problems:
        raise problems[0]


@pytest.fixture
def restless() -> Iterator[None]:
    """Threads change as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_one_client_is_used_by_many(io: Server, restless: None) -> None:
    with TestClient(io) as client:

        def work(thread: int) -> None:
            for number in range(50):
                assert client.call("echo", thread, bytes([number]), b"x") == (thread, bytes([number]), b"x")

        at_once(io, *(lambda thread=thread: work(thread) for thread in range(4)))  # type: ignore[misc]


def test_many_who_send_wait_side_by_side_while_the_server_does_not_read(io: Server, restless: None) -> None:
    seen: list[Any] = []
    io.event("count", lambda socket, *what: seen.append(what))
    with TestClient(io) as client:

        def work(thread: int) -> None:
            for number in range(500):
                client.emit("count", thread, number, b"with", b"attachments")

        at_once(io, *(lambda thread=thread: work(thread) for thread in range(4)))  # type: ignore[misc]
        client.settle()
        for thread in range(4):
            assert [number for who, number, *_ in seen if who == thread] == list(range(500))


def test_each_brings_its_own(io: Server) -> None:
    def work(name: str) -> None:
        for _ in range(10):
            with TestClient(io) as client:
                client.on("question", lambda: name)
                assert client.socket.call("question", timeout=10) == name
                assert client.call("echo", name) == name

    at_once(io, *(lambda name=name: work(name) for name in "abcd"))  # type: ignore[misc]
    assert io.engine.clients_count == 0


def test_a_closed_server_leaves_no_thread() -> None:
    before = set(threading.enumerate())
    io = Server(runtime="threads")
    io.event("echo", lambda socket, *args: args)
    with TestClient(io) as client:
        assert client.call("echo", 1) == 1
    io.close()
    assert set(threading.enumerate()) <= before


PATCHED = """
import sys
from gevent import monkey
monkey.patch_all()
import pytest
sys.exit(pytest.main(["-q", "-x", "-p", "no:cacheprovider", "-k", {what!r}, {files}]))
"""


@pytest.mark.skipif("SYNC_SIO_TEST_RUNTIMES" in os.environ, reason="this is the process that it starts")
def test_all_of_it_in_a_process_that_gevent_has_patched() -> None:
    pytest.importorskip("gevent")
    files = ", ".join(repr(str(ROOT / "tests" / "testing" / name)) for name in ("test_client.py", "test_many_threads.py"))
    environ = {**os.environ, "SYNC_SIO_TEST_RUNTIMES": "gevent", "SYNC_SIO_DEBUG": "1", "PYTHONPATH": str(ROOT)}
    script = PATCHED.format(files=files, what="not closed_server_leaves_no_thread")
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, env=environ, capture_output=True, text=True, timeout=55)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
