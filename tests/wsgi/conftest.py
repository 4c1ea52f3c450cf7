"""A certificate that is made here, and servers that are stopped and looked through."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme

from tests.wsgi.servers import Server

COMPLAINT = re.compile(r"Traceback|ERROR|Error|Exception|Broken pipe|Warning")


@pytest.fixture(scope="session")
def certfile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A PEM file with a certificate for this machine and its key."""
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    trustme.CA().issue_cert("127.0.0.1", "localhost").private_key_and_cert_chain_pem.write_to_path(str(path))
    return path


Launch = Callable[[str], Server]


@pytest.fixture(scope="module")
def launch(tmp_path_factory: pytest.TempPathFactory, certfile: Path) -> Iterator[Launch]:
    """Start servers by kind; each is stopped when the next one starts, and its log must be free of complaints."""
    running: list[Server] = []

    def finish() -> None:
        while running:
            server = running.pop()
            server.stop()
            assert not COMPLAINT.search(server.log), f"{server.kind} complains:\n{server.log}"

    def start(kind: str) -> Server:
        if not (running and running[-1].kind == kind):
            finish()
            running.append(Server(kind, tmp_path_factory.mktemp("log") / f"{kind}.log", certfile))
        return running[-1]

    yield start
    finish()
