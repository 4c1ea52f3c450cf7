"""Is the web server set up so that connections can live long? Looked at once, at the first request; the operator is told what hurts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..types import Environ, StartResponse
from ..wsgi.hosting import hosting_of
from ..wsgi.takeover import may_take

if TYPE_CHECKING:
    from .server import EngineServer


def look_around(server: EngineServer, environ: Environ, start_response: StartResponse) -> None:
    """Warn of settings that break connections: by chance, or each time that nothing is sent for `ping_interval`."""
    options, warn = server.options, server.notices.warn
    hosting = hosting_of(environ, start_response)
    polls = "polling" in options.transports
    if hosting.is_shared and server.routing is None and polls:
        warn(
            "several processes",
            'several processes serve this address, and the polls of one client reach any of them, which do not know it ("Session ID '
            'unknown"), as they cannot find each other: %s. Until they do, run one process for each address behind a proxy that keeps a '
            'client on its own, or set transports=["websocket"]',
            server.why_alone,
        )
    if hosting.silent is not None and hosting.silent.seconds <= options.ping_interval:
        warn(
            "silent connections",
            "%s cuts connections on which nothing is sent for %g s, and ping_interval is %g s: raise the one, or lower the other",
            hosting.silent.setting,
            hosting.silent.seconds,
            options.ping_interval,
        )
    busy = hosting.busy
    if busy is None:
        return
    if options.ws_engine == "simple-websocket" and "websocket" in options.transports:
        warn(
            "busy workers",
            'with ws_engine="simple-websocket" a client keeps the worker, which %s kills after %g s: use another kind of worker, or '
            'ws_engine="native"',
            busy.setting,
            busy.seconds,
        )
    elif polls and busy.seconds <= options.ping_interval and may_take(environ) is not None:
        warn(
            "busy workers",
            "a poll that waits keeps the worker for up to ping_interval, %g s, and %s kills it after %g s: raise this or lower that",
            options.ping_interval,
            busy.setting,
            busy.seconds,
        )
