"""What the pairs leave out: how a client comes, an emit that has to wait, many namespaces, long upgrades; in many orders."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable

import pytest

from sync_sio.errors import ConnectRefused, Disconnected, SlowConsumer
from sync_sio.sockets.socket import Socket
from sync_sio.testing.interleave import InterleaveDriver, explore

from .world import Client, Refused, WebSocketEnd, World, run

SEEDS = int(os.environ.get("SYNC_SIO_SEEDS", "100"))

Play = Callable[[World], None]


def play_all(play: Play, **options: object) -> None:
    def scenario(driver: InterleaveDriver) -> None:
        run(driver, play, **options)

    scenario.__name__ = getattr(play, "__name__", "play")
    explore(scenario, range(SEEDS))


# --- coming


def come(client: Client, greetings: tuple[str, ...]) -> None:
    """Connect and say all this at once, without waiting for an answer; then poll or read."""
    if client.world.chance() < 0.5:
        client.transport = "websocket"
        try:
            client.ws = WebSocketEnd(client)
        except (Refused, EOFError, ConnectionError):
            client.is_closed = True
            return
        client.ws.start_reading()
        for text in greetings:
            client.send(text)
    else:
        body = client.get()
        if body is None or body[0] != "0":
            client.is_closed = True
            return
        client.take_open(body)
        client.post(*greetings)
        client.go_on()


def eof(world: World, client: Client) -> None:
    client.vanish(reset=world.chance() < 0.5)


def io_close(world: World, client: Client) -> None:
    world.is_closed = True
    world.io.close()


def broadcast(world: World, client: Client) -> None:
    for number in range(2):
        world.io.emit("news", "broadcast", number)


def disconnect_all(world: World, client: Client) -> None:
    for socket in list(world.io.sockets):
        socket.disconnect(close=True)


def nothing(world: World, client: Client) -> None:
    pass


@pytest.mark.parametrize("meanwhile", [eof, io_close, broadcast, disconnect_all, nothing])
def test_a_client_that_talks_before_it_is_answered(meanwhile: Callable[[World, Client], None]) -> None:
    def play(world: World) -> None:
        driver = world.driver
        client = world.client("alice")
        said = [0, 1, 2]
        greetings = ("40", *(f'42["msg","alice",{number}]' for number in said))

        @world.io.on("connection")
        def emit_at_once(socket: Socket) -> None:
            for number in range(3):
                socket.emit("news", "welcome", number)
                driver.point("in the connection handler")

        if world.chance() < 0.5:

            @world.io.use
            def slow(socket: Socket) -> None:
                driver.assert_user_code_may_run()
                driver.sleep(1.0)

        driver.join(
            driver.thread(come, client, greetings, name="comes"),
            driver.thread(meanwhile, world, client, name=meanwhile.__name__),
        )
        driver.sleep(5.0)
        driver.settle()
        may_end = meanwhile in (eof, io_close, disconnect_all)
        heard = world.heard[client.socket_id, "alice"] if client.socket_id else []
        assert heard == (said[: len(heard)] if may_end else said)
        welcome = client.received("welcome")
        assert welcome == ([0, 1, 2][: len(welcome)] if may_end else [0, 1, 2])
        news = client.received("broadcast")
        assert news == [0, 1][len([0, 1]) - len(news) :], "a part of the broadcasts, from some moment on"
        for story in world.story.values():
            assert story[0][0] == "connection"

    play_all(play)


@pytest.mark.parametrize("meanwhile", [eof, io_close, nothing])
def test_a_client_that_is_refused(meanwhile: Callable[[World, Client], None]) -> None:
    def play(world: World) -> None:
        driver = world.driver
        client = world.client("alice")

        @world.io.use
        def refuse(socket: Socket) -> None:
            socket.join("room")
            driver.point("in a middleware")
            raise ConnectRefused("no")

        driver.join(
            driver.thread(come, client, ("40",), name="comes"),
            driver.thread(meanwhile, world, client, name=meanwhile.__name__),
        )
        driver.sleep(5.0)
        driver.settle()
        assert not world.story
        assert not world.io.sockets.sockets
        if meanwhile is nothing:
            assert client.refusals == ["no"]

    play_all(play)


def test_next_and_its_time_out_and_the_end_decide_once() -> None:
    def play(world: World) -> None:
        driver = world.driver
        client = world.client("alice")

        @world.io.use
        def later(socket: Socket, next: Callable[..., None]) -> None:
            def go_on() -> None:
                driver.sleep(10.0)
                next()

            driver.thread(go_on, name="next")

        driver.join(driver.thread(come, client, ("40",), name="comes"))
        if world.chance() < 0.5:
            driver.sleep(10.0)
            client.vanish()
        driver.sleep(30.0)
        if not client.has_vanished:
            assert len(client.refusals) + len(world.story) == 1

    play_all(play, connect_timeout=10.0, ping_interval=100.0)


# --- namespaces


def test_one_namespace_is_left_while_the_other_is_used() -> None:
    def play(world: World) -> None:
        driver, io = world.driver, world.io
        other = io.of("/other")
        others: list[Socket] = []
        ends: list[str] = []

        @other.on("connection")
        def connected(socket: Socket) -> None:
            others.append(socket)
            socket.on("disconnect", lambda reason: ends.append(reason))

        client = world.client("alice")
        client.connect_by_websocket()
        client.send("40/other,")
        driver.settle()
        assert len(others) == 1
        sent: dict[str, list[int]] = {"main": [0, 1, 2]}

        def emit() -> None:
            for number in sent["main"]:
                client.socket.emit("news", "main", number)

        way = int(world.chance() * 3)
        leave = [lambda: others[0].disconnect(), lambda: client.send("41/other,"), lambda: client.socket.conn.close()][way]
        driver.run_all(emit, leave, lambda: io.of("/other").emit("news", "other", 0))
        driver.sleep(3.0)
        assert len(ends) == 1
        client.check_received({**sent, "other": client.received("other")}, may_miss_the_end=way == 2)
        assert not len(other)

    play_all(play)


# --- limits


@pytest.mark.parametrize("ending", ["reads", "never reads", "vanishes"])
def test_emits_wait_for_a_client_that_is_slow(ending: str) -> None:
    def play(world: World) -> None:
        driver = world.driver
        client = world.client("alice", (400, 256))
        if world.chance() < 0.5:
            client.connect_by_polling()
        else:
            client.connect_by_websocket()
        client.hold = True
        sent: dict[str, list[int]] = defaultdict(list)
        outcomes: list[str] = []
        socket = client.socket
        padding = "." * 200

        def emit(sender: str) -> None:
            for number in range(6):
                try:
                    sent[sender].append(number)
                    socket.emit("news", sender, number, padding)
                except SlowConsumer:
                    sent[sender].pop()
                    outcomes.append("slow")
                    return
            outcomes.append("sent")

        senders = [driver.thread(emit, f"emitter-{index}", name=f"emitter-{index}") for index in range(3)]
        driver.settle()
        if ending == "reads":
            client.hold = False
            client.go_on()
        elif ending == "vanishes":
            client.vanish()
        begun = driver.now()
        driver.join(*senders)
        if ending == "vanishes" and client.transport == "websocket":
            assert driver.now() == begun, "the end of a WebSocket is seen at once, and ends every wait for it"
        driver.sleep(3.0)
        client.check_received(sent, may_miss_the_end=ending != "reads")
        if ending == "reads":
            assert outcomes == ["sent"] * 3
        elif ending == "never reads":
            assert "slow" in outcomes
            assert client.sid not in world.io.engine.connections

    play_all(play, max_buffered_bytes=3000, send_timeout=5.0)


def test_what_was_sent_before_a_close_arrives_and_then_the_close() -> None:
    def play(world: World) -> None:
        driver = world.driver
        client = world.client("alice", (400, 256))
        if world.chance() < 0.5:
            client.connect_by_polling()
        else:
            client.connect_by_websocket()
        client.hold = True
        connection = client.socket.conn
        padding = "." * 150
        sent = {"before": list(range(5))}
        others = {"beside": list(range(3))}

        def emit_and_close() -> None:
            for number in sent["before"]:
                client.socket.emit("news", "before", number, padding)
            connection.close()

        def emit_beside() -> None:
            for number in others["beside"]:
                client.socket.emit("news", "beside", number, padding)

        def read() -> None:
            driver.sleep(1.0)
            client.hold = False
            client.go_on()

        begun = driver.now()
        driver.run_all(emit_and_close, emit_beside, read)
        driver.sleep(3.0)
        assert connection.ready_state == "closed", f"{driver.now() - begun} s after close()"
        assert client.received("before") == sent["before"]
        assert client.received("beside") == others["beside"][: len(client.received("beside"))]

    play_all(play)


def test_a_call_inside_a_handler_and_the_end_of_its_client() -> None:
    def play(world: World) -> None:
        driver = world.driver
        client = world.client("alice")
        client.connect_by_websocket()
        answers: list[object] = []
        socket = client.socket

        @socket.on("please ask")
        def ask() -> None:
            try:
                answers.append(socket.call("ask", "call", 7, timeout=None))
            except Disconnected:
                answers.append("gone")

        ends = world.chance() < 0.5
        threads = [driver.thread(client.send, '42["please ask"]', name="asks")]
        if ends:
            threads.append(driver.thread(client.vanish, name="vanishes"))
        driver.join(*threads)
        driver.sleep(3.0)
        assert answers in ([[7]] if not ends else [[7], ["gone"], []])

    play_all(play)


def test_nothing_is_lost_or_reordered_while_a_client_upgrades_and_many_are_emitted() -> None:
    def play(world: World) -> None:
        driver = world.driver
        client = world.client("alice", (400, 256))
        client.connect_by_polling()
        client.go_on()
        socket = client.socket
        sent = {"a": list(range(20)), "b": list(range(20))}

        def emit(sender: str) -> None:
            for number in sent[sender]:
                socket.emit("news", sender, number)
                driver.point("between two emits")

        def upgrade() -> None:
            assert client.probe()
            client.keeps_polling = False
            while client.polls:
                driver.sleep(0.02)
            client.switch()

        said = list(range(5))
        driver.run_all(lambda: emit("a"), lambda: emit("b"), upgrade, lambda: client.send_messages("alice", range(5)))
        driver.sleep(3.0)
        client.check_received(sent, may_miss_the_end=False)
        assert world.heard[client.socket_id, "alice"] == said
        assert socket.conn.transport.name == "websocket"

    play_all(play)
