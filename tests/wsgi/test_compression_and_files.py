"""Compressed bodies, and the JavaScript client as files."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import pytest

from sync_sio.wsgi.compression import SLICE, Packing
from sync_sio.wsgi.files import NAMES, ClientFiles

BODY = b"compress me " * 200


def unpack(packing: Packing) -> bytes:
    return {"gzip": gzip.decompress, "deflate": zlib.decompress, None: bytes}[packing.encoding](packing.body)


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
@pytest.mark.parametrize("size", [1, 1000, SLICE, SLICE + 1, 3 * SLICE])
def test_a_body_is_compressed_slice_by_slice(encoding: str, size: int) -> None:
    body = (BODY * 100)[:size]
    packing = Packing(body, encoding)
    steps = 1
    while not packing.step():
        steps += 1
    assert steps == -(-size // SLICE)
    assert unpack(packing) == body
    assert size < 100 or len(packing.body) < size / 10


def test_a_body_that_would_grow_stays() -> None:
    noise = bytes(range(256))
    packing = Packing(noise, "gzip")
    packing.finish()
    assert (packing.body, packing.encoding) == (noise, None)


@pytest.fixture
def files(tmp_path: Path) -> ClientFiles:
    (tmp_path / "package.json").write_text('{"version": "4.8.4"}')
    (tmp_path / "LICENSE").write_text("MIT")
    for name in NAMES:
        (tmp_path / name).write_bytes(name.encode() + BODY)
    return ClientFiles(tmp_path)


@pytest.mark.parametrize("name", NAMES)
def test_every_file_has_its_type_and_the_version_as_etag(files: ClientFiles, name: str) -> None:
    answer = files.find(name)
    assert answer is not None and (answer.status, answer.body) == (200, name.encode() + BODY)
    headers = dict(answer.headers)
    kind = "application/json" if name.endswith(".map") else "application/javascript"
    assert headers["Content-Type"] == f"{kind}; charset=utf-8"
    assert headers["ETag"] == '"4.8.4"' and headers["Cache-Control"] == "public, max-age=0"
    assert headers["Content-Length"] == str(len(answer.body)) and headers["Vary"] == "Accept-Encoding"
    assert "Content-Encoding" not in headers


@pytest.mark.parametrize("tag", ['"4.8.4"', 'W/"4.8.4"', '"1", "4.8.4"', "*"])
def test_a_known_etag_is_answered_without_a_body(files: ClientFiles, tag: str) -> None:
    answer = files.find("socket.io.js", tag)
    assert answer is not None and (answer.status, answer.body) == (304, b"")
    assert dict(answer.headers)["ETag"] == '"4.8.4"' and "Content-Length" not in dict(answer.headers)


@pytest.mark.parametrize("tag", ['"4.8.3"', "4.8.4", "", None])
def test_another_etag_gets_the_file(files: ClientFiles, tag: str | None) -> None:
    answer = files.find("socket.io.js", tag)
    assert answer is not None and answer.status == 200


def test_files_are_compressed(files: ClientFiles) -> None:
    for _ in range(2):  # made, and kept
        answer = files.find("socket.io.js", None, "deflate, gzip;q=0.9")
        assert answer is not None and zlib.decompress(answer.body) == b"socket.io.js" + BODY
        assert ("Content-Encoding", "deflate") in answer.headers and ("Content-Length", str(len(answer.body))) in answer.headers


@pytest.mark.parametrize("name", ["", "x.js", "package.json", "LICENSE", "../package.json", "socket.io.js/", "SOCKET.IO.JS"])
def test_other_names_are_not_ours(files: ClientFiles, name: str) -> None:
    assert files.find(name) is None


def test_a_build_without_the_client_says_what_to_do(tmp_path: Path) -> None:
    for folder in (tmp_path / "none", tmp_path):
        answer = ClientFiles(folder).find("socket.io.js")
        assert answer is not None and answer.status == 404
        assert b"python -m sync_sio client" in answer.body and ("Content-Length", str(len(answer.body))) in answer.headers
