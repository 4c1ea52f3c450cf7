"""What a connection tells its listeners, in which order, and what that may cost."""

from __future__ import annotations

import weakref
from collections.abc import Callable

import pytest

from sync_sio.drivers.base import MAX_QUEUED
from sync_sio.engine.connection import Connection
from sync_sio.engine.state import DROP, WhenFull
from sync_sio.engine.tap import MAX_REMEMBERED, EnginePacket
from sync_sio.protocol.parcel import Parcel
from sync_sio.protocol.websocket.frames import BINARY
from sync_sio.testing.manual import ManualStream

from .conftest import UPGRADE, Rig, frame, frames


@pytest.fixture
def told() -> list[tuple[object, ...]]:
    return []


def listen(connection: Connection, told: list[tuple[object, ...]], *names: str) -> None:
    for name in names:
        connection.on(name, lambda *args, name=name: told.append((name, *args)))


def poll(rig: Rig, sid: str) -> bytes:
    return rig.request("GET", f"EIO=4&transport=polling&sid={sid}")[2]


def say(rig: Rig, sid: str, body: bytes) -> None:
    assert rig.request("POST", f"EIO=4&transport=polling&sid={sid}", body)[0] == 200


def test_listeners_see_each_packet_that_comes_in(rig: Rig, told: list[tuple[object, ...]]) -> None:
    connection, client = rig.websocket()
    listen(connection, told, "packet", "heartbeat")
    rig.driver.advance(25.1)
    client.send(frame("4Zoë".encode()) + frame(b"\x00\xff", BINARY) + frame(b"3") + frame(b"bAQI=") + frame(b"6"))
    rig.driver.settle()
    assert told == [
        ("packet", EnginePacket("message", "Zoë")),
        ("packet", EnginePacket("message", b"\x00\xff")),
        ("packet", EnginePacket("pong")),
        ("heartbeat",),
        ("packet", EnginePacket("message", b"\x01\x02")),
        ("packet", EnginePacket("noop")),
    ]


def test_listeners_see_the_packets_of_a_post(rig: Rig, told: list[tuple[object, ...]]) -> None:
    rig.request()
    [connection] = rig.connections
    listen(connection, told, "packet", "message")
    say(rig, connection.id, b"4one\x1ebAQI=\x1e3")
    assert [entry[1] for entry in told if entry[0] == "packet"] == [
        EnginePacket("message", "one"), EnginePacket("message", b"\x01\x02"), EnginePacket("pong"),
    ]  # fmt: skip
    assert [entry[1] for entry in told if entry[0] == "message"] == ["one", b"\x01\x02"]


def test_listeners_see_each_packet_that_is_sent_and_then_that_nothing_waits(rig: Rig, told: list[tuple[object, ...]]) -> None:
    connection, _ = rig.websocket()
    listen(connection, told, "packet_create", "drain")
    connection.send("text")
    connection.send_parcel(Parcel(b"51-[1]", (b"\x01",)), WhenFull.CLOSE)
    rig.driver.settle()
    assert told == [
        ("packet_create", EnginePacket("message", "text")),
        ("packet_create", EnginePacket("message", "51-[1]")),
        ("packet_create", EnginePacket("message", b"\x01")),
        ("drain",),
    ]
    del told[:]
    rig.driver.advance(25.1)
    assert told[0] == ("packet_create", EnginePacket("ping"))


def test_drain_comes_when_the_client_has_taken_what_waited(rig: Rig, told: list[tuple[object, ...]]) -> None:
    connection, client = rig.websocket(1000)
    client.recv()
    listen(connection, told, "drain")
    connection.send("x" * 5000)
    rig.driver.settle()
    assert told == [] and 3000 < connection.buffered_bytes < 5000
    while client.recv():
        rig.driver.settle()
    assert told == [("drain",)] and connection.buffered_bytes == 0


def test_drain_comes_with_the_poll_that_takes_what_waited(rig: Rig, told: list[tuple[object, ...]]) -> None:
    rig.request()
    [connection] = rig.connections
    listen(connection, told, "drain")
    connection.send("waits")
    rig.driver.settle()
    assert told == []
    assert poll(rig, connection.id) == b"4waits"
    assert told == [("drain",)]


def test_what_was_dropped_is_not_told(rig: Rig, told: list[tuple[object, ...]]) -> None:
    rig.request()
    [connection] = rig.connections
    listen(connection, told, "packet_create", "drain")
    assert not connection.send_parcel(Parcel(b"2[1]"), DROP)
    rig.driver.settle()
    assert told == []


def test_an_upgrade_is_told_from_its_probe_to_its_switch(rig: Rig, told: list[tuple[object, ...]]) -> None:
    rig.request()
    [connection] = rig.connections
    listen(connection, told, "upgrading", "upgrade")
    assert (connection.upgrading, connection.upgraded) == (False, False)
    assert rig.request("GET", f"EIO=4&transport=websocket&sid={connection.id}", headers=UPGRADE)[0] == 101
    client = rig._taken
    assert client is not None and connection.upgrading
    client.send(frame(b"2probe"))
    rig.driver.settle()
    assert [name for name, _ in told] == ["upgrading"]
    client.send(frame(b"5"))
    rig.driver.settle()
    assert [(name, getattr(transport, "name", "")) for name, transport in told] == [("upgrading", "websocket"), ("upgrade", "websocket")]
    assert (connection.upgrading, connection.upgraded, connection.transport.name) == (False, True, "websocket")


def test_once_is_told_once_and_off_ends_it(rig: Rig, told: list[tuple[object, ...]]) -> None:
    connection, client = rig.websocket()

    @connection.once("packet")
    def once(packet: EnginePacket) -> None:
        told.append(("once", packet.data))

    @connection.on("packet")
    def each(packet: EnginePacket) -> None:
        told.append(("each", packet.data))

    for text in (b"41", b"42"):
        client.send(frame(text))
        rig.driver.settle()
    connection.off("packet", each)
    client.send(frame(b"43"))
    rig.driver.settle()
    assert told == [("once", "1"), ("each", "1"), ("each", "2")]
    assert connection.tap is None


def test_a_flood_of_packets_with_a_slow_listener_is_bounded(rig: Rig) -> None:
    connection, client = rig.websocket()
    gate = rig.driver.waiter()
    seen: list[object] = []

    def listener(packet: EnginePacket) -> None:
        gate.wait()
        seen.append(packet.data)

    connection.on("packet", listener)
    for number in range(MAX_QUEUED * 2):
        client.send(frame(b"4%d" % number))
        rig.driver.settle()
    assert connection.is_paused and connection.queued <= MAX_QUEUED + 2
    gate.set()
    rig.driver.settle()
    assert seen == [str(number) for number in range(MAX_QUEUED * 2)]


def test_a_flood_that_is_sent_harms_nobody_though_its_listener_is_slow(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    connection, client = rig.websocket(1 << 20)
    gate = rig.driver.waiter()
    seen: list[object] = []

    def listener(packet: EnginePacket) -> None:
        gate.wait()
        seen.append(packet.data)

    connection.on("packet_create", listener)
    connection.send("first")
    rig.driver.settle()
    for number in range(MAX_REMEMBERED + 500):
        assert connection.send_parcel(Parcel(b"%d" % number), WhenFull.CLOSE)
    gate.set()
    rig.driver.settle()
    assert connection.ready_state == "open" and not connection.is_paused
    assert seen == ["first", *(str(number) for number in range(MAX_REMEMBERED))]
    assert "500 packets" in caplog.text
    assert len(frames(read(rig, client))) == MAX_REMEMBERED + 501


def read(rig: Rig, client: ManualStream) -> bytes:
    data = b""
    while more := client.recv():
        data += more
        rig.driver.settle()
    return data


def test_the_listeners_of_a_connection_that_has_ended_are_let_go(rig: Rig) -> None:
    class Held:
        def listener(self, *args: object) -> None: ...

    connection, _ = rig.websocket()
    held = Held()
    gone = weakref.ref(held)
    for name in ("packet", "packet_create", "drain", "close"):
        connection.on(name, held.listener)
    connection.send("last")
    del held
    assert gone() is not None
    connection.close()
    rig.driver.settle()
    assert gone() is None


def test_close_may_wait_for_what_was_sent_or_discard_it(rig: Rig, told: list[tuple[object, ...]]) -> None:
    for discard in (False, True):
        rig.request()
        connection = rig.connections[-1]
        listen(connection, told, "close")
        connection.send("waits")
        connection.close(discard)
        rig.driver.settle()
        assert connection.ready_state == ("closed" if discard else "closing")
        assert bool(told) is discard
    assert told == [("close", "forced close", None)]


def test_a_message_may_be_kept_from_compression(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(per_message_deflate={"threshold": 10})
    rig.request("GET", "EIO=4&transport=websocket", headers=UPGRADE | {"HTTP_SEC_WEBSOCKET_EXTENSIONS": "permessage-deflate"})
    client, [connection] = rig._taken, rig.connections
    assert client is not None
    client.recv()
    connection.send("x" * 100, compress=False)
    assert (client.recv() or b"")[0] == 0x81
    connection.send("x" * 100)
    assert (client.recv() or b"")[0] == 0xC1
    connection.send("short")
    assert (client.recv() or b"")[0] == 0x81
