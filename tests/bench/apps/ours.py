"""The application under test, on sync_sio with default options: `python ours.py PORT`, or under gunicorn as `ours:application()`.

It has a page too, at any other path. `doors.py` runs it on more servers.

Settings come from the environment, as gunicorn's workers have no command line of their own:
    BENCH_RUNTIME           threads or gevent, for the embedded server; under gunicorn the worker decides
    BENCH_COUNTING          count the runs of handlers, and how clients ended: for tests, and for slow consumers
    BENCH_BUSY              keep one Python thread busy beside the server
    BENCH_OPTIONS           options of the server, as JSON; without it they are the default ones
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, Literal, cast

from sync_sio import Server, Socket
from sync_sio.types import Environ, StartResponse

BLOCK_EVERY, BLOCK_SECONDS = 50, 0.02


class Tally:
    """How often each handler ran, and how clients ended. Any thread."""

    def __init__(self) -> None:
        self.runs: Counter[str] = Counter()
        self.ends: Counter[str] = Counter()
        self._lock = threading.Lock()

    def count(self, counter: Counter[str], name: str) -> None:
        with self._lock:
            counter[name] += 1

    def page(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer any request with the counts, as JSON."""
        with self._lock:
            body = json.dumps({"runs": self.runs, "ends": self.ends}).encode()
        start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
        return [body]


def page(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
    return [b"hello"]


def handlers_of(io: Server) -> dict[str, Callable[..., Any]]:
    calls = itertools.count(1)

    def echo(socket: Socket, data: Any) -> Any:
        return data

    def block(socket: Socket, data: Any) -> Any:
        if next(calls) % BLOCK_EVERY == 0:
            time.sleep(BLOCK_SECONDS)
        return data

    def bcast(socket: Socket, data: Any) -> None:
        io.emit("tick", data)

    def join(socket: Socket) -> None:
        socket.join("crowd")

    def leave(socket: Socket) -> None:
        socket.leave("crowd")

    return {"echo": echo, "bin": echo, "block": block, "bcast": bcast, "join": join, "leave": leave}


def make(runtime: Literal["auto", "threads", "gevent"] = "auto") -> Server:
    io = Server(runtime=runtime, **json.loads(os.environ.get("BENCH_OPTIONS", "{}")))
    io.attach(page)
    tally = Tally() if "BENCH_COUNTING" in os.environ else None
    for name, handler in handlers_of(io).items():
        io.event(name, handler if tally is None else counted(tally, name, handler))
    if tally is not None:
        watch_clients(io, tally)
    if "BENCH_BUSY" in os.environ:
        threading.Thread(target=be_busy, name="busy", daemon=True).start()
    return io


def counted(tally: Tally, name: str, handler: Callable[..., Any]) -> Callable[..., Any]:
    def run(*args: Any) -> Any:
        tally.count(tally.runs, name)
        return handler(*args)

    return run


def watch_clients(io: Server, tally: Tally) -> None:
    io.attach(tally.page)
    io.event("wrong", lambda socket, data: data.upper())  # for the test that the load generator sees it
    io.on("connection", lambda socket: tally.count(tally.runs, "connection"))
    io.event("disconnect", lambda socket, reason, description: tally.count(tally.ends, f"{reason}: {description}"))


def be_busy() -> None:
    """Work as a page that is being rendered does: in Python, without end, never waiting."""
    while True:
        sum(range(1000))


def application() -> Server:
    return make()


if __name__ == "__main__":
    make(cast(Any, os.environ.get("BENCH_RUNTIME", "threads"))).listen(int(sys.argv[1]), "127.0.0.1")
