"""Who is pinged when, who is given up, and who is not although no pong came."""

from __future__ import annotations

from collections.abc import Callable

from .conftest import Rig, frame, frames


def test_a_client_is_pinged_an_interval_after_it_came_and_after_each_pong(rig: Rig) -> None:
    _, client = rig.websocket()
    client.recv()
    rig.driver.advance(24.9)
    assert client.recv() is None
    rig.driver.advance(0.2)
    assert client.recv() == b"\x81\x012"
    client.send(frame(b"3"))
    rig.driver.advance(24.9)
    assert client.recv() is None
    rig.driver.advance(0.3)
    assert client.recv() == b"\x81\x012"


def test_who_does_not_answer_is_closed_an_interval_and_a_timeout_after_it_came(rig: Rig) -> None:
    _, client = rig.websocket()
    rig.driver.advance(44.9)
    assert rig.closed == []
    rig.driver.advance(0.2)
    assert rig.closed == [("ping timeout", None)]
    assert frames(client.recv() or b"")[-1][0] == 8


def test_a_client_that_polls_is_closed_too_though_no_get_waits(rig: Rig) -> None:
    rig.request()
    rig.driver.advance(45.1)
    assert rig.closed == [("ping timeout", None)]


def test_another_packet_extends_the_time_for_the_pong_once(rig: Rig) -> None:
    _, client = rig.websocket()
    rig.driver.advance(26)
    client.send(frame(b"4hello"))
    rig.driver.advance(38.9)
    assert rig.closed == []
    rig.driver.advance(0.5)
    assert [reason for reason, _ in rig.closed] == ["ping timeout"]


def test_a_pong_that_lies_in_the_kernel_when_the_time_is_over_counts(rig: Rig) -> None:
    connection, client = rig.websocket()
    rig.driver.advance(44.9)
    # the process stands still: the loop does not read, but time goes on
    watched = connection.direct
    assert watched is not None
    rig.driver.set_interest(watched, False, False)  # type: ignore[arg-type]
    client.send(frame(b"3"))
    rig.driver.advance(1)
    rig.driver.set_interest(watched, True, False)  # type: ignore[arg-type]
    rig.driver.settle()
    assert rig.closed == [] and connection.ready_state == "open"


def test_a_process_that_stood_still_gives_its_clients_time_to_answer(rig: Rig) -> None:
    connection, client = rig.websocket()
    tick_of_the_past = rig.driver.now()
    rig.driver.settle()
    assert rig.driver.now() == tick_of_the_past
    rig.driver.advance(25.1)
    client.send(frame(b"3"))
    rig.driver.advance(300)     # answered once, then never again
    assert [reason for reason, _ in rig.closed] == ["ping timeout"]
    assert connection.ready_state == "closed"


def test_a_client_that_is_not_read_is_not_judged(rig: Rig) -> None:
    connection, _ = rig.websocket()
    with connection.lock:
        connection.is_paused = True
    rig.driver.advance(300)
    assert rig.closed == []
    with connection.lock:
        connection.is_paused = False
    rig.driver.advance(60)
    assert [reason for reason, _ in rig.closed] == ["ping timeout"]


def test_the_last_client_takes_the_timer_along(rig: Rig) -> None:
    connection, _ = rig.websocket()
    connection.close()
    rig.driver.advance(3)
    assert rig.server.audit() == []


def test_a_short_interval_is_kept_to_the_millisecond(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(ping_interval=0.3, ping_timeout=0.2)
    rig.request()
    rig.driver.advance(0.499)
    assert rig.closed == []
    rig.driver.advance(0.002)
    assert rig.closed == [("ping timeout", None)]


def test_a_thousand_clients_are_pinged_in_few_ticks(rig: Rig) -> None:
    clients = []
    for _ in range(1000):
        clients.append(rig.websocket()[1])
        rig.driver.advance(0.001)
    ticks = 0
    tick = rig.server.heartbeat._tick

    def counted() -> None:
        nonlocal ticks
        ticks += 1
        tick()

    rig.server.heartbeat._tick = counted  # type: ignore[method-assign]
    rig.driver.advance(26)
    assert all((client.recv() or b"").endswith(b"\x81\x012") for client in clients)
    assert ticks <= 6
