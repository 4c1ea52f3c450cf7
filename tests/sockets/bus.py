"""An adapter without a network: servers of one process that tell each other things when the test says so."""

from __future__ import annotations

import pickle
from collections import deque
from collections.abc import Collection
from typing import Any

from sync_sio.adapters.base import AdapterListener, AdapterStatus, Answer, Message

from .fakes import World


class BusAdapter:
    """A `sync_sio.adapters.base.Adapter`.

    Args:
        tells_who: whether it knows its peers by id, or only how many there are; None: that is known later, as with Redis.
    """

    def __init__(self, bus: Bus, name: str, tells_who: bool | None) -> None:
        self.bus = bus
        self.name = name
        self.tells_who = tells_who
        self.listener: AdapterListener | None = None
        self.entered: list[str] = []
        self.is_deaf = False
        """It answers nothing, and the others do not know."""
        self.error: Exception | None = None

    def start(self, listener: AdapterListener, driver: Any) -> None:
        self.listener = listener

    def close(self) -> None:
        self.listener = None

    abandon = close

    def enter(self, namespace: str) -> None:
        self.entered.append(namespace)

    def leave(self, namespace: str) -> None:
        self.entered.remove(namespace)

    def publish(self, namespace: str, message: Message) -> None:
        if self.error is not None:
            raise self.error
        for other in self.bus.adapters:
            if other is not self:
                self.bus.put(self, other, namespace, message)
        request = getattr(message, "request", None)
        if self.tells_who is None and request is not None:
            self.bus.counts.append((self, request))

    def answer(self, namespace: str, server: str, answer: Answer) -> None:
        if self.error is not None:
            raise self.error
        (other,) = [each for each in self.bus.adapters if each.name == server]
        self.bus.put(self, other, namespace, answer)

    def others(self, namespace: str) -> Collection[str] | int | None:
        if self.tells_who is None:
            return None
        others = [each.name for each in self.bus.adapters if each is not self and each.listener is not None]
        return others if self.tells_who else len(others)

    def status(self) -> AdapterStatus:
        return AdapterStatus(self.listener is not None, 0.0, len(self.bus.adapters), None)


class Bus:
    """What is under way between its adapters."""

    def __init__(self, tells_who: bool | None = True) -> None:
        self.adapters: list[BusAdapter] = []
        self.under_way: deque[tuple[BusAdapter, BusAdapter, str, bytes]] = deque()
        self.log: list[Any] = []
        self.counts: list[tuple[BusAdapter, str]] = []
        self.worlds: list[World] = []
        self.tells_who = tells_who

    def world(self) -> World:
        """Return one more server on this bus; it runs."""
        world = World()
        adapter = BusAdapter(self, f"server-{len(self.adapters)}", self.tells_who)
        self.adapters.append(adapter)
        world.hub.set_adapter(adapter)
        world.start()
        self.worlds.append(world)
        return world

    def put(self, sender: BusAdapter, receiver: BusAdapter, namespace: str, message: Any) -> None:
        self.log.append(message)
        self.under_way.append((sender, receiver, namespace, self.pack(message)))

    def pack(self, message: Any) -> bytes:
        """Encode: what the sender does with its values later is of no importance any more."""
        return pickle.dumps(message)

    def step(self) -> None:
        """Deliver one message, the oldest."""
        self.hand_over(*self.under_way.popleft())

    def hand_over(self, sender: BusAdapter, receiver: BusAdapter, namespace: str, data: bytes) -> None:
        if receiver.listener is not None and not receiver.is_deaf:
            message = pickle.loads(data)
            hides = self.tells_who is False and isinstance(message, Answer)
            receiver.listener.received(namespace, "" if hides else sender.name, message)

    def pump(self) -> None:
        """Deliver all that is under way, and what comes of it."""
        while self.under_way:
            self.step()
            for world in self.worlds:
                world.driver.settle()
            if not self.under_way:
                self.count()

    def count(self) -> None:
        """Have those that have asked told how many were asked, which they hear last of all."""
        counts, self.counts = self.counts, []
        for asker, request in counts:
            others = [each.name for each in self.adapters if each is not asker and each.listener is not None]
            if asker.listener is not None:
                asker.listener.reached(request, len(others), others[:1])
        for world in self.worlds:
            world.driver.settle()

    def lose(self, number: int) -> None:
        """A server dies, and the others learn of it."""
        self.adapters[number].listener = None
        for adapter in self.adapters:
            if adapter.listener is not None:
                adapter.listener.server_left(self.adapters[number].name)
