"""Which runtime? The one that was named, else the one that is patched in or that serves; never one that is merely installed."""

from __future__ import annotations

import sys
from typing import Any, Literal

from ..types import Environ
from .base import Driver

PATCHED: tuple[str, ...] = ("thread", "threading", "socket", "select")
"""Modules without whose originals the threads runtime cannot work: its threads would be greenlets, and epoll is gone."""


def choose(runtime: Literal["auto", "threads", "gevent"], environ: Environ | None, max_handlers: int | None) -> Driver:
    """Make the driver of this process.

    Args:
        runtime: `"auto"`: gevent when it has monkey-patched this process, or when it serves this request; else threads.
        environ: the first request; None when there is none, as in `listen`.
        max_handlers: turns at most at a time; None: 64 threads, 1,000 greenlets.

    Raises:
        RuntimeError: this runtime cannot work here; the message says what to do.
        ValueError: there is no such runtime.
    """
    if runtime not in ("auto", "threads", "gevent"):
        raise ValueError(f'runtime must be "auto", "threads" or "gevent", not {runtime!r}')
    is_patched = is_monkey_patched()
    if runtime == "threads" and is_patched:
        raise RuntimeError(
            'runtime="threads" cannot work in a process that gevent has monkey-patched: its threads are greenlets. '
            'Use runtime="gevent" (or "auto"), or do not patch; with gunicorn choose the gthread worker'
        )
    if runtime == "gevent" or (runtime == "auto" and (is_patched or (environ is not None and is_served_by_gevent(environ)))):
        try:
            from .greenlets import GreenletsDriver
        except ImportError as error:
            raise RuntimeError(
                f'runtime="gevent" needs gevent, which cannot be imported ({error}): pip install "sync-sio[gevent]"'
            ) from error
        return GreenletsDriver(max_handlers)
    from .threads import ThreadsDriver

    return ThreadsDriver(max_handlers)


def refuse_late_patching() -> None:
    """Raise RuntimeError when gevent has monkey-patched this process after the threads runtime was chosen for it."""
    if is_monkey_patched():
        raise RuntimeError(
            "gevent has monkey-patched this process after sync_sio began to serve with threads: "
            "patch first, at the very top of the program, before anything uses the server"
        )


def is_monkey_patched() -> bool:
    """Tell whether gevent has replaced what the threads runtime is made of. Imports nothing."""
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and any(monkey.is_module_patched(name) for name in PATCHED)


def is_served_by_gevent(environ: Environ) -> bool:
    """Tell whether a gevent server made this request: this thread has a hub, and what the server gave us is gevent's."""
    local = sys.modules.get("gevent._hub_local")
    if local is None or local.get_hub_if_exists() is None:
        return False
    if str(environ.get("SERVER_SOFTWARE", "")).startswith(("gevent/", "sync_sio (gevent)")):
        return True
    server_made: tuple[Any, ...] = (environ.get("wsgi.input"), environ.get("gunicorn.socket"), environ.get("werkzeug.socket"))
    return any(type(thing).__module__.split(".", 1)[0] == "gevent" for thing in server_made)
