"""Several gunicorn workers, no sticky sessions, no Redis: requests reach the worker that has the session, broadcasts reach everybody."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import tools

from .servers import HERE, HOST, Server, Servers, wait_for
from .wire import Http, PollingClient, SocketClient, WebSocketClient, upgrade

pytestmark = [pytest.mark.live, pytest.mark.timeout(120)]

APP = {"LIVE_APP": "workers_app:application"}
SERVERS = ("gunicorn-gthread", "gunicorn-gevent")


@pytest.fixture
def own(tmp_path: Path) -> Servers:
    return Servers(tmp_path)


def several(
    own: Servers, kind: str, workers: int = 2, extra: tuple[str, ...] = (), hooks: str = "", environ: Any = None, **options: Any
) -> Any:
    return own.fresh(kind, hooks, {**APP, **(environ or {})}, ("--workers", str(workers), *extra), **options)


def warnings(server: Server) -> list[str]:
    return [line for line in server.log.splitlines() if line.startswith("WARNING sync_sio")]


class Crowd:
    """Official JavaScript clients, as they are by default: node/workers.mjs."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.buffer = b""

    def round(self, name: str) -> list[list[Any]]:
        """Have each shout, wait until each has heard all; returns worker, disconnects, errors and transport of each."""
        return self.told(f"round {name}", name)

    def told(self, command: str, name: str, timeout: float = 60.0) -> list[list[Any]]:
        self.say(command)
        event, value = self.hear(timeout) or ("", f"{name} did not end; who is not at rest: {self.restless()}")
        assert event == name, value
        found: list[list[Any]] = value
        return found

    def restless(self) -> list[Any]:
        """Return the state of those that are not connected, or have not heard all."""
        self.say("state")
        event, value = self.hear(10.0) or ("", [])
        most = max((each[5] for each in value), default=0) if event == "state" else 0
        return [each for each in value if event != "state" or not each[1] or each[5] < most]

    def say(self, command: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{command}\n".encode())
        self.process.stdin.flush()

    def hear(self, timeout: float) -> tuple[str, list[list[Any]]] | None:
        """Return what comes next; None: nothing does."""
        assert self.process.stdout is not None
        deadline = time.monotonic() + timeout
        while b"\n" not in self.buffer:
            if not select.select([self.process.stdout], [], [], max(0.0, deadline - time.monotonic()))[0]:
                return None
            data = os.read(self.process.stdout.fileno(), 1 << 20)
            assert data, f"the clients ended: {self.process.wait()}"
            self.buffer += data
        line, _, self.buffer = self.buffer.partition(b"\n")
        event, value = json.loads(line)
        return event, value


@contextlib.contextmanager
def crowd(node: Path, url: str, count: int) -> Iterator[Crowd]:
    command = [str(node), str(HERE / "node" / "workers.mjs"), url, str(count)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=tools.node_environ())
    try:
        yield Crowd(process)
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("kind", SERVERS)
@pytest.mark.usefixtures("npm_packages")
def test_two_hundred_clients_on_four_workers(own: Servers, node: Path, kind: str) -> None:
    with several(own, kind, 4) as server, crowd(node, server.url, 200) as clients:
        first = clients.round("first")
        assert all(each[1:] == [0, [], "websocket"] for each in first)
        workers = Counter(worker for worker, *_ in first)
        assert len(workers) > 1             # how many of the four, the kernel decides
        victim = workers.most_common(1)[0][0]
        os.kill(victim, signal.SIGKILL)
        clients.told(f"lost {workers[victim]}", "lost")
        second = clients.round("second")
        for before, after in zip(first, second, strict=True):
            is_hit = before[0] == victim
            assert after[1] == is_hit
            assert (after[0] != before[0]) == is_hit
            assert is_hit or after[2] == []
            assert after[3] == "websocket"
        assert warnings(server) == []


@pytest.fixture(scope="module", params=SERVERS)
def four(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with several(Servers(tmp_path_factory.mktemp("four")), request.param, 4) as server:
        yield server
        wait_for(lambda: server.page("/audit") == [], say=lambda: str(server.page("/audit")))
        assert warnings(server) == []


def spread(server: Server, transport: str, stack: contextlib.ExitStack, count: int = 3) -> list[SocketClient]:
    """Return clients of as many different workers."""
    found: dict[int, SocketClient] = {}
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        client = connected(server, transport)
        [worker] = client.call("who")
        if worker in found:
            client.close()
        else:
            stack.callback(client.close)
            found[worker] = client
        if len(found) == count:
            return list(found.values())
    raise AssertionError(f"all clients came to {found.keys()}")


def connected(server: Server, transport: str = "polling") -> SocketClient:
    client = SocketClient(transports[transport](server.address, is_tls=server.is_tls))
    client.wait_until_connected()
    return client


transports = {"polling": PollingClient, "websocket": WebSocketClient}


def test_a_session_that_polls_is_served_whoever_gets_its_requests(four: Server) -> None:
    """Each request is on a connection of its own, so any worker may get it."""
    poll_anywhere(four)


def poll_anywhere(server: Server, big: int = 300_000) -> None:
    """`big`: characters; more than fits into the kernel's buffers."""
    with contextlib.closing(PollingClient(server.address, is_tls=server.is_tls)) as client:
        socket = SocketClient(client)
        socket.wait_until_connected()
        [worker] = socket.call("who")
        for number in range(12):
            client.getter.close()
            client.poster.close()
            assert socket.call("who") == [worker]
            socket.emit("shout", number)
            assert socket.receive() == ["heard", number]
        client.getter.close()
        client.start_get()                      # one that waits
        with contextlib.closing(connected(server)) as other:
            other.emit("shout", "x" * big)
            assert socket.receive() == ["heard", "x" * big]


def test_a_session_is_upgraded_whoever_gets_the_websocket(four: Server) -> None:
    upgrade_anywhere(four)


def upgrade_anywhere(server: Server, big: int = 300_000) -> None:
    for _ in range(6):
        polling = PollingClient(server.address, is_tls=server.is_tls)
        socket = SocketClient(polling)
        socket.wait_until_connected()
        [worker] = socket.call("who")
        socket.engine = upgrade(polling, server.is_tls)
        polling.leave()
        assert socket.call("who") == [worker]
        socket.emit("shout", "x" * big)
        assert socket.receive() == ["heard", "x" * big]
        socket.close()


def test_what_no_worker_knows_is_refused(four: Server) -> None:
    with PollingClient(four.address).getter as http:
        for sid in ("unknown", "A" * 20, "A"):
            response = http.request("GET", f"/socket.io/?EIO=4&transport=polling&sid={sid}")
            assert (response.status, response.json()) == (400, {"code": 1, "message": "Session ID unknown"})


@pytest.mark.parametrize("transport", ["polling", "websocket"])
def test_everything_that_is_done_to_many_reaches_the_clients_of_all_workers(four: Server, transport: str) -> None:
    with contextlib.ExitStack() as stack:
        a, b, c = clients = spread(four, transport, stack)
        workers = [client.call("who")[0] for client in clients]
        for client in clients:
            client.call("join", "all")

        value = {"text": "\u2028 \U0001f600", "bytes": {"_placeholder": True, "num": 0}, "numbers": [1, 2.5, None, True]}
        a.engine.send("451-" + json.dumps(["shout", value]), b"\x00\xff")
        for client in clients:
            assert client.receive() == ["heard", {**value, "bytes": b"\x00\xff"}]

        a.call("tell", [b.id, c.id], [c.id], 1)
        assert b.receive() == ["heard", 1]
        a.call("gather", b.id, "b's")
        a.call("tell", ["b's"], [], 2)
        assert b.receive() == ["heard", 2]
        [found] = a.call("fetch", "all")
        assert found == sorted([each.id, sorted({each.id, "all"} | ({"b's"} if each is b else set()))] for each in clients)
        a.call("scatter", "b's")
        assert a.call("fetch", "b's") == [[]]

        b.emit("ask", "all", 20.0, ack=77)
        for client in clients:
            name, room, ack = client.receive()
            assert (name, room) == ("question", "all")
            client.answer(ack, client.id)
        assert b.wait_for_ack(77) == [sorted(each.id for each in clients)]

        [answers] = c.call("servers", "hello")
        assert {worker for worker, _ in answers} >= set(workers) - {workers[2]}
        assert all(text == "hello" for _, text in answers)

        a.emit("throw_out", c.id)
        assert c.engine.wait_for_end() is not None
        assert [sid for sid, _ in a.call("fetch", "all")[0]] == sorted([a.id, b.id])
        # c heard nothing of what was not for it
        assert list(c.events) == []


def test_a_worker_that_dies_is_not_waited_for(four: Server) -> None:
    with contextlib.ExitStack() as stack:
        a, b, c = spread(four, "websocket", stack)
        for client in (a, b, c):
            client.call("join", "survivors")
        [victim] = c.call("who")
        a.emit("ask", "survivors", 60.0, ack=5)
        for client in (a, b):
            client.answer(client.receive()[-1], client.id)
        assert c.receive()[0] == "question"
        os.kill(victim, signal.SIGKILL)
        assert a.wait_for_ack(5) == [sorted([a.id, b.id])]
        assert [sid for sid, _ in a.call("fetch", "survivors")[0]] == sorted([a.id, b.id])


@pytest.mark.parametrize(
    ("kind", "options"), [("sync", {}), ("gevent_pywsgi", {}), ("gevent-websocket", {}), ("gthread", {"ws_engine": "simple-websocket"})]
)
def test_other_workers_of_gunicorn_pass_requests_on(own: Servers, kind: str, options: dict[str, Any]) -> None:
    with several(own, f"gunicorn-{kind}", **options) as server:
        poll_anywhere(server)
        upgrade_anywhere(server)
        assert warnings(server) == []


@pytest.mark.parametrize("kind", SERVERS)
def test_what_a_page_emits_is_heard_from_workers_without_clients_too(own: Servers, kind: str) -> None:
    with several(own, kind) as server, contextlib.closing(connected(server, "websocket")) as client:
        for _ in range(40):
            with contextlib.closing(server.http()) as http:
                worker = int(http.request("GET", "/shout").text)
            assert client.receive() == ["heard", worker]


@pytest.mark.parametrize("kind", SERVERS)
def test_through_tls_the_bytes_go_through_the_worker_that_has_the_keys(own: Servers, certificate: dict[str, str], kind: str) -> None:
    with several(own, kind, environ=certificate) as server:
        poll_anywhere(server, 70_000)
        upgrade_anywhere(server, 70_000)
        wait_for(lambda: server.page("/audit") == [], say=lambda: str(server.page("/audit")))
        assert warnings(server) == []


@pytest.mark.parametrize("kind", SERVERS)
def test_where_sockets_cannot_be_had_the_answer_goes_through_the_worker_that_was_asked(own: Servers, kind: str) -> None:
    with several(own, kind, hooks="hidden") as server:
        poll_anywhere(server)
        assert all("no WebSocket is possible" in line for line in warnings(server))


def test_ids_of_the_applications_own_are_found_by_asking(own: Servers) -> None:
    with several(own, "gunicorn-gthread", 3, hooks="generate_id") as server:
        poll_anywhere(server)
        upgrade_anywhere(server)
        with PollingClient(server.address).getter as http:
            assert http.request("GET", "/socket.io/?EIO=4&transport=polling&sid=unknown").json()["code"] == 1


def test_old_clients_are_passed_on_too(own: Servers) -> None:
    with several(own, "gunicorn-gthread", allow_eio3=True) as server:
        for _ in range(8):
            with Http(server.address) as http:
                body = http.request("GET", "/socket.io/?EIO=3&transport=polling").text
            sid = json.loads(body[body.index("{") : body.index("}") + 1])["sid"]
            with Http(server.address) as http:
                assert http.request("GET", f"/socket.io/?EIO=3&transport=polling&sid={sid}").text == "2:40"


@pytest.mark.usefixtures("uwsgi", "npm_packages")
def test_the_processes_of_uwsgi_find_each_other(own: Servers, node: Path, tmp_path: Path) -> None:
    config = tmp_path / "uwsgi.ini"
    config.write_text(f"""[uwsgi]
http-socket = {HOST}:$(LIVE_PORT)
module = workers_app:application
master = true
processes = 3
threads = 4
die-on-term = true
""")
    with own.fresh("uwsgi", environ={"LIVE_CONFIG": str(config)}) as server, crowd(node, server.url, 50) as clients:
        first = clients.round("first")
        assert all(each[1:] == [0, [], "websocket"] for each in first)
        assert len({worker for worker, *_ in first}) > 1
        assert warnings(server) == []



@pytest.mark.parametrize("kind", ["forking-pywsgi", "forking-pywsgi-patched"])
def test_processes_of_any_make_find_each_other(own: Servers, kind: str) -> None:
    """gevent's own server, in three children that share the parent's socket; patched or not."""
    with own.fresh(kind, environ=APP) as server, contextlib.ExitStack() as stack:
        poll_anywhere(server)
        upgrade_anywhere(server)
        a, b = spread(server, "websocket", stack, 2)
        a.emit("shout", 1)
        assert b.receive() == ["heard", 1]
        assert warnings(server) == []


@pytest.mark.parametrize("kind", SERVERS)
def test_what_a_worker_says_when_it_ends_is_heard_from_the_others(own: Servers, kind: str) -> None:
    """Of all its clients, by handlers of `disconnect`, more than the kernel keeps for who does not read."""
    with several(own, kind, hooks="farewell") as server, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(contextlib.closing(connected(server, "websocket"))) for _ in range(400)]
        workers: dict[int, set[str]] = {}
        for client in clients:
            workers.setdefault(client.call("who")[0], set()).add(client.id)
        leaving = max(workers, key=lambda worker: len(workers[worker]))
        with contextlib.closing(connected(server, "websocket")) as listener:
            while listener.call("who") == [leaving]:
                listener.close()
                listener = stack.enter_context(contextlib.closing(connected(server, "websocket")))
            os.kill(leaving, signal.SIGTERM)
            left = set()
            while len(left) < len(workers[leaving]):
                _, [sid, reason, _] = listener.receive()
                if reason == "server shutting down":
                    left.add(sid)
            assert left == workers[leaving]
        # gunicorn's gevent workers lose a SIGTERM that comes while they start
        wait_for(lambda: server.page("/status")[1] == 2, 10.0, lambda: str(server.page("/status")))


@pytest.mark.parametrize("extra", [("--preload",), ("--reuse-port",)])
def test_workers_that_are_reloaded_find_each_other(own: Servers, extra: tuple[str, ...]) -> None:
    with several(own, "gunicorn-gthread", extra=extra) as server, contextlib.ExitStack() as stack:
        old = spread(server, "websocket", stack, 2)
        server.signal(signal.SIGHUP)
        for client in old:
            client.engine.wait_for_end()
        a, b = spread(server, "polling", stack, 2)
        a.emit("shout", "after the reload")
        assert a.receive() == b.receive() == ["heard", "after the reload"]
        wait_for(lambda: server.page("/status")[1] == 2, say=lambda: str(server.page("/status")))
