"""The same application on python-socketio with default options, for three kinds of server; see `servers.py`.

It runs on the peers' own virtual environment and imports nothing of this project.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import Any

import socketio


def page(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "2")])
    return [b"ok"]


def wsgi() -> Any:
    """For gunicorn; BENCH_MODE is python-socketio's `async_mode`."""
    io = socketio.Server(async_mode=os.environ["BENCH_MODE"], cors_allowed_origins="*")

    def echo(sid: str, data: Any) -> Any:
        return data

    def bcast(sid: str, data: Any) -> None:
        io.emit("tick", data)

    io.on("echo", echo)
    io.on("bin", echo)
    io.on("bcast", bcast)
    return socketio.WSGIApp(io, page)


def asgi() -> Any:
    """For uvicorn."""
    io = socketio.AsyncServer(async_mode="asgi", cors_allowed_origins="*")

    async def echo(sid: str, data: Any) -> Any:
        return data

    async def bcast(sid: str, data: Any) -> None:
        await io.emit("tick", data)

    io.on("echo", echo)
    io.on("bin", echo)
    io.on("bcast", bcast)
    return socketio.ASGIApp(io)


def serve_pywsgi(port: int) -> None:
    from gevent import pywsgi
    from geventwebsocket.handler import WebSocketHandler

    pywsgi.WSGIServer(("127.0.0.1", port), wsgi(), log=None, backlog=2048, handler_class=WebSocketHandler).serve_forever()


if __name__ == "__main__":
    from gevent import monkey

    monkey.patch_all()
    os.environ["BENCH_MODE"] = "gevent"
    serve_pywsgi(int(sys.argv[1]))
