"""What is volatile is dropped whole when the client is known not to take it now, and disturbs nothing else."""

from __future__ import annotations

from collections.abc import Callable

from sync_sio.engine.connection import Connection
from sync_sio.engine.state import CLOSE, DROP
from sync_sio.protocol.parcel import Parcel
from sync_sio.protocol.websocket.frames import BINARY, TEXT

from .conftest import Rig, frame, frames
from .test_backpressure import SMALL, read_all


def volatile(connection: Connection, text: str, *attachments: bytes) -> bool:
    return connection.send_parcel(Parcel(text.encode(), attachments), DROP)


def regular(connection: Connection, text: str) -> None:
    assert connection.send_parcel(Parcel(text.encode()), CLOSE)


def polling(rig: Rig) -> Connection:
    rig.request()
    return rig.connections[-1]


def poll(rig: Rig, connection: Connection) -> bytes:
    return rig.request("GET", f"EIO=4&transport=polling&sid={connection.id}")[2]


def body(data: bytes) -> bytes:
    return data.partition(b"\r\n\r\n")[2]


def test_a_websocket_that_has_room_gets_it_with_all_its_frames(rig: Rig) -> None:
    connection, client = rig.websocket()
    assert volatile(connection, "51-[]", b"\x01", b"\x02")
    assert frames(client.recv() or b"") == [(TEXT, b"451-[]"), (BINARY, b"\x01"), (BINARY, b"\x02")]


def test_two_in_one_go_both_arrive_while_there_is_room(rig: Rig) -> None:
    """Node's server drops the second, as it waits for its first write to be over."""
    connection, client = rig.websocket()
    assert volatile(connection, "2[1]") and volatile(connection, "2[2]")
    assert [payload for _, payload in frames(client.recv() or b"")] == [b"42[1]", b"42[2]"]


def test_a_full_websocket_drops_all_frames_of_a_packet_together(rig: Rig) -> None:
    connection, client = rig.websocket(SMALL)
    read_all(rig, client)
    regular(connection, "x" * 5000)
    before = connection.buffered_bytes
    assert not volatile(connection, "51-[]", b"\x01" * 10, b"\x02" * 10)
    assert connection.buffered_bytes == before
    regular(connection, "later")
    assert frames(read_all(rig, client)) == [(TEXT, b"4" + b"x" * 5000), (TEXT, b"4later")]


def test_the_one_that_fills_a_websocket_arrives_whole(rig: Rig) -> None:
    connection, client = rig.websocket(SMALL)
    read_all(rig, client)
    assert volatile(connection, "x" * 700, b"y" * 700)
    assert not volatile(connection, "dropped")
    assert frames(read_all(rig, client)) == [(TEXT, b"4" + b"x" * 700), (BINARY, b"y" * 700)]
    assert volatile(connection, "again")


def test_memory_stays_flat_for_a_websocket_that_does_not_read(rig: Rig) -> None:
    connection, client = rig.websocket(SMALL)
    read_all(rig, client)
    sent = sum(volatile(connection, f"{number}:" + "x" * 300) for number in range(10_000))
    assert sent < 10 and connection.buffered_bytes < 400
    regular(connection, "the end")
    received = frames(read_all(rig, client))
    assert len(received) == sent + 1 and received[-1] == (TEXT, b"4the end")


def test_within_a_handler_s_turn_a_websocket_gets_regular_and_volatile_ones_in_order(rig: Rig) -> None:
    connection, client = rig.websocket()
    client.recv()

    @connection.on("message")
    def message(data: str) -> None:
        regular(connection, "one")
        assert volatile(connection, "two")
        regular(connection, "three")

    client.send(frame(b"4go"))
    rig.driver.settle()
    assert [payload for _, payload in frames(client.recv() or b"")] == [b"4one", b"4two", b"4three"]


def test_without_a_poll_it_is_dropped_and_what_is_regular_waits(rig: Rig) -> None:
    connection = polling(rig)
    assert not volatile(connection, "dropped")
    regular(connection, "one")
    assert not volatile(connection, "dropped, too", b"\x01")
    assert poll(rig, connection) == b"4one"


def test_a_poll_that_waits_gets_it_with_its_attachments(rig: Rig) -> None:
    connection = polling(rig)
    poll(rig, connection)
    stream = rig._taken
    assert stream is not None and volatile(connection, "51-[]", b"\x01\x02")
    rig.driver.settle()
    assert body(stream.recv() or b"") == b"451-[]\x1ebAQI="


def test_after_a_regular_one_in_the_same_turn_a_poll_gets_that_alone(rig: Rig) -> None:
    connection = polling(rig)
    poll(rig, connection)
    stream = rig._taken
    assert stream is not None

    @connection.on("message")
    def message(data: str) -> None:
        regular(connection, "one")
        assert not volatile(connection, "two")
        regular(connection, "three")

    rig.request("POST", f"EIO=4&transport=polling&sid={connection.id}", b"4go")
    assert body(stream.recv() or b"") == b"4one\x1e4three"
    regular(connection, "four")
    assert poll(rig, connection) == b"4four"


def test_nothing_is_sent_to_a_client_that_is_closing(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig()
    connection = polling(rig)
    regular(connection, "last")
    connection.close()
    assert not volatile(connection, "late")
    assert poll(rig, connection) == b"4last"
