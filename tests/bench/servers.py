"""One server at a time: started on its cores, found by its port, ended with all its processes."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from tests import tools

from . import peers

APPS = Path(__file__).parent / "apps"
HOST = "127.0.0.1"
START_TIMEOUT = 20.0

Command = Callable[[int, int], list[str]]
"""From a port, and the number of clients to come, to what is to be run. Raises tools.MissingTool."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of server.

    Attributes:
        name: what the command line calls it.
        title: what tables call it.
        is_ours: whether sync_sio is in it.
        root: the checkout whose sync_sio is taken.
        runs: how often at most it is measured: what is there for one column needs no median.
    """

    name: str
    title: str
    command: Command
    environ: Mapping[str, str]
    is_ours: bool = False
    root: Path = tools.ROOT
    runs: int | None = None

    def missing(self) -> str | None:
        """Say why it cannot be had here, or None."""
        try:
            self.command(0, 0)
        except tools.MissingTool as missing:
            return str(missing)
        return None


def embedded(name: str, runtime: str, root: Path = tools.ROOT, prefix: str = "sync_sio") -> Kind:
    def command(port: int, clients: int) -> list[str]:
        return [sys.executable, str(APPS / "ours.py"), str(port)]

    return Kind(name, f"{prefix}, {runtime}", command, {"BENCH_RUNTIME": runtime}, is_ours=True, root=root)


def gunicorn(python: Callable[[], Path], worker: str, threads: int | None, app: str) -> Command:
    """Run it with so many threads; None: with one for each client."""

    def command(port: int, clients: int) -> list[str]:
        many = ["--threads", str(clients + 100 if threads is None else threads)] if worker == "gthread" else []
        return [str(python()), "-m", "gunicorn", "-w", "1", "-b", f"{HOST}:{port}", "-k", worker, *many,
                "--worker-connections", "20000", "--log-level", "error", "--pythonpath", str(APPS), app]  # fmt: skip

    return command


def here() -> Path:
    return Path(sys.executable)


def door(name: str) -> Kind:
    def command(port: int, clients: int) -> list[str]:
        module = "gevent" if name == "pywsgi" else name
        if importlib.util.find_spec(module) is None:
            raise tools.MissingTool(f"there is no module {module}; pip install -e '.[dev]' brings it")
        return [sys.executable, str(APPS / "doors.py"), name, str(port)]

    return Kind(name, f"sync_sio, {name}", command, {}, is_ours=True, runs=1)


def pywsgi(port: int, clients: int) -> list[str]:
    return [str(peers.python()), str(APPS / "peer.py"), str(port)]


def uvicorn(port: int, clients: int) -> list[str]:
    return [str(peers.python()), "-m", "uvicorn", "--factory", "peer:asgi", "--app-dir", str(APPS), "--host", HOST, "--port", str(port),
            "--log-level", "error"]  # fmt: skip


def node(port: int, clients: int) -> list[str]:
    peers.node_modules()
    return [str(tools.node()), str(APPS / "peer.cjs"), str(port)]


def kinds() -> dict[str, Kind]:
    """Return every kind of server by name, ours first."""
    # there each client keeps a thread of the web server
    psio_gthread = gunicorn(peers.python, "gthread", None, "peer:wsgi()")
    all_kinds = [
        embedded("threads", "threads"),
        embedded("gevent", "gevent"),
        Kind("gunicorn-gthread", "sync_sio, gunicorn gthread", gunicorn(here, "gthread", 4, "ours:application()"), {}, True),
        Kind("gunicorn-gevent", "sync_sio, gunicorn gevent", gunicorn(here, "gevent", 0, "ours:application()"), {}, True),
        Kind("gunicorn-sync", "sync_sio, gunicorn sync", gunicorn(here, "sync", None, "ours:application()"), {}, True, runs=1),
        *(door(name) for name in ("cheroot", "waitress", "werkzeug", "pywsgi")),
        Kind("node", "Node socket.io", node, {}),
        Kind("psio-gevent", "python-socketio, gevent", pywsgi, {}),
        Kind("psio-gthread", "python-socketio, gunicorn gthread", psio_gthread, {"BENCH_MODE": "threading"}),
        Kind("psio-uvicorn", "python-socketio, uvicorn", uvicorn, {}),
    ]
    return {kind.name: kind for kind in all_kinds}


@dataclass(frozen=True, slots=True)
class Running:
    port: int
    process: subprocess.Popen[bytes]
    log: Path

    def pids(self) -> list[int]:
        """Return the process and all below it, whose CPU time and memory are the server's."""
        return list(tree(self.process.pid))


def tree(pid: int) -> Iterator[int]:
    yield pid
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield from tree(int(child))


@contextlib.contextmanager
def running(kind: Kind, cores: Collection[int], clients: int, log: Path, environ: Mapping[str, str]) -> Iterator[Running]:
    """Run a server that answers on its port.

    Args:
        cores: where its processes may run.
        clients: how many will come.
        log: a file for what it says.
        environ: settings of the application, see `apps/ours.py`.

    Raises:
        RuntimeError: it did not start; the end of what it said is in the message.
    """
    port = free_port()
    settings = {**os.environ, "PYTHONPATH": str(kind.root), "SYNC_SIO_DEBUG": "", **kind.environ, **environ}
    if kind.name == "node":
        settings["NODE_PATH"] = str(peers.node_modules())
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as said:
        process = subprocess.Popen(
            kind.command(port, clients), env=settings, cwd=APPS, stdin=subprocess.DEVNULL, stdout=said, stderr=said,
            start_new_session=True, preexec_fn=lambda: os.sched_setaffinity(0, cores),
        )  # fmt: skip
    try:
        wait_until_it_answers(process, port, log)
        yield Running(port, process, log)
    finally:
        # All at once and hard: nothing of it is kept, and thousands of clients need no farewell.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_until_it_answers(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Wait for an answer, whatever it is: a port may be open before the process exists that will serve it, and be measured."""
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError, HTTPException):
            connection = HTTPConnection(HOST, port, timeout=START_TIMEOUT)
            with contextlib.closing(connection):
                connection.request("GET", "/", headers={"Connection": "close"})
                connection.getresponse().read()
                return
        time.sleep(0.05)
    raise RuntimeError(f"it did not start: {log.read_text(errors='replace')[-400:].strip() or 'it said nothing'}")


def free_port() -> int:
    with socket.create_server((HOST, 0)) as probe:
        port: int = probe.getsockname()[1]
        return port
