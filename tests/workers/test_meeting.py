"""Workers find those who accept from the same socket, in a directory that is theirs alone."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from sync_sio.workers import meeting
from sync_sio.workers.meeting import CannotMeet, Meeting


@pytest.fixture(autouse=True)
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    # not pytest's, whose path is long
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:
        monkeypatch.setattr(meeting, "gettempdir", lambda: directory)
        yield Path(directory) / meeting.directory_name()


def listening(reuses: bool = False, port: int = 0) -> socket.socket:
    return socket.create_server(("127.0.0.1", port), reuse_port=reuses)


def test_those_who_accept_from_one_socket_meet() -> None:
    with listening(), listening():
        one, two = Meeting("x"), Meeting("x")
        with closing(one.listen()), closing(two.listen()):
            assert list(one.others()) == [(two.id, two.path)]
            assert list(two.others()) == [(one.id, one.path)]
            assert one.id != two.id
            one.leave()
            assert list(two.others()) == []


OTHERS = """
from socket import create_server
from sync_sio.workers.meeting import Meeting
with create_server(("127.0.0.1", 0)):
    one = Meeting("x")
with create_server(("127.0.0.1", 0)):
    two, other_purpose = Meeting("x"), Meeting("y")
sockets = [meeting.listen() for meeting in (one, two, other_purpose)]
print([list(meeting.others()) for meeting in (one, two, other_purpose)])
"""


def run(code: str, place: Path) -> subprocess.CompletedProcess[str]:
    """Run in a process that has no sockets but those of `code`."""
    environ = {**os.environ, "TMPDIR": str(place.parent)}
    return subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True)


def test_others_do_not(place: Path) -> None:
    done = run(OTHERS, place)
    assert done.stdout == "[[], [], []]\n", done.stderr


def test_sockets_of_one_address_count_as_one() -> None:
    with listening(reuses=True) as first:
        one = Meeting("x")
        port = first.getsockname()[1]
        with listening(reuses=True, port=port) as second, closing(one.listen()):
            first.close()
            two = Meeting("x")
            assert [worker for worker, _ in two.others()] == [one.id]
            assert second.getsockname() == ("127.0.0.1", port)


def test_nobody_else_may_look_in(place: Path) -> None:
    with listening(), closing(Meeting("x").listen()):
        assert stat.S_IMODE(place.stat().st_mode) == 0o700


@pytest.mark.parametrize("kind", ["open to others", "a link", "a file"])
def test_a_directory_that_others_may_have_made_is_not_used(place: Path, tmp_path: Path, kind: str) -> None:
    if kind == "open to others":
        place.mkdir(mode=0o755)
    elif kind == "a link":
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        place.symlink_to(tmp_path / "elsewhere")
    else:
        place.write_text("")
    with listening(), pytest.raises(CannotMeet, match="0700"):
        Meeting("x")


def test_a_path_that_is_too_long_is_told_of(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    long = tmp_path / ("x" * 100)
    long.mkdir()
    monkeypatch.setattr(meeting, "gettempdir", lambda: str(long))
    with listening(), pytest.raises(CannotMeet, match="TMPDIR"):
        Meeting("x")


def test_a_process_that_accepts_nothing_is_told_so(place: Path) -> None:
    done = run("from sync_sio.workers.meeting import Meeting; Meeting('x')", place)
    assert "CannotMeet: this process does not know the socket" in done.stderr
