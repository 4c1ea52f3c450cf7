"""docs/flask.md: what it shows works. The tutorial is followed on real servers, in tests/live/test_flask.py."""

from __future__ import annotations

import re
from typing import Any

import pytest

import sync_sio_flask
from tests.tools import ROOT


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the blocks of "How to …" define, one after the other."""
    page = (ROOT / "docs" / "flask.md").read_text()
    names: dict[str, Any] = {"__name__": "shown"}
    for block in re.findall(r"```python\n(.*?)```", page.partition("\n## How to")[2], re.DOTALL):
        exec(compile(block, "docs/flask.md", "exec"), names)
    return names


def test_how_to(shown: dict[str, Any]) -> None:
    app, socketio = shown["app"], shown["socketio"]
    client = socketio.test_client(app)
    assert client.emit("ping", callback=True) == "pong"
    client.on("confirm", lambda question: question == "Delete it?")
    assert client.emit("delete", "it", callback=True) == "deleted"
    client.emit("rename", "Ada")
    board = socketio.test_client(app, "/board")
    assert board.get_received("/board")[0]["name"] == "welcome"
    assert app.test_client().get("/board/").text == "the board"
    staff = socketio.test_client
    with pytest.raises(Exception, match="staff only"):
        staff(app, "/staff")
    shown["task"].join(10)
    configured = shown["create_configured_app"]()
    assert configured.extensions["socketio"].io.options.ping_timeout == 10
    headers = {"Origin": "https://www.example.org", "X-Forwarded-Host": "www.example.org", "X-Forwarded-Proto": "https"}
    handshake = "/socket.io/?EIO=4&transport=polling"
    assert app.test_client().get(handshake, headers=headers).status_code == 200
    assert app.test_client().get(handshake, headers={"Origin": "https://www.example.org"}).status_code == 403


def test_every_name_is_in_the_table() -> None:
    page = (ROOT / "docs" / "coming-from-flask-socketio.md").read_text()
    public = [name for name in dir(sync_sio_flask.SocketIO) if not name.startswith("_")]
    ours = {"io", "table", "mount", "find_mount"}
    for name in [*sync_sio_flask.__all__, *sorted(set(public) - ours)]:
        assert re.search(rf"\b{name}\b", page), name
