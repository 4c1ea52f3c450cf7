"""What docs/deploy offers to copy, beside the proxies: gunicorn's settings, uWSGI, Apache with mod_wsgi, systemd's units, YAML."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
import yaml

from tests import tools

from .servers import FILES, HERE, HOST, ROOT, Servers, changed, wait_for
from .staying import staying
from .wire import PollingClient, SocketClient, WebSocketClient

pytestmark = [pytest.mark.live, pytest.mark.timeout(60)]

APACHE = """\
ServerRoot {directory}
PidFile {directory}/apache.pid
ErrorLog /dev/stderr
ServerName localhost
User www-data
Group www-data
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule wsgi_module {modules}/mod_wsgi.so
WSGISocketPrefix {directory}/wsgi
Listen {host}:${{LIVE_PORT}}
"""


@pytest.fixture
def own(tmp_path: Path) -> Servers:
    return Servers(tmp_path)


@pytest.mark.usefixtures("npm_packages")
def test_the_settings_of_gunicorn(own: Servers, node: Path) -> None:
    with own.fresh("gunicorn.conf.py") as server, staying(node, server.url) as clients:
        clients.ask("hello")
        assert server.stats()["clients"] == 3
        server.signal(signal.SIGHUP)
        clients.wait("disconnect")
        clients.wait("connect")
        wait_for(lambda: server.stats()["clients"] == 3)
        clients.ask("after the reload")
        assert "WARNING sync_sio" not in server.log


@pytest.mark.parametrize("worker", ["sync", "gthread", "gevent_pywsgi"])
def test_with_the_settings_of_gunicorn_clients_are_told_while_a_page_is_in_hand(own: Servers, worker: str) -> None:
    with own.fresh("gunicorn.conf.py", extra=("-k", worker)) as server, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(contextlib.closing(WebSocketClient(server.address))) for _ in range(3)]
        poll = stack.enter_context(contextlib.closing(PollingClient(server.address)))
        if worker != "sync":
            idle = stack.enter_context(server.http())
            assert idle.request("GET", "/plain").text == "plain"
        page = stack.enter_context(server.http())
        poll.start_get()
        page.send("GET", "/until-closed")
        wait_for(lambda: "a page waits until" in server.log)
        server.signal(signal.SIGTERM)
        assert [client.ws.wait_for_end(5.0) for client in clients] == [1001] * 3
        assert poll.finish_get().status == 200
        assert page.receive().text == "{}"


@pytest.mark.usefixtures("npm_packages", "uwsgi")
def test_uwsgi_serves_websockets_and_lets_clients_come_back(own: Servers, node: Path, tmp_path: Path) -> None:
    text = changed((FILES / "uwsgi.ini").read_text(), "127.0.0.1:8000", f"{HOST}:$(LIVE_PORT)")
    config = tmp_path / "uwsgi.ini"
    config.write_text(changed(text, "app:app", "app:application"))
    with own.fresh("uwsgi", environ={"LIVE_CONFIG": str(config)}) as server, staying(node, server.url) as clients:
        clients.ask("hello")
        assert "WARNING sync_sio" not in server.log
        polls = [PollingClient(server.address) for _ in range(12)]      # more than there are threads
        for client in polls:
            client.getter.close()       # uWSGI closes after each answer, and does not say so
            client.start_get()
        wait_for(lambda: all(f"sid={client.sid} => generated 0 bytes" in server.log for client in polls), say=lambda: server.log[-2000:])
        clients.ask("again")
        server.stop()
        clients.wait("disconnect")
        assert {client.finish_get().status for client in polls} == {200}
        server.launch()
        clients.wait("connect")
        clients.ask("after the restart")


@pytest.mark.usefixtures("uwsgi")
@pytest.mark.parametrize(
    ("lines", "warning"),
    [
        ("http = {host}:$(LIVE_PORT)\nhttp-websockets = true\nhttp-timeout = 20", "uWSGI's --http-timeout cuts connections"),
        ("https-socket = {host}:$(LIVE_PORT),{cert},{key}\nharakiri = 15", "uWSGI's --harakiri kills it after 15 s"),
    ],
    ids=["router", "tls"],
)
def test_settings_of_uwsgi_that_hurt_are_warned_of(
    own: Servers, certificate: dict[str, str], tmp_path: Path, lines: str, warning: str
) -> None:
    config = tmp_path / "uwsgi.ini"
    places = {"host": HOST, "cert": certificate["LIVE_CERTFILE"], "key": certificate["LIVE_KEYFILE"]}
    usual = "module = app:application\nmaster = true\nthreads = 4\ndie-on-term = true"
    config.write_text(f"[uwsgi]\n{lines.format_map(places)}\n{usual}\n")
    environ = {"LIVE_CONFIG": str(config), **(certificate if "https" in lines else {})}
    with own.fresh("uwsgi", environ=environ) as server:
        PollingClient(server.address, is_tls=server.is_tls).close()
        assert [line for line in server.log.splitlines() if line.startswith("WARNING sync_sio") and warning in line]


@pytest.fixture
def public(apache: Path) -> Iterator[Path]:
    """A folder that Apache's user may read, when root starts it; skips where it may not read the application."""
    python = tools.APACHE_MODULE.resolve().name.rpartition("-")[2]
    if python != "{}.{}".format(*sys.version_info):
        pytest.skip(f"mod_wsgi is for Python {python}")
    if os.geteuid() == 0:
        command = ["test", "-r", str(HERE / "app.py"), "-a", "-r", str(orjson.__file__)]
        if subprocess.run(command, user="www-data", group="www-data", extra_groups=[], cwd="/").returncode != 0:
            pytest.skip("www-data may not read this checkout and its packages")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def test_apache_with_mod_wsgi_serves_as_many_polls_as_it_has_threads(own: Servers, public: Path) -> None:
    text = changed((FILES / "apache.conf").read_text(), "*:80", "*:${LIVE_PORT}")
    text = changed(text, "/srv/chat/.venv", sys.prefix)
    text = changed(text, "python-path=/srv/chat", f"python-path={HERE}:{ROOT}")
    text = changed(text, "/srv/chat", str(public))
    (public / "wsgi.py").write_text("from app import application\n")
    config = public / "apache.conf"
    config.write_text(APACHE.format(directory=public, modules=tools.APACHE_MODULE.parent, host=HOST) + text)
    with own.fresh("apache", environ={"LIVE_CONFIG": str(config)}, ping_interval=1.0) as server, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(contextlib.closing(PollingClient(server.address))) for _ in range(40)]
        assert {tuple(client.handshake["upgrades"]) for client in clients} == {()}
        for client in clients:
            client.getter.close()   # under such a load Apache closes kept connections, at times while a request is on its way
            client.start_get()
        joined = stack.enter_context(contextlib.closing(SocketClient.connect("polling", server.address)))
        assert joined.call("echo", "Zoë", 1) == ["Zoë", 1]
        assert {client.finish_get().text for client in clients} == {"2"}
        assert "keeps its sockets to itself" in server.log and "several processes" not in server.log


@pytest.mark.usefixtures("npm_packages", "apache")
def test_apache_as_a_proxy(own: Servers, node: Path, tmp_path: Path) -> None:
    with own.fresh("gunicorn-gthread", trusted_proxies=[HOST], ping_interval=1.0) as server:
        text = changed((FILES / "apache-proxy.conf").read_text(), "*:80", "*:${LIVE_PORT}")
        text = changed(text, "127.0.0.1:8000", f"{HOST}:{server.port}")
        modules = tools.APACHE_MODULE.parent
        loaded = "".join(f"LoadModule {name}_module {modules}/mod_{name}.so\n" for name in ("proxy", "proxy_http", "headers"))
        config = tmp_path / "apache.conf"
        config.write_text(APACHE.format(directory=tmp_path, modules=modules, host=HOST) + loaded + text)
        with own.fresh("apache", environ={"LIVE_CONFIG": str(config)}) as proxy, staying(node, proxy.url) as clients:
            clients.ask("before")
            proxy.signal(signal.SIGUSR1)
            wait_for(lambda: proxy.log.count("resuming normal operations") == 2)
            clients.ask("after")
            headers = {"X-Forwarded-For": "6.6.6.6", "X-Forwarded-Proto": "https"}
            for kind in (PollingClient, WebSocketClient):
                with contextlib.closing(SocketClient(kind((*proxy.address, "127.0.0.9"), headers=headers))) as client:
                    client.wait_until_connected()
                    assert client.receive() == ["auth", {}]
                    [seen] = client.call("whoami")
                    assert (seen["address"], seen["secure"]) == ("127.0.0.9", False)


@pytest.mark.parametrize("unit", ["chat.service", "chat@8001.service", "chat.target"])
def test_systemd_finds_nothing_wrong_with_the_units(systemd_analyze: Path, tmp_path: Path, unit: str) -> None:
    for file in (*FILES.glob("*.service"), *FILES.glob("*.target")):
        text = file.read_text()
        if file.suffix == ".service":
            text = changed(text, "/srv/chat/.venv/bin/gunicorn", f"{sys.prefix}/bin/gunicorn")
        (tmp_path / file.name).write_text(text)
    checked = subprocess.run([systemd_analyze, "verify", tmp_path / unit], capture_output=True, text=True, timeout=30)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def test_kubernetes_knows_every_word_and_the_objects_find_each_other() -> None:
    import kubernetes_validate  # the unit tests of other Pythons read this file, and have not got it

    objects = list(yaml.safe_load_all((FILES / "kubernetes.yaml").read_text()))
    for each in objects:
        kubernetes_validate.validate(each, "1.33", strict=True)
    deployment, service, ingress = objects
    pod = deployment["spec"]["template"]
    [container] = pod["spec"]["containers"]
    assert deployment["spec"]["selector"]["matchLabels"] == pod["metadata"]["labels"] == service["spec"]["selector"]
    names = {port["name"] for port in container["ports"]}
    assert {port["targetPort"] for port in service["spec"]["ports"]} == {container["readinessProbe"]["httpGet"]["port"]} == names
    [rule] = ingress["spec"]["rules"]
    [path] = rule["http"]["paths"]
    backend = path["backend"]["service"]
    assert backend["name"] == service["metadata"]["name"]
    assert backend["port"]["name"] in {port["name"] for port in service["spec"]["ports"]}
    assert service["metadata"]["annotations"]["traefik.ingress.kubernetes.io/service.sticky.cookie"] == "true"


def test_traefik_s_router_leads_to_its_service() -> None:
    http = yaml.safe_load((FILES / "traefik.yaml").read_text())["http"]
    assert {router["service"] for router in http["routers"].values()} == http["services"].keys()
    assert http["services"]["chat"]["loadBalancer"]["sticky"]["cookie"]["httpOnly"] is True
