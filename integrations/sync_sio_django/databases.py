"""Database connections around each event: none is kept that a request would not keep.

Django's connections belong to a thread, or under gevent to a greenlet. Threads are few (`max_handlers`), and what they keep open for
`CONN_MAX_AGE` seconds is used again. Greenlets are many, and each would keep one of its own: so theirs are closed after each event.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from django.core.cache import caches
from django.db import close_old_connections, connections, reset_queries
from django.db.backends.base.base import BaseDatabaseWrapper

shared: dict[str, BaseDatabaseWrapper] = {}
"""In tests: the connections, by alias, that events use instead of those of their thread, see `testing`."""

_here = threading.local()


@contextmanager
def borrowed(is_crowd: bool) -> Iterator[None]:
    """Let what runs inside use this thread's connections, and give them back.

    Where one event is run inside of another on the same thread, as in tests, the outer one does it.

    Args:
        is_crowd: greenlets run here: close them all.
    """
    depth = _here.depth = getattr(_here, "depth", 0) + 1
    own: dict[str, BaseDatabaseWrapper] = {}
    for alias, connection in shared.items():
        if connections[alias] is not connection:
            own[alias] = connections[alias]
            connections[alias] = connection
    if depth == 1:
        reset_queries()
        close_old_connections()
    waiting = {alias: len(connection.run_on_commit) for alias, connection in shared.items()}
    try:
        yield
        for alias, count in waiting.items():
            _commit(shared[alias], count)
    finally:
        _here.depth = depth - 1
        if depth == 1:
            _give_back(is_crowd)
        for alias, connection in own.items():
            connections[alias] = connection


def _commit(connection: BaseDatabaseWrapper, count: int) -> None:
    """Do what an event, in a test that is one transaction, wanted done on commit: elsewhere its own transactions are over by now."""
    mine, connection.run_on_commit[count:] = connection.run_on_commit[count:], []
    for entry in mine:
        entry[1]()


def close_all() -> None:
    """Close this thread's connections: it is about to end."""
    _give_back(True)


def _give_back(is_crowd: bool) -> None:
    for connection in connections.all(initialized_only=True):
        if is_crowd and not connection.in_atomic_block:
            connection.close()
        else:
            connection.close_if_unusable_or_obsolete()
    caches.close_all()
