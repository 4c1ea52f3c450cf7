"""Start real server processes with the acceptance application, wait until they answer, stop them, read their logs."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tests import tools

from .wire import Ended, Http

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
FILES = ROOT / "docs" / "deploy" / "files"
"""What the documentation offers to copy."""
HOST = "127.0.0.1"
START_TIMEOUT = 30.0
STOP_TIMEOUT = 10.0

GUNICORN = ("gunicorn-sync", "gunicorn-gthread", "gunicorn-gevent", "gunicorn-gevent_pywsgi")
EMBEDDED = ("embedded-threads", "embedded-gevent", "embedded-gevent-patched")
EVERY_SERVER = (
    *EMBEDDED, *GUNICORN, "werkzeug", "flask-run", "wsgiref", "django-runserver",
    "pywsgi", "pywsgi-patched", "pywsgi-websocket", "pywsgi-websocket-patched", "cheroot", "waitress",
)  # fmt: skip
TRACEBACK = re.compile(r"^Traceback \(most recent call last\):$", re.MULTILINE)


class Server:
    """One server process; `port`, `pid` (of the process that serves) and what it has logged."""

    def __init__(
        self, kind: str, log: Path, options: dict[str, Any], environ: dict[str, str], extra: list[str], before: Sequence[str] = ()
    ) -> None:
        self.kind = kind
        self.log_path = log
        self.host = HOST
        self.port = free_port()
        self.is_tls = "LIVE_CERTFILE" in environ
        self.options = options
        if kind.startswith("embedded-"):
            options = {"runtime": "gevent" if "gevent" in kind else "threads", **options}
        self.environ = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join((str(ROOT), str(HERE))),
            "PYTHONUNBUFFERED": "1",
            "SYNC_SIO_DEBUG": "1",
            "LIVE_OPTIONS": json.dumps(options),
            "LIVE_PORT": str(self.port),
            **environ,
        }
        self.command = [*before, *command_of(kind, self.port, environ), *extra]
        self.launch()

    def launch(self) -> None:
        """Start the process: the first time, or again on the same port when it has ended."""
        with open(self.log_path, "ab") as output:
            self.process = subprocess.Popen(self.command, cwd=HERE, env=self.environ, stdout=output, stderr=subprocess.STDOUT)

    @property
    def url(self) -> str:
        return f"{'https' if self.is_tls else 'http'}://{self.host}:{self.port}"

    @property
    def address(self) -> tuple[str, int]:
        return self.host, self.port

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        while True:
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.kind} ended with {self.process.returncode} before it served:\n{self.log[-4000:]}")
            with contextlib.suppress(OSError, Ended), contextlib.closing(self.http(timeout=5.0)) as http:
                if http.request("GET", "/plain").status == 200:
                    return
            if time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"{self.kind} did not answer within {START_TIMEOUT:g} s:\n{self.log[-4000:]}")
            time.sleep(0.05)

    def http(self, timeout: float = 10.0) -> Http:
        return Http(self.address, timeout=timeout, is_tls=self.is_tls)

    def page(self, path: str) -> Any:
        """Return what the JSON page says; its connection is its own."""
        with contextlib.closing(self.http()) as http:
            response = http.request("GET", path)
        assert response.status == 200, (path, response)
        return json.loads(response.body)

    def journal(self, key: str) -> list[list[Any]]:
        entries: list[list[Any]] = self.page(f"/journal?id={key}")
        return entries

    def wait_for_note(self, key: str, word: str, timeout: float = 5.0) -> list[Any]:
        """Return the first entry of `key`'s journal that begins with `word`, as soon as it is there."""

        def find() -> list[Any] | None:
            return next((entry for entry in self.journal(key) if entry[0] == word), None)

        return wait_for(find, timeout, lambda: f"no {word!r} in the journal: {self.journal(key)}")

    def stats(self) -> dict[str, Any]:
        numbers: dict[str, Any] = self.page("/stats")
        return numbers

    def wait_until_clean(self, timeout: float = 10.0) -> None:
        """Wait until nothing of the clients is left, as `audit()` tells it."""
        wait_for(lambda: self.page("/audit") == [], timeout, lambda: f"left behind: {self.page('/audit')}")

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def wait_until_gone(self, timeout: float) -> float:
        """Return after how many seconds the process ended."""
        started = time.monotonic()
        self.process.wait(timeout)
        return time.monotonic() - started

    def stop(self) -> None:
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                with contextlib.suppress(OSError):
                    self.signal(signal.SIGUSR1)  # every thread's stack goes to the log
                    time.sleep(0.2)
                self.kill()
                raise AssertionError(f"{self.kind} was still there {STOP_TIMEOUT:g} s after SIGTERM:\n{self.log[-6000:]}") from None

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def check_log(self) -> None:
        """Fail for every traceback that no test asked for."""
        log = self.log
        for match in TRACEBACK.finditer(log):
            lines = log[match.start() :].split("\n")
            end = next((number for number, line in enumerate(lines[1:], 1) if line and not line.startswith((" ", "\t"))), len(lines))
            if "on purpose" not in "\n".join(lines[: end + 1]):
                before = log[max(0, match.start() - 600) : match.start()]
                raise AssertionError(f"{self.kind} logged a traceback:\n{before}" + "\n".join(lines[: end + 12]))


class Servers:
    """Servers of one test module: made when asked for, shared by kind and options, stopped and checked together."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.shared: dict[str, Server] = {}
        self.count = 0

    def get(self, kind: str, hooks: str = "", environ: dict[str, str] | None = None, **options: Any) -> Server:
        """Return a running server of this kind with these options; the same one for the same wishes."""
        wish = json.dumps([kind, hooks, environ, options], sort_keys=True)
        if wish not in self.shared:
            self.shared[wish] = self.start(kind, hooks, environ, **options)
        return self.shared[wish]

    def start(
        self,
        kind: str,
        hooks: str = "",
        environ: dict[str, str] | None = None,
        extra: tuple[str, ...] = (),
        before: tuple[str, ...] = (),
        **options: Any,
    ) -> Server:
        """Start a server that the caller has to `finish`; `before`: what runs its command, a tracer for example."""
        self.count += 1
        log = self.directory / f"{self.count}-{kind}.log"
        server = Server(kind, log, options, {"LIVE_HOOKS": hooks, **(environ or {})}, list(extra), before)
        server.wait_until_it_answers()
        return server

    @contextlib.contextmanager
    def fresh(
        self, kind: str, hooks: str = "", environ: dict[str, str] | None = None, extra: tuple[str, ...] = (), **options: Any
    ) -> Iterator[Server]:
        """Run a server that no other test shares."""
        server = self.start(kind, hooks, environ, extra, **options)
        try:
            yield server
        finally:
            server.stop()
        server.check_log()

    def finish(self, is_clean: bool = True) -> None:
        """Stop the shared servers; raises for what they left behind, for a process that stays and for tracebacks."""
        problems = []
        for server in self.shared.values():
            steps = [server.wait_until_clean] if is_clean and server.kind not in UNAUDITED else []
            for step in [*steps, server.stop, server.check_log]:
                try:
                    step()
                except Exception as error:  # every server must be stopped, whatever the one before did
                    problems.append(f"{server.kind}: {type(error).__name__}: {error}")
        self.shared.clear()
        assert not problems, "\n\n".join(problems)


UNAUDITED = ("reference",)


def wait_for(find: Callable[[], Any], timeout: float = 5.0, say: Callable[[], str] = lambda: "it never came") -> Any:
    """Return the first true result of `find`, asked again and again for at most `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not (found := find()):
        if time.monotonic() > deadline:
            raise AssertionError(f"after {timeout:g} s: {say()}")
        time.sleep(0.02)
    return found


def changed(text: str, old: str, new: str) -> str:
    """Replace what must be there: a file that says something else is not tested as it should be."""
    assert old in text, old
    return text.replace(old, new)


def free_port() -> int:
    with contextlib.closing(socket.create_server((HOST, 0))) as probe:
        port: int = probe.getsockname()[1]
        return port


def command_of(kind: str, port: int, environ: dict[str, str]) -> list[str]:
    python = sys.executable
    if kind == "reference":
        node = shutil.which("node")
        assert node, "the reference server needs Node on PATH"
        return [node, str(HERE / "node" / "reference.mjs"), str(port)]
    if kind == "flask-run":
        return [python, "-m", "flask", "--app", "flask_site:site", "run", "--host", HOST, "--port", str(port)]
    if kind == "django-runserver":
        settings = ["--settings", "django_site", "--noreload", "--skip-checks"]
        return [python, "-m", "django", "runserver", f"{HOST}:{port}", *settings]
    if kind == "granian":
        return [python, "-m", "granian", "--interface", "wsgi", "--host", HOST, "--port", str(port), "--workers", "1",
                "--blocking-threads", "8", "app:application"]  # fmt: skip
    if kind == "gunicorn.conf.py":
        return [python, "-m", "gunicorn", "-c", str(FILES / kind), "--bind", f"{HOST}:{port}", "app:application"]
    if kind == "uwsgi":
        return [str(tools.uwsgi()), "--ini", environ["LIVE_CONFIG"], "--virtualenv", sys.prefix, "--pythonpath", str(HERE)]
    if kind == "apache":
        return [str(tools.apache()), "-D", "FOREGROUND", "-f", environ["LIVE_CONFIG"]]
    if kind.startswith("gunicorn-"):
        worker = kind.removeprefix("gunicorn-")
        name = "geventwebsocket.gunicorn.workers.GeventWebSocketWorker" if worker == "gevent-websocket" else worker
        command = [python, "-m", "gunicorn", "-b", f"{HOST}:{port}", "-k", name, "--graceful-timeout", "8", "--timeout", "60"]
        if worker == "gthread":
            command += ["--threads", "4"]
        if "LIVE_CERTFILE" in environ:
            command += ["--certfile", environ["LIVE_CERTFILE"], "--keyfile", environ["LIVE_KEYFILE"]]
        # gunicorn.conf.py, here, is found by itself
        return [*command, "--worker-tmp-dir", "/dev/shm", environ.get("LIVE_APP", "app:application")]
    return [python, str(HERE / "launch.py"), kind, str(port)]
