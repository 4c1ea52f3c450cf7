"""A small world for schedules: a real server on the interleaving driver, and scripted clients over streams in memory.

The web server is a function call: a request is an environ, taking its socket over makes a stream. Everything that the server
under test does is real, and so are the bytes on the wire.
"""

from __future__ import annotations

import gzip
import io
import json
import logging
import sys
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from sync_sio import Server
from sync_sio.drivers import locks
from sync_sio.engine.connection import Connection
from sync_sio.errors import Disconnected
from sync_sio.sockets.socket import Socket
from sync_sio.testing.interleave import InterleaveDriver
from sync_sio.testing.memory import ClientEnd
from sync_sio.testing.schedule import Task
from sync_sio.types import Environ
from sync_sio.wsgi.takeover import CannotTake, Taken

PING_INTERVAL = 25.0
PING_TIMEOUT = 20.0
LONG_ENOUGH = 200.0
"""Virtual seconds after which every timer of a world that nobody uses any more has run: pings, lingering, close time-outs."""
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
MASK = b"\0\0\0\0"

_server_modules = ("sync_sio.server", "sync_sio.engine.server")


class Refused(ConnectionError):
    """The server does not know this client (any more), or did not like the request."""


class Complaints(logging.Handler):
    """What sync_sio logs as errors: a wall has caught something, so the schedule has failed. Nothing is logged with a lock held."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.texts: list[str] = []
        self.driver: InterleaveDriver | None = None

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.ERROR:
            text = record.getMessage()
            if record.exc_info:
                text += "\n" + logging.Formatter().formatException(record.exc_info)
            self.texts.append(text)
        if self.driver is not None and not self.driver.schedule.is_over and self.driver.schedule.current.held is not None:
            self.texts.append(f"logged with {self.driver.schedule.current.held!r} held: {record.getMessage()}")


@contextmanager
def complaints(driver: InterleaveDriver) -> Iterator[Complaints]:
    handler = Complaints()
    handler.driver = driver
    logger = logging.getLogger("sync_sio")
    was_propagating, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        yield handler
    finally:
        logger.removeHandler(handler)
        logger.propagate = was_propagating


@contextmanager
def repeatable(driver: InterleaveDriver) -> Iterator[None]:
    """Take out of the way what would differ from run to run, and have the servers' own locks made by the driver too."""
    replaced: list[tuple[Any, str, Any]] = []

    def replace(owner: Any, name: str, value: Any) -> None:
        replaced.append((owner, name, getattr(owner, name)))
        setattr(owner, name, value)

    for module in _server_modules:
        replace(sys.modules[module], "native_lock", driver.lock)
    for registration in ("_close_at_exit", "_reset_after_fork"):
        replace(sys.modules["sync_sio.engine.server"], registration, lambda server: None)
    replace(sys.modules["sync_sio.wsgi.compression"], "SLICE", 40)
    replace(sys.modules["sync_sio.sockets.core"], "urandom", driver.schedule.random.randbytes)
    replace(Socket, "__hash__", lambda socket: zlib.crc32(socket.id.encode()))      # sets of sockets are iterated over
    locks.breaches.clear()
    try:
        yield
    finally:
        for owner, name, value in reversed(replaced):
            setattr(owner, name, value)


class World:
    """One server and what it has seen. `run` is the frame of every scenario."""

    def __init__(self, driver: InterleaveDriver, **options: Any) -> None:
        self.driver = driver
        self.chance = driver.schedule.chance
        self.clients: list[Client] = []
        self.sockets: dict[str, Socket] = {}
        self.ends: dict[str, int] = {}
        """By engine session id: how often its connection has said that it is closed."""
        self.story: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
        """By socket id: what happened to it, in order."""
        self.heard: dict[tuple[str, str], list[int]] = defaultdict(list)
        """By socket id and sender: the numbers that its `msg` events brought."""
        self.is_closed = False
        self.gives_polls_up = self.chance() < 0.75
        """Whether this web server lets go of sockets of polls; else each that waits holds its worker."""
        self.compresses_polls = self.chance() < 0.5
        """Whether clients take gzip; then a poll's answer is compressed in steps of a few bytes."""
        self.has_taps = self.chance() < 0.3
        """Whether somebody listens to the packets of connections."""
        self._ids = 0
        usual = {"ping_interval": PING_INTERVAL, "ping_timeout": PING_TIMEOUT, "serve_client": False, "http_compression": {"threshold": 1}}
        options = {**usual, **options}
        self.io = Server(_driver=driver, _take=self._take, **options)
        self.io.engine.generate_id = self._new_id
        self.io.on("connection", self._connected)
        self.io.engine.start()

    def _new_id(self, environ: Environ) -> str:
        self._ids += 1
        return f"engine-{self._ids}"

    def _take(self, environ: Environ) -> Taken:
        if not self.gives_polls_up and "HTTP_UPGRADE" not in environ:
            raise CannotTake("this web server keeps it")
        stream, end = self.driver.stream_pair(environ["world.name"], *environ["world.sizes"])
        environ["world.taken"](end)
        return Taken(stream, b"", False, "memory")

    def _connected(self, socket: Socket) -> None:
        self.driver.assert_user_code_may_run()
        story = self.story[socket.id]
        story.append(("connection",))
        self.sockets[socket.id] = socket
        heard = self.heard
        self._watch(socket.conn)

        @socket.on("msg")
        def msg(sender: str, number: int) -> int:
            self.driver.assert_user_code_may_run()
            story.append(("msg", sender, number))
            heard[socket.id, sender].append(number)
            self.driver.point("in a handler")
            return number

        @socket.on("disconnecting")
        def disconnecting(reason: str) -> None:
            self.driver.assert_user_code_may_run()
            story.append(("disconnecting", reason, socket.rooms))

        @socket.on("disconnect")
        def disconnect(reason: str) -> None:
            self.driver.assert_user_code_may_run()
            story.append(("disconnect", reason))

    def _watch(self, connection: Connection) -> None:
        if connection.id not in self.ends:
            self.ends[connection.id] = 0
            if self.has_taps:
                for name in ("packet", "packet_create", "message", "drain", "heartbeat", "upgrade"):
                    connection.on(name, lambda *_: self.driver.assert_user_code_may_run())

            @connection.on("close")
            def close(reason: str, description: object) -> None:
                self.ends[connection.id] += 1

    def client(self, name: str, sizes: tuple[int, int] = (4096, 256)) -> Client:
        client = Client(self, name, sizes)
        self.clients.append(client)
        return client

    def end(self) -> None:
        """Let everybody go, wait until all is over, and check that nothing is left and nobody was forgotten."""
        for client in self.clients:
            client.check_told()
        for client in self.clients:
            client.vanish()
        self.driver.sleep(LONG_ENOUGH)
        self.driver.settle()
        left = self.io.audit()
        assert not left, f"audit: {left}"
        for sid, story in self.story.items():
            kinds = [entry[0] for entry in story]
            assert kinds[0] == "connection", f"{sid}: {story}"
            assert kinds[-2:] == ["disconnecting", "disconnect"], f"{sid}: {story}"
            assert kinds.count("disconnecting") == kinds.count("disconnect") == kinds.count("connection") == 1, f"{sid}: {story}"
            socket = self.sockets[sid]
            assert not socket.connected
            assert not socket.rooms, f"{sid} is still in {socket.rooms}"
            check_empty(socket.conn)
        # 0: it had ended before its connection handler, which listens, was run
        assert all(count <= 1 for count in self.ends.values()), f"'close' came so often: {self.ends}"


def check_empty(connection: Connection) -> None:
    """What a connection counts is what there is: nothing, in the end."""
    names = ("queued", "queued_bytes", "owed_acks", "corked", "outbox", "senders", "candidate")
    counts = {name: getattr(connection, name) for name in names}
    assert not any(counts.values()), f"{connection!r} still has {counts}"


def run(driver: InterleaveDriver, scenario: Callable[[Any], None], make: Callable[..., World] | None = None, **options: Any) -> None:
    """Build a world, run a scenario in it, end it, and check what must hold whatever happened."""
    with complaints(driver) as heard, repeatable(driver):
        world = (make or World)(driver, **options)
        try:
            scenario(world)
            world.end()
        except AssertionError as error:
            if heard.texts:
                raise AssertionError(f"{error}\nlogged: {heard.texts}") from error
            raise
        assert not heard.texts, "logged: " + "\n".join(heard.texts)


# --- the client's side


class Client:
    """One Socket.IO client, as its own program would be: several threads, one wire at a time, an upgrade perhaps."""

    def __init__(self, world: World, name: str, sizes: tuple[int, int]) -> None:
        self.world = world
        self.driver = world.driver
        self.name = name
        self.sizes = sizes
        self.sid = ""
        self.socket_id = ""
        self.transport = "polling"
        self.by_polling: dict[str, list[int]] = defaultdict(list)
        self.by_websocket: dict[str, list[int]] = defaultdict(list)
        """By sender: the numbers that its events brought, in the order of arrival."""
        self.acked: list[Any] = []
        self.refusals: list[str] = []
        self.is_mute = False
        self.hold = False
        """It reads nothing for a while."""
        self.is_closed = False
        """The connection is over, as far as this client can see."""
        self.is_left = False
        """The server has sent DISCONNECT, or we have."""
        self.has_vanished = False
        self.keeps_polling = False
        self.polls = 0
        self.ends: list[ClientEnd] = []
        self.ws: WebSocketEnd | None = None
        self.candidate: WebSocketEnd | None = None
        self._outgoing: list[str] = []
        self._is_posting = False

    @property
    def socket(self) -> Socket:
        """The server's socket of this client."""
        return self.world.sockets[self.socket_id]

    # -- HTTP --------------------------------------------------------------------------------------------------------------

    def request(self, method: str, query: str, body: bytes = b"", upgrade: bool = False) -> tuple[int, bytes, ClientEnd | None]:
        """Make a request on the calling thread. The third value is our end of the connection when the server took it over."""
        taken: list[ClientEnd] = []

        def note(end: ClientEnd) -> None:
            taken.append(end)
            self.ends.append(end)
            if self.has_vanished:
                end.reset()

        kind = "ws" if upgrade else "poll"
        environ: Environ = {
            "REQUEST_METHOD": method,
            "SCRIPT_NAME": "",
            "PATH_INFO": "/socket.io/",
            "QUERY_STRING": query,
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "127.0.0.1",
            "HTTP_HOST": "localhost",
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.input": io.BytesIO(body),
            "wsgi.url_scheme": "http",
            "world.name": f"{self.name}-{kind}-{len(self.ends)}",
            "world.sizes": self.sizes,
            "world.taken": note,
        }
        if self.world.compresses_polls and method == "GET":
            environ["HTTP_ACCEPT_ENCODING"] = "gzip"
        if upgrade:
            environ |= {
                "HTTP_UPGRADE": "websocket",
                "HTTP_CONNECTION": "Upgrade",
                "HTTP_SEC_WEBSOCKET_VERSION": "13",
                "HTTP_SEC_WEBSOCKET_KEY": KEY,
            }
        status: list[int] = []

        def start_response(line: str, headers: Any, exc_info: Any = None) -> Any:
            status.append(int(line.split()[0]))

        answer = b"".join(self.world.io(environ, start_response))
        return status[0], answer, taken[0] if taken else None

    def query(self, transport: str) -> str:
        return f"EIO=4&transport={transport}" + (f"&sid={self.sid}" if self.sid else "")

    def get(self) -> str | None:
        """Poll once: the payload, or None when the server does not know us, or hung up."""
        self.polls += 1
        try:
            status, body, end = self.request("GET", self.query("polling"))
            if end is not None:
                status, body = read_response(end)
                end.close()
            if body.startswith(b"\x1f\x8b"):
                body = gzip.decompress(body)
            return body.decode() if status == 200 else None
        except (ConnectionError, EOFError):
            return None
        finally:
            self.polls -= 1

    def post(self, *packets: str) -> bool:
        """POST packets at once, whatever else is being posted. False: refused."""
        status, _, _ = self.request("POST", self.query("polling"), "\x1e".join(packets).encode())
        return status == 200

    # -- connecting ----------------------------------------------------------------------------------------------------------

    def connect_by_polling(self) -> None:
        body = self.get()
        assert body is not None and body[0] == "0", body
        self.take_open(body)
        assert self.post("40")
        while not self.socket_id:
            self.take_payload(self.get())
        self.driver.settle()

    def take_open(self, body: str) -> None:
        self.sid = json.loads(body[1:])["sid"]

    def connect_by_websocket(self) -> None:
        self.transport = "websocket"
        self.ws = WebSocketEnd(self)
        self.driver.thread(self.ws.read_on, name=f"{self.name}-reader")
        self.ws.send("40")
        self.driver.settle()
        assert self.socket_id

    def poll_on(self) -> None:
        """Poll, and go on as long as `keeps_polling` says so."""
        while True:
            body = self.get()
            self.take_payload(body)
            if body is None or not self.keeps_polling or self.is_closed or self.transport != "polling":
                return

    def poll_in_background(self) -> Task:
        """Have a GET wait from now on."""
        return self.driver.thread(self.poll_on, name=f"{self.name}-poller")

    # -- upgrading -----------------------------------------------------------------------------------------------------------

    def probe(self) -> bool:
        """Open a WebSocket for this session and probe it. False: the server closed it, or refused."""
        try:
            candidate = WebSocketEnd(self)
            candidate.send("2probe")
            answer = candidate.read_message()
        except (ConnectionError, EOFError):
            return False
        if answer != "3probe":
            candidate.end.close()
            return False
        self.candidate = candidate
        return True

    def switch(self) -> None:
        """Send the upgrade packet on the WebSocket that was probed, after what is being posted; read from it from now on."""
        candidate = self.candidate
        if candidate is None:
            return
        while self._is_posting:
            self.driver.sleep(0.01)
        self._is_posting = True     # what is to be sent meanwhile comes after the upgrade packet
        self.transport = "websocket"
        self.ws = candidate
        with suppress(ConnectionError):
            candidate.send("5")
        self._is_posting = False
        candidate.start_reading()
        self._send_outgoing()

    # -- what comes and goes -------------------------------------------------------------------------------------------------

    def take_payload(self, body: str | None) -> None:
        if body is None:
            if self.transport == "polling":
                self.is_closed = True
            return
        for packet in body.split("\x1e") if body else ():
            self.take(packet, "polling")

    def take(self, packet: str, transport: str) -> None:
        """Take one engine packet."""
        kind = packet[:1]
        if kind == "4":
            self._take_message(packet[1:], transport)
        elif kind == "2":
            if not self.is_mute:
                self.send("3")
        elif kind == "1":
            if transport == self.transport:
                self.is_closed = True
        else:
            assert kind in ("0", "6"), packet

    def _take_message(self, message: str, transport: str) -> None:
        kind, rest = message[0], message[1:]
        if kind == "0":
            if rest[0] == "{":
                self.socket_id = json.loads(rest)["sid"]
        elif kind == "1":
            self.is_left = True
        elif kind == "2":
            at = rest.index("[")
            event, sender, number, *_ = json.loads(rest[at:])
            (self.by_polling if transport == "polling" else self.by_websocket)[sender].append(number)
            if at and not self.is_mute and event == "ask":
                self.send(f"43{rest[:at]}[{number}]")
        elif kind == "3":
            self.acked.append(json.loads(rest[rest.index("[") :]))
        elif kind == "4":
            self.refusals.append(json.loads(rest[rest.index("{") :])["message"])
        else:
            raise AssertionError(message)

    def send(self, packet: str) -> None:
        """Send a packet the way that a client does: over its WebSocket, or in the next POST, one at a time."""
        self._outgoing.append(packet)
        self._send_outgoing()

    def _send_outgoing(self) -> None:
        if self._is_posting:
            return
        self._is_posting = True
        try:
            while self._outgoing and not self.has_vanished:
                packets, self._outgoing = self._outgoing, []
                try:
                    if self.transport == "websocket" and self.ws is not None:
                        for text in packets:
                            self.ws.send(text)
                    elif not self.post(*packets):
                        return
                except ConnectionError:
                    return
        finally:
            self._is_posting = False

    def send_messages(self, sender: str, numbers: range) -> None:
        for number in numbers:
            self.send(f'42["msg","{sender}",{number}]')

    # -- the end -------------------------------------------------------------------------------------------------------------

    def vanish(self, reset: bool = False) -> None:
        """The client is gone: all its connections end."""
        self.has_vanished = self.is_mute = True
        self.keeps_polling = False
        for end in list(self.ends):
            if not end.is_closed:
                if reset:
                    end.reset()
                else:
                    end.close()

    def check_told(self) -> None:
        """Whose connection has ended was told so: no GET waits for ever, no WebSocket stays open."""
        if self.has_vanished or self.sid in self.world.io.engine.connections:
            return
        assert not self.polls, f"{self.name}: a GET waits for an answer, and the connection has ended"
        for ws in (self.ws, self.candidate):
            if ws is not None:
                is_told = ws.end.is_closed or ws.end.inward.has_ended or ws.end.inward.data
                assert is_told, f"{self.name}: the connection has ended, its WebSocket is open"

    def go_on(self) -> None:
        """Do what a client does when nothing special happens: poll, or read."""
        if self.has_vanished:
            return
        self.keeps_polling = True
        if self.transport == "polling" and not self.hold and not self.polls and not self.is_closed:
            self.poll_in_background()

    def received(self, sender: str) -> list[int]:
        """What came from one sender. What polls brought was sent before the switch, although it may be read after it."""
        return self.by_polling[sender] + self.by_websocket[sender]

    def check_received(self, sent: dict[str, list[int]], may_miss_the_end: bool) -> None:
        """Nothing doubled, nothing out of order, nothing lost but an end, and that only if the connection may have ended."""
        for sender in {**self.by_polling, **self.by_websocket, **sent}:
            numbers, expected = self.received(sender), sent.get(sender, [])
            if may_miss_the_end:
                expected = expected[: len(numbers)]
            assert numbers == expected, f"{self.name} received {numbers} from {sender}, sent was {sent.get(sender)}"


class WebSocketEnd:
    """The client's end of one WebSocket."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.is_over = False
        self._is_read = False
        self._buffer = b""
        _, _, end = client.request("GET", client.query("websocket"), upgrade=True)
        if end is None:
            raise Refused
        self.end = end
        while b"\r\n\r\n" not in self._buffer:
            self._more()
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 "), head

    def send(self, text: str) -> None:
        data = text.encode()
        assert len(data) < 126
        self.end.write(bytes((0x81, 0x80 | len(data))) + MASK + data)

    def start_reading(self) -> None:
        if not self._is_read:
            self._is_read = True
            self.client.driver.thread(self.read_on, name=f"{self.client.name}-reader")

    def read_on(self) -> None:
        """Read and take packets until the end."""
        self._is_read = True
        try:
            while True:
                text = self.read_message()
                if text[0] == "0":
                    self.client.sid = json.loads(text[1:])["sid"]
                self.client.take(text, "websocket")
        except (ConnectionError, EOFError):
            pass
        self.is_over = True
        self.client.is_closed = True
        self.end.close()

    def read_message(self) -> str:
        """Return the next text message. Raises EOFError when the server closes."""
        while True:
            while len(self._buffer) < 2 or len(self._buffer) < 2 + self._head()[0]:
                self._more()
            skip, size = self._head()
            while len(self._buffer) < 2 + skip + size:
                self._more()
            opcode = self._buffer[0]
            payload = self._buffer[2 + skip : 2 + skip + size]
            self._buffer = self._buffer[2 + skip + size :]
            if opcode == 0x81:
                return payload.decode()
            if opcode == 0x88:
                with suppress(ConnectionError):
                    self.end.write(bytes((0x88, 0x80 | len(payload[:2]))) + MASK + payload[:2])
                raise EOFError
            assert opcode in (0x82, 0x89, 0x8A), opcode

    def _head(self) -> tuple[int, int]:
        size = self._buffer[1]
        if size < 126:
            return 0, size
        if len(self._buffer) < 4:
            return 2, 0
        return 2, int.from_bytes(self._buffer[2:4], "big")

    def _more(self) -> None:
        while self.client.hold:
            self.client.driver.sleep(0.5)
        data = self.end.read()
        if not data:
            raise EOFError
        self._buffer += data


def read_response(end: ClientEnd) -> tuple[int, bytes]:
    """Read one HTTP response. Raises EOFError when it is not whole."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = end.read()
        if not more:
            raise EOFError
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length"))
    while len(body) < length:
        more = end.read()
        if not more:
            raise EOFError
        body += more
    return int(head.split()[1]), body


__all__ = ["LONG_ENOUGH", "PING_INTERVAL", "PING_TIMEOUT", "Client", "Disconnected", "Refused", "WebSocketEnd", "World", "run"]
