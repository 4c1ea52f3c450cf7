"""What a tool hears of the engine's connections."""

from __future__ import annotations

import json
from typing import Any

from sync_sio.drivers.locks import assert_none_held
from sync_sio.probe import Probe

from .conftest import UPGRADE, Rig, frame


class Notes(Probe):
    def __init__(self) -> None:
        self.all: list[tuple[Any, ...]] = []

    def note(self, *what: Any) -> None:
        assert_none_held("a probe is told")
        self.all.append(what)

    def connection_opened(self, connection: Any) -> None:
        self.note("opened", connection.transport.name)

    def connection_closed(self, connection: Any, reason: str) -> None:
        self.note("closed", reason)

    def transport_changed(self, connection: Any) -> None:
        self.note("changed", connection.transport.name)

    def request_refused(self, code: int) -> None:
        self.note("refused", code)


def test_a_connection_comes_is_upgraded_and_goes(rig: Rig) -> None:
    notes = Notes()
    rig.server.probes = (notes,)
    sid = json.loads(rig.request()[2][1:])["sid"]
    rig.request("GET", f"EIO=4&transport=websocket&sid={sid}", headers=UPGRADE)
    assert notes.all == [("opened", "polling")]
    client = rig._taken
    assert client is not None
    client.send(frame(b"2probe") + frame(b"5"))
    rig.driver.settle()
    assert notes.all[1:] == [("changed", "websocket")]
    rig.connections[0].close()
    assert notes.all[2:] == [("closed", "forced close")]


def test_refusals_are_told_with_their_codes(rig: Rig) -> None:
    notes = Notes()
    rig.server.probes = (notes,)
    assert rig.request(query="EIO=4&transport=pigeon")[0] == 400
    assert rig.request(query="EIO=4&transport=polling&sid=unknown")[0] == 400
    assert rig.request("POST", body=b"x")[0] == 400
    rig.server.shut_down()
    assert rig.request()[0] == 503
    assert notes.all == [("refused", 0), ("refused", 1), ("refused", 2), ("refused", 503)]
