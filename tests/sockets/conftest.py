"""A hub that runs, and is looked at when the test is over."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .fakes import World


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    world.start()
    yield world
    world.end()
