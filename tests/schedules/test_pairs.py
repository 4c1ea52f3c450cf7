"""Each two things that can happen to a connection, at once, in many orders.

The number of schedules per pair is SYNC_SIO_SEEDS, for instance

    SYNC_SIO_SEEDS=3000 python -m pytest tests/schedules/test_pairs.py -k "emit and probe"

A failure names its seed; `python -m tests.schedules.test_pairs "emit" "probe" 1234` runs that schedule alone.
"""

from __future__ import annotations

import os
import sys
from collections import defaultdict
from collections.abc import Callable
from itertools import combinations_with_replacement
from typing import Any

import pytest

from sync_sio.errors import Disconnected
from sync_sio.testing.interleave import InterleaveDriver, explore, replay

from .world import PING_INTERVAL, PING_TIMEOUT, Client, World, run

SEEDS = int(os.environ.get("SYNC_SIO_SEEDS", "100"))

POLLING = "polling"
WAITING = "polling, a GET waits"
PROBED = "polling, an upgrade was probed"
WEBSOCKET = "websocket"
GROUNDS = (POLLING, WAITING, PROBED, WEBSOCKET)


class Scene:
    """One pair in one schedule: a client in a certain state, what is sent to it, what happens to it."""

    def __init__(self, world: World, pair: tuple[str, str], ground: str) -> None:
        self.world = world
        self.pair = pair
        self.observer: Client | None = None
        self.has_stalled = False
        self.driver = world.driver
        self.chance = world.chance
        self.ground = ground
        self.client = world.client("alice", (self.pick(400, 4096), 256))
        self.sent: dict[str, list[int]] = defaultdict(list)
        """By sender: the numbers that were sent to the client, in order."""
        self.said: dict[str, list[int]] = defaultdict(list)
        """By sender: what the client has sent in `msg` events."""
        self.broadcast: dict[str, list[int]] = defaultdict(list)
        self.calls: list[object] = []
        self.senders = 0
        self.padding = "." * self.pick(0, 150)
        """Makes some packets large, so that they do not fit into what the client's kernel takes."""

    def pick(self, *choices: Any) -> Any:
        return choices[int(self.chance() * len(choices))]

    def sender(self, kind: str) -> str:
        self.senders += 1
        return f"{kind}-{self.senders}"

    def set_up(self) -> None:
        client = self.client
        if self.ground == WEBSOCKET:
            client.connect_by_websocket()
            return
        client.connect_by_polling()
        if self.ground == WAITING:
            client.poll_in_background()
        elif self.ground == PROBED:
            if "GET arrives" not in self.pair and self.chance() < 0.5:
                client.poll_in_background()
            assert client.probe()
        self.driver.settle()


# --- what can happen


def emit(scene: Scene) -> None:
    """Somebody emits to the client."""
    socket, sender = scene.client.socket, scene.sender("emit")
    for number in range(3):
        scene.sent[sender].append(number)
        socket.emit("news", sender, number, scene.padding)


def broadcast(scene: Scene) -> None:
    """Somebody emits to everybody, and to a room."""
    io, sender = scene.world.io, scene.sender("broadcast")
    for number in range(3):
        scene.sent[sender].append(number)
        if number == 1:
            io.to([scene.client.socket_id, "nobody"]).emit("news", sender, number)
        else:
            scene.broadcast[sender].append(number)
            io.emit("news", sender, number, scene.padding)


def get_arrives(scene: Scene) -> None:
    """The client polls."""
    scene.client.poll_on()


def get_answered(scene: Scene) -> None:
    """The GET that waits is answered."""
    sender = scene.sender("answer")
    scene.sent[sender].append(0)
    scene.client.socket.emit("news", sender, 0)


def post(scene: Scene) -> None:
    """The client posts two events, and asks for an acknowledgement of the second."""
    client, sender = scene.client, scene.sender("post")
    if "call" in scene.pair or "call everybody" in scene.pair:      # which it answers with a POST too, one after the other
        client.send_messages(sender, range(2))
        scene.said[sender] += [0, 1]
    elif client.post(f'42["msg","{sender}",0]', f'4217["msg","{sender}",1]'):
        scene.said[sender] += [0, 1]


def probe(scene: Scene) -> None:
    """The client opens a WebSocket beside its polling, and probes it."""
    scene.client.probe()


def upgrade_packet(scene: Scene) -> None:
    """The client switches to the WebSocket that it has probed."""
    scene.client.switch()


def eof(scene: Scene) -> None:
    """The client is gone."""
    scene.client.vanish(reset=scene.chance() < 0.5)


def ping_timeout(scene: Scene) -> None:
    """The client answers no ping any more, and time passes."""
    scene.client.is_mute = True
    if scene.chance() < 0.5:
        scene.has_stalled = True
        scene.driver.stall(PING_INTERVAL + 2 * PING_TIMEOUT + 1)
    else:
        scene.driver.sleep(PING_INTERVAL + 2 * PING_TIMEOUT + 1)


def disconnect(scene: Scene) -> None:
    """One side takes leave, in one of the ways that there are."""
    client = scene.client
    way = scene.pick("server", "server, connection", "client", "client, connection", "client, out of place", "engine")
    if way == "server":
        client.socket.disconnect()
    elif way == "server, connection":
        client.socket.disconnect(close=True)
    elif way == "client":
        client.is_left = True
        client.send("41")
    elif way == "client, connection":
        client.is_left = True
        client.send("1")
    elif way == "client, out of place":
        client.is_left = True
        client.send("43/nowhere,1[]")
    else:
        client.socket.conn.close()


def io_close(scene: Scene) -> None:
    """The server is closed."""
    world = scene.world
    world.is_closed = True
    begun = scene.driver.now()
    world.io.close(timeout=2.0)
    if scene.pair.count("io.close") == 1 and scene.driver.now() < begun + 2.0:
        for sid, story in world.story.items():
            assert story[-1][0] == "disconnect", f"close() has returned, and the handlers of {sid} have not: {story}"


def join(scene: Scene) -> None:
    """Somebody puts the client into rooms, takes it out of one, and emits to the other."""
    socket, sender = scene.client.socket, scene.sender("join")
    left, kept = f"left by {sender}", f"kept by {sender}"
    socket.join([left, kept])
    socket.leave(left)
    scene.sent[sender].append(0)
    scene.world.io.to(left).emit("news", sender, -1)
    scene.world.io.to(kept).emit("news", sender, 0)


def call(scene: Scene) -> None:
    """Somebody asks the client, and waits for as long as it takes."""
    sender = scene.sender("call")
    for number in range(2):
        scene.sent[sender].append(number)
        try:
            answer = scene.client.socket.call("ask", sender, number, timeout=None)
        except Disconnected:
            scene.calls.append("gone")
            return
        assert answer == number, answer
        scene.calls.append("answered")


def call_everybody(scene: Scene) -> None:
    """Somebody asks all clients, and waits for those who are there."""
    io, sender = scene.world.io, scene.sender("call everybody")
    for number in range(2):
        scene.sent[sender].append(number)
        scene.broadcast[sender].append(number)
        answers = io.call("ask", sender, number, timeout=None)
        assert set(answers) <= {number} and len(answers) <= len(scene.world.clients), answers


Action = Callable[[Scene], None]

ACTIONS: dict[str, Action] = {
    "emit": emit,
    "broadcast": broadcast,
    "GET arrives": get_arrives,
    "GET answered": get_answered,
    "POST": post,
    "probe": probe,
    "upgrade packet": upgrade_packet,
    "EOF": eof,
    "ping timeout": ping_timeout,
    "disconnect": disconnect,
    "io.close": io_close,
    "join": join,
    "call": call,
    "call everybody": call_everybody,
}
PAIRS = list(combinations_with_replacement(ACTIONS, 2))

ENDS = {"EOF", "ping timeout", "disconnect", "io.close"}
"""After these the client is gone; what was under way may be lost."""
OVERLAPS = {("GET arrives", "GET arrives"), ("GET arrives", "GET answered"), ("POST", "POST"), ("POST", "upgrade packet")}
"""No client does this, and the server ends the connection when it sees it; or it does not see it, and nothing may be lost."""
NEEDS = {
    "GET arrives": (POLLING, PROBED),
    "GET answered": (WAITING,),
    "POST": (POLLING, WAITING, PROBED),
    "probe": (POLLING, WAITING),
    "upgrade packet": (PROBED,),
}


def grounds(pair: tuple[str, str]) -> list[str]:
    """In which states of the client a pair can happen."""
    if set(pair) == {"GET arrives", "GET answered"}:
        return [WAITING]
    fitting = [ground for ground in GROUNDS if all(ground in NEEDS.get(name, GROUNDS) for name in pair)]
    if fitting:
        return fitting
    # a probe and an upgrade packet, an answered GET and an upgrade packet: the state of the one that needs more
    return [PROBED] if "upgrade packet" in pair else [WAITING]


def scenario_of(pair: tuple[str, str]) -> Callable[[InterleaveDriver], None]:
    def scenario(driver: InterleaveDriver) -> None:
        run(driver, lambda world: play(world, pair))

    scenario.__name__ = " and ".join(pair)
    return scenario


def play(world: World, pair: tuple[str, str]) -> None:
    driver = world.driver
    choices = grounds(pair)
    scene = Scene(world, pair, choices[int(world.chance() * len(choices))])
    may_end = bool(ENDS & set(pair)) or pair in OVERLAPS
    if world.chance() < 0.5:
        scene.observer = world.client("bob")
        scene.observer.connect_by_websocket()
    scene.set_up()
    client = scene.client
    begun = [driver.thread(ACTIONS[name], scene, name=name) for name in pair]
    driver.settle()
    # what any client does then: it goes on
    if client.candidate is not None and client.transport == "polling" and world.chance() < 0.5 and not client.has_vanished:
        client.keeps_polling = False
        while client.polls and not client.is_closed and not may_end:
            driver.sleep(0.05)
        if not client.polls:
            client.switch()
    client.go_on()
    driver.join(*[task for name, task in zip(pair, begun, strict=False) if name not in ("GET arrives",)])
    driver.sleep(3.0)
    driver.settle()
    check(scene, may_end)
    if "ping timeout" in pair:
        driver.sleep(PING_INTERVAL + PING_TIMEOUT * 2)
        assert client.sid not in world.io.engine.connections, "the ping has not timed out"


def check(scene: Scene, may_end: bool) -> None:
    world, client = scene.world, scene.client
    assert not world.is_closed or not world.io.engine.connections, f"left after close(): {world.io.engine.connections}"
    client.check_received(scene.sent, may_miss_the_end=may_end)
    if scene.observer is not None:
        # it has no part in all this; but if time has passed over its head, it could not answer the ping
        scene.observer.check_received(scene.broadcast, may_miss_the_end=world.is_closed or scene.has_stalled)
    for sender, numbers in scene.said.items():
        heard = world.heard[client.socket_id, sender]
        assert heard == (numbers[: len(heard)] if may_end else numbers), f"handlers saw {heard} of {numbers}"
    if may_end:
        return
    assert client.sid in world.io.engine.connections, "the connection has ended without a reason"
    assert client.socket.connected
    assert "gone" not in scene.calls


@pytest.mark.parametrize("pair", PAIRS, ids=[" and ".join(pair) for pair in PAIRS])
def test_pair(pair: tuple[str, str]) -> None:
    explore(scenario_of(pair), range(SEEDS))


if __name__ == "__main__":
    replay(scenario_of((sys.argv[1], sys.argv[2])), int(sys.argv[3]))
