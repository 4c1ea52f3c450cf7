"""gunicorn -k gthread --threads 8 app:app"""

from sync_sio import Server
from sync_sio.metrics import PrometheusMetrics

io = Server()
metrics = PrometheusMetrics(io)


@io.event
def echo(socket, text):
    return text


def site(environ, start_response):
    if environ["PATH_INFO"] == "/metrics":
        return metrics.exposition(environ, start_response)
    start_response("404 Not Found", [("Content-Length", "0")])
    return []


app = io.attach(site)
