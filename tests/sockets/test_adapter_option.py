"""`Server(adapter=…)`, `io.adapter`, `io.adapter_status()`."""

from __future__ import annotations

from typing import Any

import pytest

from sync_sio import Server

from .bus import Bus, BusAdapter


def test_in_memory_a_server_is_a_cluster_of_one() -> None:
    io = Server()
    assert io.adapter is None
    connected, lag, nodes, last_error = io.adapter_status()
    assert (connected, lag, nodes, last_error) == (True, 0.0, 1, None)
    assert io.server_side_call("anything") == []


def test_an_adapter_is_given_or_set_before_serving() -> None:
    bus = Bus()
    bus.adapters = [BusAdapter(bus, "one", True), BusAdapter(bus, "two", True)]
    io = Server(adapter=bus.adapters[0])
    assert io.adapter is bus.adapters[0]
    assert io.adapter_status().nodes == 2 and not io.adapter_status().connected
    io.adapter = bus.adapters[1]
    assert io.adapter is bus.adapters[1]
    io.adapter = None
    assert io.adapter is None


@pytest.mark.parametrize("wrong", ["redis://localhost", 5, object(), BusAdapter])
def test_what_is_no_adapter_is_refused_with_what_is_wanted(wrong: Any) -> None:
    with pytest.raises(TypeError, match="adapter="):
        Server(adapter=wrong)
    io = Server()
    with pytest.raises(TypeError, match="adapter="):
        io.adapter = wrong


def test_the_server_stands_for_its_main_namespace() -> None:
    io = Server()
    for name in ("volatile", "local"):
        assert getattr(io, name)._home is io.sockets
    assert io.compress(False)._flags.compress is False
    assert io.timeout(5)._flags.timeout == 5
    assert io.call("x") == io.fetch_sockets() == []
    told: list[Any] = []
    io.emit("x", ack=lambda *args: told.append(args))
    io.server_side_emit("x", ack=lambda *args: told.append(args))
    assert told == [(None, []), (None, [])]
    io.sockets_join("a")
    io.sockets_leave("a")
    io.disconnect_sockets()
