"""PROMETHEUS_MULTIPROC_DIR=/run/chat/metrics gunicorn -c gunicorn.conf.py --workers 4 app:app"""

import os
from pathlib import Path

directory = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])
directory.mkdir(parents=True, exist_ok=True)


def on_starting(server):
    """Forget the numbers of the run before."""
    for file in directory.glob("*.db"):
        file.unlink()


def child_exit(server, worker):
    """Take a worker that has ended, or was killed, out of what is there now. What it has counted stays."""
    from prometheus_client import multiprocess

    multiprocess.mark_process_dead(worker.pid)
