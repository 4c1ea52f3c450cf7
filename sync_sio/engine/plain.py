"""The floor above the engine when there is none: messages go to the listeners of their connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..drivers.base import Driver
from .connection import Connection
from .listener import Listener, Receiver


class PlainListener:
    """Knows nothing and forgets nothing."""

    def start(self, driver: Driver) -> None:
        pass

    def opened(self, connection: Connection) -> Receiver:
        return PlainReceiver(connection)

    def reset(self) -> None:
        pass


class PlainReceiver:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def opened(self) -> None: ...

    def text(self, data: bytes, start: int = 0) -> None:
        text = bytes(data[start:])
        self._connection.fire("message", text.decode(), size=len(text), may_register=True)

    def texts(self, messages: list[bytes], start: int) -> None:
        for data in messages:
            self.text(data, start)

    def binary(self, data: bytes) -> None:
        self._connection.fire("message", bytes(data), size=len(data), may_register=True)

    def closed(self, reason: str, description: object) -> None:
        pass                                # the connection tells its listeners itself


if TYPE_CHECKING:
    _: type[Listener[Connection]] = PlainListener
