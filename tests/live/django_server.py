"""The Django project of tests/django on real servers, each with a database of its own."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from .servers import HOST, ROOT, Server, free_port
from .wire import SocketClient, WebSocketClient

PYTHONPATH = os.pathsep.join((str(ROOT), str(ROOT / "integrations")))
GUNICORN = {"gunicorn-gthread": ["-k", "gthread", "--threads", "4"], "gunicorn-gevent": ["-k", "gevent"]}
KINDS = ("runserver", *GUNICORN)
MANAGE = (sys.executable, "-m", "tests.django.project.manage")


class Site(Server):
    """One server process.

    Args:
        kind: one of `KINDS`.
        folder: for its database, which is a copy of `empty`, and its log.
        environ: what the project's settings look at.
    """

    def __init__(self, kind: str, folder: Path, empty: Path, environ: dict[str, str], extra: Sequence[str] = ()) -> None:
        self.kind = kind
        self.log_path = folder / "site.log"
        self.host = HOST
        self.port = free_port()
        self.is_tls = False
        database = folder / "site.sqlite3"
        shutil.copy(empty, database)
        self.environ = environ_of(database, **environ)
        if kind == "runserver":
            self.command = [*MANAGE, "runserver", f"{HOST}:{self.port}", *extra]
        else:
            self.command = [
                sys.executable, "-m", "gunicorn", *GUNICORN[kind], "-b", f"{HOST}:{self.port}", "--worker-tmp-dir", "/dev/shm",
                "--graceful-timeout", "8", *extra, "tests.django.project.wsgi:application",
            ]  # fmt: skip
        with open(self.log_path, "ab") as output:
            self.process = subprocess.Popen(self.command, cwd=folder, env=self.environ, stdout=output, stderr=subprocess.STDOUT)

    def enter(self, user: str, **query: str) -> str:
        """Log a user in, who is made if need be; return the cookie."""
        target = "&".join(f"{name}={value}" for name, value in {"user": user, **query}.items())
        with contextlib.closing(self.http()) as http:
            response = http.request("GET", f"/enter?{target}")
        assert response.status == 200, response
        return next(value for name, value in response.lines if name == "set-cookie" and value.startswith("sessionid")).split(";")[0]

    def get(self, path: str, cookie: str = "") -> Any:
        """Return the text of a page."""
        with contextlib.closing(self.http()) as http:
            response = http.request("GET", path, headers={"Cookie": cookie})
        assert response.status == 200, response
        return response.text

    def connect(self, cookie: str = "", namespace: str = "/") -> SocketClient:
        """Connect a WebSocket."""
        client = SocketClient(WebSocketClient(self.address, headers={"Cookie": cookie} if cookie else None), namespace)
        client.wait_until_connected()
        return client


def environ_of(database: Path, **environ: str) -> dict[str, str]:
    return {
        **os.environ, "PYTHONPATH": PYTHONPATH, "PYTHONUNBUFFERED": "1", "SYNC_SIO_DEBUG": "1",
        "DJANGO_SETTINGS_MODULE": "tests.django.project.settings", "PROJECT_DATABASE": str(database), **environ,
    }  # fmt: skip


def make_empty(folder: Path) -> Path:
    """Make the database that each site gets a copy of."""
    database = folder / "empty.sqlite3"
    subprocess.run([*MANAGE, "migrate", "-v0"], env=environ_of(database), cwd=folder, check=True)
    with contextlib.closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return database


@contextlib.contextmanager
def serving(
    kind: str, folder: Path, empty: Path, extra: Sequence[str] = (), options: dict[str, Any] | None = None, **environ: str
) -> Iterator[Site]:
    """Run a site; `options` are those of `SYNC_SIO`."""
    if options:
        environ["PROJECT_SYNC_SIO"] = json.dumps(options)
    site = Site(kind, folder, empty, environ, extra)
    site.wait_until_it_answers()
    try:
        yield site
    finally:
        if site.kind == "runserver":
            site.process.terminate()        # Django leaves this signal to the system
            site.process.wait()
        else:
            site.stop()
    site.check_log()
