"""The application under test on WSGI servers that have no command line, or need none: `python doors.py KIND PORT`."""

from __future__ import annotations

import sys

from tests.bench.apps.ours import application

HOST = "127.0.0.1"


def main(kind: str, port: int) -> None:
    if kind == "cheroot":
        from cheroot.wsgi import Server

        Server((HOST, port), application(), numthreads=4, request_queue_size=1024).start()  # of five that come at once, many fail
    elif kind == "waitress":
        from waitress import serve

        serve(application(), host=HOST, port=port, threads=4)
    elif kind == "werkzeug":
        import logging

        from werkzeug.serving import run_simple

        logging.getLogger("werkzeug").setLevel(logging.ERROR)       # it would write a line for each request
        run_simple(HOST, port, application(), threaded=True)
    else:
        from gevent import pywsgi

        pywsgi.WSGIServer((HOST, port), application(), log=None).serve_forever()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
