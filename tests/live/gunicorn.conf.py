"""What gunicorn finds in its working directory, when a test names no other file."""

import signal


def post_fork(server, worker):
    """A SIGTERM that comes before the worker has handlers of its own ends it. It would be lost in a copy of the master's otherwise."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
