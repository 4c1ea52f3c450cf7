"""A Django project on real servers: users by their cookies, the ORM in events, connections given back, the reloader."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import socketio

from tests import tools
from tests.django.measure import load

from .django_server import KINDS, Site, make_empty, serving
from .servers import HERE, wait_for
from .wire import Refused, SocketClient, WebSocketClient

pytestmark = [pytest.mark.live, pytest.mark.timeout(90)]


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_empty(tmp_path_factory.mktemp("empty"))


@pytest.fixture(scope="module", params=KINDS)
def site(request: pytest.FixtureRequest, empty: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One site for all tests that leave it as it was."""
    extra = ["--noreload"] if request.param == "runserver" else []
    with serving(request.param, tmp_path_factory.mktemp("site"), empty, extra) as site:
        yield site
        site.wait_until_clean()


def test_the_official_client_is_who_its_cookie_says(site: Site, node: Path, npm_packages: Path) -> None:
    cookie = site.enter("alice")
    command = [str(node), str(HERE / "node" / "django.mjs"), site.url, cookie]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=tools.node_environ())
    assert done.returncode == 0, done.stderr[-3000:] + site.log[-3000:]
    told = json.loads(done.stdout)
    assert told["polling"] == ["polling", "alice", "log in first"]
    assert told["websocket"] == ["websocket", "alice", "log in first"]
    assert told["upgrade"] == ["websocket", "alice", "log in first"]


def test_an_upgrading_client_writes_and_a_page_reads(site: Site) -> None:
    client = socketio.Client(reconnection=False)
    client.connect(site.url, headers={"Cookie": site.enter("carol")})
    wait_for(lambda: client.transport() == "websocket")
    assert client.call("whoami") == "carol"
    assert isinstance(client.call("write", "by carol"), int)
    assert "by carol" in site.page("/notes")
    client.disconnect()


def test_what_a_page_has_committed_is_told_and_what_it_has_not_is_not(site: Site) -> None:
    reader = site.connect()
    reader.call("read")
    site.get("/publish?text=undone&undo")
    site.get("/publish?text=done")
    assert reader.receive()[2] == "done"
    reader.engine.close()


def test_a_session_is_shared_between_pages_and_events(site: Site) -> None:
    cookie = site.enter("dora")
    client = site.connect(cookie)
    client.call("remember", "colour", "blue")
    assert json.loads(site.get("/session", cookie))["colour"] == "blue"
    site.get("/session?colour=green", cookie)
    assert client.call("recall", "colour") == ["green"]
    client.engine.close()


def test_who_may_not_is_told_so(site: Site) -> None:
    nobody = site.connect()
    assert nobody.call("write", "x")[0]["error"]["code"] == "login_required"
    nobody.engine.close()
    erin, frank = site.connect(site.enter("erin", may="delete")), site.connect(site.enter("frank"))
    assert frank.call("delete", 0)[0]["error"]["code"] == "permission_denied"
    assert erin.call("delete", 0) == [0]
    erin.engine.close()
    frank.engine.close()


def test_foreign_pages_and_hosts_are_refused(site: Site) -> None:
    for headers in ({"Origin": "http://evil.io"}, {"Host": "evil.io"}):
        with pytest.raises(Refused) as refused:
            WebSocketClient(site.address, headers=headers)
        assert refused.value.response.status == 403
    for headers in ({"Origin": "https://trusted.example.org"}, {"Host": "www.example.com"}):
        WebSocketClient(site.address, headers=headers).close()


def test_a_hundred_events_of_a_hundred_clients_leave_no_connection(site: Site) -> None:
    clients = [site.connect() for _ in range(100)]
    for client in clients:
        client.emit("count", ack=0)
    for client in clients:
        assert isinstance(client.wait_for_ack(0)[0], int)
    assert site.page("/stats")["databases"] == 0
    for client in clients:
        client.engine.close()


@pytest.mark.parametrize("kind", ["gunicorn-gthread", "gunicorn-gevent"])
def test_connections_that_are_kept_are_as_many_as_handlers_run_at_once(kind: str, empty: Path, tmp_path: Path) -> None:
    with serving(kind, tmp_path, empty, options={"max_handlers": 6}, PROJECT_CONN_MAX_AGE="600") as site:
        clients = [site.connect() for _ in range(100)]
        clients[0].emit("work")
        assert clients[0].receive() == ["worked", 0]
        wait_for(lambda: site.page("/stats")["databases"] == 0, say=lambda: "what was spawned keeps a connection")
        for client in clients:
            client.emit("hold", 0.02, ack=0)
        peak = max(client.wait_for_ack(0)[0] for client in clients)
        left = site.page("/stats")["databases"]
        # the pool has two threads more: who leads, and who stands by
        assert (1 < peak <= 8 and left <= 8) if kind == "gunicorn-gthread" else (1 < peak <= 7 and left == 0)
        for client in clients:
            client.engine.close()
        site.wait_until_clean()


def test_a_thousand_clients_query_the_database_and_pages_go_on() -> None:
    found = load(200, seconds=3.0)
    assert found["sent"] == found["answered"] >= 590 and found["pages"] > 0
    assert found["peak"] <= 18 and found["databases"] == 0 and found["left"] == 0
    assert found["threads"] <= 40, "four of gunicorn's, sixteen handlers, and a few"


def test_runserver_reloads_and_fifty_clients_come_back(empty: Path, tmp_path: Path, node: Path, npm_packages: Path) -> None:
    app = tmp_path / "changing"
    app.mkdir()
    (app / "__init__.py").write_text("")
    sockets = app / "sockets.py"
    text = "from sync_sio_django import io\n\n@io.event\ndef version(socket):\n    return 1\n"
    sockets.write_text(text)
    path = f"{tmp_path}:{tools.ROOT}:{tools.ROOT / 'integrations'}"
    with serving("runserver", tmp_path, empty, PROJECT_APPS='["changing"]', PYTHONPATH=path) as site:
        command = [str(node), str(HERE / "node" / "reloading.mjs"), site.url, "50"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=tools.node_environ()) as clients:
            assert clients.stdout is not None
            assert clients.stdout.readline() == "50 have version 1\n", site.log
            before = site.page("/stats")["pid"]
            sockets.write_text(text.replace("return 1", "return 2  # changed"))
            assert clients.stdout.readline() == "50 have version 2\n", site.log
            assert site.page("/stats")["pid"] != before
            assert clients.wait(20) == 0


def test_runserver_serves_a_project_whose_wsgi_module_is_as_django_made_it(empty: Path, tmp_path: Path) -> None:
    (tmp_path / "plain.py").write_text(
        "from tests.django.project.settings import *\nWSGI_APPLICATION = 'plain_wsgi.application'\nDEBUG = True\n"
    )
    (tmp_path / "plain_wsgi.py").write_text("from django.core.wsgi import get_wsgi_application\napplication = get_wsgi_application()\n")
    path = f"{tmp_path}:{tools.ROOT}:{tools.ROOT / 'integrations'}"
    with serving("runserver", tmp_path, empty, ["--noreload"], PYTHONPATH=path, DJANGO_SETTINGS_MODULE="plain") as site:
        client = SocketClient(WebSocketClient(site.address))
        client.wait_until_connected()
        assert client.call("whoami") == ["AnonymousUser"]
        client.engine.close()
