"""The operations that are counted: how each is made ready, what is run, and for how many messages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from .house import FIRST_FD, FakeStream, House, frame, poll_of
from .rounds import GreenletsRounds, ThreadsRounds

CLIENTS = 50
SPEAKERS = 10
"""Clients that have said something when a round begins."""
TEXT = "abcdefghijklmnopqrstuvwxyz012345"
ECHO = frame(b'421["echo","%s"]' % TEXT.encode())
ECHO_DICT = frame(b'421["echo",{"user":"ada","text":"%s","at":1700000000}]' % TEXT.encode())
ECHO_BINARY = frame(b'451-1["echo",{"_placeholder":true,"num":0}]') + frame(bytes(1024), 0x82)
TEN = frame(b'42["ten","%s"]' % TEXT.encode())
TELL_ALL = frame(b'42["tell all","%s"]' % TEXT.encode())
NOTE = b'42["note","%s"]' % TEXT.encode()


@dataclass(frozen=True)
class Operation:
    """Something that is done `messages` times in each `run`; `prepare` comes before each, and is not counted.

    `streams` are those of which reads and writes are counted; empty: it has none.
    """

    name: str
    streams: list[FakeStream]
    messages: int
    prepare: Callable[[], object]
    run: Callable[[], object]


def all_operations() -> Iterator[Operation]:
    """Make the operations one after the other, each when the one before was counted."""
    house = House(ThreadsRounds())
    house.connect(CLIENTS)
    yield from spoken("threads", house)
    yield from emitted("threads", house)
    yield slow(house)
    yield from polled()
    yield connects()
    house = House(GreenletsRounds())
    house.connect(CLIENTS)
    yield from spoken("gevent", house)


def spoken(runtime: str, house: House) -> Iterator[Operation]:
    """What clients say over WebSocket, each in one read; ten of them are ready in one round."""
    speakers = house.streams[:SPEAKERS]

    def said(name: str, data: bytes, messages: int = 1) -> Operation:
        def prepare() -> None:
            for stream in speakers:
                house.say(stream, data)

        return Operation(f"{runtime}:{name}", speakers, SPEAKERS * messages, prepare, house.step)

    yield said("echo", ECHO)
    yield said("echo-dict", ECHO_DICT)
    yield said("echo-sixteen", ECHO * 16, 16)
    yield said("echo-binary", ECHO_BINARY)
    yield said("emit-ten", TEN)
    yield said("pong", frame(b"3"))

    def told() -> None:
        house.say(house.streams[0], TELL_ALL)

    yield Operation(f"{runtime}:broadcast-told", house.streams, CLIENTS, told, house.step)

    def ask() -> None:
        for stream, socket in zip(speakers, house.sockets, strict=False):
            socket.emit("ask", TEXT, ack=lambda answer: None)
            packet = bytes(stream.sent[-1])[2:]
            house.say(stream, frame(b"43" + packet[2 : packet.index(b"[")] + b'["yes"]'))

    yield Operation(f"{runtime}:acknowledged", speakers, SPEAKERS, ask, house.step)


def emitted(runtime: str, house: House) -> Iterator[Operation]:
    """What the server says from outside of all turns."""

    def emit() -> None:
        for socket in house.sockets:
            socket.emit("tick", TEXT)

    def broadcast() -> None:
        house.io.emit("tick", TEXT)

    yield Operation(f"{runtime}:emit", house.streams, CLIENTS, nothing, emit)
    yield Operation(f"{runtime}:broadcast", house.streams, CLIENTS, nothing, broadcast)


def slow(house: House) -> Operation:
    """Emits to clients that take nothing any more. The last operation of a house."""
    for stream in house.streams:
        stream.is_full = True
    for socket in house.sockets:
        socket.emit("tick", TEXT)           # the one that finds it out

    def emit() -> None:
        for socket in house.sockets:
            socket.emit("tick", TEXT)

    return Operation("threads:emit-full", house.streams, CLIENTS, nothing, emit)


def polled() -> Iterator[Operation]:
    """A client that polls: its POST of one event until the handler has had it, and its GET that takes an answer."""
    house = House(ThreadsRounds(), allow_upgrades=False)
    sid = house.connect_polling()
    requests = [house.environ("POST", poll_of(sid), NOTE)]

    def prepare_post() -> None:
        requests[:] = [house.environ("POST", poll_of(sid), NOTE)]

    def run() -> None:
        house.answer(requests[0])
        house.step()

    yield Operation("threads:poll-post", [], 1, prepare_post, run)

    def prepare_get() -> None:
        house.sockets[0].emit("tick", TEXT)
        requests[:] = [house.environ("GET", poll_of(sid))]

    yield Operation("threads:poll-get", [], 1, prepare_get, run)


def connects() -> Operation:
    """A new WebSocket client, from its request until its connection handler has run."""
    house = House(ThreadsRounds())
    house.connect(1)
    streams: list[FakeStream] = []

    def prepare() -> None:
        streams[:] = [FakeStream(FIRST_FD + len(house.sockets))]

    return Operation("threads:connect", streams, 1, prepare, lambda: house.hand_over(streams[0]))


def nothing() -> None: ...
