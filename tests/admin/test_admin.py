"""What the Admin UI is told, beyond what its protocol shows (tests/live/test_admin.py): misuse, bounds, beginnings and ends."""

from __future__ import annotations

import logging
import re
from typing import Any

import pytest

from sync_sio import ConnectRefused
from sync_sio.admin import door, instrument, notes
from sync_sio.testing import TestClient

from .conftest import AUTH, House


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"auth": {"username": "a"}}, ValueError, "auth with 'username': dict(username=…, password=…) is wanted, a function"),
        ({"auth": {}}, ValueError, "auth with nothing"),
        ({"auth": {"type": "basic", **AUTH}}, ValueError, "'type'"),
        ({"auth": "secret"}, TypeError, "auth is a str: dict"),
        ({"auth": False}, TypeError, "auth is a bool: dict"),
        ({"auth": {"username": "a", "password": 5}}, TypeError, "the password is a int"),
        ({"auth": {"username": "", "password": "x"}}, ValueError, "the username is empty"),
        ({"auth": {"username": "a", "password": "$2b$10$abc"}}, ValueError, "bcrypt"),
        ({"auth": AUTH, "mode": "debug"}, ValueError, "mode='debug'"),
        ({"auth": AUTH, "namespace_name": "/"}, ValueError, "main namespace"),
        ({"auth": AUTH, "namespace_name": 5}, TypeError, "namespace_name=5"),
    ],
)
def test_what_cannot_be_meant_is_told_to_the_caller(house: House, options: dict[str, Any], error: type[Exception], says: str) -> None:
    with pytest.raises(error) as told:
        instrument(house.io, **options)
    assert says in str(told.value) and "secret" not in str(told.value)
    assert list(house.io._hub.namespaces) == ["/"]


def test_no_password_at_all_has_to_be_said_and_is_a_warning(house: House, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(TypeError, match="auth"):
        instrument(house.io)  # type: ignore[call-arg]
    instrument(house.io, auth=None)
    assert [record.levelno for record in caplog.records] == [logging.WARNING] and "/admin" in caplog.text
    house.page(auth=None)


def test_a_namespace_has_one_admin(house: House) -> None:
    instrument(house.io, auth=AUTH)
    with pytest.raises(ValueError, match="an admin is there already"):
        instrument(house.io, auth=AUTH)


def test_nothing_watches_while_no_page_is_open(house: House) -> None:
    instrument(house.io, auth=AUTH)
    house.socket()
    assert house.io.engine.probes == ()
    first = house.page()
    (probe,) = house.io.engine.probes
    second = house.page()
    assert house.io.engine.probes == (probe,)
    first.lose()
    assert house.io.engine.probes == (probe,)
    second.lose()
    assert house.io.engine.probes == ()
    house.page().lose()
    assert house.io.engine.probes == ()


def test_a_page_that_is_refused_later_leaves_nothing_that_watches(house: House) -> None:
    instrument(house.io, auth=AUTH)

    @house.io.of("/admin").use
    def refuse(socket: Any) -> bool:
        return False

    with pytest.raises(ConnectRefused):
        house.new_page()
    house.time.advance(2.5)
    assert house.io.engine.probes == ()


def test_wrong_credentials_are_told_to_the_operator_once_a_minute(house: House, caplog: pytest.LogCaptureFixture) -> None:
    instrument(house.io, auth=AUTH)
    for _ in range(3):
        with pytest.raises(ConnectRefused, match="invalid credentials"):
            house.new_page({"username": "admin", "password": "guess"}, REMOTE_ADDR="10.0.0.1")
    assert caplog.text.count("wrong credentials from 10.0.0.1") == 1


def test_a_session_ends_after_a_day_and_the_oldest_go_first(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "MAX_SESSIONS", 2)
    instrument(house.io, auth=AUTH)

    def log_in() -> str:
        page = house.new_page()
        session: str = page.said()[0][1]
        page.lose()
        return session

    def is_known(session: str) -> bool:
        try:
            house.page(auth={"sessionId": session}).lose()
        except ConnectRefused:
            return False
        return True

    first, second = log_in(), log_in()
    assert is_known(first) and is_known(second)
    third = log_in()
    assert not is_known(first) and is_known(second) and is_known(third)
    house.time.advance(door.SESSION_SECONDS + 1)
    assert not is_known(second) and not is_known(third)


def test_what_happens_is_shown_together(house: House) -> None:
    instrument(house.io, auth=AUTH)
    page = house.page()
    socket = house.socket()
    socket.join("a")
    house.io.emit("news", 1)
    house.time.settle()
    assert page.said() == []
    house.time.advance(0.15)
    assert [event[0] for event in page.said()] == ["room_joined", "socket_connected", "room_joined", "event_sent"]


def test_rooms_are_shown_as_they_were_when_it_connected(house: House) -> None:
    instrument(house.io, auth=AUTH)
    page = house.page()
    socket = house.socket()
    socket.join("later")        # this is told by room_joined: a page that found it here, too, would count it twice
    socket.data["later"] = 1
    house.time.advance(0.15)
    (shown, _) = page.told("socket_connected")
    assert (shown["rooms"], shown["data"]) == ([socket.id], {})
    house.time.advance(2)
    assert page.told("socket_updated") == [{"id": socket.id, "nsp": "/", "data": {"later": 1}}]


def test_a_newcomer_does_not_take_news_from_other_pages(house: House) -> None:
    instrument(house.io, auth=AUTH)
    page, socket = house.page(), house.socket()
    house.time.advance(1)
    page.said()
    socket.data["mood"] = "good"
    house.page()
    assert page.told("socket_updated") == [{"id": socket.id, "nsp": "/", "data": {"mood": "good"}}]


def test_events_over_the_bound_are_counted(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notes, "MAX_EVENTS", 3)
    instrument(house.io, auth=AUTH)
    socket = house.socket()
    page = house.page()
    for number in range(10):
        socket.emit("number", number)
    house.time.advance(0.15)
    assert [event[3] for event in page.said()] == [["number", 0], ["number", 1], ["number", 2]]
    house.time.advance(2)
    (stats,) = page.told("server_stats")
    assert [one["count"] for one in stats["aggregatedEvents"] if one["type"] == "eventsNotShown"] == [7]


def test_a_broadcast_to_many_is_shown_for_some(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sync_sio.admin.desk.MAX_ROWS", 3)
    instrument(house.io, auth=AUTH)
    for _ in range(5):
        house.socket()
    page = house.page()
    house.io.emit("one")
    house.io.emit("two")
    house.time.advance(0.15)
    assert [event[3] for event in page.said()] == [["one"]] * 3
    house.time.advance(2)
    (stats,) = page.told("server_stats")
    assert [one["count"] for one in stats["aggregatedEvents"] if one["type"] == "eventsNotShown"] == [7]


def test_after_too_many_changes_a_page_gets_a_new_list(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notes, "MAX_CHANGES", 4)
    instrument(house.io, auth=AUTH)
    page = house.page()
    sockets = [house.socket() for _ in range(5)]
    house.time.advance(0.15)
    (shown,) = page.told("all_sockets")
    assert {row["id"] for row in shown} >= {socket.id for socket in sockets}


def test_what_cannot_be_sent_any_more_breaks_nothing(house: House) -> None:
    instrument(house.io, auth=AUTH)
    socket = house.socket()
    page = house.page()
    argument: list[Any] = [1]
    socket.emit("changed", argument)
    argument[:] = [object()]
    socket.emit("next")
    house.time.advance(0.15)
    assert [event[3] for event in page.said()] == [["next"]]


def test_data_that_nobody_can_send_is_shown_as_far_as_it_goes(house: House) -> None:
    class Rude:
        def __repr__(self) -> str:
            raise RuntimeError

    instrument(house.io, auth=AUTH)
    socket = house.socket()
    deep: list[Any] = []
    deep.append(deep)
    socket.data.update({
        "rude": Rude(), "deep": deep, "long": "x" * 2000, "many": list(range(200)), 5: {1}, "nan": float("nan"),
        "bytes": b"\x00", "text": "\ud800",
    })  # fmt: skip
    page = house.new_page()
    (sockets,) = page.told("all_sockets")
    data = next(row["data"] for row in sockets if row["id"] == socket.id)
    assert data["rude"] == "<Rude>" and data["bytes"] == "<1 bytes>" and data["5"] == [1] and data["text"] == "\ud800"
    assert str(data["deep"]) == "[[[[['…']]]]]" and data["nan"] is None
    assert data["long"].startswith("xxx") and len(data["long"]) < 1100 and len(data["many"]) == 101


def test_several_admins_do_not_show_each_other_what_they_show(house: House) -> None:
    instrument(house.io, auth=AUTH)
    instrument(house.io, auth=AUTH, namespace_name="/other")
    one, other = house.page(), house.page("/other")
    for _ in range(5):
        house.time.advance(0.15)
    assert not [event for event in (*one.said(), *other.said()) if event[0] == "event_sent"]
    house.socket().emit("hello")
    house.time.advance(0.15)
    for page in (one, other):
        assert [event[3] for event in page.said() if event[0] == "event_sent"] == [["hello"]]


def test_the_child_of_a_fork_watches_nothing(house: House) -> None:
    instrument(house.io, auth=AUTH)
    house.page()
    (probe,) = house.io.engine.probes
    probe.reset()
    assert house.io.engine.probes == ()
    house.page()
    assert house.io.engine.probes not in ((), (probe,))


def test_one_of_several_processes_says_which(house: House) -> None:
    instrument(house.io, auth=AUTH)
    page = house.new_page(**{"wsgi.multiprocess": True})
    (stats,) = page.told("server_stats")
    assert stats["serverId"] == f"{stats['hostname']}#{stats['pid']}"


def test_to_be_looked_at_makes_no_client_larger(house: House) -> None:
    instrument(house.io, auth=AUTH)
    before = house.socket()
    house.page()
    after = house.socket()
    house.time.advance(3)
    for socket in (before, after):
        assert socket._core.handshake is None and socket.conn._request is None


def test_large_events_are_bounded_like_others(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notes, "MAX_EVENTS", 2)
    instrument(house.io, auth=AUTH)
    socket = house.socket()
    page = house.page()
    for _ in range(5):
        socket.emit("large", "x" * 20_000)
    house.time.advance(0.15)
    assert [event[3] for event in page.said()] == [["large", "(20013 bytes: not shown)"]] * 2


def test_namespaces_that_come_later_are_shown(house: House) -> None:
    instrument(house.io, auth=AUTH)
    house.io.of(re.compile("/tenant-[0-9]+"))
    page = house.page()
    socket = house.socket("/tenant-7")
    sid = socket.id
    socket.emit("hello")
    house.time.advance(0.15)
    joined, connected, sent = page.said()
    assert joined[:4] == ["room_joined", "/tenant-7", sid, sid]
    assert (connected[0], connected[1]["nsp"], connected[1]["id"]) == ("socket_connected", "/tenant-7", sid)
    assert sent[:4] == ["event_sent", "/tenant-7", sid, ["hello"]]
    house.time.advance(2)
    (stats,) = page.told("server_stats")
    assert {"name": "/tenant-7", "socketsCount": 1} in stats["namespaces"]


def test_one_that_comes_and_goes_at_once_is_told_in_order(house: House) -> None:
    instrument(house.io, auth=AUTH)
    page = house.page()
    TestClient(house.io).lose()
    house.time.advance(0.15)
    assert [event[0] for event in page.said()] == ["room_joined", "socket_connected", "socket_disconnected", "room_left"]
