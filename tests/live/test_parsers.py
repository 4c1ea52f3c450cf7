"""Parsers and the official client: npm's socket.io-msgpack-parser, its codec against ours in both directions, and one of one's own."""

from __future__ import annotations

import json
import math
import re
import subprocess
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from sync_sio.parsers import ACK, CONNECT, CONNECT_ERROR, DISCONNECT, EVENT, Packet, msgpack
from tests import tools

from .servers import HERE, Servers
from .test_node_client import run_checks

pytestmark = [pytest.mark.live, pytest.mark.timeout(120)]

CORPUS = [
    Packet(CONNECT, "/", {"sid": "x", "pid": "y"}),
    Packet(CONNECT, "/admin"),
    Packet(DISCONNECT, "/"),
    Packet(CONNECT_ERROR, "/", {"message": "no", "data": {"code": 4}}),
    Packet(CONNECT_ERROR, "/", "no"),
    Packet(ACK, "/", [], 0),
    Packet(ACK, "/ns", [None, True, False], 2**40),
    Packet(EVENT, "/", [7]),
    *(Packet(EVENT, "/", ["number", number, -number]) for power in range(53) for number in (2**power, 2**power - 1, 2**power + 1)),
    *(Packet(EVENT, "/", ["real", number]) for number in (0.5, -0.25, 1e-300, 5e-324)),      # not 1e300: npm writes that as 0
    *(Packet(EVENT, "/", ["text", "é" * size, {"k" * size: size}]) for size in (0, 1, 15, 16, 31, 32, 33, 128, 255, 256, 70_000)),
    *(Packet(EVENT, "/", ["bytes", b"\x00\xff" * size]) for size in (0, 1, 127, 128, 200, 40_000)),
    *(Packet(EVENT, "/", ["list", list(range(size)), {str(n): n for n in range(size)}]) for size in (0, 15, 16, 70_000)),
    Packet(EVENT, "/", ["deep", {"a": [{"b": [b"x", {"c": None}]}]}, "Zoë ✓ \U0001f600 \u2028 \u0000"], 3),
]


def as_seen(value: Any) -> Any:
    if isinstance(value, Packet):
        return Packet(value.type, value.namespace, as_seen(value.data), value.id)
    if isinstance(value, bytes):
        return {"bin": value.hex()}
    if isinstance(value, list):
        return [as_seen(item) for item in value]
    return {name: as_seen(item) for name, item in value.items()} if isinstance(value, dict) else value


def test_both_codecs_read_what_the_other_writes(node: Path) -> None:
    lines = "".join(f"{msgpack.encode(packet)[1][0].hex()}\n" for packet in CORPUS)
    command = [str(node), str(HERE / "node" / "msgpack_round.mjs")]
    done = subprocess.run(command, input=lines, capture_output=True, text=True, timeout=60, env=tools.node_environ())
    assert done.returncode == 0, done.stderr[-4000:]
    *rounds, special, connect = (json.loads(line) for line in done.stdout.strip().split("\n"))
    assert len(rounds) == len(CORPUS)
    decoder = msgpack.decoder()
    for packet, answer in zip(CORPUS, rounds, strict=True):
        seen = answer["packet"]
        assert Packet(seen["type"], seen["nsp"], seen.get("data"), seen.get("id")) == as_seen(packet)
        assert decoder.binary(bytes.fromhex(answer["hex"])) == packet
    assert decoder.binary(bytes.fromhex(connect["hex"])) == Packet(CONNECT, "/")
    packet = decoder.binary(bytes.fromhex(special["hex"]))
    assert packet is not None
    times = [datetime(2023, 11, 14, 22, 13, 20, 123000, timezone.utc), datetime(1969, 12, 31, 23, 59, 59, 999000, timezone.utc)]
    assert math.isnan(packet.data.pop(7))
    assert (packet.id, packet.data) == (None, ["e", None, *times, b"\x07", bytes(8), b"\x01\x02\x03", {"u": None}])


@pytest.mark.parametrize(("kind", "mode"), [("embedded-threads", "websocket"), ("embedded-gevent", "polling")])
@pytest.mark.usefixtures("npm_packages")
def test_the_javascript_client_with_msgpack(servers: Servers, node: Path, kind: str, mode: str) -> None:
    """Everything that it does with JSON, and more."""
    lines = run_checks(node, servers.get(kind, parser="msgpack"), mode, "socket.io-msgpack-parser")
    failed = [f"{line['check']} ({line['ms']} ms)\n{line['error']}" for line in lines if not line["ok"]]
    assert not failed, f"{len(failed)} of {len(lines)} checks failed:\n\n" + "\n\n".join(failed)


def test_a_page_with_the_msgpack_bundle(servers: Servers, node: Path, npm_packages: Path, chromium: Path) -> None:
    flags = json.dumps([flag for flag in tools.CHROMIUM_FLAGS if flag != "--headless"])     # playwright chooses the kind of headless
    server = servers.get("embedded-threads", parser="msgpack")
    command = [str(node), str(HERE / "msgpack_page.cjs"), server.url, str(chromium), flags]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=tools.node_environ())
    assert done.returncode == 0, done.stderr
    said = ["Zoë \U0001f600", [0, 1, 255], None, "1970-01-01T00:00:00+00:00", -1.5]
    assert [json.loads(line) for line in done.stdout.splitlines()] == [said, said]


def test_the_documented_parser_of_ones_own_speaks_with_its_client(node: Path, npm_packages: Path, tmp_path: Path) -> None:
    page = (tools.ROOT / "docs" / "parsers.md").read_text()
    (python,) = (block for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "class ArrayParser" in block)
    (script,) = (block for block in re.findall(r"```javascript\n(.*?)```", page, re.DOTALL) if "class Decoder" in block)
    names: dict[str, Any] = {"__name__": "documented"}
    exec(compile(python, "docs/parsers.md", "exec"), names)
    (tmp_path / "node_modules").symlink_to(npm_packages)
    with names["io"].start() as server:
        ask = "console.log(await socket.timeout(10_000).emitWithAck('double', 21)); socket.close();"
        (tmp_path / "client.mjs").write_text(f"const url = {server.url!r};\n{script}\n{ask}\n")
        done = subprocess.run([str(node), str(tmp_path / "client.mjs")], capture_output=True, text=True, timeout=60)
    names["io"].close()
    assert (done.stdout, done.returncode) == ("42\n", 0), done.stderr
