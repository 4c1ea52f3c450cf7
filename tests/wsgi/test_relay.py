"""A connection that is carried through this process, at its end: what has broken, and who does not read."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from sync_sio.drivers.keeping import PlainSocket
from sync_sio.drivers.streams import PlainStream
from sync_sio.drivers.threads import ThreadsDriver
from sync_sio.wsgi import relay
from sync_sio.wsgi.relay import Pump, Relay, pair
from tests.live.servers import wait_for

MUCH = bytes(range(256)) * 8 * 1024


@pytest.fixture
def driver() -> Iterator[ThreadsDriver]:
    driver = ThreadsDriver()
    yield driver
    wait_for(lambda: driver.audit() == [], 10, lambda: str(driver.audit()))
    driver.stop(10)


def pumped(driver: ThreadsDriver) -> tuple[socket.socket, socket.socket, Pump]:
    """Return what a client and an owner have in their hands, and what is between them."""
    client, one = socket.socketpair()
    owner, other = socket.socketpair()
    pump = Pump(driver, *(PlainStream(PlainSocket(fileno=end.detach())) for end in (one, other)))
    pump.start()
    client.settimeout(10)
    owner.settimeout(10)
    return client, owner, pump


def read_all(end: socket.socket) -> bytes:
    data = bytearray()
    while piece := end.recv(1 << 16):
        data += piece
    return bytes(data)


def send_until_full(end: socket.socket, pump: Pump) -> bytes:
    """Send until nothing more is taken, as the other end does not read."""
    end.setblocking(False)
    sent = 0

    def is_full() -> bool:
        nonlocal sent
        try:
            while True:
                sent += end.send(MUCH[sent:])
        except BlockingIOError:
            return pump._sides[1]._is_away
        finally:
            assert sent < len(MUCH)

    wait_for(is_full, 10)
    return MUCH[:sent]


def test_what_was_said_before_it_broke_arrives_and_is_not_looked_at_meanwhile(driver: ThreadsDriver) -> None:
    client, owner, pump = pumped(driver)
    with client, owner:
        said = send_until_full(owner, pump)
        owner.close()
        wait_for(lambda: pump._sides[1]._is_released, 10)
        assert read_all(client) == said


def test_who_breaks_while_the_other_one_does_not_read_is_let_go_when_something_is_for_it(driver: ThreadsDriver) -> None:
    client, owner, pump = pumped(driver)
    with client, owner:
        send_until_full(owner, pump)
        owner.close()
        wait_for(lambda: pump._sides[1]._is_released, 10)
        client.sendall(b"for nobody")
        wait_for(lambda: pump._sides[1]._is_over, 10)
        read_all(client)


def test_who_takes_nothing_of_the_last_bytes_is_not_waited_for_without_end(
    driver: ThreadsDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "PATIENCE", 0.2)
    client, owner, _ = pumped(driver)
    with client, owner:
        owner.sendall(MUCH[: relay.MANY])
        owner.close()
        wait_for(lambda: driver.audit() == [], 10, lambda: str(driver.audit()))
        assert len(read_all(client)) < relay.MANY


def test_an_answer_is_whole_or_none(driver: ThreadsDriver) -> None:
    whole = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\nX-Mine: a\r\n\r\nok"
    for said, answer in (
        (whole, (200, [("Content-Length", "2"), ("X-Mine", "a")], b"ok")),
        (whole[:-1], None),
        (whole[:30], None),
        (b"", None),
    ):  # fmt: skip
        near, far = pair()
        waiting = Relay(driver, near)
        if said:
            far.send(said)
        far.close()
        assert waiting.wait(10) == answer


def test_who_stands_still_is_not_waited_for(driver: ThreadsDriver) -> None:
    near, far = pair()
    assert Relay(driver, near).wait(0.01) is None
    wait_for(lambda: far.recv(1) == b"")
    far.close()
