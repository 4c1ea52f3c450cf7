"""What clients may not say, and what becomes of them: the connection is closed, and the others never notice."""

from __future__ import annotations

from typing import Any

import pytest

from sync_sio.errors import ProtocolError
from sync_sio.sockets.socket import Socket

from .fakes import World

BROKEN = [
    "", "9", "x", "0[]", '0"x"', "0null", "1{}", '1"x"', "2{}", "2[]", "2[null]", "2[true]", "2[{}]", '2["connect"]', '2["disconnect","x"]',
    '2["disconnecting"]', '2["connect_error"]', '2["newListener"]', '2["removeListener"]', "3{}", '2["x"', "2abc[]", '2-1["x"]',
    '21.5["x"]', "5", "51", "5a-", "51.23-", "5-", "5-1-", '50-["x"]', '511-["x"]',
]  # fmt: skip


def listen(world: World) -> list[Any]:
    seen: list[Any] = []

    @world.main.on("connection")
    def connected(socket: Socket) -> None:
        socket.on("error", lambda error: seen.append(("error", isinstance(error, ProtocolError), socket.connected)))
        socket.on("disconnect", lambda reason: seen.append(reason))

    return seen


@pytest.mark.parametrize("message", BROKEN)
def test_what_cannot_be_decoded_fires_error_and_closes(world: World, message: str) -> None:
    seen = listen(world)
    world.hub.of("/chat").event("error", lambda socket, error: seen.append("chat"))
    client, bystander = world.client(), world.client()
    client.join()
    client.join("/chat")
    bystander.join()
    client.say(message)
    assert not client.is_open and bystander.is_open
    assert sorted(map(str, seen)) == sorted(["('error', True, False)", "chat", "forced close"])
    assert seen.index("forced close") > seen.index(("error", True, False))


def test_binary_without_a_packet_and_text_instead_of_binary_close(world: World) -> None:
    seen = listen(world)
    one, two, three = world.client(), world.client(), world.client()
    for client in (one, two, three):
        client.join()
    one.say(b"stray")
    two.say('51-["x",{"_placeholder":true,"num":0}]', '2["y"]')
    three.say('51-["x",{"_placeholder":true,"num":1}]', b"data")
    assert not one.is_open and not two.is_open and not three.is_open
    assert seen.count("forced close") == 3 and len(seen) == 6


@pytest.mark.parametrize(
    "message", ["0", "0{}", '2/chat,["x"]', "3/chat,0[]", "1/chat,", '2/nope,["x"]', '4{"message":"x"}', '4"x"']
)
def test_what_is_out_of_place_closes_without_an_error_event(world: World, message: str) -> None:
    seen = listen(world)
    world.hub.of("/chat")
    client = world.client()
    client.join()
    client.say(message)
    assert not client.is_open and seen == ["forced close"]


@pytest.mark.parametrize("message", ['2["x"]', "30[]", "1", '20["x"]'])
def test_nothing_may_come_before_connect(world: World, message: str) -> None:
    client = world.client()
    client.say(message)
    assert not client.is_open


@pytest.mark.parametrize("message", ['2["x"]', "30[]", "1"])
@pytest.mark.parametrize("who", ["client", "server"])
def test_nothing_may_come_after_disconnect(world: World, message: str, who: str) -> None:
    client = world.client()
    socket = client.join()
    if who == "client":
        client.say("1")
    else:
        socket.disconnect()
    client.say(message)
    assert not client.is_open


def test_a_second_connect_while_the_first_is_pending_closes(world: World) -> None:
    world.main.use(lambda socket, next: None)
    client = world.client()
    client.say("0")
    client.say("0")
    assert not client.is_open


def test_sizes_are_counted_with_attachments_and_given_back(world: World) -> None:
    seen: list[Any] = []
    client = world.client()
    client.join().on("x", lambda *args: seen.append((client.connection.queued, client.connection.queued_bytes)))
    text = '52-["x",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]'
    client.say(text, b"12345", b"678")
    assert seen == [(1, len(text) + 8)] and client.connection.queued_bytes == 0


def test_events_that_wait_for_middleware_count_too(world: World) -> None:
    later: list[Any] = []
    world.main.use(lambda socket, next: later.append(next))
    client = world.client()
    client.say("0", '2["hello"]')
    assert (client.connection.queued, client.connection.queued_bytes) == (1, 10)
    later[0]()
    world.driver.settle()
    assert (client.connection.queued, client.connection.queued_bytes) == (0, 0)


def test_a_connection_that_closes_while_its_connect_is_read_leaves_nothing(world: World) -> None:
    client = world.client()
    client.receiver.closed("transport close", None)
    client.receiver.text(b"0")
    world.driver.settle()
    assert client.said() == [] and world.hub.audit() == []
