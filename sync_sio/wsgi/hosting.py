"""What the web server's own settings mean for connections that live long: who shares its address, and what it cuts short.

Read from what the server hands to every application; nothing of a server is imported. What cannot be read is taken for harmless.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final

from ..types import Environ, StartResponse

__all__ = ["Hosting", "Limit", "hosting_of", "program_of"]

ROUTER_TIMEOUT: Final = 60.0
"""uWSGI's --http-timeout when it is not given."""


@dataclass(frozen=True, slots=True)
class Limit:
    """A time-out of the web server: seconds, and what an operator calls it."""

    seconds: float
    setting: str


@dataclass(frozen=True, slots=True)
class Hosting:
    """How this process is hosted.

    Attributes:
        is_shared: several processes accept on one address, and the kernel chooses which of them gets a connection.
        busy: after so long the server ends a worker that is busy with one request. None: never, or nobody says.
        silent: after so long the server cuts a connection on which nothing is sent, and which we cannot reach behind it.
    """

    is_shared: bool
    busy: Limit | None = None
    silent: Limit | None = None


def hosting_of(environ: Environ, start_response: StartResponse | None = None) -> Hosting:
    """Read the settings of the server that made this request; without `start_response` gunicorn does not say all."""
    is_shared = bool(environ.get("wsgi.multiprocess"))
    if "uwsgi.version" in environ:
        options = _uwsgi_options()
        return Hosting(is_shared, _uwsgi_limit(options, "harakiri"), _router_limit(options))
    if "gunicorn.socket" in environ and not environ.get("wsgi.multithread"):
        return Hosting(is_shared, _sync_worker_limit(start_response))
    return Hosting(is_shared)


def program_of(environ: Environ) -> str:
    """Name the program that this is, where one web server runs several on the same address: Apache, and uWSGI with `mount`."""
    groups = [str(environ.get(f"mod_wsgi.{group}_group", "")) for group in ("process", "application")]
    return " ".join([*groups, str(_interpreter())])


def _interpreter() -> int:
    """Count which interpreter of the process this is: each has its own modules, and its own servers."""
    for name in ("_interpreters", "_xxsubinterpreters"):        # since Python 3.13, and before
        with suppress(ImportError):
            current = import_module(name).get_current()
            return int(current[0] if isinstance(current, tuple) else current)
    return 0


def _sync_worker_limit(start_response: StartResponse | None) -> Limit | None:
    """gunicorn's sync worker tells the master that it lives between two requests only; the other workers do so beside them."""
    # A middleware may have put its own function in front, and then nobody says.
    config = getattr(getattr(start_response, "__self__", None), "cfg", None)
    seconds = getattr(config, "timeout", 0)
    return Limit(float(seconds), "gunicorn's --timeout") if seconds else None


def _uwsgi_options() -> Mapping[str, Any]:
    options: Mapping[Any, Any] = getattr(sys.modules.get("uwsgi"), "opt", {})
    return {key.decode() if isinstance(key, bytes) else key: value for key, value in options.items()}


def _uwsgi_limit(options: Mapping[str, Any], name: str) -> Limit | None:
    value = options.get(name)
    try:
        seconds = float(value)  # type: ignore[arg-type]  # None and lists fail as text does
    except (TypeError, ValueError):
        return None
    return Limit(seconds, f"uWSGI's --{name}") if seconds else None


def _router_limit(options: Mapping[str, Any]) -> Limit | None:
    if not any(name in options for name in ("http", "https")):
        return None
    return _uwsgi_limit(options, "http-timeout") or Limit(ROUTER_TIMEOUT, "uWSGI's --http-timeout")
