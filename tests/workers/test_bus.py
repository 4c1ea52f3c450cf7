"""What workers say and hand to each other, and who is known to be there. Several workers in one process: they share its sockets."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from sync_sio.drivers.keeping import PlainSocket
from sync_sio.drivers.streams import PlainStream
from sync_sio.drivers.threads import ThreadsDriver
from sync_sio.workers import bus, link, meeting
from sync_sio.workers.bus import Bus
from sync_sio.workers.link import HELLO, MESSAGE, Link, frame
from sync_sio.workers.meeting import Meeting

SECONDS = 10.0


class Worker:
    """One of several; `heard`, `passed` and `warned` are what came."""

    def __init__(self, kind: type[Bus] = Bus) -> None:
        self.driver = ThreadsDriver()
        self.heard_: list[tuple[str, bytes]] = []
        self.passed: list[tuple[bytes, int]] = []
        self.changed = threading.Condition()
        self.gate = threading.Event()
        self.gate.set()
        self.warned: list[str] = []
        self.bus = kind(Meeting("test"), self.driver, self.take, self.warn)
        self.bus.ear = self
        self.bus.wait_until_ready()

    def take(self, payload: bytes, number: int) -> None:
        with self.changed:
            self.passed.append((payload, number))
            self.changed.notify_all()

    def warn(self, cause: str, message: str, *args: object) -> None:
        self.warned.append(message % args)

    def heard(self, worker: str, payload: bytes) -> None:
        self.gate.wait(SECONDS)
        with self.changed:
            self.heard_.append((worker, payload))
            self.changed.notify_all()

    def left(self, worker: str) -> None:
        self.heard(worker, b"left")

    def wait_for(self, count: int) -> list[tuple[str, bytes]]:
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.heard_) >= count, SECONDS), self.heard_[-3:]
            return list(self.heard_)

    def wait_for_request(self) -> tuple[bytes, int]:
        with self.changed:
            assert self.changed.wait_for(lambda: self.passed, SECONDS)
            return self.passed.pop(0)

    def stop(self) -> None:
        self.gate.set()
        self.bus.close()
        self.driver.stop(SECONDS)
        for _, descriptor in self.passed:
            os.close(descriptor)
        assert self.driver.audit() == []


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Worker]]:
    with tempfile.TemporaryDirectory(dir="/tmp") as place, socket.create_server(("127.0.0.1", 0)):
        monkeypatch.setattr(meeting, "gettempdir", lambda: place)
        made = [Worker() for _ in range(3)]
        deadline = time.monotonic() + SECONDS
        while any(len(worker.bus._to) < 2 or len(worker.bus._from) < 2 for worker in made) and time.monotonic() < deadline:
            time.sleep(0.001)               # who came first hears of the others a moment later
        yield made
        for worker in made:
            worker.stop()
        assert os.listdir(f"{place}/{meeting.directory_name()}") == []


def test_who_is_ready_is_known_to_all(workers: list[Worker]) -> None:
    ids = {worker.bus.id for worker in workers}
    for worker in workers:
        assert set(worker.bus.workers) == ids - {worker.bus.id}


def test_what_one_says_is_heard_in_its_order(workers: list[Worker]) -> None:
    one, two, three = workers

    def talk(worker: Worker) -> None:
        for number in range(500):
            worker.bus.publish(b"%d %s" % (number, b"x" * (number % 7 * 40_000)))

    threads = [threading.Thread(target=talk, args=(worker,)) for worker in (one, two)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    heard = three.wait_for(1000)
    for worker in (one, two):
        said = [payload for who, payload in heard if who == worker.bus.id]
        assert said == [b"%d %s" % (number, b"x" * (number % 7 * 40_000)) for number in range(500)]
        worker.wait_for(500)


def test_who_cannot_keep_up_is_waited_for(workers: list[Worker]) -> None:
    one, two, _ = workers
    two.gate.clear()
    piece = b"x" * 100_000
    for _ in range(400):
        one.bus.tell(two.bus.id, piece)
    assert len(two.heard_) == 0
    two.gate.set()
    assert two.wait_for(400) == [(one.bus.id, piece)] * 400


def test_who_never_reads_is_given_up_and_found_again(workers: list[Worker], monkeypatch: pytest.MonkeyPatch) -> None:
    one, two, _ = workers
    monkeypatch.setattr(link, "MAX_WAITING", 1_000_000)
    two.gate.clear()
    for _ in range(1000):
        one.bus.tell(two.bus.id, b"x" * 100_000)
    two.gate.set()
    while b"again" not in [payload for _, payload in two.heard_]:
        one.bus.tell(two.bus.id, b"again")
        with two.changed:
            two.changed.wait(0.05)
    assert len(two.heard_) < 1000
    assert f"worker {two.bus.id}: it does not read what it is told" in one.warned[0]


def test_a_message_may_be_larger_than_all_that_may_wait_behind_it(workers: list[Worker], monkeypatch: pytest.MonkeyPatch) -> None:
    one, two, _ = workers
    monkeypatch.setattr(link, "MAX_WAITING", 100_000)
    two.gate.clear()
    two.bus._from[one.bus.id].max_queued_bytes = 0          # so that nothing more is read while one is dealt with
    said = [b"first", b"x" * 3_000_000, b"behind it"]
    for payload in said:
        one.bus.tell(two.bus.id, payload)
    two.gate.set()
    assert [payload for _, payload in two.wait_for(3)] == said
    assert one.warned == []


def test_the_end_of_a_worker_comes_behind_what_it_said(workers: list[Worker]) -> None:
    one, two, three = workers
    for number in range(200):
        two.bus.publish(b"%d" % number)
    two.stop()
    for worker in (one, three):
        heard = worker.wait_for(201)
        assert heard == [(two.bus.id, b"%d" % number) for number in range(200)] + [(two.bus.id, b"left")]
        assert two.bus.id not in worker.bus.workers
    assert not one.bus.has(two.bus.id)
    assert one.bus.has(three.bus.id)


def test_what_is_said_to_a_worker_that_is_being_greeted_comes_behind_the_greeting() -> None:
    """Another thread may know of a link before the one that has dialled has begun it."""
    driver = ThreadsDriver()
    here, there = socket.socketpair()
    here.setblocking(False)
    with there:
        greeted = Link(PlainSocket(fileno=here.detach()), driver, lambda *_: None, lambda _: None, "peer", frame(HELLO, b"me"))
        assert greeted.send(frame(MESSAGE, b"early"))
        driver.watch(greeted)
        greeted.begin()
        expected = frame(HELLO, b"me") + frame(MESSAGE, b"early")
        assert there.recv(len(expected), socket.MSG_WAITALL) == expected
        greeted.close()
        assert there.recv(1) == b""
    driver.stop(SECONDS)
    assert driver.audit() == []


def test_who_leaves_waits_until_the_others_have_taken_what_it_said(workers: list[Worker], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bus, "LAST_WORDS", SECONDS)
    one, two, _ = workers
    two.gate.clear()
    piece = b"x" * 100_000
    for _ in range(400):
        one.bus.tell(two.bus.id, piece)
    assert one.bus._to[two.bus.id]._waiting
    leaving = threading.Thread(target=one.bus.close)
    leaving.start()
    two.gate.set()
    assert two.wait_for(401) == [(one.bus.id, piece)] * 400 + [(one.bus.id, b"left")]
    leaving.join()


def test_who_dials_a_worker_that_has_left_is_told_so(workers: list[Worker]) -> None:
    """The loop may have accepted it just then."""
    one, *_ = workers
    one.bus.close()
    here, there = socket.socketpair()
    here.setblocking(False)
    there.settimeout(SECONDS)
    with there:
        one.bus._on_dialled(PlainSocket(fileno=here.detach()))
        assert there.recv(1) == b""


def test_a_descriptor_is_handed_over(workers: list[Worker]) -> None:
    one, two, _ = workers
    for number in range(50):
        client, server = socket.socketpair()
        stream = PlainStream(PlainSocket(fileno=server.detach()))
        payload = b"%d %s" % (number, b"x" * (number * 10_000))
        assert one.bus.hand_over(two.bus.id, payload, stream)
        got, descriptor = two.wait_for_request()
        assert got == payload
        assert not os.get_inheritable(descriptor)
        with socket.socket(fileno=descriptor) as passed, client:
            passed.sendall(b"hello")
            assert client.recv(10) == b"hello"
    client, server = socket.socketpair()
    with client, server:
        assert not one.bus.hand_over("none", b"", PlainStream(PlainSocket(fileno=os.dup(server.fileno()))))


def test_a_descriptor_that_cannot_be_taken_is_no_other_requests(workers: list[Worker], monkeypatch: pytest.MonkeyPatch) -> None:
    one, two, _ = workers

    def hand_over(payload: bytes) -> socket.socket:
        client, server = socket.socketpair()
        client.settimeout(SECONDS)
        stream = PlainStream(PlainSocket(fileno=server.detach()))
        if not one.bus.hand_over(two.bus.id, payload, stream):
            stream.close()
        return client

    with monkeypatch.context() as patch:
        patch.setattr(link, "_DESCRIPTORS", 0)      # as if none was free
        with hand_over(b"lost") as client:
            assert client.recv(1) == b""
        while not two.warned:                       # it was closed just before
            time.sleep(0.001)
    assert two.warned == [f"worker {one.bus.id}: no descriptor is free for the connections that it hands over: see `ulimit -n`"]
    clients = []
    while not two.passed:
        clients.append(hand_over(b"%d" % len(clients)))
        with two.changed:
            two.changed.wait(0.05)
    payload, descriptor = two.passed.pop(0)
    with socket.socket(fileno=descriptor) as passed:
        passed.sendall(payload)
        assert clients[int(payload)].recv(10) == payload
    for client in clients:
        client.close()


def test_without_descriptors_who_dials_waits_and_the_loop_does_not_spin(workers: list[Worker], monkeypatch: pytest.MonkeyPatch) -> None:
    one = workers[0]
    tried: list[None] = []
    on_readable = bus._Door.on_readable

    def count(door: Any) -> None:
        tried.append(None)
        on_readable(door)

    monkeypatch.setattr(bus._Door, "on_readable", count)
    limit, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken: list[int] = []
    with socket.socket(socket.AF_UNIX) as dialler:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (256, most))
            with contextlib.suppress(OSError):
                while True:
                    taken.append(os.dup(0))
            dialler.connect(one.bus._meeting.path)
            for _ in range(100):
                turned = threading.Event()
                one.driver.post(turned.set)
                assert turned.wait(SECONDS)
            assert 1 <= len(tried) < 20
        finally:
            for descriptor in taken:
                os.close(descriptor)
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, most))
        dialler.sendall(frame(HELLO, b"late-1") + frame(MESSAGE, b"hello"))
        assert one.wait_for(1) == [("late-1", b"hello")]
    one.wait_for(2)                     # it is gone again


def test_what_a_killed_worker_left_behind_is_cleared_away(workers: list[Worker]) -> None:
    dead = Meeting("test")
    dead.listen().close()
    assert os.path.exists(dead.path)
    assert not workers[0].bus.has(dead.id)
    assert not os.path.exists(dead.path)
    stranger = Meeting("another")
    stranger.listen().close()
    alive = Meeting("and another")
    listener = alive.listen()
    Meeting("test").sweep()
    assert not os.path.exists(stranger.path)
    assert os.path.exists(alive.path)
    listener.close()
    alive.leave()


@contextlib.contextmanager
def child_of(worker: Worker) -> Iterator[None]:
    """Have a child of a fork live, which is no worker any more."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(writing)                   # or it would outlive a test that fails
        worker.bus.abandon()
        os.read(reading, 1)
        os._exit(0)
    try:
        yield
    finally:
        os.write(writing, b"x")
        os.waitpid(child, 0)
        os.close(reading)
        os.close(writing)


def test_the_child_of_a_fork_is_not_the_worker(workers: list[Worker]) -> None:
    one, two, _ = workers
    with child_of(one):
        one.stop()                      # it must not keep the links open
        assert (one.bus.id, b"left") in two.wait_for(1)


def test_who_has_dialled_a_new_worker_already_is_not_waited_for(workers: list[Worker]) -> None:
    """It is asked for a session of the new one, and so dials it, just while that one dials it, too."""
    one, *_ = workers
    me = threading.get_ident()
    has_dialled = threading.Event()

    class New(Bus):
        def _connect(self, worker: str, path: str) -> Any:
            if worker == one.bus.id and threading.get_ident() == me:
                assert one.bus.has(self.id)
                while worker not in self._from:
                    time.sleep(0.001)
            return super()._connect(worker, path)

        def _dial(self, is_first: bool = False) -> None:
            if not is_first:
                has_dialled.wait(SECONDS)           # the loop, which has heard of it and would dial it first
            super()._dial(is_first)
            has_dialled.set()

    began = time.monotonic()
    new = Worker(New)
    workers.append(new)
    assert time.monotonic() - began < bus.READY_TIMEOUT         # which it waits for somebody who does not answer


def test_the_child_of_a_fork_keeps_no_client(workers: list[Worker]) -> None:
    """What was under way to a worker, or from one, is the parent's."""
    one, two, _ = workers
    two.gate.clear()
    two.bus._from[one.bus.id].max_queued_bytes = 0
    client, server = socket.socketpair()
    with client:
        for payload in (b"first", b"x" * 3_000_000):        # nothing more is read, and the request waits here
            one.bus.tell(two.bus.id, payload)
        assert one.bus.hand_over(two.bus.id, b"request", PlainStream(PlainSocket(fileno=server.detach())))
        with child_of(one):
            one.bus.close()
            client.settimeout(SECONDS)
            assert client.recv(1) == b""
