"""The page on scaling out: its commands, word for word but for ports, and its files for docker compose, as far as they go without it."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from .proxies import NGINX
from .servers import FILES, HOST, ROOT, changed, free_port, wait_for
from .wire import TRANSPORTS, Http, SocketClient

pytestmark = [pytest.mark.live, pytest.mark.timeout(60)]

SCALING = FILES / "scaling"
PAGE = (ROOT / "docs" / "deploy" / "scaling-out.md").read_text()
COMMANDS = [line.strip() for line in PAGE.splitlines() if line.startswith("    ")]


def command(beginning: str) -> list[str]:
    """Return the page's command that begins so."""
    (found,) = [line for line in COMMANDS if line.startswith(beginning)]
    return shlex.split(found)


@contextlib.contextmanager
def running(words: list[str], folder: Path, environ: dict[str, str], port: int) -> Iterator[None]:
    """Have a program run that listens there."""
    with (folder / f"log-{port}").open("w") as log:
        process = subprocess.Popen(words, cwd=folder, env=environ, stdout=log, stderr=log)
    try:
        wait_for(lambda: listens(port), 20, (folder / f"log-{port}").read_text)
        yield
    finally:
        process.terminate()
        process.wait(20)


def listens(port: int) -> bool:
    with contextlib.suppress(OSError), Http((HOST, port)) as http:
        http.connect()
        return True
    return False


@pytest.mark.usefixtures("npm_packages")
def test_what_the_page_says_to_do_makes_one_chat_of_two_processes(redis_server: Path, nginx: Path, tmp_path: Path) -> None:
    redis, one, two, front = (free_port() for _ in range(4))
    path = os.pathsep.join((str(Path(sys.executable).parent), str(redis_server.parent), os.environ["PATH"]))
    environ = {**os.environ, "PATH": path, "REDIS_URL": f"redis://{HOST}:{redis}"}
    shutil.copy(SCALING / "chat.py", tmp_path)
    site = changed((SCALING / "nginx.conf").read_text(), "listen 80;", f"listen {HOST}:{front};")
    backends = "\n".join(f"    server {HOST}:{port} max_fails=0;" for port in (one, two))
    (tmp_path / "site.conf").write_text(changed(site, "    server chat:8000 max_fails=0;", backends))
    (tmp_path / "nginx.conf").write_text(NGINX.format(directory=tmp_path, timeout=60))
    with contextlib.ExitStack() as stack:
        stack.enter_context(running([*command("redis-server"), "--port", str(redis)], tmp_path, environ, redis))
        for port, named in ((one, 8001), (two, 8002)):
            words = [changed(word, str(named), str(port)) if str(named) in word else word for word in command_of(named)]
            stack.enter_context(running(words, tmp_path, environ, port))
        words = [str(nginx), "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf"), "-e", str(tmp_path / "error.log")]
        stack.enter_context(running(words, tmp_path, environ, front))

        with Http((HOST, front)) as http:
            assert "socket.io.js" in http.request("GET", "/").text
            assert http.request("GET", "/socket.io/socket.io.js").status == 200
            assert http.request("GET", "/socket.io/health").status == 200
        clients = [join(transport, port) for transport in ("polling", "websocket") for port in (one, two, front)]
        said = iter(range(1000))

        def comes_to_all(speaker: SocketClient) -> bool:        # what is said before all listen does not
            text = f"number {next(said)}"
            speaker.emit("message", text)
            return all(hears(client, text) for client in clients)

        for speaker in clients:
            wait_for(lambda speaker=speaker: comes_to_all(speaker), 20)
        subprocess.run(command("python -m sync_sio emit"), cwd=tmp_path, env=environ, check=True, timeout=20)
        assert all(hears(client, "from a shell") for client in clients)
        for client in clients:
            client.close()
    for log in tmp_path.glob("log-*"):
        assert "Traceback" not in log.read_text()


def command_of(port: int) -> list[str]:
    (found,) = [line for line in COMMANDS if line.startswith("gunicorn") and str(port) in line]
    return shlex.split(found)


def join(transport: str, port: int) -> SocketClient:
    client = SocketClient(TRANSPORTS[transport]((HOST, port)))
    client.wait_until_connected()
    return client


def hears(client: SocketClient, text: str) -> bool:
    try:
        while not client.receive(1.0)[1].endswith(text):
            pass
    except TimeoutError:
        return False
    return True


def test_the_parts_of_the_compose_file_find_each_other() -> None:
    said = yaml.safe_load((SCALING / "compose.yaml").read_text())
    assert said.keys() == {"services", "networks"}
    services = said["services"]
    known = {"build", "command", "depends_on", "deploy", "environment", "healthcheck", "image", "ports", "restart", "volumes"}
    for service in services.values():
        assert service.keys() <= known and ("image" in service) != ("build" in service)
        for name, wanted in service.get("depends_on", {}).items():
            assert wanted == {"condition": "service_healthy"} and services[name]["healthcheck"]["test"][0] == "CMD"
    host, port = re.findall(r"redis://(\w+):(\d+)", services["chat"]["environment"]["REDIS_URL"])[0]
    assert host in services and port == "6379"
    ((source, target, mode),) = [volume.split(":") for volume in services["nginx"]["volumes"]]
    assert (SCALING / source).exists() and target.startswith("/etc/nginx/conf.d/") and mode == "ro"
    assert services["nginx"]["ports"] == ["8080:80"] and "listen 80;" in (SCALING / source).read_text()
    dockerfile = (SCALING / "Dockerfile").read_text()
    assert all((SCALING / name).exists() for name in re.findall(r"^COPY (\S+) ", dockerfile, re.MULTILINE))
    ((backend, port),) = re.findall(r"server (\w+):(\d+)", (SCALING / source).read_text())
    assert backend in services and f"0.0.0.0:{port}" in dockerfile
    assert f"http://127.0.0.1:{port}/socket.io/health" in services["chat"]["healthcheck"]["test"][-1]
    network = re.findall(r'"(172\.\S+)"', (SCALING / "chat.py").read_text())[0]
    (config,) = said["networks"]["default"]["ipam"]["config"]
    assert ipaddress.ip_network(config["subnet"]).subnet_of(ipaddress.ip_network(network))
