"""An adapter that writes down what it is to tell the other servers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from sync_sio.adapters.base import AdapterListener, AdapterStatus, Answer, Broadcast, Message


class RecordingAdapter:
    def start(self, listener: AdapterListener, driver: Any) -> None: ...

    def close(self) -> None: ...

    def abandon(self) -> None: ...

    def enter(self, namespace: str) -> None: ...

    def leave(self, namespace: str) -> None: ...

    def publish(self, namespace: str, message: Message) -> None:
        assert isinstance(message, Broadcast)
        with Path(os.environ["RECORDING"]).open("a") as file:
            print(namespace, message.data, message.target.rooms, file=file)

    def answer(self, namespace: str, server: str, answer: Answer) -> None: ...

    def others(self, namespace: str) -> int:
        return 1

    def status(self) -> AdapterStatus:
        return AdapterStatus(True, 0.0, 2, None)


adapter = RecordingAdapter()
