"""Start the acceptance application on the server that is named: `python launch.py KIND PORT`.

For the servers that have no command line of their own, and for the embedded one.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import sys
from typing import Any

HOST = "127.0.0.1"


def main(kind: str, port: int) -> None:
    if kind.endswith("-patched"):
        from gevent import monkey

        monkey.patch_all()
    app = importlib.import_module(os.environ.get("LIVE_APP", "app:application").partition(":")[0])
    application, io = app.application, app.io
    certfile = os.environ.get("LIVE_CERTFILE")
    keyfile = os.environ.get("LIVE_KEYFILE")
    if kind.startswith("embedded-"):
        io.listen(port, HOST, certfile=certfile, keyfile=keyfile)
    elif kind == "wsgiref":
        from wsgiref.simple_server import make_server

        make_server(HOST, port, application).serve_forever()
    elif kind == "werkzeug":
        from werkzeug.serving import run_simple

        run_simple(HOST, port, application, threaded=True)
    elif kind.startswith("pywsgi"):
        from gevent import pywsgi, signal_handler

        handler = {}
        if "websocket" in kind:
            from geventwebsocket.handler import WebSocketHandler

            handler["handler_class"] = WebSocketHandler
        server = pywsgi.WSGIServer((HOST, port), application, **handler)
        signal_handler(signal.SIGTERM, server.stop)
        server.serve_forever()
    elif kind.startswith("forking-pywsgi"):
        import socket

        fork_and_serve(socket.create_server((HOST, port)))
    elif kind == "cheroot":
        from cheroot.wsgi import Server as CherootServer

        cheroot = CherootServer((HOST, port), application, numthreads=4)

        def stop(*_: object) -> None:
            raise KeyboardInterrupt

        signal.signal(signal.SIGTERM, stop)
        try:
            cheroot.start()
        except KeyboardInterrupt:
            cheroot.stop()
    elif kind == "waitress":
        from waitress import serve

        serve(application, host=HOST, port=port, threads=4)
    else:
        raise SystemExit(f"unknown kind of server: {kind}")


def fork_and_serve(listener: Any) -> None:
    """Serve in three children, which end with this process."""
    from gevent import pywsgi, signal_handler, socket
    from workers_app import application

    children = []
    for _ in range(3):
        child = os.fork()
        if not child:
            listening = socket.socket(fileno=os.dup(listener.fileno()))
            server = pywsgi.WSGIServer(listening, application, environ={"wsgi.multiprocess": True})
            signal_handler(signal.SIGTERM, server.stop)
            server.serve_forever()
            sys.exit()
        children.append(child)
    signal.signal(signal.SIGTERM, lambda *_: [os.kill(child, signal.SIGTERM) for child in children])
    for child in children:
        os.waitpid(child, 0)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main(sys.argv[1], int(sys.argv[2]))
