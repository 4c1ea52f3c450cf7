"""gunicorn -c gunicorn.conf.py app:app"""

import signal

bind = "127.0.0.1:8000"

# One process; more need nothing else. Threads work on pages; clients that are connected hold none.
workers = 1
worker_class = "gthread"
threads = 8

# SIGTERM and a reload wait so long for pages.
graceful_timeout = 10

# A restart now and then, if your code leaks. Each poll and each POST of a client that polls counts as a request.
# max_requests = 100_000
# max_requests_jitter = 10_000


def post_fork(server, worker):
    """A SIGTERM that comes while a worker starts ends it. Without this it is lost, and a stop or a reload takes all of graceful_timeout."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def post_worker_init(worker):
    """On SIGTERM tell clients at once that the worker ends. Without this they are told when its last page is done, or not at all."""
    from app import io

    finish_pages = signal.getsignal(signal.SIGTERM)

    def end(number, frame):
        finish_pages(number, frame)
        io.spawn(io.close)

    signal.signal(signal.SIGTERM, end)
