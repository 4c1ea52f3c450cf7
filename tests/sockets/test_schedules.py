"""Races of the sockets floor, through seeded schedules: who joins, leaves, answers, refuses and closes at the same moment."""

from __future__ import annotations

import re
from typing import Any

from sync_sio.config import ServerOptions
from sync_sio.errors import AckTimeout, ConnectRefused, Disconnected, ProtocolError
from sync_sio.protocol.socketio.parser import JsonParser
from sync_sio.sockets.hub import Hub
from sync_sio.sockets.socket import Socket
from sync_sio.testing.interleave import InterleaveDriver, explore

from .fakes import FakeConnection

SEEDS = range(1500)


class Place:
    """A hub on the scheduler's driver, and one client of it."""

    def __init__(self, driver: InterleaveDriver) -> None:
        self.driver = driver
        self.hub = Hub(None, ServerOptions(), JsonParser())
        self.hub.start(driver)
        self.main = self.hub.of("/")
        self.told: list[Any] = []
        self.sockets: list[Socket] = []

        @self.main.on("connection")
        def connected(socket: Socket) -> None:
            driver.assert_user_code_may_run()
            self.sockets.append(socket)
            self.told.append("connection")

        @self.main.event
        def disconnect(socket: Socket, reason: str) -> None:
            driver.assert_user_code_may_run()
            self.told.append(reason)

        self.connection = FakeConnection(driver)
        self.connection.receiver = self.hub.opened(self.connection)  # type: ignore[arg-type]

    def say(self, *messages: str) -> None:
        """Have messages read, each in a round of the loop of its own."""
        for message in messages:
            self.driver.post(self._read, message.encode())

    def _read(self, message: bytes) -> None:
        if self.connection.ready_state == "open":
            try:
                self.connection.receiver.text(message)
            except ProtocolError as error:
                self.connection.close("forced close", error)

    def join(self) -> Socket:
        self.say("0")
        self.driver.settle()
        self.connection.parcels.clear()
        return self.sockets[-1]

    def drop(self) -> None:
        self.connection.close("transport close")

    def said(self) -> list[str]:
        return [(parcel.text or b"").decode() for parcel in self.connection.parcels]

    def end(self) -> None:
        """Nothing is left, and each socket that was connected has been told its end once."""
        self.drop()
        self.driver.settle()
        assert self.hub.audit() == []
        assert self.connection.owed_acks == 0 and self.connection.queued == 0 and self.connection.queued_bytes == 0
        assert not self.driver.timers
        assert self.told.count("connection") == len([each for each in self.told if each != "connection"]) == len(self.sockets)


def test_join_leave_broadcast_and_the_end() -> None:
    def scenario(driver: InterleaveDriver) -> None:
        place = Place(driver)
        socket = place.join()

        def join() -> None:
            socket.join(["a", "b"])
            socket.leave("a")

        def broadcast() -> None:
            place.main.to(["a", "b"]).emit("x")
            place.main.except_("a").emit("y")

        driver.run_all(join, broadcast, place.drop, lambda: socket.rooms)
        driver.settle()
        assert socket.rooms == set()
        place.end()

    explore(scenario, SEEDS)


def test_everybody_disconnects_it_at_once() -> None:
    def scenario(driver: InterleaveDriver) -> None:
        place = Place(driver)
        socket = place.join()
        place.say('2["x"]', "1")
        driver.run_all(socket.disconnect, lambda: socket.disconnect(True), place.drop, place.hub.close)
        driver.settle()
        assert len(place.told) == 2
        place.end()

    explore(scenario, SEEDS)


def test_a_late_next_its_time_out_and_the_clients_end() -> None:
    outcomes: set[str] = set()

    def scenario(driver: InterleaveDriver) -> None:
        place = Place(driver)
        place.main.use(lambda socket, next: driver.thread(decide, next))

        def decide(next: Any) -> None:
            next()
            next(ConnectRefused("too late"))

        def drop() -> None:
            driver.sleep(45)
            place.drop()

        place.say("0", '2["x"]')
        driver.run_all(drop, lambda: driver.stall(45))
        driver.settle()
        said = [each[:1] for each in place.said()]
        assert said in ([], ["0"], ["4"]), said
        assert (said == ["0"]) == (place.told[:1] == ["connection"]) or place.connection.ready_state == "closed"
        outcomes.add(said[0] if said else "gone")
        place.end()

    explore(scenario, SEEDS)
    assert outcomes >= {"0", "4"}, outcomes


def test_events_that_come_while_middleware_runs_keep_their_order() -> None:
    def scenario(driver: InterleaveDriver) -> None:
        place = Place(driver)
        seen: list[int] = []
        place.main.use(lambda socket, next: driver.thread(next))
        place.main.event("x", lambda socket, n: seen.append(n))
        place.say("0", *(f'2["x",{n}]' for n in range(5)))
        driver.settle()
        assert seen == [0, 1, 2, 3, 4]
        place.end()

    explore(scenario, SEEDS)


def test_a_call_its_answer_its_time_out_and_the_end() -> None:
    outcomes: set[str] = set()

    def scenario(driver: InterleaveDriver) -> None:
        place = Place(driver)
        socket = place.join()
        result: list[str] = []

        def call() -> None:
            try:
                result.append(f"answer {socket.call('q', timeout=1.0)}")
            except (AckTimeout, Disconnected) as error:
                result.append(type(error).__name__)

        driver.run_all(call, lambda: place.say("30[5]", "30[6]"), lambda: driver.stall(1.0), place.drop)
        driver.settle()
        assert len(result) == 1 and result[0] in ("answer 5", "answer 6", "AckTimeout", "Disconnected")
        outcomes.add(result[0])
        place.end()

    explore(scenario, SEEDS)
    assert outcomes >= {"answer 5", "AckTimeout", "Disconnected"}, outcomes


def test_an_ack_that_several_threads_call_and_the_end() -> None:
    def scenario(driver: InterleaveDriver) -> None:
        place = Place(driver)
        place.join()
        kept: list[Any] = []

        @place.main.event
        def ask(socket: Socket, ack: Any) -> None:
            kept.append(ack)

        place.say('27["ask"]')
        driver.settle()
        driver.run_all(lambda: kept[0](1), lambda: kept[0](2), place.drop)
        assert len([each for each in place.said() if each.startswith("37")]) <= 1
        place.end()

    explore(scenario, SEEDS)


def test_once_is_once_among_concurrent_events() -> None:
    def scenario(driver: InterleaveDriver) -> None:
        place = Place(driver)
        socket = place.join()
        seen: list[int] = []
        socket.once("x", seen.append)
        socket.on("x", lambda n: None, concurrent=True)
        place.say(*(f'2["x",{n}]' for n in range(3)))
        driver.settle()
        assert len(seen) == 1
        place.end()

    explore(scenario, SEEDS)


def test_connect_and_the_end_of_its_connection() -> None:
    def scenario(driver: InterleaveDriver) -> None:
        place = Place(driver)
        place.say("0", '2["x"]')
        driver.run_all(place.drop, lambda: place.main.emit("x"), place.hub.close)
        driver.settle()
        place.end()

    explore(scenario, SEEDS)


def test_closing_waits_for_the_handlers_of_others() -> None:
    def scenario(driver: InterleaveDriver) -> None:
        place = Place(driver)
        socket = place.join()
        result: list[bool] = []

        @socket.on("stop")
        def stop() -> None:
            place.hub.close()
            result.append(place.hub.wait_until_told(5.0))

        def close() -> None:
            place.hub.close()
            is_done = place.hub.wait_until_told(5.0)
            assert is_done and len(place.told) == 2
            result.append(is_done)

        place.say('2["stop"]')
        driver.run_all(close, place.drop)
        driver.settle()
        assert all(result)
        place.end()

    explore(scenario, SEEDS)


def test_the_connect_timer_and_a_client_that_joins_just_then() -> None:
    def scenario(driver: InterleaveDriver) -> None:
        place = Place(driver)
        driver.thread(lambda: driver.stall(45.0))
        place.say("0")
        driver.settle()
        if place.connection.ready_state == "open":
            assert place.told == ["connection"]
        place.end()

    explore(scenario, SEEDS)


def test_handlers_that_come_and_go_while_events_do() -> None:
    def scenario(driver: InterleaveDriver) -> None:
        place = Place(driver)
        socket = place.join()
        seen: list[str] = []

        def fn() -> None:
            driver.point()
            seen.append("x")

        def change() -> None:
            socket.on("x", fn, concurrent=True)
            socket.off("x", fn)
            socket.on("x", fn)

        place.say('2["x"]', '2["x"]')
        driver.run_all(change, lambda: socket.on("y", fn), lambda: socket.off("y"))
        driver.settle()
        assert socket.listeners("x") == [fn]
        place.end()

    explore(scenario, SEEDS)


def test_a_dynamic_namespace_that_one_leaves_for_good_and_another_may_come_back_to() -> None:
    def scenario(driver: InterleaveDriver) -> None:
        options = ServerOptions(connection_state_recovery=True, cleanup_empty_child_namespaces=True)
        hub = Hub(None, options, JsonParser())
        hub.start(driver)
        hub.of(re.compile("^/room"))
        connections = [FakeConnection(driver) for _ in range(2)]
        for connection in connections:
            connection.receiver = hub.opened(connection)  # type: ignore[arg-type]
            driver.post(connection.receiver.text, b"0/room,")
        driver.settle()
        child = hub.of("/room")
        assert len(child) == 2
        child.emit("noted")
        driver.run_all(lambda: connections[0].close("transport close"), lambda: driver.post(connections[1].receiver.text, b"1/room,"))
        driver.settle()
        assert hub.namespaces.get("/room") is child     # or what it knows of the first would be lost
        driver.sleep(600)
        driver.settle()
        assert "/room" not in hub.namespaces
        assert not driver.timers
        connections[1].close("transport close")
        driver.settle()
        assert hub.audit() == []

    explore(scenario, SEEDS)
