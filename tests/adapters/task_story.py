"""Processes that serve nobody and fork, as Celery does, and what they say: `python -m tests.adapters.task_story threads|patched URL`."""
# ruff: noqa: E402  (patching comes first)

from __future__ import annotations

import sys

KIND, URL = sys.argv[1:]
if KIND == "patched":
    from gevent import monkey

    monkey.patch_all()

import os

from sync_sio import Server
from sync_sio.adapters.redis import RedisAdapter

io = Server(adapter=RedisAdapter(URL))
io.emit("parent")
child = os.fork()
if child == 0:
    io.emit("child")
    os._exit(0)
assert os.waitpid(child, 0) == (child, 0)
io.emit("again")
print("said")
