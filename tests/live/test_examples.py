"""The examples in a real browser. The scripts in stories/ say what happens; what the pages cannot know is looked at here."""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path

import pytest

from .example import drive, running

STORIES = Path(__file__).parent / "stories"

# A picture of two minutes takes two minutes; the tests themselves take seconds.
pytestmark = [pytest.mark.timeout(200), pytest.mark.usefixtures("node", "npm_packages", "chromium")]


def test_a_job_is_found_again_by_the_page_that_started_it(tmp_path: Path) -> None:
    with running("progress", "python", tmp_path / "log") as progress:
        drive(progress, STORIES / "progress.cjs")


def test_a_dashboard_shows_what_was_and_what_is(tmp_path: Path) -> None:
    with running("dashboard", "python", tmp_path / "log") as dashboard:
        drive(dashboard, STORIES / "dashboard.cjs")


def test_a_file_arrives_whole_whatever_breaks(tmp_path: Path) -> None:
    large, small, too_large = tmp_path / "garden.mov", tmp_path / "seeds.pdf", tmp_path / "everything.zip"
    large.write_bytes(os.urandom(21 * 1024 * 1024 + 1))
    small.write_bytes(os.urandom(2 * 1024 * 1024))
    with open(too_large, "wb") as file:
        file.truncate(64 * 1024 * 1024 + 1)
    uploads = tmp_path / "uploads"
    with running("upload", "python", tmp_path / "log", UPLOADS=str(uploads)) as upload:
        drive(upload, STORIES / "upload.cjs", str(large), str(small), str(too_large))
    sevens = bytes([7]) * (3 * 1024 * 1024)
    assert {file.name: sha256(file.read_bytes()).hexdigest() for file in uploads.iterdir()} == {
        digest: digest for digest in (sha256(data).hexdigest() for data in (large.read_bytes(), small.read_bytes(), sevens))
    }


def test_a_token_lets_in_until_it_is_no_good_any_more(tmp_path: Path) -> None:
    with running("tokens", "python", tmp_path / "log", SECRET_KEY="a secret") as tokens:
        tokens.environ["TOKEN_SECONDS"] = "1"  # when it is started again
        drive(tokens, STORIES / "tokens.cjs")


def test_a_board_shows_everybody_what_everybody_draws(tmp_path: Path) -> None:
    with running("drawing", "python", tmp_path / "log") as drawing:
        drive(drawing, STORIES / "drawing.cjs")
