"""A whole server without a kernel: its real WSGI door, drivers and handlers, and clients whose streams are lists."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import Any

from sync_sio import Server, Socket
from sync_sio.drivers.base import BytesLike
from sync_sio.types import Environ
from sync_sio.wsgi.takeover import Taken

from .rounds import Rounds

FIRST_FD = 1000
MASK = b"\x01\x02\x03\x04"
BROWSER = {
    "SERVER_NAME": "127.0.0.1",
    "SERVER_PORT": "80",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "SCRIPT_NAME": "",
    "PATH_INFO": "/socket.io/",
    "REMOTE_ADDR": "127.0.0.1",
    "wsgi.url_scheme": "http",
    "HTTP_HOST": "127.0.0.1",
    "HTTP_ORIGIN": "http://127.0.0.1",
    "HTTP_ACCEPT": "*/*",
    "HTTP_ACCEPT_ENCODING": "gzip, deflate, br",
    "HTTP_ACCEPT_LANGUAGE": "en-US,en;q=0.9",
    "HTTP_USER_AGENT": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36",
}
UPGRADE = {
    "HTTP_CONNECTION": "Upgrade",
    "HTTP_UPGRADE": "websocket",
    "HTTP_SEC_WEBSOCKET_VERSION": "13",
    "HTTP_SEC_WEBSOCKET_KEY": "dGhlIHNhbXBsZSBub25jZQ==",
}


class FakeStream:
    """A `Stream` that holds what one recv brings and what was sent; `recvs` and `sends` count what would be system calls."""

    is_tls = False

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.incoming: bytes | None = None
        self.sent: list[BytesLike] = []
        self.is_full = False
        self.recvs = 0
        self.sends = 0

    @property
    def lane(self) -> FakeStream:
        return self

    def recv(self, size: int) -> bytes | None:
        self.recvs += 1
        data, self.incoming = self.incoming, None
        return data

    def recv_into(self, view: memoryview) -> int | None:
        raise NotImplementedError("no message here is so large")

    def send(self, data: BytesLike) -> int:
        self.sends += 1
        if self.is_full:
            return 0
        self.sent.append(data)
        return len(data)

    def hush(self) -> None:
        """Forget what was sent, and how often."""
        self.sent.clear()
        self.recvs = self.sends = 0

    def has_pending(self) -> bool:
        return False

    def shutdown(self) -> None: ...

    def close(self) -> None: ...


def frame(payload: bytes, first: int = 0x81) -> bytes:
    """Return a client's frame; `first` 0x82 is a binary one."""
    size = len(payload)
    head = bytes((first, 128 + size)) if size < 126 else bytes((first, 254)) + size.to_bytes(2, "big")
    return head + MASK + bytes(byte ^ MASK[place % 4] for place, byte in enumerate(payload))


class House:
    """One server with its clients, `streams` and `sockets`; what it does, it does in `step`.

    Handlers: `echo` answers what it gets, `ten` emits ten times, `tell all` broadcasts, and `note` does nothing.
    """

    def __init__(self, rounds: Rounds, **options: Any) -> None:
        self.rounds = rounds
        self.step = rounds.step
        self.streams: list[FakeStream] = []
        self.sockets: list[Socket] = []
        self.io = server = Server(**{"runtime": rounds.driver.name, **options})
        server.engine.take = self._take
        server.engine.run_on(rounds.driver)
        server.on("connection", self.sockets.append)
        server.event("echo")(echo)
        server.event("ten")(emit_ten)
        server.event("note")(note)

        @server.event("tell all")
        def tell_all(socket: Socket, data: Any) -> None:
            server.emit("told", data)

    def _take(self, environ: Environ) -> Taken:
        stream: FakeStream = environ["tests.stream"]
        return Taken(stream, b"", False, "tests")

    def request(self, method: str, query: str, body: bytes = b"", more: dict[str, Any] | None = None) -> bytes:
        """Have a web server's thread bring a request; returns the body of the answer, which must be a good one."""
        return self.answer(self.environ(method, query, body, more))

    def environ(self, method: str, query: str, body: bytes = b"", more: dict[str, Any] | None = None) -> Environ:
        environ = {**BROWSER, "REQUEST_METHOD": method, "QUERY_STRING": query, "wsgi.input": io.BytesIO(body), **(more or {})}
        if body:
            environ |= {"CONTENT_LENGTH": str(len(body)), "CONTENT_TYPE": "text/plain;charset=UTF-8"}
        return environ

    def answer(self, environ: Environ) -> bytes:
        return b"".join(self.io(environ, start_response))

    def hand_over(self, stream: FakeStream) -> None:
        """Bring the request of a new WebSocket client, which is connected to the main namespace two rounds later."""
        self.request("GET", "EIO=4&transport=websocket", more={**UPGRADE, "tests.stream": stream})
        self.step()
        self.say(stream, CONNECT)
        self.step()

    def connect(self, count: int) -> None:
        for _ in range(count):
            stream = FakeStream(FIRST_FD + len(self.streams))
            self.streams.append(stream)
            self.hand_over(stream)
        if len(self.sockets) != len(self.streams):
            raise AssertionError(f"{len(self.sockets)} of {len(self.streams)} clients are connected")

    def connect_polling(self) -> str:
        """Return the session id of a client that polls, connected to the main namespace."""
        opening = self.request("GET", "EIO=4&transport=polling")
        sid = opening.split(b'"sid":"')[1].split(b'"')[0].decode()
        self.request("POST", poll_of(sid), b"40")
        self.step()
        if not self.request("GET", poll_of(sid)).startswith(b"40"):
            raise AssertionError("a client that polls is not connected")
        return sid

    def say(self, stream: FakeStream, data: bytes) -> None:
        """Have this client's bytes read in the next round."""
        stream.incoming = data
        self.rounds.tell(stream.fd)


CONNECT = frame(b"40")


def poll_of(sid: str) -> str:
    return f"EIO=4&transport=polling&sid={sid}"


def start_response(status: str, headers: Iterable[tuple[str, str]], exc_info: Any = None) -> Any:
    if not status.startswith(("200", "101")):
        raise AssertionError(f"a request was refused: {status}")


def echo(socket: Socket, data: Any) -> Any:
    return data


def note(socket: Socket, data: Any) -> None: ...


def emit_ten(socket: Socket, data: Any) -> None:
    for _ in range(10):
        socket.emit("tick", data)
