"""A hub without an engine: connections that remember what was sent, a driver that does one thing at a time, when told."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from sync_sio.config import ServerOptions
from sync_sio.drivers.locks import breaches
from sync_sio.drivers.strand import Strand
from sync_sio.errors import ProtocolError
from sync_sio.protocol.parcel import Parcel
from sync_sio.protocol.socketio.parser import JsonParser
from sync_sio.sockets.hub import Hub
from sync_sio.sockets.socket import Socket
from sync_sio.testing.manual import ManualDriver


class FakeConnection:
    """What the sockets floor sees of an engine connection; `parcels` are what was sent."""

    protocol = 4
    opened_at = 1_700_000_000.25
    remote_address = "192.0.2.7"

    def __init__(self, driver: Any, environ: dict[str, Any] | None = None, sid: str = "engine-id") -> None:
        self.id = sid
        self.driver = driver
        self.lock = driver.lock()
        self.corked = 0
        self.queued = 0
        self.queued_bytes = 0
        self.max_queued_bytes = 1 << 30
        self.is_paused = False
        self.owed_acks = 0
        self.request = environ if environ is not None else {"QUERY_STRING": "EIO=4"}
        self.parcels: list[Parcel] = []
        self.modes: list[str] = []
        self.ready_state = "open"
        self.receiver: Any = None
        self.error: Exception | None = None
        self.is_full = False
        """It takes nothing that is volatile."""
        self.transport = SimpleNamespace(name="websocket")
        self.strand = Strand(self)

    def send_parcel(self, parcel: Parcel, when_full: Any) -> bool:
        if self.ready_state != "open":
            return False
        if self.error is not None and when_full.value == "wait":
            raise self.error
        if self.is_full and when_full.value == "drop":
            return False
        self.parcels.append(parcel)
        self.modes.append(when_full.value)
        return True

    def close(self, reason: str = "forced close", description: object = None) -> None:
        if self.ready_state != "closed":
            self.ready_state = "closed"
            self.receiver.closed(reason, description)

    def close_for(self, reason: str, description: object = None) -> None:
        self.close(reason, description)

    def abort(self, reason: str, description: object = None) -> None:
        self.close(reason, description)

    def wait_for_room(self) -> None:
        if self.error is not None:
            raise self.error

    def uncork(self) -> None: ...

    def on_full(self) -> None: ...

    def on_worked(self) -> None: ...

    def hold(self, size: int) -> None:
        self.queued += 1
        self.queued_bytes += size

    def let_go(self, count: int, size: int) -> None:
        self.queued -= count
        self.queued_bytes -= size

    def owe_ack(self) -> None:
        self.owed_acks += 1

    def settle_ack(self) -> None:
        self.owed_acks -= 1


class Client:
    """The far end: says packets, remembers what it was told."""

    def __init__(self, world: World, environ: dict[str, Any] | None = None) -> None:
        self.world = world
        self.connection = FakeConnection(world.driver, environ)
        self.receiver = world.hub.opened(self.connection)  # type: ignore[arg-type]
        self.connection.receiver = self.receiver
        self._read = 0

    def say(self, *messages: str | bytes) -> None:
        """Send messages (one read), then let everything run."""
        self.say_only(*messages)
        self.world.driver.settle()

    def say_only(self, *messages: str | bytes) -> None:
        """The same without running anything. A protocol error closes the connection, as the engine does."""
        for message in messages:
            try:
                if isinstance(message, str):
                    self.receiver.text(message.encode())
                else:
                    self.receiver.binary(message)
            except ProtocolError as error:
                self.connection.close("forced close", error)

    def said(self) -> list[Any]:
        """Return what was sent to this client since the last call: texts, and attachments as bytes."""
        found: list[Any] = []
        for parcel in self.connection.parcels[self._read :]:
            found += [data if is_binary else data[1:].decode() for is_binary, data in parcel.packets()]
        self._read = len(self.connection.parcels)
        return found

    def join(self, namespace: str = "/", auth: Any = None) -> Socket:
        """Connect to a namespace and return the server's socket."""
        before = set(self.world.hub.of(namespace).sockets)
        prefix = "" if namespace == "/" else namespace + ","
        self.say("0" + prefix + ("" if auth is None else json.dumps(auth)))
        found = self.world.hub.of(namespace).sockets
        (sid,) = found.keys() - before
        self.said()
        return found[sid]

    def drop(self, reason: str = "transport close", description: object = None) -> None:
        self.connection.close(reason, description)
        self.world.driver.settle()

    @property
    def is_open(self) -> bool:
        return self.connection.ready_state == "open"


class World:
    """One hub on one driver: turns run when `settle` is called, or when the test waits."""

    def __init__(self, **options: Any) -> None:
        self.driver = ManualDriver()
        self.io = SimpleNamespace(name="the server")
        self.hub = Hub(self.io, ServerOptions(**options), JsonParser())
        self.main = self.hub.of("/")
        self.clients: list[Client] = []

    def start(self) -> None:
        self.hub.start(self.driver)

    def client(self, **environ: Any) -> Client:
        client = Client(self, {"QUERY_STRING": "EIO=4&transport=websocket", "wsgi.url_scheme": "http", **environ})
        self.clients.append(client)
        return client

    def meanwhile(self, *steps: Callable[[], object]) -> None:
        """Take these steps beside whatever waits then, and let everything happen after each."""

        def play() -> None:
            for step in steps:
                step()
                self.driver.settle()

        self.driver.spawn(play)

    def in_phase_one(self, fn: Callable[[], object]) -> None:
        """Call it where nothing may block; raise what it raises."""
        caught: list[Exception] = []

        def run() -> None:
            try:
                fn()
            except Exception as error:
                caught.append(error)

        self.driver.post(run)
        self.driver.settle()
        for error in caught:
            raise error

    def end(self) -> None:
        """Close all clients and look for what is left."""
        for client in self.clients:
            client.drop()
        self.driver.settle()
        assert self.hub.audit() == []
        assert self.driver.audit() == []
        self.driver.stop(0)
        for client in self.clients:
            assert (client.connection.queued, client.connection.queued_bytes, client.connection.owed_acks) == (0, 0, 0)
        assert breaches == []
