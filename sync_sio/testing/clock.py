"""Time that moves when told, for a whole server."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING

from .manual import ManualDriver

if TYPE_CHECKING:
    from ..server import Server


class ManualTime:
    """Run a server without any concurrency, in a time of its own: heartbeats, time-outs and recovery without waiting for them.

        with ManualTime(io) as time, TestClient(io) as client:
            time.advance(25)

    Handlers run when something waits for them (`client.call`, `receive`, `settle`), or in `advance` and `settle`. A wait lets
    everything happen, and time passes if nothing else can end it. The server is closed at the end.

    Args:
        io: a server that has not started.

    Raises:
        RuntimeError: it has started.
    """

    def __init__(self, io: Server) -> None:
        self._io = io
        self.driver = ManualDriver()
        io.engine.run_on(self.driver)

    @property
    def now(self) -> float:
        """Seconds since some moment."""
        return self.driver.now()

    def advance(self, seconds: float) -> None:
        """Let time pass, and everything happen that it brings."""
        self.driver.advance(seconds)

    def settle(self) -> None:
        """Let everything happen that can happen at this moment."""
        self.driver.settle()

    def __enter__(self) -> ManualTime:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._io.close()
