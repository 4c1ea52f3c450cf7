"""`manage.py sync_sio`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from redis import Redis

from sync_sio_django import Server
from sync_sio_django.inventory import lines_of
from tests.redis_server import RedisServer
from tests.tools import ROOT


def test_it_lists_namespaces_with_events_and_functions() -> None:
    out = StringIO()
    call_command("sync_sio", stdout=out)
    text = out.getvalue()
    assert text.startswith("path /socket.io\n\nnamespace /\n")
    assert re.search(r"^  write +tests\.django\.project\.notes\.sockets\.write  .*sockets\.py:\d+$", text, re.MULTILINE)
    deleters = text[text.index("namespace /deleters") :].split("\n\n")[0]
    assert "on connection" in deleters and "Deleters.on_delete" in deleters
    assert "use" in text[text.index("namespace /writers") :].split("\n\n")[0]


def test_dynamic_namespaces_are_listed_too() -> None:
    server = Server()
    server.of(re.compile("^/room-")).event("say", print)
    assert any("room-" in line for line in lines_of(server)) and "  say  builtins.print" in lines_of(server)


def test_without_an_adapter_it_says_why_it_cannot_emit() -> None:
    with pytest.raises(CommandError, match="adapter"):
        call_command("sync_sio", "emit", "news", "1")


def test_what_it_emits_is_with_redis_when_it_says_so(redis_server: Path, tmp_path: Path) -> None:
    with RedisServer(redis_server, tmp_path) as server:
        environ = {
            **os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'integrations'}", "DJANGO_SETTINGS_MODULE": "tests.django.project.settings",
            "PROJECT_SYNC_SIO": '{"adapter": "tests.django.linked.adapter"}', "REDIS_URL": server.url,
        }  # fmt: skip
        heard = Redis.from_url(server.url, socket_timeout=20).pubsub()
        heard.psubscribe("socket.io#/x#*")
        assert heard.get_message(timeout=20)["type"] == "psubscribe"
        command = [sys.executable, "-m", "django", "sync_sio", "emit", "news", "plain words", "--namespace", "/x"]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=50)
        assert (done.returncode, done.stdout) == (0, "sent 'news' to everybody in /x\n"), done.stderr
        assert b"plain words" in heard.get_message(timeout=20)["data"]
        server.kill()
        done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=50)
        assert done.returncode == 1 and "not sent: no link to the other servers (ConnectionError" in done.stderr


def test_with_an_adapter_it_tells_the_other_processes(tmp_path: Path) -> None:
    published = tmp_path / "published"
    environ = {
        **os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'integrations'}", "DJANGO_SETTINGS_MODULE": "tests.django.project.settings",
        "PROJECT_SYNC_SIO": '{"adapter": "tests.django.recording.adapter"}', "RECORDING": str(published),
    }  # fmt: skip
    command = [sys.executable, "-m", "django", "sync_sio", "emit", "news", '{"n": 1}', "plain words", "--room", "a", "--namespace", "/x"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=50)
    assert (done.returncode, done.stdout) == (0, "sent 'news' to a in /x\n"), done.stderr
    assert published.read_text() == "/x ['news', {'n': 1}, 'plain words'] frozenset({'a'})\n"
