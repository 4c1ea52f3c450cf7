"""Races of questions to many, through seeded schedules: answers, clients and servers that leave, time-outs, the end, all at once."""

from __future__ import annotations

from typing import Any

from sync_sio.config import ServerOptions
from sync_sio.errors import AckTimeout, ProtocolError
from sync_sio.protocol.socketio.parser import JsonParser
from sync_sio.sockets.hub import Hub
from sync_sio.testing.interleave import InterleaveDriver, explore

from .bus import Bus, BusAdapter
from .fakes import FakeConnection

SEEDS = range(1000)


class Crowd:
    """A hub on the scheduler's driver, with clients that answer when told."""

    def __init__(self, driver: InterleaveDriver, clients: int, adapter: BusAdapter | None = None) -> None:
        self.driver = driver
        self.hub = Hub(None, ServerOptions(), JsonParser())
        if adapter is not None:
            self.hub.set_adapter(adapter)
        self.hub.start(driver)
        self.main = self.hub.of("/")
        self.connections = [FakeConnection(driver) for _ in range(clients)]
        for connection in self.connections:
            connection.receiver = self.hub.opened(connection)  # type: ignore[arg-type]
            driver.post(self._read, connection, b"0")
        driver.settle()
        for connection in self.connections:
            connection.parcels.clear()
        self.told: list[tuple[Any, list[Any]]] = []

    def _read(self, connection: FakeConnection, message: bytes) -> None:
        if connection.ready_state == "open":
            try:
                connection.receiver.text(message)
            except ProtocolError as error:
                connection.close("forced close", error)

    def answer(self, number: int, ack: int = 0) -> None:
        """Have this client answer what it was asked, as soon as it was; twice, as nobody would."""
        connection = self.connections[number]
        while not connection.parcels and connection.ready_state == "open" and len(self.main):
            self.driver.sleep(0.01)
        for _ in range(2):
            self.driver.post(self._read, connection, b"3%d[%d]" % (ack, number))

    def drop(self, number: int) -> None:
        self.connections[number].close("transport close")

    def tell(self, error: Any, responses: list[Any]) -> None:
        self.driver.assert_user_code_may_run()
        self.told.append((error, list(responses)))

    def end(self) -> None:
        """Nothing is left."""
        for number in range(len(self.connections)):
            self.drop(number)
        self.driver.settle()
        assert self.hub.audit() == []
        assert [connection.owed_acks for connection in self.connections] == [0] * len(self.connections)
        assert self.hub.site.cluster is None or self.hub.site.cluster._inquiries == {}


def check_responses(responses: list[Any], allowed: set[int]) -> None:
    assert len(responses) == len(set(responses)) and set(responses) <= allowed, responses


def test_a_callback_among_answers_leavers_and_its_time_out() -> None:
    outcomes: set[str] = set()

    def scenario(driver: InterleaveDriver) -> None:
        crowd = Crowd(driver, 3)
        driver.run_all(
            lambda: crowd.main.timeout(1.0).emit("q", ack=crowd.tell),
            lambda: crowd.answer(0),
            lambda: crowd.answer(1),
            lambda: crowd.drop(2),
            lambda: driver.stall(1.0),
        )
        driver.sleep(2.0)
        driver.settle()
        ((error, responses),) = crowd.told
        check_responses(responses, {0, 1})
        if error is None:
            assert len(responses) == 2
        else:
            assert isinstance(error, AckTimeout) and error.responses == responses
        outcomes.add(type(error).__name__)
        assert not driver.timers
        crowd.end()
        assert len(crowd.told) == 1

    explore(scenario, SEEDS)
    assert outcomes == {"NoneType", "AckTimeout"}, outcomes


def test_a_call_among_answers_leavers_and_its_time_out() -> None:
    outcomes: set[str] = set()

    def scenario(driver: InterleaveDriver) -> None:
        crowd = Crowd(driver, 3)

        def call() -> None:
            try:
                responses, name = crowd.main.call("q", timeout=1.0), "answered"
                assert {1} <= set(responses)
            except AckTimeout as error:
                responses, name = error.responses, "AckTimeout"
            check_responses(responses, {0, 1})
            outcomes.add(name)

        driver.run_all(
            call,
            lambda: (crowd.answer(0), crowd.drop(0)),
            lambda: crowd.answer(1),
            lambda: crowd.drop(2),
            lambda: driver.stall(1.0),
        )
        driver.settle()
        assert not driver.timers
        crowd.end()

    explore(scenario, SEEDS)
    assert outcomes == {"answered", "AckTimeout"}, outcomes


def test_volatile_questions_to_clients_that_fill_up_and_close() -> None:
    def scenario(driver: InterleaveDriver) -> None:
        crowd = Crowd(driver, 3)
        crowd.connections[0].is_full = driver.schedule.chance() < 0.5

        def close() -> None:
            crowd.connections[1].ready_state = "closing"
            driver.point()
            crowd.connections[1].ready_state = "open"
            crowd.drop(1)

        driver.run_all(
            lambda: crowd.main.volatile.emit("q", ack=crowd.tell),
            close,
            lambda: setattr(crowd.connections[0], "is_full", True),
            lambda: (driver.sleep(0.1), crowd.drop(0)),
            lambda: (driver.sleep(0.1), crowd.drop(2)),
        )
        driver.settle()
        assert crowd.told == [(None, [])]
        assert not driver.timers
        crowd.end()

    explore(scenario, SEEDS)


def test_many_questions_at_once_and_the_end_of_the_server() -> None:
    def scenario(driver: InterleaveDriver) -> None:
        crowd = Crowd(driver, 2)
        socket = next(iter(crowd.main))
        alone: list[Any] = []
        driver.run_all(
            lambda: crowd.main.emit("q", ack=crowd.tell),
            lambda: crowd.main.timeout(0).emit("q", ack=crowd.tell),
            lambda: socket.broadcast.emit("q", ack=crowd.tell),
            lambda: socket.timeout(0.5).emit("q", ack=lambda *args: alone.append(args)),
            lambda: crowd.answer(1, int(driver.schedule.chance() * 4)),
            crowd.hub.close,
        )
        driver.sleep(1.0)
        driver.settle()
        assert len(crowd.told) == 3
        assert len(alone) == 1
        for _, responses in crowd.told:
            check_responses(responses, {1})
        crowd.end()
        assert not driver.timers

    explore(scenario, SEEDS)


def test_timed_questions_to_one_client_that_leaves_or_has_answered() -> None:
    def scenario(driver: InterleaveDriver) -> None:
        crowd = Crowd(driver, 2)
        one, other = crowd.main
        told: list[Any] = []
        driver.run_all(
            lambda: one.timeout(50.0).emit("q", ack=lambda *args: told.append(args)),
            lambda: other.timeout(50.0).emit("q", ack=lambda *args: told.append(args)),
            lambda: crowd.drop(0),
            lambda: crowd.answer(1, int(driver.schedule.chance() * 2)),
        )
        crowd.drop(1)
        driver.settle()
        assert len(told) == 2
        assert not driver.timers        # not even one that would find nothing to do in 50 s
        crowd.end()

    explore(scenario, SEEDS)


def test_fetching_and_moving_clients_that_leave() -> None:
    def scenario(driver: InterleaveDriver) -> None:
        crowd = Crowd(driver, 3)
        heard: list[tuple[str, ...]] = []
        for event in ("create-room", "join-room", "leave-room", "delete-room"):
            crowd.main.adapter.on(event, lambda *args, event=event: heard.append((event, *args)))
        found: list[int] = []
        driver.run_all(
            lambda: crowd.main.sockets_join(["a", "b"]),
            lambda: found.append(len(crowd.main.to(["a", "b"]).fetch_sockets())),
            lambda: crowd.main.to("a").sockets_leave("b"),
            lambda: crowd.drop(0),
            crowd.main.disconnect_sockets,
        )
        driver.settle()
        assert found[0] <= 3
        assert len(crowd.main) == 0 and crowd.main.adapter.rooms == {}
        crowd.end()
        # what was told is a true story: each room begins and ends, and has members in between
        members: dict[str, set[str]] = {sid: {sid} for event, sid, *_ in heard if event == "leave-room" and _ == [sid]}
        for event, room, *sid in heard:
            if event == "create-room":
                assert room not in members
                members[room] = set()
            elif event == "join-room":
                assert sid[0] not in members[room]
                members[room].add(sid[0])
            elif event == "leave-room":
                members[room].remove(sid[0])
            else:
                assert members.pop(room) == set()
        assert members == {}

    explore(scenario, SEEDS)


# -- several servers ----------------------------------------------------------------------------------------------------------


class ThreadBus(Bus):
    """Each server has a thread that takes what the others tell it, in order."""

    def __init__(self, driver: InterleaveDriver) -> None:
        super().__init__()
        self.driver = driver
        self.working: set[str] = set()

    def put(self, sender: BusAdapter, receiver: BusAdapter, namespace: str, message: Any) -> None:
        super().put(sender, receiver, namespace, message)
        if receiver.name not in self.working:
            self.working.add(receiver.name)
            self.driver.thread(self.work, receiver)

    def work(self, receiver: BusAdapter) -> None:
        while mine := [entry for entry in self.under_way if entry[1] is receiver]:
            self.under_way.remove(mine[0])
            self.under_way.appendleft(mine[0])
            self.step()
            self.driver.point()
        self.working.discard(receiver.name)


def test_a_question_to_several_servers_among_leavers_lost_servers_and_its_time_out() -> None:
    outcomes: set[str] = set()

    def scenario(driver: InterleaveDriver) -> None:
        bus = ThreadBus(driver)
        bus.adapters = [BusAdapter(bus, name, tells_who=True) for name in ("one", "two", "three")]
        crowds = [Crowd(driver, 1, adapter) for adapter in bus.adapters]
        asker = crowds[0]
        asked: list[Any] = []
        crowds[1].main.on("e", lambda: "two")
        crowds[2].main.on("e", lambda: "three")
        driver.run_all(
            lambda: asker.main.timeout(1.0).emit("q", ack=asker.tell),
            lambda: asker.main.server_side_emit("e", ack=lambda *args: asked.append(args)),
            lambda: asker.answer(0),
            lambda: crowds[1].answer(0),
            lambda: crowds[1].drop(0),
            lambda: bus.lose(2),
            lambda: driver.stall(1.0) if driver.schedule.chance() < 0.3 else None,
        )
        driver.sleep(6.0)
        driver.settle()
        ((error, responses),) = asker.told
        assert error is None or error.responses == responses
        assert set(responses) <= {0} and len(responses) <= 2
        ((error_of_servers, answers),) = asked
        assert error_of_servers is None and set(answers) in ({"two"}, {"two", "three"}), asked
        outcomes.add(type(error).__name__)
        for crowd in crowds:
            crowd.end()
        driver.sleep(60.0)
        assert not driver.timers

    explore(scenario, range(600))
    assert outcomes == {"NoneType", "AckTimeout"}, outcomes


