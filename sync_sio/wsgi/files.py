"""The JavaScript client, as the server gives it to browsers: `{path}/socket.io.js` and its kin."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ..protocol.http import accepts_encoding
from ..types import HeaderList
from .compression import encode

__all__ = ["ClientFiles", "FileAnswer"]

FOLDER: Final = Path(__file__).parent / "client"
"""Filled when a build is made, or by `python -m sync_sio client`."""
NAMES: Final = tuple(f"socket.io{kind}.js{map_}" for kind in ("", ".min", ".esm.min", ".msgpack.min") for map_ in ("", ".map"))
_ABSENT: Final = b"This build of sync_sio has no JavaScript client in it.\nFetch it on the server with:\n\n    python -m sync_sio client\n"


@dataclass(frozen=True, slots=True)
class FileAnswer:
    """What to answer to a request for a file."""

    status: int
    headers: HeaderList
    body: bytes = b""


class ClientFiles:
    """The eight files of the bundle. Each is read once, when it is first asked for; its compressed forms are kept too.

    Threads: any; two that ask for the same file at first both read it, which does no harm.
    """

    def __init__(self, folder: Path = FOLDER) -> None:
        self._folder = folder
        self._bodies: dict[tuple[str, str | None], bytes] = {}
        self._version: str | None = None

    def find(self, name: str, if_none_match: str | None = None, accept_encoding: str | None = None) -> FileAnswer | None:
        """Return the answer for one of the bundle's files; None: no file of it is meant, the engine may look at the request.

        Args:
            name: what follows the server's path, without a slash; any query has been taken off.
            if_none_match: that header.
            accept_encoding: that header.
        """
        if name not in NAMES:
            return None
        try:
            version = self._version = self._version or self._read_version()
            body, encoding = self._body(name, accept_encoding or "")
        except (OSError, ValueError, KeyError):
            return FileAnswer(404, [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(_ABSENT)))], _ABSENT)
        etag = f'"{version}"'
        headers = [("Cache-Control", "public, max-age=0"), ("ETag", etag), ("Vary", "Accept-Encoding")]
        if _has_tag(if_none_match or "", etag):
            return FileAnswer(304, headers)
        kind = "application/json" if name.endswith(".map") else "application/javascript"
        headers.append(("Content-Type", f"{kind}; charset=utf-8"))
        if encoding is not None:
            headers.append(("Content-Encoding", encoding))
        headers.append(("Content-Length", str(len(body))))
        return FileAnswer(200, headers, body)

    def _read_version(self) -> str:
        return str(json.loads((self._folder / "package.json").read_bytes())["version"])

    def _body(self, name: str, accept_encoding: str) -> tuple[bytes, str | None]:
        encoding = accepts_encoding(accept_encoding) if accept_encoding else None
        body = self._bodies.get((name, encoding))
        if body is None:
            body = (self._folder / name).read_bytes()
            if encoding is not None:
                body = encode(body, encoding)
            self._bodies[name, encoding] = body
        return body, encoding


def _has_tag(if_none_match: str, etag: str) -> bool:
    tags = [tag.strip() for tag in if_none_match.split(",")]
    return "*" in tags or any(tag.removeprefix("W/") == etag for tag in tags)
