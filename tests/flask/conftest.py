"""An application, and what was put in front of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask

from sync_sio_flask import SocketIO

Make = Callable[..., tuple[Flask, SocketIO]]


@pytest.fixture
def make() -> Iterator[Make]:
    """Make an application with these options, and its SocketIO."""
    made: list[SocketIO] = []

    def make(**options: Any) -> tuple[Flask, SocketIO]:
        app = Flask("shop")
        app.config["SECRET_KEY"] = "not a secret"
        socketio = SocketIO(app, **options)
        made.append(socketio)
        return app, socketio

    yield make
    for socketio in made:
        socketio.io.close()
        assert socketio.io.audit() == []


@pytest.fixture
def both(make: Make) -> tuple[Flask, SocketIO]:
    return make()


@pytest.fixture
def app(both: tuple[Flask, SocketIO]) -> Flask:
    return both[0]


@pytest.fixture
def socketio(both: tuple[Flask, SocketIO]) -> SocketIO:
    return both[1]
