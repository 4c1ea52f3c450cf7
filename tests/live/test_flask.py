"""Flask on real servers: applications that were written for Flask-SocketIO in a browser, `flask run` and its reloader, sessions."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import tools

from .servers import HERE, HOST, ROOT, TRACEBACK, free_port, wait_for
from .wire import Ended, Http, SocketClient, WebSocketClient

APPS = HERE / "apps_flask"
GUNICORN = ["-m", "gunicorn", "--threads", "4", "--worker-tmp-dir", "/dev/shm", "-b", HOST + ":{port}", "{module}:app"]
WAYS = {
    "run": ["{module}.py"],
    "flask-run": ["-m", "flask", "--app", "{module}", "run", "--port", "{port}"],
    "flask-run-debug": ["-m", "flask", "--app", "{module}", "--debug", "run", "--port", "{port}"],
    "gthread": [*GUNICORN, "-k", "gthread"],
    "gevent": [*GUNICORN, "-k", "gevent"],
}


class Program:
    """A Flask application that runs in a folder."""

    def __init__(self, folder: Path, module: str, way: str) -> None:
        self.port = free_port()
        self.log_path = folder / f"{module}.log"
        command = [sys.executable, *(part.format(module=module, port=self.port) for part in WAYS[way])]
        environ = {
            **os.environ,
            "PORT": str(self.port),
            "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "integrations"))),
            "PYTHONUNBUFFERED": "1",
            "SYNC_SIO_DEBUG": "1",
        }
        with open(self.log_path, "wb") as log:
            # a group of its own: a reloader has a child
            self.process = subprocess.Popen(command, cwd=folder, env=environ, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def http(self) -> Http:
        return Http((HOST, self.port), timeout=10)

    def page(self, path: str) -> str:
        """Return what a page says; `""`: nobody answers, or not with a page."""
        with contextlib.suppress(OSError, Ended), contextlib.closing(self.http()) as http:
            answer = http.request("GET", path)
            return answer.body.decode() if answer.status == 200 else ""
        return ""

    def wait_until_it_answers(self, path: str = "/") -> None:
        def answers() -> str:
            assert self.process.poll() is None, f"it ended:\n{self.log[-4000:]}"
            return self.page(path)

        wait_for(answers, 30.0, lambda: f"it does not answer:\n{self.log[-4000:]}")

    def stop(self, may_fail: bool = False) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
                raise AssertionError(f"it was still there 10 s after SIGTERM:\n{self.log[-4000:]}") from None
        assert may_fail or TRACEBACK.search(self.log) is None, self.log[-6000:]


@contextlib.contextmanager
def running(folder: Path, module: str, way: str, may_fail: bool = False) -> Iterator[Program]:
    program = Program(folder, module, way)
    try:
        program.wait_until_it_answers()
        yield program
    finally:
        program.stop(may_fail)


def move_to_sync_sio(module: str, folder: Path) -> None:
    """Put an application that was written for Flask-SocketIO into a folder, and change its import."""
    code = (APPS / f"{module}.py").read_text()
    moved, count = re.subn(r"^from flask_socketio import", "from sync_sio_flask import", code, flags=re.MULTILINE)
    assert count == 1 and "flask_socketio" not in moved
    (folder / f"{module}.py").write_text(moved)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("way", ["run", "flask-run-debug", "gevent"])  # gthread has the tutorial
def test_applications_for_flask_socketio_run_with_the_import_changed(
    way: str, node: Path, npm_packages: Path, chromium: Path, tmp_path: Path
) -> None:
    (tmp_path / "static").mkdir()
    shutil.copy(npm_packages / "socket.io-client" / "dist" / "socket.io.js", tmp_path / "static")
    for module in ("chat", "desk", "ticker"):
        move_to_sync_sio(module, tmp_path)
    with contextlib.ExitStack() as stack:
        programs = [Program(tmp_path, module, way) for module in ("chat", "desk", "ticker")]
        for program in programs:
            stack.callback(program.stop)
        for program in programs:
            program.wait_until_it_answers()
        flags = json.dumps([flag for flag in tools.CHROMIUM_FLAGS if flag != "--headless"])
        command = [str(node), str(HERE / "apps_flask.cjs"), str(chromium), flags, *(program.url for program in programs)]
        environ = {**os.environ, "NODE_PATH": str(npm_packages)}
        done = subprocess.run(command, env=environ, text=True, capture_output=True, timeout=100)
        logs = "\n".join(program.log[-2000:] for program in programs)
        assert done.returncode == 0, done.stderr[-4000:] + logs
        assert done.stdout.split() == ["gevent" if way == "gevent" else "threading", "done"]
        assert "Client disconnected" in programs[2].log


VERSIONED = """
import os
from flask import Flask
from sync_sio_flask import SocketIO, emit
app = Flask(__name__)
socketio = SocketIO(app)
VERSION = 1
app.get("/", endpoint="index")(lambda: f"version {VERSION}")
app.get("/stop", endpoint="stop")(lambda: socketio.stop() or "stopping")
app.get("/fail", endpoint="fail")(lambda: 1 / 0)

@socketio.on("connect")
def connect():
    emit("version", VERSION)

if __name__ == "__main__":
    socketio.run(app, port=int(os.environ["PORT"]), **eval(os.environ.get("RUN_OPTIONS", "{}")))
"""


@pytest.mark.timeout(90)
@pytest.mark.parametrize("way", ["flask-run-debug", "run"])
def test_a_changed_file_is_loaded_and_fifty_clients_come_back(
    way: str, node: Path, npm_packages: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shop.py").write_text(VERSIONED)
    monkeypatch.setenv("RUN_OPTIONS", "dict(debug=True)")
    with running(tmp_path, "shop", way) as program:
        command = [str(node), str(HERE / "flask_reload.cjs"), program.url, "50"]
        environ = {**os.environ, "NODE_PATH": str(npm_packages)}
        clients = subprocess.Popen(command, env=environ, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert clients.stdout is not None
        try:
            assert clients.stdout.readline() == "50 see version 1\n"
            (tmp_path / "shop.py").write_text(VERSIONED.replace("VERSION = 1", "VERSION = 2"))
            assert clients.stdout.readline() == "50 see version 2\n"
            assert program.page("/") == "version 2"
        finally:
            clients.kill()
            clients.wait()
            clients.stdout.close()


@pytest.mark.parametrize("options", ["dict()", "dict(debug=True)", "dict(use_reloader=True)"])
def test_stop_ends_run(options: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shop.py").write_text(VERSIONED)
    monkeypatch.setenv("RUN_OPTIONS", options)
    with running(tmp_path, "shop", "run") as program:
        program.page("/stop")
        assert program.process.wait(10) == 0, program.log


def test_run_in_debug_mode_has_werkzeugs_debugger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shop.py").write_text(VERSIONED)
    for options, has_debugger in (("dict(debug=True, use_reloader=False)", True), ("dict()", False)):
        monkeypatch.setenv("RUN_OPTIONS", options)
        with running(tmp_path, "shop", "run", may_fail=True) as program, contextlib.closing(program.http()) as http:
            answer = http.request("GET", "/fail")
            assert answer.status == 500 and (b"Werkzeug Debugger" in answer.body) is has_debugger


@pytest.mark.parametrize("runtime", ["threads", "gevent"])
def test_run_takes_the_runtime_that_is_asked_for(runtime: str, tmp_path: Path) -> None:
    code = VERSIONED.replace("SocketIO(app)", f"SocketIO(app, runtime={runtime!r})")
    (tmp_path / "shop.py").write_text(code + "\n")
    with running(tmp_path, "shop", "run") as program, contextlib.closing(program.http()) as http:
        assert http.request("GET", "/socket.io/?EIO=4&transport=polling").body.startswith(b'0{"sid"')
        assert program.page("/") == "version 1"


@pytest.mark.parametrize("way", ["run", "flask-run"])
@pytest.mark.parametrize("patch", ["", "from gevent import monkey; monkey.patch_all()"], ids=["not patched", "patched"])
def test_an_application_for_gevent_is_served_while_it_is_written(
    way: str, patch: str, node: Path, npm_packages: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shop.py").write_text(patch + "\n" + VERSIONED.replace("SocketIO(app)", 'SocketIO(app, async_mode="gevent")'))
    monkeypatch.setenv("RUN_OPTIONS", "dict(debug=True)")
    with running(tmp_path, "shop", way) as program:
        command = [str(node), str(HERE / "flask_reload.cjs"), program.url, "2"]
        environ = {**os.environ, "NODE_PATH": str(npm_packages)}
        with subprocess.Popen(command, env=environ, text=True, stdout=subprocess.PIPE) as clients:
            assert clients.stdout is not None
            try:
                assert clients.stdout.readline() == "2 see version 1\n"
            finally:
                clients.kill()


def write_files(text: str, folder: Path) -> list[str]:
    """Write the files that a part of the tutorial shows, whose first line names them; return their names."""
    names = []
    for code in re.findall(r"```(?:python|html)\n(.*?)```", text, re.DOTALL):
        named = re.match(r"(?:# |<!-- )(\S+)", code)
        assert named is not None, code
        (folder / named[1]).parent.mkdir(exist_ok=True)
        (folder / named[1]).write_text(code)
        names.append(named[1])
    return names


def watch(step: str, program: Program, node: Path, npm_packages: Path, chromium: Path) -> None:
    flags = json.dumps([flag for flag in tools.CHROMIUM_FLAGS if flag != "--headless"])
    command = [str(node), str(HERE / "flask_tutorial.cjs"), step, program.url + "/", str(chromium), flags]
    done = subprocess.run(command, env={**os.environ, "NODE_PATH": str(npm_packages)}, text=True, capture_output=True, timeout=60)
    assert done.returncode == 0 and done.stdout == "done\n", done.stderr[-4000:] + program.log[-4000:]


@pytest.mark.timeout(120)
def test_the_tutorial_leads_to_a_chat(node: Path, npm_packages: Path, chromium: Path, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "flask.md").read_text().partition("\n## How to")[0]
    parts = page.split("\n### ")
    assert write_files(parts[1], tmp_path) == ["app.py", "templates/index.html"]
    assert "\n    flask run --debug\n" in parts[1]
    with running(tmp_path, "app", "flask-run-debug") as program:
        watch("first", program, node, npm_packages, chromium)
        # the server goes on while the files change
        assert write_files(parts[2], tmp_path) == ["app.py", "templates/index.html", "templates/room.html"]
        wait_for(lambda: "Your name" in program.page("/") and program.page("/room/x"), 20.0, lambda: program.log[-4000:])
        watch("second", program, node, npm_packages, chromium)
    assert write_files(parts[3], tmp_path) == ["test_app.py"]
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "integrations")))}
    tested = subprocess.run([sys.executable, "-m", "pytest", "-q"], cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=60)
    assert tested.returncode == 0 and "3 passed" in tested.stdout, tested.stdout
    assert "gunicorn -k gthread --threads 4 app:app" in parts[4]
    with running(tmp_path, "app", "gthread") as program:
        watch("second", program, node, npm_packages, chromium)


@pytest.mark.parametrize("way", ["gthread", "gevent"])
def test_a_database_session_ends_with_its_event(way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTES_DATABASE", str(tmp_path / "notes.sqlite3"))
    with running(tmp_path, "tests.live.notes_flask", way, may_fail=True) as program, contextlib.closing(program.http()) as http:
        clients = [SocketClient(WebSocketClient((HOST, program.port))) for _ in range(20)]
        for client in clients:
            client.wait_until_connected()
        assert [client.call("count") for client in clients for _ in range(5)] == [[100]] * 100
        clients[0].emit("write", "fail")
        assert clients[1].call("write", "kept") == clients[1].call("count") == [101]
        assert [client.receive() for client in clients] == [["note", "kept"]] * 20
        stats = http.request("GET", "/stats").json()
        assert (stats["held"], stats["clients"]) == (0, 20)
        assert stats["databases"] <= 5          # what the pool of SQLAlchemy keeps
        for client in clients:
            client.engine.close()
    assert len(TRACEBACK.findall(program.log)) == program.log.count("ValueError: on purpose") == 1
