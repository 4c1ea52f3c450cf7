"""gunicorn -k gthread --threads 8 app:app"""

from prometheus_client import make_wsgi_app

from sync_sio import Server
from sync_sio.metrics import PrometheusMetrics

io = Server(health=True)
PrometheusMetrics(io)
exposition = make_wsgi_app()


@io.event
def echo(socket, text):
    return text


def site(environ, start_response):
    if environ["PATH_INFO"] == "/metrics":
        return exposition(environ, start_response)
    start_response("404 Not Found", [("Content-Length", "0")])
    return []


app = io.attach(site)
