"""The client of python-socketio, as Python programs use it, over both transports and on both runtimes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from .conftest import IS_REFERENCE, RUNTIMES
from .servers import Server, Servers

socketio = pytest.importorskip("socketio")
# That client refuses a polling payload of more than 16 packets, whoever sent it; this is how its docs say to raise the limit.
pytest.importorskip("engineio").payload.Payload.max_decode_packets = 10_000

pytestmark = [pytest.mark.live, pytest.mark.timeout(60), pytest.mark.skipif(IS_REFERENCE, reason="the wire tests suffice there")]

TRANSPORTS = {"polling": ["polling"], "websocket": ["websocket"], "upgrade": ["polling", "websocket"]}
Connect = Callable[..., Any]


@pytest.fixture(scope="module", params=RUNTIMES)
def server(request: pytest.FixtureRequest, servers: Servers) -> Server:
    # Short times: this client leaves polling sessions without a word when the server disconnects it.
    return servers.get(request.param, ping_interval=1.0, ping_timeout=1.0)


@pytest.fixture(params=TRANSPORTS)
def connect(request: pytest.FixtureRequest, server: Server) -> Iterator[Connect]:
    clients: list[Any] = []

    def open_one(namespaces: Any = None, auth: Any = None, **options: Any) -> Any:
        client = socketio.Client(reconnection=options.pop("reconnection", False))
        for name, handler in options.items():
            client.on(name.replace("_", " "), handler)
        clients.append(client)
        client.connect(server.url, transports=TRANSPORTS[request.param], namespaces=namespaces, auth=auth, wait_timeout=10)
        return client

    yield open_one
    for client in clients:
        client.disconnect()


class Box:
    """Collects what handlers are called with, and waits for it."""

    def __init__(self) -> None:
        self.items: list[tuple[Any, ...]] = []
        self.changed = threading.Condition()

    def __call__(self, *args: Any) -> None:
        with self.changed:
            self.items.append(args)
            self.changed.notify_all()

    def wait(self, count: int = 1) -> list[tuple[Any, ...]]:
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.items) >= count, 10), self.items
            return self.items


def test_events_and_acks(connect: Connect) -> None:
    back = Box()
    client = connect(**{"message-back": back})
    client.emit("message", ("text", {"a": [1, None]}, b"\x00\xff"))
    assert back.wait() == [("text", {"a": [1, None]}, b"\x00\xff")]
    assert client.call("echo", ("a", 1)) == ["a", 1] or client.call("echo", ("a", 1)) == ("a", 1)
    assert client.call("answer with", "one") == "one"
    assert client.call("answer with", "none") is None
    assert client.call("echo", b"binary") == b"binary"


def test_the_server_calls_the_client(connect: Connect) -> None:
    client = connect(sum=lambda a, b: a + b)
    assert client.call("call back", ("sum", 2, 3)) == 5


def test_namespaces_and_auth(connect: Connect) -> None:
    client = connect(["/", "/custom"], auth={"token": "x"})
    assert client.call("whoami", namespace="/custom")["auth"] == {"token": "x"}
    assert client.call("whoami")["id"] == client.get_sid("/")
    assert client.get_sid("/custom") != client.get_sid("/")


def test_a_refusal_is_an_error(server: Server) -> None:
    client, refused = socketio.Client(reconnection=False), Box()
    client.on("connect_error", refused, namespace="/refusing")
    with pytest.raises(socketio.exceptions.ConnectionError):
        client.connect(server.url, namespaces=["/refusing"], transports=["websocket"], wait_timeout=10)
    assert refused.wait() == [({"message": "not authorized", "data": {"content": "Please retry later"}},)]
    client.disconnect()


def test_rooms(connect: Connect) -> None:
    boxes = [Box(), Box(), Box()]
    clients = [connect(news=box) for box in boxes]
    room = clients[0].get_sid("/") + "room"
    for client in clients[:2]:
        client.call("join", room)
    clients[2].call("tell", ({"to": room}, "news", 1))
    clients[0].call("tell", ({"from": "socket", "to": room}, "news", 2))
    assert boxes[1].wait(2) == [(1,), (2,)]
    assert boxes[0].wait(1) == [(1,)]
    assert clients[2].call("echo", "end") == "end"
    assert boxes[2].items == []


def test_order(connect: Connect) -> None:
    number = Box()
    client = connect(number=number)
    client.emit("please emit many", ("number", 500))
    assert sorted(number.wait(500)) == [(n,) for n in range(500)]        # the library starts a thread for each message
    for n in range(200):
        client.emit("count", n)
    assert client.call("counted") == list(range(200))


def test_both_sides_disconnect(connect: Connect, server: Server) -> None:
    client = connect()
    sid = client.get_sid("/")
    client.disconnect()
    # the library may have stopped before it has said anything
    assert server.wait_for_note(sid, "disconnect")[1] in ("client namespace disconnect", "transport close", "ping timeout")
    ended = Box()
    client = connect(disconnect=ended)
    client.emit("quit")
    ended.wait()
