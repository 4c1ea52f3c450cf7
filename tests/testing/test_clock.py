"""A time that moves when told, for a whole server."""

from __future__ import annotations

from typing import Any

import pytest

from sync_sio import AckTimeout, Server
from sync_sio.testing import ManualTime, TestClient


def test_time_passes_when_told_and_heartbeats_go_on() -> None:
    io = Server(ping_interval=25, ping_timeout=20)
    beats: list[float] = []
    with ManualTime(io) as time, TestClient(io) as client:
        client.socket.conn.on("heartbeat", lambda: beats.append(time.now))
        time.advance(100)
        assert client.connected
        assert len(beats) == 4


def test_time_outs_are_tested_without_waiting_for_them() -> None:
    io = Server()
    told: list[Any] = []
    with ManualTime(io) as time, TestClient(io) as client:
        client.socket.timeout(30).emit("question", ack=lambda error, *response: told.append(type(error)))
        time.advance(29)
        assert told == []
        time.advance(2)
        assert told == [AckTimeout]
        before = time.now
        with pytest.raises(AckTimeout):
            client.socket.call("question", timeout=60)
        assert time.now == pytest.approx(before + 60)


def test_who_comes_back_too_late_is_not_recovered() -> None:
    io = Server(connection_state_recovery={"max_disconnection_duration": 120})
    with ManualTime(io) as time:
        client = TestClient(io)
        client.lose()
        time.advance(119)
        client.connect()
        assert client.recovered
        client.lose()
        time.advance(121)
        client.connect()
        assert not client.recovered
        client.disconnect()


def test_handlers_run_when_told() -> None:
    io = Server()
    seen: list[int] = []
    io.event("count", lambda socket, number: seen.append(number))
    with ManualTime(io) as time, TestClient(io) as client:
        client.emit("count", 1)
        assert seen == []
        time.settle()
        assert seen == [1]


def test_a_server_that_has_started_keeps_its_runtime() -> None:
    io = Server(runtime="threads")
    with TestClient(io), pytest.raises(RuntimeError, match="started already"):
        ManualTime(io)
    io.close()
