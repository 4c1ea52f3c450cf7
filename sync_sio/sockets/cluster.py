"""The other servers: what was asked of them and is not answered yet, and what they ask of us. Once for all adapters."""

from __future__ import annotations

from base64 import b16encode
from collections.abc import Callable, Collection
from functools import partial
from os import urandom
from typing import TYPE_CHECKING, Any

from ..adapters.base import (
    Adapter,
    Answer,
    Broadcast,
    ClientAnswer,
    ClientCount,
    ClientGone,
    DisconnectClients,
    Fetch,
    Fetched,
    JoinRooms,
    Kept,
    LeaveRooms,
    Message,
    OutsideAdapter,
    RecoveryStore,
    RoomsAdapter,
    ServerAnswer,
    ServerEvent,
)
from ..errors import AckTimeout
from ..protocol.socketio.packet import EVENT, Packet
from ..types import JsonDefault
from . import reaching
from .broadcast import Flags
from .inquiry import Inquiry, Told, wait_for, waiter_for
from .remote import record
from .server_events import receive
from .site import Site

if TYPE_CHECKING:
    from .namespace import Namespace


class Cluster:
    """One per server that has an adapter (`AdapterListener`). Any thread.

    Before `start` this process is no part of it: it can speak to it if the adapter is an `OutsideAdapter`, and gets no answers.
    An inquiry is known by its request's id from before it is published until it ends, which a time-out sees to.
    """

    def __init__(self, site: Site, adapter: Adapter, find: Callable[[str], Namespace | None]) -> None:
        self.adapter = adapter
        self._site = site
        self._find = find
        self._inquiries: dict[str, Inquiry] = {}
        self._is_started = False

    @property
    def store(self) -> RecoveryStore | None:
        """The adapter, if it keeps sessions and what was sent for all servers."""
        adapter: Any = self.adapter
        return adapter if hasattr(adapter, "publish_kept") else None

    @property
    def timeout(self) -> float:
        """Seconds in which other servers must answer where nothing else was said."""
        seconds: float = getattr(self.adapter, "requests_timeout", reaching.SERVERS_TIMEOUT)
        return seconds

    def start(self, namespaces: list[str]) -> None:
        self.adapter.start(self, self._site.driver)
        self._is_started = True
        for name in namespaces:
            self.enter(name)

    def enter(self, name: str) -> None:
        """A namespace has begun: listen for it, too."""
        self.adapter.enter(name)
        home, adapter = self._find(name), self.adapter
        if home is not None and isinstance(adapter, RoomsAdapter):
            home.adapter.room_made = partial(adapter.room_made, name)
            home.adapter.room_gone = partial(adapter.room_gone, name)
            home.adapter.watch_or_not()

    def close(self) -> None:
        """Disconnect; whoever waits gets what has come."""
        if self._is_started or isinstance(self.adapter, OutsideAdapter):
            self.adapter.close()
        for inquiry in list(self._inquiries.values()):
            inquiry.expire()

    def abandon(self) -> None:
        self._is_started = False
        self._inquiries = {}
        self.adapter.abandon()

    # -- to the others -----------------------------------------------------------------------------------------------------

    def publish(self, namespace: str, message: Message) -> None:
        """Tell the other servers. Where this process serves nobody, it waits until it is sent, and raises what says why it is not."""
        if self._is_started:
            self.adapter.publish(namespace, message)
        elif isinstance(self.adapter, OutsideAdapter):
            self.adapter.publish_now(namespace, message, self.json_default)

    def check_serving(self, what: str) -> None:
        """Raise RuntimeError if other servers can be spoken to from here, and their answers do not come here."""
        if not self._is_started and isinstance(self.adapter, OutsideAdapter):
            raise RuntimeError(f"{what}: this process serves nobody, so the other servers' answers do not come here; emit() works")

    def inquire(
        self, namespace: str, what: str, message: Callable[[str], Message], seconds: float | None, tell: Told
    ) -> Inquiry:
        """Ask the other servers. The caller calls `asked` when it has asked all others that it wants to.

        Args:
            message: makes it, given the request's id.
            what, seconds, tell: see `Inquiry`.
        """
        request = b16encode(urandom(8)).decode().lower()
        inquiry = Inquiry(self._site, what, partial(self._end, request, tell), seconds, request, self.adapter.others(namespace))
        self._inquiries[request] = inquiry
        try:
            self.adapter.publish(namespace, message(request))
        except BaseException:
            del self._inquiries[request]
            raise
        return inquiry

    def ask(
        self, namespace: str, what: str, message: Callable[[str], Message], seconds: float
    ) -> tuple[AckTimeout | None, list[Any]]:
        """Ask the other servers and block for what they answer. Returns whether it has not all come, and what has."""
        waiter = waiter_for(self._site, what)
        inquiry = self.inquire(namespace, what, message, seconds, lambda *outcome: waiter.set(outcome))
        inquiry.asked()
        return wait_for(inquiry, waiter, seconds)

    def _end(self, request: str, tell: Told, error: AckTimeout | None, responses: list[Any]) -> None:
        self._inquiries.pop(request, None)
        tell(error, responses)

    # -- from the others (AdapterListener) ---------------------------------------------------------------------------------

    def received(self, namespace: str, server: str, message: Message | Answer | Kept) -> None:
        """Do what another server asks, or take its answer."""
        if isinstance(message, ClientCount | ClientAnswer | ClientGone | Fetched | ServerAnswer):
            inquiry = self._inquiries.get(message.request)
            if inquiry is not None:
                inquiry.received(server, message)
            return
        home = self._find(namespace)
        if home is None or not home.is_started:
            self._answer_for_nobody(namespace, server, message)
            return
        try:
            self._do(home, server, message)
        except (TypeError, ValueError) as error:        # rooms that are none, values that have no form here
            self._site.logger.error("another server asks for what cannot be done in %s: %s", namespace, error)

    def _do(self, home: Namespace, server: str, message: Message | Kept) -> None:
        if isinstance(message, Kept):
            home.deliver_kept(message)
        elif isinstance(message, Broadcast):
            self._broadcast(home, server, message)
        elif isinstance(message, JoinRooms):
            reaching.join_all(home, message.target, message.rooms, _HERE)
        elif isinstance(message, LeaveRooms):
            reaching.leave_all(home, message.target, message.rooms, _HERE)
        elif isinstance(message, DisconnectClients):
            reaching.disconnect_all(home, message.target, message.close, _HERE)
        elif isinstance(message, Fetch):
            clients = tuple(record(socket) for socket in home.rooms.recipients(message.target))
            self._answer(home.name, server, Fetched(message.request, clients))
        else:
            self._receive(home, server, message)

    def reached(self, request: str, others: int, names: Collection[str]) -> None:
        """The adapter tells how many servers were asked."""
        inquiry = self._inquiries.get(request)
        if inquiry is not None:
            inquiry.reached(others, names)

    @property
    def json_default(self) -> JsonDefault | None:
        default: JsonDefault | None = getattr(self._site.parser, "default", None)
        return default

    def server_left(self, server: str) -> None:
        """Nobody waits for it any longer."""
        for inquiry in list(self._inquiries.values()):
            inquiry.server_left(server)

    def _broadcast(self, home: Namespace, server: str, message: Broadcast) -> None:
        flags = Flags(volatile=message.volatile, local=True, compress=message.compress)
        request = message.request
        if request is None:
            home.deliver(Packet(EVENT, home.name, message.data), message.target, flags)
            return
        relay = partial(self._answer, home.name, server)
        packet = Packet(EVENT, home.name, message.data, home.ack_number())
        inquiry = Inquiry(self._site, "acknowledgement", _ignore, message.timeout, request, relay=relay)
        count = reaching.ask_here(home, packet, message.target, flags, inquiry)
        inquiry.asked()
        inquiry.arm()
        self._answer(home.name, server, ClientCount(request, count))

    def _receive(self, home: Namespace, server: str, message: ServerEvent) -> None:
        request = message.request
        if request is None:
            receive(home, message.data, None)
        else:
            receive(home, message.data, lambda value: self._answer(home.name, server, ServerAnswer(request, value)))

    def _answer_for_nobody(self, namespace: str, server: str, message: Message | Kept) -> None:
        # a server that knows no such namespace holds nobody up
        if isinstance(message, Broadcast) and message.request is not None:
            self._answer(namespace, server, ClientCount(message.request, 0))
        elif isinstance(message, Fetch):
            self._answer(namespace, server, Fetched(message.request, ()))

    def _answer(self, namespace: str, server: str, answer: Answer) -> None:
        try:
            self.adapter.answer(namespace, server, answer)
        except TypeError as error:
            self._site.logger.error("%s: an answer to another server cannot be sent: %s", namespace, error)


_HERE = Flags(local=True)


def _ignore(error: AckTimeout | None, responses: list[Any]) -> None: ...
