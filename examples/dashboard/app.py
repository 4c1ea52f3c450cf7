"""A live dashboard: a task measures this server every second and emits to all; who comes gets the last two minutes first.

    python examples/dashboard/app.py                                       http://127.0.0.1:3000
    gunicorn -k gthread --threads 4 --chdir examples/dashboard app:app     one worker process: it measures itself
    curl -d text="deployed 1.2" http://127.0.0.1:3000/marks                a line in the charts of everybody
"""

import os
import time
from collections import deque
from functools import partial
from typing import Any

from flask import Flask, Response, request

from sync_sio_flask import SocketIO, emit

app = Flask(__name__)
socketio = SocketIO(app)

samples: deque[dict[str, float]] = deque(maxlen=120)
marks: deque[dict[str, Any]] = deque(maxlen=20)
trips: deque[float] = deque([0.0], maxlen=1)  # how long it took until every page had answered the last sample, in milliseconds


@app.get("/")
def page() -> Response:
    return app.send_static_file("index.html")


@app.post("/marks")
def mark() -> tuple[str, int]:
    """A page like any other of Flask's may emit, too."""
    text = request.form.get("text", "").strip()[:40]
    if not text:
        return "text=… is missing\n", 400
    marks.append({"at": time.time(), "text": text})
    socketio.emit("mark", marks[-1])
    return "marked\n", 201


@socketio.on("connect")
def connect() -> None:
    # `measure` may emit the newest one at this moment, too: so it may come twice, and the page looks at `at`. Never not at all.
    emit("history", {"samples": list(samples), "marks": list(marks)})


def measure() -> None:
    at, used = time.time(), time.process_time()
    while True:
        socketio.sleep(1)
        now, uses = time.time(), time.process_time()
        sample = {
            "at": now,
            "processor": 100 * (uses - used) / (now - at),
            "load": os.getloadavg()[0],
            "pages": socketio.io.engine.clients_count,
            "trip": trips[0],
        }
        at, used = now, uses
        samples.append(sample)
        # `socketio.io` is the server itself, which knows acknowledgements of broadcasts.
        socketio.io.timeout(5).emit("sample", sample, ack=partial(answered, time.perf_counter()))


def answered(since: float, error: Exception | None, answers: list[Any]) -> None:
    """Called once, when all pages have answered, or not in time."""
    trips.append(1000 * (time.perf_counter() - since))


socketio.start_background_task(measure)  # when this process begins to serve
if __name__ == "__main__":
    socketio.run(app, port=int(os.environ.get("PORT", "3000")))
