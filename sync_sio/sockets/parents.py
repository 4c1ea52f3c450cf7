"""Dynamic namespaces: a rule that says which names exist, and what is done to all that were made by it."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from ..drivers.base import Lock
from ..drivers.locks import native_lock
from ..errors import AckTimeout
from ..protocol.socketio.packet import EVENT, Packet
from ..types import Environ
from .acks import DEFAULT_TIMEOUT
from .aside import call_back, run_in
from .broadcast import BroadcastOperator, Flags
from .broadcaster import Broadcaster
from .handlers import EventName
from .inquiry import waiter_for
from .reaching import ask_clients
from .registrations import Registrations
from .remote import RemoteSocket
from .rooms import EVERYBODY, Target
from .site import Site

if TYPE_CHECKING:
    from .inquiry import Told
    from .namespace import Namespace

Rule = re.Pattern[str] | Callable[[str, dict[str, Any], Environ], object]


class ParentNamespace(Registrations, Broadcaster):
    """What `io.of(re.compile(…))` and `io.of(fn)` return: no client connects to it, but to its children, which are made when one does.

    Children share what is registered here, before and after they were made. Broadcasts and the other methods for many clients reach
    those of all children that this server has. Everything here may be called from any thread.

    Attributes:
        name: `/_0`, `/_1`, …; no client can connect to it.
    """

    def __init__(self, name: str, site: Site, rule: Rule, forget: Callable[[Namespace], None]) -> None:
        super().__init__(name, site)
        self._rule = rule
        self._forget = forget
        self._children: dict[str, Namespace] = {}
        self._everybody = BroadcastOperator(self, EVERYBODY)

    def __repr__(self) -> str:
        return f"<ParentNamespace {self.name} of {self._rule!r}, {len(self._children)} children>"

    @property
    def server(self) -> Any:
        """The server that it belongs to."""
        return self.site.server

    @property
    def children(self) -> dict[str, Namespace]:
        """A snapshot of the namespaces that were made by it, by name."""
        with self._family_lock:
            return dict(self._children)

    # -- for the hub -------------------------------------------------------------------------------------------------------

    def is_pattern_for(self, name: str) -> bool:
        """Tell whether the rule is a pattern that the name matches, in whichever part."""
        return isinstance(self._rule, re.Pattern) and self._rule.search(name) is not None

    def allows(self, name: str, auth: dict[str, Any], environ: Environ) -> bool:
        """Ask the rule whether a client may have this namespace made. User code; an exception is logged, and means no."""
        if isinstance(self._rule, re.Pattern):
            return self.is_pattern_for(name)
        try:
            return bool(run_in(self.site, "new_namespace", self._rule, (name, auth, environ)))
        except BaseException:                   # the wall of the turn
            self.site.logger.exception("the function of a dynamic namespace failed, asked for %r: the client is refused", name)
            return False

    def bear(self, child: Namespace) -> None:
        """Take in a child that nobody knows yet."""
        child.parent = self
        self.adopt(child)
        with self._family_lock:
            self._children[child.name] = child

    def child_left(self, child: Namespace) -> None:
        """A socket has left a child. If nobody is left, and the server cleans up, the child is no more. Any thread, no lock held."""
        if not self.site.cleans_up:
            return
        recovery, rooms = child.recovery, child.rooms
        if rooms.close_if_empty() if recovery is None else recovery.close_if_empty(rooms):
            self._forget(child)
            with self._family_lock:
                if self._children.get(child.name) is child:
                    del self._children[child.name]
            self.disown(child)

    # -- what `Broadcaster`'s methods come down to ---------------------------------------------------------------------------

    def broadcast(self, packet: Packet, target: Target, flags: Flags) -> None:
        """Send to each of `target` in all children, and wait for nobody."""
        for child in self._born(packet.data):
            child.broadcast(Packet(packet.type, child.name, packet.data), target, flags)

    def ask(self, event: EventName, args: tuple[Any, ...], target: Target, flags: Flags, ack: Callable[..., Any]) -> None:
        """The same, and have `ack(error, responses)` called when all have answered or the time is over."""
        seconds = DEFAULT_TIMEOUT if flags.timeout is None else flags.timeout
        children = self._born([event, *args])
        sum_up = _Sum(len(children), partial(call_back, self, event, ack))
        for child in children:
            ask_clients(child, event, args, target, flags, seconds, sum_up.add).arm()

    def call_all(self, event: EventName, args: tuple[Any, ...], target: Target, flags: Flags, timeout: float | None) -> list[Any]:
        """The same, and block for the responses."""
        children = self._born([event, *args])
        if not children:
            return []
        waiter = waiter_for(self.site, f"acknowledgements of {event!r}")
        sum_up = _Sum(len(children), lambda *outcome: waiter.set(outcome))
        inquiries = [ask_clients(child, event, args, target, flags, timeout, sum_up.add) for child in children]
        if not waiter.wait(timeout):
            for inquiry in inquiries:
                inquiry.expire()
            waiter.wait()
        error, responses = waiter.value
        if error is not None:
            raise error
        found: list[Any] = responses
        return found

    def fetch(self, target: Target, flags: Flags) -> list[RemoteSocket]:
        return [socket for child in self.children.values() for socket in child.fetch(target, flags)]

    def join_all(self, target: Target, rooms: tuple[str, ...], flags: Flags) -> None:
        for child in self.children.values():
            child.join_all(target, rooms, flags)

    def leave_all(self, target: Target, rooms: tuple[str, ...], flags: Flags) -> None:
        for child in self.children.values():
            child.leave_all(target, rooms, flags)

    def disconnect_all(self, target: Target, close: bool, flags: Flags) -> None:
        for child in self.children.values():
            child.disconnect_all(target, close, flags)

    def _born(self, data: list[Any]) -> list[Namespace]:
        """Return the children. Raises TypeError for what cannot be sent, though nobody is there to get it."""
        children = [child for child in self.children.values() if child.is_started]
        if not children:
            self.site.parcel(Packet(EVENT, self.name, data))
        return children


class _Sum:
    """What several inquiries come to: told once, when the last has ended. Any thread."""

    __slots__ = ("_count", "_error", "_lock", "_responses", "_tell")

    def __init__(self, count: int, tell: Told) -> None:
        self._count = count
        self._tell = tell
        self._lock: Lock = native_lock()
        self._error: AckTimeout | None = None
        self._responses: list[Any] = []
        if not count:
            tell(None, [])

    def add(self, error: AckTimeout | None, responses: list[Any]) -> None:
        with self._lock:
            self._error = self._error or error
            self._responses += responses
            self._count -= 1
            if self._count:
                return
        why = None if self._error is None else AckTimeout(str(self._error), self._responses)
        self._tell(why, self._responses)
