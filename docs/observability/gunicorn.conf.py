"""gunicorn -c gunicorn.conf.py -k gthread --threads 8 --workers 4 app:app"""

import os
import shutil
import tempfile
from pathlib import Path

if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(prefix="metrics-")
directory = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])


def on_starting(server):
    """Forget the numbers of the run before."""
    directory.mkdir(parents=True, exist_ok=True)
    for file in directory.glob("*.db"):
        file.unlink()


def child_exit(server, worker):
    """Take a worker that has ended, or was killed, out of what is there now. What it has counted stays."""
    from prometheus_client import multiprocess

    multiprocess.mark_process_dead(worker.pid)


def on_exit(server):
    shutil.rmtree(directory, ignore_errors=True)
