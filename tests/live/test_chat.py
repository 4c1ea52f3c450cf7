"""The chat of examples/ in a real browser: two people, a desk and a phone, on each server that the README names."""

from __future__ import annotations

from pathlib import Path

import pytest

from .example import WAYS, drive, running

SCRIPT = Path(__file__).parent / "chat.cjs"


@pytest.mark.timeout(150)
@pytest.mark.parametrize("way", WAYS)
def test_two_people_talk_and_come_back_after_a_restart(way: str, tmp_path: Path, node: Path, npm_packages: Path, chromium: Path) -> None:
    with running("chat", way, tmp_path / "log") as chat:
        drive(chat, SCRIPT, has_pictures=way == "python")
