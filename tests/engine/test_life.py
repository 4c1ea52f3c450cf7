"""What exists when: nothing before first use, everything anew in the child of a fork, nothing after the end."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from websockets.sync.client import connect

from sync_sio import Server
from sync_sio.engine import EngineServer
from sync_sio.engine.polling import PollingTransport, Ticket
from sync_sio.wsgi.takeover import Parking

QUERY = "/socket.io/?EIO=4&transport=polling"


def descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else set()


def page(port: int, path: str = QUERY) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def test_nothing_exists_before_first_use() -> None:
    threads, files = threading.active_count(), descriptors()
    io = Server()
    io.on("connection", lambda socket: None)
    io.emit("nobody", 1)
    io.to("room").emit("nobody", 1)
    io.of("/admin").emit("nobody", 1)
    io.spawn(print, "never")
    assert (threading.active_count(), descriptors()) == (threads, files)
    assert io.audit() == []


def test_closing_what_never_served_is_nothing() -> None:
    io = Server()
    io.close()
    io.close()
    assert threading.active_count() == 1 or not io.engine.is_started


def test_what_was_spawned_before_serving_starts_with_it() -> None:
    io = Server(runtime="threads")
    done = threading.Event()
    io.spawn(done.set)
    assert not done.wait(0.05)
    with io.start():
        assert done.wait(5)


def test_after_the_end_requests_get_503() -> None:
    io = Server(runtime="threads")
    with io.start() as running:
        assert page(running.port)[0] == 200
        io.close()
        assert page(running.port)[0] == 503
    assert io.audit() == []


@pytest.mark.parametrize("is_parked", [True, False], ids=["parked", "taken over"])
def test_a_poll_that_arrives_while_the_server_ends_is_told_so(is_parked: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = EngineServer(runtime="threads")
    io = Server(engine, runtime="threads")
    park = PollingTransport.park
    ended = []

    def stop_and_park(self: PollingTransport, ticket: Ticket, parking: Parking) -> bool:
        engine.stop()
        ended.append(True)
        return is_parked and park(self, ticket, parking)

    monkeypatch.setattr(PollingTransport, "park", stop_and_park)
    with io.start() as running:
        path = "/engine.io/?EIO=4&transport=polling"
        status, body = page(running.port, path)
        assert status == 200
        assert page(running.port, f"{path}&sid={json.loads(body[1:])['sid']}") == (200, b"1")
    assert engine.audit() == [] and ended == [True]


def test_closing_in_a_handler_does_not_wait_for_it() -> None:
    io = Server(runtime="threads")
    closed = threading.Event()

    @io.event
    def end(socket):  # type: ignore[no-untyped-def]
        io.close(timeout=30)
        closed.set()

    with io.start() as running, connect(f"ws://127.0.0.1:{running.port}/socket.io/?EIO=4&transport=websocket") as client:
        client.recv()
        client.send("40")
        client.recv()
        client.send('42["end"]')
        assert closed.wait(10)
        with pytest.raises(Exception, match="1001"):
            while True:
                client.recv(timeout=5)


def test_a_process_that_ends_while_another_thread_closes_waits_until_all_is_told() -> None:
    script = """
import sys, threading
from sync_sio import Server
io = Server(runtime="threads")
said = threading.Event()

@io.on("connection")
def connected(socket):
    @socket.on("disconnect")
    def gone(reason):
        said.set()
        for _ in range(50):
            io.sleep(0.01)
        print("told", flush=True)

print(io.start(0).port, flush=True)
sys.stdin.readline()
io.spawn(io.close)
said.wait()
"""
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        port = int(process.stdout.readline())
        with connect(f"ws://127.0.0.1:{port}/socket.io/?EIO=4&transport=websocket") as client:
            client.recv()
            client.send("40")
            client.recv()
            process.stdin.write("end\n")
            process.stdin.flush()
            with pytest.raises(Exception, match="1001"):
                client.recv(timeout=5)
        assert process.stdout.readline() == "told\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_handler_may_fork_and_its_client_stays_with_the_parent() -> None:
    io = Server(runtime="threads")

    @io.event
    def fork(socket):  # type: ignore[no-untyped-def]
        child = os.fork()
        if not child:
            code = 0 if io.engine.clients_count == 0 and not io.sockets.sockets else 1
            os._exit(code)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    with io.start() as running, connect(f"ws://127.0.0.1:{running.port}/socket.io/?EIO=4&transport=websocket") as client:
        client.recv()
        client.send("40")
        client.recv()
        for number in range(3):
            client.send(f'42{number}["fork"]')
            assert client.recv(timeout=10) == f"43{number}[0]"


CHILD_SERVES = """
import http.client, json, os, sys
from sync_sio import Server
io = Server(runtime="threads")
spawned = []
io.spawn(spawned.append, 1)
with io.start() as parent:
    child = os.fork()
    if child:
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    with io.start() as running:
        connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=10)
        connection.request("GET", "/socket.io/?EIO=4&transport=polling")
        body = connection.getresponse().read()
        os._exit(0 if json.loads(body[1:])["sid"] and io.engine.clients_count == 1 and spawned == [1, 1] else 1)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_the_child_of_a_fork_serves_afresh() -> None:
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", CHILD_SERVES], cwd=root, timeout=30, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_plain_engine_server_works_on_its_own() -> None:
    engine = EngineServer(runtime="threads")
    engine.on("connection", lambda connection: connection.on("message", connection.send))
    io = Server(engine, runtime="threads")      # any WSGI server would do
    with io.start() as running, connect(f"ws://127.0.0.1:{running.port}/engine.io/?EIO=4&transport=websocket") as client:
        assert json.loads(str(client.recv())[1:])["upgrades"] == []
        client.send("4hello")
        assert client.recv(timeout=5) == "4hello"
        client.send(b"\x00\x01")
        assert client.recv(timeout=5) == b"\x00\x01"
        assert engine.clients_count == 1
    engine.stop()
    assert engine.audit() == []


def test_threads_are_refused_in_a_process_that_is_patched_later() -> None:
    code = """
from sync_sio import Server
io = Server()
io.engine.start()
from gevent import monkey
monkey.patch_all()
try:
    io.engine.start()
except RuntimeError as error:
    print(error)
"""
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], cwd=root, timeout=30, capture_output=True, text=True, check=False)
    assert "patch first" in done.stdout, done.stderr
