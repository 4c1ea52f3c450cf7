"""What docs/flask.md says of speed, measured: `python -m tests.flask.measure load`, or `reload`. Nothing else should run meanwhile.

`load`: gunicorn's gthread worker with four threads, 1,000 clients over WebSocket whose events query SQLite through Flask-SQLAlchemy, and
one visitor who reads a page that does the same: how long does a page take, and how many database connections are open?
`reload`: a file changes under `flask run --debug`: after how many seconds does a page show it, without us, with us, and with 50 clients?
"""

from __future__ import annotations

import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from tests.live.crowd import read_pages, talk
from tests.live.servers import HOST, wait_for
from tests.live.test_flask import running
from tests.live.wire import SocketClient, WebSocketClient

CLIENTS = 1000
SECONDS = 15.0
PLAIN = "from flask import Flask\napp = Flask(__name__)\nVERSION = 1\napp.get('/')(lambda: f'version {VERSION}')\n"
OURS = PLAIN + "from sync_sio_flask import SocketIO\nsocketio = SocketIO(app)\n"


def load(rate: int) -> str:
    """Have `CLIENTS` send `rate` events per second together, and read pages meanwhile."""
    with tempfile.TemporaryDirectory() as name:
        os.environ["NOTES_DATABASE"] = f"{name}/notes.sqlite3"
        with running(Path(name), "tests.live.notes_flask", "gthread") as program:
            ours, theirs = multiprocessing.Pipe()
            address = (HOST, program.port)
            crowd = multiprocessing.get_context("spawn").Process(target=talk, args=(address, CLIENTS, rate, SECONDS, theirs))
            crowd.start()
            assert ours.recv() == "connected"
            pages, databases = read_pages(address, SECONDS)
            _, answered = ours.recv()
            crowd.join()
            http = program.http()
            wait_for(lambda: http.request("GET", "/stats").json()["clients"] == 0, 20.0)
            after = http.request("GET", "/stats").json()
            return (
                f"{CLIENTS} clients, {answered / SECONDS:.0f} of {rate} events/s: pages p50 {statistics.median(pages) * 1000:.1f} ms, "
                f"p99 {statistics.quantiles(pages, n=100)[98] * 1000:.1f} ms, longest {max(pages) * 1000:.1f} ms of {len(pages)}; "
                f"databases at most {max(databases)}, afterwards {after['databases']}, held {after['held']}; threads {after['threads']}"
            )


def reload(code: str, clients: int, times: int = 6) -> list[float]:
    """Change a file so many times; return the seconds until a page shows it."""
    took = []
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "shop.py").write_text(code)
        with running(Path(name), "shop", "flask-run-debug") as program:
            for number in range(2, times + 2):
                crowd = [SocketClient(WebSocketClient((HOST, program.port))) for _ in range(clients)]
                for client in crowd:
                    client.wait_until_connected()
                time.sleep(number / times)          # the reloader looks once a second: at all distances from its last look
                started = time.monotonic()
                (Path(name) / "shop.py").write_text(code.replace("VERSION = 1", f"VERSION = {number}"))
                wait_for(lambda number=number: program.page("/") == f"version {number}", 20.0)     # type: ignore[misc]
                took.append(time.monotonic() - started)
                for client in crowd:
                    client.engine.close()
    return took


def main(what: str) -> None:
    if what == "load":
        for rate in (200, 500, 1000):
            print(load(rate), flush=True)
    else:
        for who, code, clients in (("without sync_sio", PLAIN, 0), ("with it, no clients", OURS, 0), ("with it, 50 clients", OURS, 50)):
            took = reload(code, clients)
            print(f"{who}: {statistics.mean(took):.2f} s on the average of {len(took)}, {min(took):.2f} to {max(took):.2f}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "load")
