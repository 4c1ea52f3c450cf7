"""Start the echo application on the server that is named: `python launch.py KIND PORT`; for those without a command line."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

HOST = "127.0.0.1"
CERTFILE = os.environ.get("CERTFILE")


def main(kind: str, port: int) -> None:
    if kind.endswith("-patched"):
        from gevent import monkey

        monkey.patch_all()
    from tests.wsgi.echo_app import application

    if kind.startswith("embedded"):
        from sync_sio.wsgi.embedded import EmbeddedServer

        runtime: Any = "gevent" if "gevent" in kind else "threads"
        EmbeddedServer(application, HOST, port, runtime, CERTFILE).serve_forever()
    elif kind == "wsgiref":
        from wsgiref.simple_server import make_server

        make_server(HOST, port, application).serve_forever()
    elif kind.startswith("werkzeug"):
        from werkzeug.serving import run_simple

        run_simple(HOST, port, application, ssl_context=(CERTFILE, None) if CERTFILE else None)
    elif kind.startswith("pywsgi"):
        pywsgi(kind, port, application)
    elif kind.startswith("cheroot"):
        cheroot(port, application)
    elif kind == "waitress":
        from waitress import serve

        serve(application, host=HOST, port=port, threads=1)
    else:
        raise SystemExit(f"unknown kind of server: {kind}")


def pywsgi(kind: str, port: int, application: Any) -> None:
    from gevent import pywsgi, signal_handler

    options: dict[str, Any] = {"certfile": CERTFILE} if CERTFILE else {}
    if "websocket" in kind:
        from geventwebsocket.handler import WebSocketHandler

        options["handler_class"] = WebSocketHandler
    server = pywsgi.WSGIServer((HOST, port), application, **options)
    signal_handler(signal.SIGTERM, server.stop)
    server.serve_forever()


def cheroot(port: int, application: Any) -> None:
    from cheroot.wsgi import Server

    # it waits five seconds for a worker that a client keeps busy, which is as long as the tests wait for the end of the process
    server = Server((HOST, port), application, numthreads=1, shutdown_timeout=1)
    if CERTFILE:
        from cheroot.ssl.builtin import BuiltinSSLAdapter

        server.ssl_adapter = BuiltinSSLAdapter(CERTFILE, CERTFILE)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        server.start()
    finally:
        server.stop()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
