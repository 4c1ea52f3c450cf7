"""A server on Redis that forks after it has begun to serve: `python -m tests.adapters.fork_story threads|patched URL`."""
# ruff: noqa: E402  (patching comes first)

from __future__ import annotations

import sys

KIND, URL = sys.argv[1:]
if KIND == "patched":
    from gevent import monkey

    monkey.patch_all()

import os
import time
from collections.abc import Callable
from typing import Any

from sync_sio import Server
from sync_sio.adapters.redis import RedisAdapter
from sync_sio.testing import TestClient

io = Server(adapter=RedisAdapter(URL), runtime="gevent" if KIND == "patched" else "threads")


@io.on("who")
def who(*args: Any) -> int:
    return os.getpid()


def is_told(descriptor: int) -> bool:
    try:
        return os.read(descriptor, 1) == b"x"
    except BlockingIOError:
        return False


def until(what: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 20
    while not (found := what()):
        assert time.monotonic() < deadline, io.adapter_status()
        io.sleep(0.02)
    return found


def serve() -> None:
    """Ask the other one, and be asked by it, until it has heard us."""
    with TestClient(io) as client:
        (answer,) = until(lambda: io.server_side_call("who", timeout=2))
        assert answer != os.getpid()
        client.settle()


with TestClient(io):
    until(lambda: io.adapter_status().connected)
    assert io.server_side_call("who") == []
    heard, tell = os.pipe()
    child = os.fork()
if child == 0:
    try:
        serve()
        os.close(tell)
        os.set_blocking(heard, False)
        until(lambda: is_told(heard))
        io.close()
    except BaseException:
        import traceback

        traceback.print_exc()
        os._exit(1)
    os._exit(0)
serve()
os.write(tell, b"x")
until(lambda: os.waitpid(child, os.WNOHANG) == (child, 0))
io.close()
print("both have served")
