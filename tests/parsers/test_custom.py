"""Parsers of somebody else's: the documented one works, and mistakes of others are told where they are made."""

from __future__ import annotations

import json
import logging
import re
from typing import Any

import pytest

from sync_sio import ProtocolError, Server
from sync_sio.parsers import ACK, CONNECT, EVENT, JsonParser, Packet, PacketError
from sync_sio.parsers.custom import Checked
from tests.sockets.fakes import World
from tests.tools import ROOT


class Half:
    encode = "no function"

    def decoder(self) -> None: ...


class Told:
    """Encodes to what it was told, decodes to what comes, as a Python literal."""

    def __init__(self, encoded: Any = None) -> None:
        self.encoded = encoded

    def encode(self, packet: Packet) -> Any:
        if isinstance(self.encoded, Exception):
            raise self.encoded
        return self.encoded

    def decoder(self) -> Told:
        return self

    def text(self, data: bytes) -> Any:
        return eval(data)

    binary = text


class Mixed(Told):
    """Writes as JSON, reads as Told."""

    def encode(self, packet: Packet) -> Any:
        return JsonParser().encode(packet)


@pytest.mark.parametrize(("parser", "message"), [
    (object(), r"parser=<object .*an object with encode\(\) and decoder\(\) is wanted"),
    ("msgpack", "parser='msgpack': an object with"),
    (Half(), "an object with encode"),
    (Told, r"is a class: give an object of it, Told\(\)"),
])  # fmt: skip
def test_what_is_no_parser_is_refused_at_construction(parser: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        Server(parser=parser)


def test_a_json_default_that_nobody_would_ask_is_refused() -> None:
    with pytest.raises(ValueError, match=r"json_default=.*has no with_default\(\)"):
        Server(parser=Told(), json_default=str)
    packet = Packet(EVENT, "/", ["e", 1j])
    assert Server(parser=JsonParser(), json_default=str).sockets.site.parcel(packet).text == b'2["e","1j"]'


@pytest.mark.parametrize(
    "encoded", [None, b"x", ("x", ()), (b"x", None), (b"x", b"y"), (b"x", ["y"]), (None, ()), (bytearray(b"x"), ()), (b"x",), {}], ids=repr
)
def test_what_is_no_encoding_is_the_callers_error(encoded: Any) -> None:
    io = Server(parser=Told(encoded))
    with pytest.raises(TypeError, match=r"the parser's encode\(\) returned .* is wanted"):
        io.emit("e")


def test_what_encode_raises_emit_raises() -> None:
    io = Server(parser=Told(KeyError("its own")))
    with pytest.raises(KeyError, match="its own"):
        io.emit("e")


@pytest.mark.parametrize("encoded", [(b"x", ()), (b"", ()), (None, (b"y",)), (b"x", [b"y", b"z"])], ids=repr)
def test_text_and_binary_messages_go_out_as_they_are(encoded: Any) -> None:
    parcel = Server(parser=Told(encoded)).sockets.site.parcel(Packet(EVENT, "/", ["e"]))
    assert (parcel.text, parcel.attachments) == (encoded[0], tuple(encoded[1]))


@pytest.mark.parametrize(
    "fields",
    [
        (EVENT, "/", []), (EVENT, "/", ("e",)), (EVENT, "/", ["connect"]), (EVENT, "/", {}), (9, "/"), ("2", "/"), (None, "/"),
        (CONNECT, "/", []), (ACK, "/", None, 1), (EVENT, None, ["e"]), (EVENT, "/", ["e"], "1"),
    ],
)  # fmt: skip
def test_packets_that_fit_nothing_are_the_clients_fault(fields: Any) -> None:
    class Returning(Told):
        def text(self, data: bytes) -> Any:
            return Packet(*fields)

    with pytest.raises(PacketError):
        Checked(Returning(), None).decoder().text(b"")


@pytest.mark.parametrize("said", [b"1/0", b"'no packet'", b"[].append(1, 2)"])
@pytest.mark.parametrize("kind", ["text", "binary"])
def test_a_bug_in_a_decoder_harms_one_connection_and_is_logged_once(said: bytes, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    world.hub.site.parser = Checked(Mixed(), None)
    world.start()
    bad, good = world.client(), world.client()
    for client in (bad, good):
        client.say(f"Packet({CONNECT}, '/')")
    errors: list[BaseException] = []
    world.main.event("error", lambda socket, error: errors.append(error))
    heard: list[Any] = []
    world.main.event("e", lambda socket, value: heard.append(value))
    with caplog.at_level(logging.ERROR):
        bad.say(said.decode() if kind == "text" else said)
    assert not bad.is_open
    assert [type(error) for error in errors] == [ProtocolError]
    assert [record.message for record in caplog.records] == ["connection engine-id: the parser failed, so it is closed"]
    assert caplog.records[0].exc_info is not None
    good.say(f"Packet({EVENT}, '/', ['e', 5])")
    assert heard == [5]
    world.end()


def test_the_documented_parser_works() -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "parsers.md").read_text(), re.DOTALL)
    (code,) = (block for block in blocks if "class ArrayParser" in block)
    names: dict[str, Any] = {"__name__": "documented"}
    exec(compile(code, "docs/parsers.md", "exec"), names)
    parser = Checked(names["ArrayParser"](), None)
    for packet in (Packet(EVENT, "/a", ["e", {"b": 1}], 5), Packet(CONNECT), Packet(ACK, "/", [], 0)):
        text, attachments = parser.encode(packet)
        assert not attachments
        assert text is not None
        assert json.loads(text) == [packet.type, packet.namespace, packet.id, packet.data]
        assert parser.decoder().text(text) == packet
    for garbage in (b"", b"5", b"[1]", b"[2, 3]", b'[2, "/", null, ["connect"]]', b"[null, null, null, null]"):
        with pytest.raises(ProtocolError):
            parser.decoder().text(garbage)
