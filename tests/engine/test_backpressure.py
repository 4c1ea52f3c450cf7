"""What waits for a client that is slow to take it, and what a client may send before its handlers are through."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from sync_sio.drivers.base import MAX_QUEUED
from sync_sio.engine.state import WhenFull
from sync_sio.engine.websocket import WebSocketTransport
from sync_sio.errors import SlowConsumer
from sync_sio.protocol.parcel import Parcel
from sync_sio.testing.manual import ManualStream

from .conftest import Rig, frame, frames

SMALL = 1000
"""Bytes that are on their way to a client at most: its side of the connection is full after that."""


def read_all(rig: Rig, client: ManualStream) -> bytes:
    data = b""
    while True:
        rig.driver.settle()
        more = client.recv()
        if not more:
            return data
        data += more


def test_what_does_not_fit_is_kept_and_arrives_whole_and_in_order(rig: Rig) -> None:
    connection, client = rig.websocket(SMALL)
    read_all(rig, client)
    texts = [f"{number}:".encode() + b"x" * 700 for number in range(50)]
    for text in texts:
        assert connection.send_parcel(Parcel(text), WhenFull.CLOSE)
    assert frames(read_all(rig, client)) == [(1, b"4" + text) for text in texts]
    assert connection.outbox is None


def test_one_parcel_always_fits_an_empty_outbox(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(max_buffered_bytes=1000)
    connection, client = rig.websocket(SMALL)
    read_all(rig, client)
    assert connection.send_parcel(Parcel(b"x" * 50_000), WhenFull.CLOSE)
    assert len(frames(read_all(rig, client))[0][1]) == 50_001


def test_a_broadcast_over_the_limit_closes_the_slow_client_and_names_both_sizes(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(max_buffered_bytes=5000)
    connection, _ = rig.websocket(SMALL)
    for _ in range(20):
        connection.send_parcel(Parcel(b"x" * 1000), WhenFull.CLOSE)
    rig.driver.settle()
    [(reason, description)] = rig.closed
    assert reason == "transport error"
    assert isinstance(description, SlowConsumer) and "max_buffered_bytes=5000" in str(description)
    assert not connection.send_parcel(Parcel(b"late"), WhenFull.CLOSE)


@pytest.mark.parametrize("when_full", [WhenFull.CLOSE, WhenFull.DROP])
@pytest.mark.parametrize("compression", [False, True])
def test_a_client_that_is_known_to_be_full_costs_no_system_call(
    make_rig: Callable[..., Rig], compression: bool, when_full: WhenFull, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = make_rig(per_message_deflate={"threshold": 0} if compression else False)
    connection, client = rig.websocket(SMALL, headers={"HTTP_SEC_WEBSOCKET_EXTENSIONS": "permessage-deflate"})
    assert isinstance(connection.transport, WebSocketTransport)
    assert (connection.transport.deflate is not None) == compression
    read_all(rig, client)
    calls: list[str] = []
    stream = client.peer

    def count(subject: object, name: str) -> None:
        original = getattr(subject, name)

        def counted(*args: Any) -> Any:
            calls.append(name)
            return original(*args)

        monkeypatch.setattr(subject, name, counted)

    for subject, names in (
        (stream, ("send", "recv", "recv_into", "shutdown", "close")),
        (rig.driver, ("watch", "set_interest", "discard", "post", "later", "run", "spawn", "now")),
    ):
        for name in names:
            count(subject, name)
    random = Random(1)
    parcels = [Parcel(b"%d:" % number + random.randbytes(700)) for number in range(200)]
    connection.send_parcel(parcels[0], WhenFull.CLOSE)
    connection.send_parcel(parcels[1], WhenFull.CLOSE)
    assert calls == ["send", "send", "set_interest"], "the second did not fit"
    calls.clear()
    for parcel in parcels[2:]:
        assert connection.send_parcel(parcel, when_full) == (when_full is WhenFull.CLOSE)
    assert calls == []
    wanted = len(parcels) if when_full is WhenFull.CLOSE else 2
    if not compression:
        assert [payload for _, payload in frames(read_all(rig, client))] == [b"4" + (each.text or b"") for each in parcels[:wanted]]


def test_a_sender_waits_from_half_of_the_limit_on_until_the_client_reads(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(max_buffered_bytes=5000)
    connection, client = rig.websocket(SMALL)
    read_all(rig, client)
    sent: list[int] = []

    def flood(which: str, _: object) -> None:
        for number in range(20):
            connection.send(f"{which}{number}:" + "x" * 500)
            sent.append(number)

    for which in "ab":
        rig.driver.spawn(flood, which, None)
    rig.driver.settle()
    assert 0 < len(sent) < 15, "the senders wait"
    texts = [payload[1:].split(b":")[0].decode() for opcode, payload in frames(read_all(rig, client)) if opcode == 1]
    assert len(texts) == 40
    for which in "ab":
        assert [text for text in texts if text[0] == which] == [f"{which}{number}" for number in range(20)]


def test_a_sender_gives_up_after_send_timeout_and_the_client_is_closed(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(max_buffered_bytes=5000, send_timeout=7.0)
    connection, _ = rig.websocket(SMALL)
    started = rig.driver.now()
    with pytest.raises(SlowConsumer, match="send_timeout=7"):
        for _ in range(20):
            connection.send("x" * 1000)
    assert rig.driver.now() - started == pytest.approx(7.0)
    rig.driver.settle()
    assert [reason for reason, _ in rig.closed] == ["transport error"]


def test_a_sender_that_waits_is_let_go_at_once_when_the_client_leaves(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(max_buffered_bytes=5000)
    connection, client = rig.websocket(SMALL)
    rig.driver.later(3.0, client.shutdown)
    started = rig.driver.now()
    for _ in range(20):
        connection.send("x" * 1000)
    assert rig.driver.now() - started == pytest.approx(3.0)


def test_a_client_with_too_many_queued_events_is_not_read_until_they_are_through(rig: Rig) -> None:
    connection, client = rig.websocket()
    received: list[str] = []
    gate = rig.driver.waiter()

    def message(data: str) -> None:
        gate.wait()
        received.append(data)

    connection.on("message", message)
    total = MAX_QUEUED * 3
    for number in range(total):
        client.send(frame(b"4%d" % number))
        rig.driver.settle()
    assert connection.is_paused
    assert connection.queued <= MAX_QUEUED + 2
    gate.set()
    rig.driver.settle()
    assert received == [str(number) for number in range(total)]
    assert (connection.queued, connection.queued_bytes, connection.is_paused) == (0, 0, False)


def test_a_client_that_owes_an_acknowledgement_is_read_on_up_to_four_times_as_many(rig: Rig) -> None:
    connection, client = rig.websocket()
    gate = rig.driver.waiter()
    connection.on("message", lambda data: gate.wait())
    with connection.lock:
        connection.owe_ack()
    for number in range(MAX_QUEUED * 4 + 10):
        client.send(frame(b"4%d" % number))
        rig.driver.settle()
        if number == MAX_QUEUED * 3:
            assert connection.ready_state == "open" and not connection.is_paused
    assert connection.ready_state == "closed"
    gate.set()
    rig.driver.settle()
    assert "events" in str(rig.closed[0][1])


def test_a_post_is_answered_when_its_events_are_nearly_through(rig: Rig) -> None:
    status, _, body = rig.request()
    sid = body[body.index(b'"sid":"') + 7 :].split(b'"')[0].decode()
    connection = rig.connections[0]
    gate = rig.driver.waiter()
    count = 0

    def message(data: str) -> None:
        nonlocal count
        gate.wait()
        count += 1

    def open_gate() -> None:
        gate.set()

    connection.on("message", message)
    rig.driver.later(5.0, open_gate)
    started = rig.driver.now()
    payload = b"\x1e".join(b"4%d" % number for number in range(MAX_QUEUED + 50))
    status, _, body = rig.request("POST", f"EIO=4&transport=polling&sid={sid}", payload)
    assert (status, body) == (200, b"ok")
    assert rig.driver.now() - started == pytest.approx(5.0)
    assert count == MAX_QUEUED + 50


def test_closing_sends_what_was_sent_before(rig: Rig) -> None:
    connection, client = rig.websocket(SMALL)
    read_all(rig, client)
    for number in range(10):
        connection.send(f"{number}:" + "x" * 700)
    connection.close()
    assert connection.ready_state == "closing"
    connection.send("too late")
    received = frames(read_all(rig, client))
    assert [opcode for opcode, _ in received] == [1] * 10 + [8]
    assert rig.closed == [("forced close", None)]


def test_closing_gives_a_client_that_does_not_read_thirty_seconds(rig: Rig) -> None:
    connection, _ = rig.websocket(SMALL)
    connection.send("x" * 5000)
    connection.close()
    rig.driver.advance(24)      # less than the first ping
    assert rig.closed == []
    rig.driver.advance(6.1)
    assert rig.closed == [("forced close", None)]
