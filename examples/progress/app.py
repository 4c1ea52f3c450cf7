"""Progress of a long job, live: a worker takes jobs from a queue and emits how far it is; who loads the page again finds the jobs.

    python examples/progress/app.py                                        http://127.0.0.1:3000
    gunicorn -k gthread --threads 4 --chdir examples/progress app:app      one worker process: the jobs are in it
"""

import ast
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from queue import Queue

from flask import Flask, Response, session

from sync_sio_flask import ConnectionRefusedError, SocketIO, emit, join_room

app = Flask(__name__)
app.secret_key = secrets.token_bytes()  # jobs live as long as this process, and so may the cookies that say whose they are
socketio = SocketIO(app)
LIBRARY = Path(ast.__file__).parent
PACKAGES = ("json", "email", "asyncio", "unittest", "everything")
jobs: dict[str, "Job"] = {}
waiting: Queue["Job"] = Queue()


@dataclass
class Job:
    """What its owner's pages are sent. A handler writes `is_cancelled`, the worker that has the job all else."""

    owner: str
    package: str
    id: str = field(default_factory=secrets.token_hex)
    state: str = "waiting"  # "running", and at last "done", "failed" or "cancelled"
    is_cancelled: bool = False
    done: int = 0
    total: int = 0
    file: str = ""
    longest: tuple[int, str] = (0, "")


@app.get("/")
def page() -> Response:
    session.setdefault("visitor", secrets.token_urlsafe(12))
    return app.send_static_file("index.html")


@socketio.on("connect")
def connect() -> None:
    if "visitor" not in session:
        raise ConnectionRefusedError("this page is from before the server was started")
    join_room(session["visitor"])
    emit("jobs", [job for job in list(jobs.values()) if job.owner == session["visitor"]])


@socketio.on("start")
def start(package: str) -> None:
    if package in PACKAGES:
        job = Job(session["visitor"], package)
        jobs[job.id] = job
        waiting.put(job)
        socketio.emit("job", job, to=job.owner)


@socketio.on("cancel")
def cancel(number: str) -> None:
    if number in jobs and jobs[number].owner == session["visitor"]:
        jobs[number].is_cancelled = True


def work() -> None:
    while job := waiting.get():
        try:
            find_longest_function(job)
            job.state = "cancelled" if job.is_cancelled else "done"
        except Exception:
            app.logger.exception("job %s", job.id)
            job.state = "failed"
        socketio.emit("job", job, to=job.owner)  # from any thread, in nobody's event: a worker needs to know no more


def find_longest_function(job: Job) -> None:
    folder = LIBRARY if job.package == "everything" else LIBRARY / job.package
    files = [file for file in sorted(folder.rglob("*.py")) if not {"site-packages", "test", "tests", "lib2to3"} & {*file.parts}]
    job.state, job.total = "running", len(files)
    for job.done, file in enumerate(files):
        if job.is_cancelled:
            break
        job.file = str(file.relative_to(LIBRARY))
        socketio.emit("job", job, to=job.owner)
        functions = [node for node in ast.walk(ast.parse(file.read_bytes())) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
        lengths = [((node.end_lineno or 0) - node.lineno + 1, f"{node.name}() in {job.file}") for node in functions]
        job.longest = max([job.longest, *lengths])
        socketio.sleep(0)  # on gevent others would wait for us


socketio.start_background_task(work)  # when this process begins to serve; twice, and two jobs run at a time
if __name__ == "__main__":
    socketio.run(app, port=int(os.environ.get("PORT", "3000")))
