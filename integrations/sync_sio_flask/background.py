"""What `start_background_task` returns: a piece of work that can be waited for."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context, ContextVar
from threading import Event
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from .mount import Mount

mount_of: Final[ContextVar[Mount | None]] = ContextVar("sync_sio_flask.mount", default=None)
"""For which application the background task that runs here was started."""


class Task:
    """A function that runs beside everything else. It has no Flask context of its own: `with app.app_context():` gives it one."""

    def __init__(self, mount: Mount, target: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._mount = mount
        self._target = target
        self._args = args
        self._kwargs = kwargs
        self._done: Any = Event()
        if mount.facade.async_mode == "gevent":
            from gevent.event import Event as GreenEvent

            self._done = GreenEvent()           # the other kind would block the hub where threading is not patched

    def __repr__(self) -> str:
        return f"<Task {self._target!r}, {'ended' if self._done.is_set() else 'not ended'}>"

    def start(self) -> Task:
        self._mount.io.spawn(Context().run, self._run)
        return self

    def _run(self) -> None:
        mount_of.set(self._mount)
        try:
            self._target(*self._args, **self._kwargs)
        finally:
            self._done.set()

    def join(self, timeout: float | None = None) -> None:
        """Wait until the function has returned, at most `timeout` seconds."""
        self._done.wait(timeout)

    def is_alive(self) -> bool:
        return not self._done.is_set()
