"""Real web servers, each a process with the echo application; and a client that speaks HTTP by hand."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
HOST = "127.0.0.1"
APP = "tests.wsgi.echo_app:application"
TIMEOUT = 5.0
UWSGI = Path(sys.executable).parent / "uwsgi"


class Server:
    """One server process. `kind` ends in `-tls` when it speaks TLS."""

    def __init__(self, kind: str, log: Path, certfile: Path) -> None:
        self.kind = kind
        self.is_tls = kind.endswith("-tls")
        self.port = free_port()
        self.log_path = log
        environ = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "PYTHONWARNINGS": "ignore"}
        if self.is_tls:
            environ["CERTFILE"] = str(certfile)
        if "gevent" in kind or "pywsgi" in kind:
            environ["ECHO_LOOP"] = "hub"
        if kind == "flask-run":
            environ["SITE"] = "flask"
        command = command_of(kind.removesuffix("-tls"), self.port, environ)
        with open(log, "ab") as output:
            self.process = subprocess.Popen(command, cwd=ROOT, env=environ, stdout=output, stderr=subprocess.STDOUT)
        try:
            self.wait()
        except BaseException:
            self.process.kill()
            raise

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def wait(self) -> None:
        deadline = time.monotonic() + 20
        while True:
            with contextlib.suppress(OSError), contextlib.closing(self.connect()) as client:
                if client.get("/plain") == (200, b"plain"):
                    return
            assert self.process.poll() is None, f"{self.kind} ended:\n{self.log}"
            assert time.monotonic() < deadline, f"{self.kind} does not answer:\n{self.log}"
            time.sleep(0.03)

    def connect(self) -> Client:
        return Client(self.port, self.is_tls)

    def page(self, path: str) -> bytes:
        with contextlib.closing(self.connect()) as client:
            status, body = client.get(path)
        assert status == 200, (status, body)
        return body

    def wait_for_page(self, path: str, body: bytes) -> None:
        deadline = time.monotonic() + TIMEOUT
        while (got := self.page(path)) != body:
            assert time.monotonic() < deadline, f"{path} is {got!r}, not {body!r}"
            time.sleep(0.02)

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError(f"{self.kind} stays after SIGTERM:\n{self.log}") from None


class Client:
    """One TCP connection."""

    def __init__(self, port: int, is_tls: bool = False) -> None:
        self.sock = socket.create_connection((HOST, port), TIMEOUT)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if is_tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            self.sock = context.wrap_socket(self.sock)
        self.buffer = b""
        self.headers: dict[str, str] = {}

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def receive(self, size: int) -> bytes:
        """Return exactly `size` bytes."""
        while len(self.buffer) < size:
            data = self.sock.recv(65536)
            if not data:
                raise ConnectionError(f"the server ended the connection; before that came {self.buffer!r}")
            self.buffer += data
        data, self.buffer = self.buffer[:size], self.buffer[size:]
        return data

    def rest(self) -> bytes:
        """Return everything up to the end."""
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            while data := self.sock.recv(65536):
                self.buffer += data
        data, self.buffer = self.buffer, b""
        return data

    def head(self) -> int:
        """Read a response's head, return its status."""
        lines = []
        while True:
            line = b""
            while not line.endswith(b"\r\n"):
                line += self.receive(1)
            if line == b"\r\n":
                break
            lines.append(line.decode("latin-1").strip())
        self.headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        return int(lines[0].split()[1])

    def response(self, method: str = "GET") -> tuple[int, bytes]:
        status = self.head()
        if method == "HEAD" or status in (204, 304):
            return status, b""
        if self.headers.get("transfer-encoding") == "chunked":
            body = b""
            while size := int(self.line(), 16):
                body += self.receive(size)
                self.line()
            self.line()
            return status, body
        if "content-length" not in self.headers:
            return status, self.rest()
        return status, self.receive(int(self.headers["content-length"]))

    def line(self) -> bytes:
        line = b""
        while not line.endswith(b"\r\n"):
            line += self.receive(1)
        return line[:-2]

    def get(self, path: str) -> tuple[int, bytes]:
        self.send(f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
        return self.response()

    def upgrade(self, behind: bytes = b"") -> None:
        """Ask for a WebSocket; `behind` is sent with the request."""
        self.send(
            f"GET /echo HTTP/1.1\r\nHost: {HOST}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode() + behind
        )
        status = self.head()
        assert status == 101, (status, self.headers)

    def echo(self, data: bytes) -> None:
        self.send(data)
        assert self.receive(len(data)) == data

    def close(self) -> None:
        self.sock.close()


def has_uwsgi() -> bool:
    return UWSGI.is_file()


def free_port() -> int:
    with contextlib.closing(socket.create_server((HOST, 0))) as probe:
        port: int = probe.getsockname()[1]
        return port


def command_of(kind: str, port: int, environ: dict[str, str]) -> list[str]:
    """One worker, and one thread in it wherever the server lets one choose."""
    python = sys.executable
    if kind.startswith("gunicorn-"):
        worker = kind.removeprefix("gunicorn-")
        worker = {"gevent_websocket": "geventwebsocket.gunicorn.workers.GeventWebSocketWorker"}.get(worker, worker)
        command = [python, "-m", "gunicorn", "-b", f"{HOST}:{port}", "-k", worker, "--graceful-timeout", "4", "--access-logfile", "-"]
        command += ["--threads", "1"] if worker == "gthread" else []
        command += ["--certfile", environ["CERTFILE"]] if "CERTFILE" in environ else []
        return [*command, APP]
    if kind == "flask-run":
        return [python, "-m", "flask", "--app", "tests.wsgi.sites:site", "run", "--without-threads", "--host", HOST, "--port", str(port)]
    if kind == "django":
        options = ["--settings", "tests.wsgi.sites", "--noreload", "--skip-checks", "--pythonpath", str(ROOT)]
        return [python, "-m", "django", "runserver", f"{HOST}:{port}", *options]
    if kind == "uwsgi":
        options = ["--module", "tests.wsgi.echo_app", "--enable-threads", "--master", "--die-on-term", "--pythonpath", str(ROOT)]
        return [str(UWSGI), "--http-socket", f"{HOST}:{port}", "--virtualenv", sys.prefix, *options]
    if kind == "granian":
        return [python, "-m", "granian", "--interface", "wsgi", "--host", HOST, "--port", str(port), APP]
    return [python, "-m", "tests.wsgi.launch", kind, str(port)]
