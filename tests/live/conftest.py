"""Fixtures of the live tests: servers by kind, for one module at a time, and certificates."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from .servers import Servers

RUNTIMES = os.environ.get("LIVE_SERVER", "embedded-threads embedded-gevent").split()
"""The kinds of server that the wire tests run on; LIVE_SERVER names others. With LIVE_SERVER=reference they run against the Node
server instead, which checks the tests themselves (it needs socket.io@4 in the folder that LIVE_REFERENCE_MODULES names)."""

IS_REFERENCE = RUNTIMES == ["reference"]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "live: real servers and real clients over loopback")
    config.addinivalue_line("markers", "stress: live tests that take long or take much of the machine")
    config.addinivalue_line("markers", "improvement(why): holds for sync_sio; the reference server does otherwise")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out, against the reference, what the reference is known to do worse."""
    if IS_REFERENCE:
        for item in items:
            if mark := item.get_closest_marker("improvement"):
                item.add_marker(pytest.mark.skip(reason=f"the reference differs: {mark.args[0]}"))


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Servers that the tests of one module share."""
    found = Servers(tmp_path_factory.mktemp("servers"))
    try:
        yield found
    finally:
        found.finish()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A certificate for 127.0.0.1 that nobody trusts, as the environment of a server."""
    directory: Path = tmp_path_factory.mktemp("certificate")
    certfile, keyfile = directory / "cert.pem", directory / "key.pem"
    issued = trustme.CA().issue_cert("127.0.0.1")
    issued.private_key_pem.write_to_path(keyfile)
    for number, blob in enumerate(issued.cert_chain_pems):
        blob.write_to_path(certfile, append=number > 0)
    return {"LIVE_CERTFILE": str(certfile), "LIVE_KEYFILE": str(keyfile)}
