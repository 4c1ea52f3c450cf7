"""How a server is: for load balancers, which look at the status code, and for operators, who read the rest."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from .protocol import json
from .protocol.http import reason_phrase
from .types import Environ, StartResponse

if TYPE_CHECKING:
    from .server import Server

__all__ = ["answer_health", "health"]


def health(server: Server) -> dict[str, Any]:
    """Return what `Server.health` says. Counting copies nothing: it may be asked every second."""
    engine = server.engine
    driver = engine.driver if engine.is_started else None
    namespaces = server._hub.counts()
    return {
        "status": "closing" if engine.is_closed else "ok",
        "pid": os.getpid(),
        "runtime": None if driver is None else driver.name,
        "uptime": 0.0 if driver is None else round(driver.now() - engine.started_at, 3),
        "clients": engine.clients_count,
        "max_connections": server.options.max_connections,
        "sockets": sum(count["sockets"] for count in namespaces.values()),
        "rooms": sum(count["rooms"] for count in namespaces.values()),
        "namespaces": namespaces,
    }


def answer_health(server: Server, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Answer a request for it: 200, or 503 while the server closes."""
    numbers = health(server)
    status = 200 if numbers["status"] == "ok" else 503
    body = json.encode(numbers)[0]
    cors = server.engine.origins.headers(environ.get("HTTP_ORIGIN"), environ)
    headers = [("Content-Type", "application/json"), ("Cache-Control", "no-store"), ("Content-Length", str(len(body)))]
    start_response(f"{status} {reason_phrase(status)}", headers + cors)
    return [] if environ.get("REQUEST_METHOD") == "HEAD" else [body]
