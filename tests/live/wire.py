"""Clients that say exactly what a test wants said: HTTP and WebSocket on bare sockets, Engine.IO and Socket.IO on top.

Nothing here is shared with the server under test: frames and payloads are made and read by this file alone.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import select
import socket
import ssl
import struct
import time
from collections import deque
from typing import Any
from urllib.parse import quote

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
SEPARATOR = "\x1e"
TIMEOUT = 10.0

Packet = str | bytes
Address = tuple[str, int] | tuple[str, int, str]
"""Whom to connect to, and at will the address of this machine to come from."""


class Response:
    """An HTTP answer; header names in lower case."""

    def __init__(self, status: int, version: str, headers: list[tuple[str, str]], body: bytes) -> None:
        self.status = status
        self.version = version
        self.lines = headers
        self.headers = dict(headers)
        self.body = body

    @property
    def text(self) -> str:
        return self.body.decode()

    def json(self) -> Any:
        return json.loads(self.body)

    def __repr__(self) -> str:
        return f"<{self.status} {self.headers} {self.body[:200]!r}>"


class Refused(Exception):
    """The server did not switch protocols."""

    def __init__(self, response: Response) -> None:
        super().__init__(repr(response))
        self.response = response


class Ended(Exception):
    """The other side closed the stream."""


class Http:
    """One HTTP/1.1 connection that is kept alive where the server allows it; `connects` counts how often it was opened."""

    def __init__(self, address: Address, timeout: float = TIMEOUT, is_tls: bool = False) -> None:
        self.address = address
        self.timeout = timeout
        self.is_tls = is_tls
        self.sock: socket.socket | None = None
        self.buffer = b""
        self.connects = 0

    def __enter__(self) -> Http:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def connect(self) -> socket.socket:
        if self.sock is None:
            self.sock = open_socket(self.address, self.timeout, self.is_tls)
            self.buffer = b""
            self.connects += 1
        return self.sock

    def request(
        self, method: str, target: str, body: bytes | None = None, headers: dict[str, str] | None = None, is_chunked: bool = False
    ) -> Response:
        was_open = self.sock is not None
        self.send(method, target, body, headers, is_chunked)
        try:
            return self.receive(is_head=method == "HEAD")
        except Ended:
            # The server gave up the idle connection while the request was under way: HTTP clients try once more.
            if not was_open or self.buffer:
                raise
            self.close()
            self.send(method, target, body, headers, is_chunked)
            return self.receive(is_head=method == "HEAD")

    def send(
        self, method: str, target: str, body: bytes | None = None, headers: dict[str, str] | None = None, is_chunked: bool = False
    ) -> None:
        """Send a request and do not wait for its answer."""
        lines = {"Host": f"{self.address[0]}:{self.address[1]}"}
        payload = body or b""
        if is_chunked:
            lines["Transfer-Encoding"] = "chunked"
            pieces = [payload[start : start + 7000] for start in range(0, len(payload), 7000)]
            payload = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
        elif body is not None:
            lines["Content-Length"] = str(len(payload))
            lines["Content-Type"] = "text/plain;charset=UTF-8"
        lines.update(headers or {})
        head = f"{method} {target} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value) + "\r\n"
        # A kept connection that the server has closed meanwhile is opened anew, as every HTTP client does it.
        if self.sock is not None and not self.buffer and is_readable(self.sock):
            self.close()
        send_all(self.connect(), head.encode("latin-1") + payload)

    def send_raw(self, data: bytes) -> None:
        send_all(self.connect(), data)

    def receive(self, is_head: bool = False) -> Response:
        """Read one answer; raises `Ended` when the server closes instead, TimeoutError when it says nothing."""
        while b"\r\n\r\n" not in self.buffer:
            self.fill()
        head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        status_line, *header_lines = head.decode("latin-1").split("\r\n")
        version, status = status_line.split(" ", 2)[:2]
        headers = [(name.lower(), value.strip()) for name, value in (line.split(":", 1) for line in header_lines)]
        response = Response(int(status), version, headers, b"")
        if response.status == 100:
            return self.receive(is_head)
        may_keep = response.headers.get("connection", "").lower() != "close" and version == "HTTP/1.1"
        if response.status == 101:
            return response
        if is_head or response.status in (204, 304):
            pass
        elif "content-length" in response.headers:
            size = int(response.headers["content-length"])
            while len(self.buffer) < size:
                self.fill()
            response.body, self.buffer = self.buffer[:size], self.buffer[size:]
        elif response.headers.get("transfer-encoding", "").lower() == "chunked":
            response.body = self.receive_chunks()
        else:
            may_keep = False
            with contextlib.suppress(Ended):
                while True:
                    self.fill()
            response.body, self.buffer = self.buffer, b""
        if not may_keep:
            self.close()
        return response

    def receive_chunks(self) -> bytes:
        body = b""
        while True:
            while b"\r\n" not in self.buffer:
                self.fill()
            size_line, self.buffer = self.buffer.split(b"\r\n", 1)
            size = int(size_line, 16)
            while len(self.buffer) < size + 2:
                self.fill()
            body, self.buffer = body + self.buffer[:size], self.buffer[size + 2 :]
            if not size:
                return body

    def fill(self) -> None:
        assert self.sock is not None
        try:
            data = self.sock.recv(65536)
        except ConnectionError as error:
            raise Ended(repr(error)) from error
        if not data:
            raise Ended(f"the server closed the connection after {self.buffer!r}")
        self.buffer += data

    def wait_for_end(self, timeout: float = TIMEOUT) -> None:
        """Return when the server has closed the connection."""
        assert self.sock is not None
        self.sock.settimeout(timeout)
        with contextlib.suppress(Ended):
            while True:
                self.fill()

    def is_quiet(self, seconds: float) -> bool:
        """Tell whether nothing at all comes for so long."""
        assert self.sock is not None
        return not self.buffer and says_nothing(self, self.sock, seconds)

    def abort(self) -> None:
        """End the connection with a RST, as a client that crashes."""
        if self.sock is not None:
            abort(self.sock)
            self.sock = None

    def close(self) -> None:
        if self.sock is not None:
            self.sock.close()
            self.sock = None


def open_socket(address: Address, timeout: float, is_tls: bool) -> socket.socket:
    host, port, *source = address
    sock = socket.create_connection((host, port), timeout, (source[0], 0) if source else None)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if not is_tls:
        return sock
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context.wrap_socket(sock)


def send_all(sock: socket.socket, data: bytes) -> None:
    """Send; a connection that ends meanwhile is a ConnectionError, with TLS, too, which has an exception of its own for it."""
    try:
        sock.sendall(data)
    except ssl.SSLEOFError as error:
        raise ConnectionResetError(str(error)) from error


def is_readable(sock: socket.socket, timeout: float = 0.0) -> bool:
    if isinstance(sock, ssl.SSLSocket) and sock.pending():
        return True
    poll = select.poll()  # select() cannot name the descriptors of thousands of clients
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(timeout * 1000))


def says_nothing(reader: Http | WebSocket, sock: socket.socket, seconds: float) -> bool:
    """Tell whether nothing at all comes for so long. What TLS says for itself, such as its tickets after a handshake, is nothing."""
    if not isinstance(sock, ssl.SSLSocket):
        return not is_readable(sock, seconds)
    before = sock.gettimeout()
    sock.settimeout(seconds)
    try:
        reader.buffer += sock.recv(65536)
    except TimeoutError:
        return True
    finally:
        sock.settimeout(before)
    return False


def abort(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def mask(payload: bytes, key: bytes) -> bytes:
    size = len(payload)
    stream = (key * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(stream, "big")).to_bytes(size, "big") if size else b""


def frame(opcode: int, payload: bytes, fin: bool = True, is_masked: bool = True, rsv: int = 0) -> bytes:
    """Make a client's frame; every bit can be made wrong."""
    size = len(payload)
    first = (0x80 if fin else 0) | rsv << 4 | opcode
    bit = 0x80 if is_masked else 0
    if size < 126:
        head = struct.pack("!BB", first, bit | size)
    elif size < 65536:
        head = struct.pack("!BBH", first, bit | 126, size)
    else:
        head = struct.pack("!BBQ", first, bit | 127, size)
    if not is_masked:
        return head + payload
    key = os.urandom(4)
    return head + key + mask(payload, key)


class WebSocket:
    """A WebSocket client, frame by frame."""

    def __init__(
        self,
        address: Address,
        target: str,
        headers: dict[str, str] | None = None,
        is_tls: bool = False,
        timeout: float = TIMEOUT,
        pipelined: bytes = b"",
    ) -> None:
        self.sock = open_socket(address, timeout, is_tls)
        self.close_code: int | None = None
        key = base64.b64encode(os.urandom(16)).decode()
        lines = {
            "Host": f"{address[0]}:{address[1]}",
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Key": key,
            "Sec-WebSocket-Version": "13",
            **(headers or {}),
        }
        head = f"GET {target} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value) + "\r\n"
        http = Http(address)
        http.sock = self.sock
        http.send_raw(head.encode("latin-1") + pipelined)
        self.response = http.receive()
        if self.response.status != 101:
            http.close()
            raise Refused(self.response)
        accept = base64.b64encode(hashlib.sha1(key.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()).decode()
        assert self.response.headers["sec-websocket-accept"] == accept, self.response
        assert self.response.headers["upgrade"].lower() == "websocket", self.response
        assert "upgrade" in self.response.headers["connection"].lower(), self.response
        self.buffer = bytearray(http.buffer)

    def send(self, message: Packet) -> None:
        self.send_frame(TEXT if isinstance(message, str) else BINARY, message.encode() if isinstance(message, str) else message)

    def send_frame(self, opcode: int, payload: bytes = b"", fin: bool = True, is_masked: bool = True, rsv: int = 0) -> None:
        send_all(self.sock, frame(opcode, payload, fin, is_masked, rsv))

    def send_raw(self, data: bytes) -> None:
        send_all(self.sock, data)

    def read_exactly(self, size: int) -> bytes:
        while len(self.buffer) < size:
            try:
                data = self.sock.recv(65536)
            except ConnectionError as error:
                raise Ended(repr(error)) from error
            if not data:
                raise Ended("the server closed the stream")
            self.buffer += data
        data = bytes(self.buffer[:size])
        del self.buffer[:size]
        return data

    def receive_frame(self, timeout: float = TIMEOUT) -> tuple[int, bool, bytes, int]:
        """Read one frame: (opcode, fin, payload, rsv bits). A server's frames are never masked."""
        self.sock.settimeout(timeout)
        first, second = self.read_exactly(2)
        assert not second & 0x80, "the server masked a frame"
        size = second & 0x7F
        if size == 126:
            (size,) = struct.unpack("!H", self.read_exactly(2))
        elif size == 127:
            (size,) = struct.unpack("!Q", self.read_exactly(8))
        return first & 0x0F, bool(first & 0x80), self.read_exactly(size), first >> 4 & 7

    def receive(self, timeout: float = TIMEOUT) -> Packet:
        """Read one message; raises `Ended` (with `close_code` set) when the server closes."""
        message, kind = b"", 0
        deadline = time.monotonic() + timeout
        while True:
            opcode, fin, payload, rsv = self.receive_frame(max(0.001, deadline - time.monotonic()))
            assert rsv == 0, rsv
            if opcode == CLOSE:
                self.close_code = struct.unpack("!H", payload[:2])[0] if payload else 1005
                raise Ended(f"close frame {self.close_code} {payload[2:]!r}")
            if opcode == PING:
                self.send_frame(PONG, payload)
            if opcode >= 8:
                continue
            kind = opcode or kind
            message += payload
            if fin:
                return message.decode() if kind == TEXT else message

    def wait_for_end(self, timeout: float = TIMEOUT) -> int:
        """Read whatever still comes until the server ends the stream; return the close code, 1006 for none."""
        self.close_code = None
        deadline = time.monotonic() + timeout
        try:
            while True:
                self.receive(max(0.001, deadline - time.monotonic()))
        except Ended:
            return 1006 if self.close_code is None else self.close_code

    def wait_for_eof(self, timeout: float = TIMEOUT) -> None:
        """Return when the TCP stream has ended, after the close frame or without one."""
        self.sock.settimeout(timeout)
        with contextlib.suppress(ConnectionError):
            while self.sock.recv(65536):
                pass

    def is_quiet(self, seconds: float) -> bool:
        return not self.buffer and says_nothing(self, self.sock, seconds)

    def abort(self) -> None:
        abort(self.sock)

    def close(self) -> None:
        self.sock.close()


# -- Engine.IO --------------------------------------------------------------------------------------------------------


def target_of(path: str, transport: str, **query: str) -> str:
    return f"{path}?" + "&".join(f"{name}={quote(value)}" for name, value in {"EIO": "4", "transport": transport, **query}.items())


def decode_payload(body: str) -> list[Packet]:
    if not body:
        return []
    return [base64.b64decode(packet[1:]) if packet[0] == "b" else packet for packet in body.split(SEPARATOR)]


def encode_payload(packets: list[Packet]) -> bytes:
    parts = [packet if isinstance(packet, str) else "b" + base64.b64encode(packet).decode() for packet in packets]
    return SEPARATOR.join(parts).encode()


class PollingClient:
    """An Engine.IO session over polling: packets in, packets out; pings are answered by `receive`."""

    transport = "polling"

    def __init__(
        self, address: Address, path: str = "/socket.io/", is_tls: bool = False, headers: Any = None, **query: str
    ) -> None:
        self.address = address
        self.path = path
        self.headers = headers
        self.getter = Http(address, is_tls=is_tls)
        self.poster = Http(address, is_tls=is_tls)
        self.received: deque[Packet] = deque()
        self.has_poll = False
        self.opening = self.getter.request("GET", target_of(path, "polling", **query), headers=headers)
        if self.opening.status != 200:
            raise Refused(self.opening)
        first, *rest = decode_payload(self.opening.text)
        assert isinstance(first, str)
        assert first[0] == "0", first
        self.handshake: dict[str, Any] = json.loads(first[1:])
        self.sid: str = self.handshake["sid"]
        self.received.extend(rest)
        self.query = query

    @property
    def target(self) -> str:
        return target_of(self.path, "polling", **{**self.query, "sid": self.sid})

    def get(self) -> Response:
        """One GET, its answer as it comes."""
        self.start_get()
        return self.finish_get()

    def start_get(self) -> None:
        self.getter.send("GET", self.target, headers=self.headers)
        self.has_poll = True

    def finish_get(self, timeout: float = TIMEOUT) -> Response:
        self.getter.connect().settimeout(timeout)
        try:
            response = self.getter.receive()
        except TimeoutError:
            raise  # the GET still waits: a later call may finish it
        except BaseException:
            self.has_poll = False
            raise
        self.has_poll = False
        return response

    def post(self, body: str | bytes, headers: dict[str, str] | None = None, is_chunked: bool = False) -> Response:
        data = body.encode() if isinstance(body, str) else body
        return self.poster.request("POST", self.target, data, {**(self.headers or {}), **(headers or {})}, is_chunked)

    def send(self, *packets: Packet) -> None:
        response = self.post(encode_payload(list(packets)))
        assert (response.status, response.body) == (200, b"ok"), response

    def receive(self, timeout: float = TIMEOUT, has_pings: bool = False) -> Packet:
        deadline = time.monotonic() + timeout
        while True:
            while self.received:
                packet = self.received.popleft()
                if packet == "2" and not has_pings:
                    self.send("3")
                elif packet != "6":
                    return packet
            if not self.has_poll:
                self.start_get()
            response = self.finish_get(max(0.001, deadline - time.monotonic()))
            if response.status != 200:
                raise Ended(repr(response))
            self.received.extend(decode_payload(response.text))
            if "1" in self.received:
                self.received.remove("1")
                if not self.received or all(packet == "6" for packet in self.received):
                    raise Ended("close packet")

    def wait_for_end(self, timeout: float = TIMEOUT) -> list[Packet]:
        """Poll until the session is over; return what still came, without heartbeats."""
        rest: list[Packet] = []
        deadline = time.monotonic() + timeout
        with contextlib.suppress(Ended):
            while True:
                rest.append(self.receive(max(0.001, deadline - time.monotonic())))
        return rest

    def is_over(self) -> bool:
        """Tell whether the server no longer knows the session."""
        with contextlib.closing(Http(self.address)) as http:
            response = http.request("POST", self.target, b"4")
        return response.status == 400 and response.json()["code"] == 1

    def abort(self) -> None:
        self.getter.abort()
        self.poster.abort()

    def leave(self) -> None:
        """Close the connections without a word: a waiting poll breaks off."""
        self.getter.close()
        self.poster.close()

    def close(self) -> None:
        """End the session as clients do, so that the server need not wait for its time-out."""
        self.poster.timeout = 2.0
        with contextlib.suppress(OSError, Ended):
            self.post("1")
        self.leave()


class WebSocketClient:
    """An Engine.IO session over WebSocket, with the same doors as `PollingClient`."""

    transport = "websocket"

    def __init__(
        self, address: Address, path: str = "/socket.io/", is_tls: bool = False, headers: Any = None, **query: str
    ) -> None:
        self.ws = WebSocket(address, target_of(path, "websocket", **query), headers, is_tls)
        first = self.ws.receive()
        assert isinstance(first, str)
        assert first[0] == "0", first
        self.handshake: dict[str, Any] = json.loads(first[1:])
        self.sid: str = self.handshake["sid"]

    def send(self, *packets: Packet) -> None:
        self.ws.send_raw(
            b"".join(frame(TEXT, packet.encode()) if isinstance(packet, str) else frame(BINARY, packet) for packet in packets)
        )

    def receive(self, timeout: float = TIMEOUT, has_pings: bool = False) -> Packet:
        deadline = time.monotonic() + timeout
        while (packet := self.ws.receive(max(0.001, deadline - time.monotonic()))) == "2" and not has_pings:
            self.ws.send("3")
        return packet

    def wait_for_end(self, timeout: float = TIMEOUT) -> list[Packet]:
        rest: list[Packet] = []
        deadline = time.monotonic() + timeout
        with contextlib.suppress(Ended, ConnectionError):
            while True:
                rest.append(self.receive(max(0.001, deadline - time.monotonic())))
        return rest

    def abort(self) -> None:
        self.ws.abort()

    def leave(self) -> None:
        """Close the connection without a word."""
        self.ws.close()

    def close(self) -> None:
        self.leave()


EngineClient = PollingClient | WebSocketClient
TRANSPORTS = {"polling": PollingClient, "websocket": WebSocketClient}


def upgrade(client: PollingClient, is_tls: bool = False) -> WebSocketClient:
    """Do what clients do: probe, let the waiting poll be answered, switch. The polling client must have no GET waiting."""
    ws = WebSocket(client.address, target_of(client.path, "websocket", sid=client.sid), is_tls=is_tls)
    ws.send("2probe")
    assert ws.receive() == "3probe"
    ws.send("5")
    upgraded = WebSocketClient.__new__(WebSocketClient)
    upgraded.ws, upgraded.handshake, upgraded.sid = ws, client.handshake, client.sid
    return upgraded


# -- Socket.IO --------------------------------------------------------------------------------------------------------


class SocketClient:
    """A Socket.IO client of one namespace on an engine session of its own, or on a shared one."""

    def __init__(self, engine: EngineClient, namespace: str = "/", auth: Any = None) -> None:
        self.engine: Any = engine  # either kind: a test knows which
        self.namespace = namespace
        self.prefix = "" if namespace == "/" else namespace + ","
        self.id = ""
        self.count = 0
        self.events: deque[list[Any]] = deque()
        self.acks: dict[int, list[Any]] = {}
        engine.send(f"40{self.prefix}" + ("" if auth is None else json.dumps(auth, separators=(",", ":"))))

    @classmethod
    def connect(
        cls, transport: str, address: Address, namespace: str = "/", auth: Any = None, is_tls: bool = False, **query: str
    ) -> SocketClient:
        """Open an engine session, join the namespace, take the first event, which is `auth` there."""
        client = cls(TRANSPORTS[transport](address, is_tls=is_tls, **query), namespace, auth)
        client.wait_until_connected()
        if namespace in ("/", "/custom"):
            assert client.receive() == ["auth", auth or {}]
        return client

    def wait_until_connected(self) -> None:
        packet = self.engine.receive()
        assert isinstance(packet, str)
        assert packet.startswith(f"40{self.prefix}{{"), packet
        self.id = json.loads(packet[2 + len(self.prefix) :])["sid"]

    def emit(self, event: str, *args: Any, ack: int | None = None) -> None:
        self.engine.send(f"42{self.prefix}{'' if ack is None else ack}" + json.dumps([event, *args], separators=(",", ":")))

    def call(self, event: str, *args: Any, timeout: float = TIMEOUT) -> list[Any]:
        """Emit and wait for the ack: its arguments. Events that come meanwhile wait for `receive`."""
        number, self.count = self.count, self.count + 1
        self.emit(event, *args, ack=number)
        return self.wait_for_ack(number, timeout)

    def wait_for_ack(self, number: int, timeout: float = TIMEOUT) -> list[Any]:
        deadline = time.monotonic() + timeout
        while number not in self.acks:
            self.take(self.engine.receive(max(0.001, deadline - time.monotonic())))
        return self.acks.pop(number)

    def receive(self, timeout: float = TIMEOUT) -> list[Any]:
        """Return the next event: [name, *args]."""
        deadline = time.monotonic() + timeout
        while not self.events:
            self.take(self.engine.receive(max(0.001, deadline - time.monotonic())))
        return self.events.popleft()

    def take(self, packet: Packet) -> None:
        assert isinstance(packet, str), packet
        assert packet[0] == "4", packet
        kind, rest = packet[1], packet[2:]
        count = 0
        if kind in "56":
            number, rest = rest.split("-", 1)
            count = int(number)
        assert rest.startswith(self.prefix), packet
        rest = rest[len(self.prefix) :]
        digits = len(rest) - len(rest.lstrip("0123456789"))
        identifier, body = rest[:digits], rest[digits:]
        assert kind in "2356", packet
        value = json.loads(body)
        if count:
            attachments = []
            for _ in range(count):
                attachment = self.engine.receive()
                assert isinstance(attachment, bytes), attachment
                attachments.append(attachment)
            value = put_back(value, attachments)
        if kind in "36":
            self.acks[int(identifier)] = value
        else:
            self.events.append(value if not identifier else [*value, Ack(int(identifier))])

    def answer(self, number: int, *args: Any) -> None:
        self.engine.send(f"43{self.prefix}{number}" + json.dumps(args, separators=(",", ":")))

    def close(self) -> None:
        self.engine.close()


class Ack(int):
    """The number that the server wants acknowledged; the last item of such an event."""


def put_back(value: Any, attachments: list[bytes]) -> Any:
    if isinstance(value, dict):
        if value.get("_placeholder") is True:
            return attachments[value["num"]]
        return {name: put_back(item, attachments) for name, item in value.items()}
    return [put_back(item, attachments) for item in value] if isinstance(value, list) else value
