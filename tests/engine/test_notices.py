"""What an operator is told: at WARNING, one line per cause and minute; otherwise nothing."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest

from sync_sio.engine.state import WhenFull
from sync_sio.notices import Notices
from sync_sio.protocol.parcel import Parcel

from .conftest import Rig, frame


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    assert all(record.name.startswith("sync_sio") for record in caplog.records)
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_an_ordinary_life_says_nothing(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    connection, client = rig.websocket()
    connection.send("hello")
    client.shutdown()
    rig.driver.settle()
    rig.request("GET", "EIO=4&transport=polling&sid=unknown")
    assert warnings(caplog) == []


def test_a_cause_is_told_once_a_minute_and_others_beside_it(caplog: pytest.LogCaptureFixture) -> None:
    time = 0.0
    notices = Notices(logging.getLogger("sync_sio.test"), lambda: time)
    notices.warn("a", "a at %s", time)
    notices.warn("b", "b at %s", time)
    for time in (1.0, 59.9, 60.0, 61.0):
        notices.warn("a", "a at %s", time)
    time = 200.0
    notices.warn("b", "b at %s", time)
    assert warnings(caplog) == ["a at 0.0", "b at 0.0", "3 more in the last 60 s, the last: a at 60.0", "b at 200.0"]


def test_how_often_it_happened_again_is_told_when_the_minute_is_over(caplog: pytest.LogCaptureFixture) -> None:
    time = 0.0
    notices = Notices(logging.getLogger("sync_sio.test"), lambda: time)
    for number in range(50):
        notices.warn("slow", "client %d", number)
    for moment in (1.0, 59.0, 61.0, 62.0, 200.0):
        time = moment
        notices.remind()
    assert warnings(caplog) == ["client 0", "49 more in the last 61 s, the last: client 49"]
    caplog.clear()
    time = 210.0
    for number in range(3):
        notices.warn("slow", "client %d", number)
    notices.remind(at_once=True)
    notices.remind(at_once=True)
    assert warnings(caplog) == ["client 0", "2 more in the last 0 s, the last: client 2"]


def test_a_reminder_counts_as_told(caplog: pytest.LogCaptureFixture) -> None:
    time = 0.0
    notices = Notices(logging.getLogger("sync_sio.test"), lambda: time)
    for time in (0.0, 1.0, 61.0):
        notices.warn("a", "a at %s", time)
    time = 100.0
    notices.warn("a", "a at %s", time)
    notices.remind()
    assert warnings(caplog) == ["a at 0.0", "2 more in the last 61 s, the last: a at 61.0"]
    time = 122.0
    notices.remind()
    assert warnings(caplog)[2:] == ["1 more in the last 61 s, the last: a at 100.0"]


def test_inventing_causes_fills_no_memory() -> None:
    notices = Notices(logging.getLogger("sync_sio.test"), lambda: 0.0)
    for number in range(5000):
        for _ in range(2):
            notices.warn(f"cause {number}", "x")
    assert len(notices._told) <= 1000
    assert len(notices._more) <= 1000


def test_a_refused_origin_names_both_values(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        status, _, body = rig.request(headers={"HTTP_ORIGIN": "https://evil.example"})
        assert (status, body) == (403, b'{"code":4,"message":"Forbidden"}')
    [warning] = warnings(caplog)
    assert "'https://evil.example'" in warning and "'localhost'" in warning and "cors_allowed_origins" in warning


def test_a_slow_consumer_is_named_with_bytes_and_limit(make_rig: Callable[..., Rig], caplog: pytest.LogCaptureFixture) -> None:
    rig = make_rig(max_buffered_bytes=5000)
    for _ in range(2):
        connection, _ = rig.websocket(1000)
        for _ in range(20):
            connection.send_parcel(Parcel(b"x" * 1000), WhenFull.CLOSE)
        rig.driver.settle()
    [warning] = warnings(caplog)
    assert "max_buffered_bytes=5000" in warning and connection.id not in warning


def test_of_many_slow_consumers_one_is_named_and_the_number_of_the_others_follows(
    make_rig: Callable[..., Rig], caplog: pytest.LogCaptureFixture
) -> None:
    rig = make_rig(max_buffered_bytes=5000)
    slow = [rig.websocket(1000)[0] for _ in range(50)]
    _, reader = rig.websocket()
    for _ in range(20):
        for connection in slow:
            connection.send_parcel(Parcel(b"x" * 1000), WhenFull.CLOSE)
    rig.driver.settle()
    [warning] = warnings(caplog)
    for _ in range(3):
        rig.driver.advance(25.1)
        reader.send(frame(b"3"))
    assert warnings(caplog) == [warning, warnings(caplog)[1]]
    assert warnings(caplog)[1].startswith("49 more in the last ")
    assert slow[0].id in warning and slow[-1].id in warnings(caplog)[1] and "max_buffered_bytes=5000" in warnings(caplog)[1]


def test_a_server_that_ends_tells_what_it_has_counted(make_rig: Callable[..., Rig], caplog: pytest.LogCaptureFixture) -> None:
    rig = make_rig()
    for _ in range(3):
        rig.request(headers={"HTTP_ORIGIN": "https://evil.example"})
    rig.server.shut_down()
    assert [line.split(" the ")[0] for line in warnings(caplog)] == ["refused", "2 more in"]


def test_an_old_client_is_named_by_its_user_agent(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    status, _, body = rig.request("GET", "EIO=3&transport=polling", headers={"HTTP_USER_AGENT": "Old/2.0"})
    assert (status, body) == (400, b'{"code":5,"message":"Unsupported protocol version"}')
    [warning] = warnings(caplog)
    assert "'Old/2.0'" in warning and "EIO=3" in warning


def test_a_message_over_the_limit_is_told_with_both_sizes(make_rig: Callable[..., Rig], caplog: pytest.LogCaptureFixture) -> None:
    rig = make_rig(max_http_buffer_size=100)
    _, client = rig.websocket()
    client.send(bytes((0x81, 0x80 | 126)) + (5000).to_bytes(2, "big") + bytes(4))
    rig.driver.settle()
    [warning] = warnings(caplog)
    assert "5000" in warning and "100" in warning and "max_http_buffer_size" in warning


def test_a_post_over_the_limit_is_told_with_both_sizes_and_the_session_lives(
    make_rig: Callable[..., Rig], caplog: pytest.LogCaptureFixture
) -> None:
    rig = make_rig(max_http_buffer_size=100)
    rig.request()
    query = f"EIO=4&transport=polling&sid={rig.connections[0].id}"
    assert rig.request("POST", query, b"4" + b"x" * 200)[0] == 413
    assert rig.request("POST", query, b"4hello")[0] == 200
    [warning] = [text for text in warnings(caplog) if "max_http_buffer_size" in text]
    assert "201" in warning and "100" in warning


def test_a_server_whose_socket_cannot_be_taken_over_is_told_why(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    # the test's environ has a BytesIO where a web server's has its connection
    _, _, body = rig.request()
    assert b'"upgrades":[]' in body
    rig.request()
    [warning] = warnings(caplog)
    assert "BytesIO" in warning


SHARED = {"wsgi.multiprocess": True}


@pytest.mark.parametrize(("transports", "is_told"), [(["polling", "websocket"], True), (["polling"], True), (["websocket"], False)])
def test_several_processes_are_told_where_polling_is_allowed(
    make_rig: Callable[..., Rig], caplog: pytest.LogCaptureFixture, transports: list[str], is_told: bool
) -> None:
    rig = make_rig(transports=transports)
    for _ in range(3):
        rig.websocket(headers=SHARED) if "websocket" in transports else rig.request(headers=SHARED)
    told = [text for text in warnings(caplog) if "several processes" in text]
    assert len(told) == is_told
    assert not told or 'transports=["websocket"]' in told[0]


def test_the_child_of_a_fork_looks_around_anew(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    rig.websocket()
    rig.server.reset()
    rig.websocket(headers=SHARED)
    assert ["several processes" in text for text in warnings(caplog)] == [True]
