"""nginx and HAProxy as real processes, with the files of docs/deploy/files: only addresses are changed, and the time-outs of what is
not ours, so that a test need not wait a minute to see that they hold and that ours do not.
"""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import time
from pathlib import Path

from .servers import FILES, HOST, changed, free_port, wait_for

USUAL_TIMEOUT = 1
"""Seconds of silence after which a proxy cuts what our files do not name."""

NGINX = """\
daemon off;
user root;
worker_processes 1;
pid {directory}/nginx.pid;
error_log {directory}/error.log warn;
events {{ worker_connections 2048; }}
http {{
    access_log off;
    proxy_read_timeout {timeout}s;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    include {directory}/site.conf;
}}
"""


class Proxy:
    """One proxy process on two ports, with and without TLS. `reload` is what an operator does after a change of the file."""

    def __init__(self, program: Path, name: str, backends: list[tuple[str, int]], pem: Path, directory: Path) -> None:
        self.name = name
        self.is_nginx = name.startswith("nginx")
        self.port, self.tls_port = free_port(), free_port()
        self.directory = directory
        text = (FILES / name).read_text()
        for port, (host, number) in zip((8001, 8002) if len(backends) > 1 else (8000,), backends, strict=True):
            text = changed(text, f"127.0.0.1:{port}", f"{host}:{number}")
        if self.is_nginx:
            listen = f"listen {HOST}:{self.port}; listen {HOST}:{self.tls_port} ssl; ssl_certificate {pem}; ssl_certificate_key {pem};"
            (directory / "site.conf").write_text(changed(text, "listen 80;", listen))
            config = directory / "nginx.conf"
            config.write_text(NGINX.format(directory=directory, timeout=USUAL_TIMEOUT))
            command = [str(program), "-p", str(directory), "-c", str(config), "-e", str(directory / "error.log")]
        else:
            text = changed(text, "bind :80", f"bind {HOST}:{self.port}\n    bind {HOST}:{self.tls_port} ssl crt {pem}")
            text = changed(text, "timeout server 60s", f"timeout server {USUAL_TIMEOUT}s")
            text = changed(text, "timeout client 60s", f"timeout client {USUAL_TIMEOUT}s")
            text = changed(text, "maxconn 20000", "maxconn 200")  # for more, a test's process may not open the files
            config = directory / "haproxy.cfg"
            config.write_text(text)
            command = [str(program), "-W", "-f", str(config)]
        self.log_path = directory / "log"
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        wait_for(self._listens, 10.0, lambda: self.log)

    @property
    def address(self) -> tuple[str, int]:
        return HOST, self.port

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    @property
    def log(self) -> str:
        return "\n".join(path.read_text() for path in (self.log_path, self.directory / "error.log") if path.exists())

    def reload(self) -> None:
        """Have it read its file again, and wait until another process serves."""
        before = self.workers()
        self.process.send_signal(signal.SIGHUP if self.is_nginx else signal.SIGUSR2)
        wait_for(lambda: self.workers() - before, 10.0, lambda: self.log)
        wait_for(self._listens)

    def workers(self) -> set[str]:
        return set(Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split())

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"{self.name} is still there after SIGTERM:\n{self.log}") from None

    def _listens(self) -> bool:
        assert self.process.poll() is None, f"{self.name} has ended:\n{self.log}"
        with contextlib.suppress(OSError), contextlib.closing(socket.create_connection(self.address, 1.0)):
            return True
        time.sleep(0.02)
        return False

