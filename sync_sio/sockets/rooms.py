"""Who is in which room: ids ⇄ rooms, one index, one lock, always local.

Join, leave and the end are decided under one lock, which refuses ids that it does not know: so a join that races with a
disconnect either comes before it, and is undone with it, or does nothing. Nobody stays behind as a ghost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Generic, TypeVar

from ..adapters.base import Target
from ..drivers.base import Lock

__all__ = ["EVERYBODY", "Rooms", "Target", "room_names"]

S = TypeVar("S")


EVERYBODY = Target()


def room_names(rooms: object) -> tuple[str, ...]:
    """Return one room or several as a tuple. Raises TypeError for what is no room: it is a str, and not empty."""
    names: tuple[object, ...]
    if isinstance(rooms, str):
        names = (rooms,)
    elif isinstance(rooms, Iterable) and not isinstance(rooms, bytes | bytearray | memoryview):
        names = tuple(rooms)
    else:
        raise TypeError(f"{rooms!r} is no room: give a str, or an iterable of them")
    for name in names:
        if not isinstance(name, str) or not name:
            raise TypeError(f"{name!r} is no room: a room is a str that is not empty")
    return names  # type: ignore[return-value]  # checked just now


class Rooms(Generic[S]):
    """The sockets of one namespace. A socket's own id is a room without an entry; an empty room costs nothing.

    A socket is *known* from `enter` to `remove`, and *reached* by broadcasts from `admit` on. What it joins before takes
    effect when it is admitted.

    Threads: any. `_snapshots` has what a broadcast goes to as a tuple, until somebody joins or leaves: a broadcast copies nothing.

    Attributes:
        lock: guards everything here.
        watch: called with (event, room, id or None) for each change that broadcasts see, with the lock held: so in order. None: nobody.
    """

    __slots__ = ("_entering", "_joined", "_rooms", "_snapshots", "_sockets", "is_closed", "lock", "watch")

    def __init__(self, lock: Lock) -> None:
        self.lock = lock
        self.watch: Callable[[str, str, str | None], None] | None = None
        self.is_closed = False
        self._entering: dict[str, S] = {}
        self._sockets: dict[str, S] = {}
        self._joined: dict[str, set[str]] = {}
        self._rooms: dict[str, set[S]] = {}
        self._snapshots: dict[str | None, tuple[S, ...]] = {}

    def __len__(self) -> int:
        return len(self._sockets)

    @property
    def room_count(self) -> int:
        """How many rooms somebody is in, without those that each socket is in by its id."""
        return len(self._rooms)

    def sockets(self) -> dict[str, S]:
        """Return a snapshot of those that broadcasts reach."""
        with self.lock:
            return dict(self._sockets)

    def enter(self, sid: str, socket: S) -> bool:
        """Know a socket whose middleware runs. False: `close_if_empty` has closed this place."""
        with self.lock:
            if not self.is_closed:
                self._entering[sid] = socket
            return not self.is_closed

    def close_if_empty(self) -> bool:
        """Let nobody in any more if nobody is here. False: somebody is, or it was closed before."""
        with self.lock:
            if self.is_closed or self._entering or self._sockets:
                return False
            self.is_closed = True
            return True

    def admit(self, sid: str) -> frozenset[str] | None:
        """Let broadcasts reach a socket, in the rooms that it has joined so far.

        Returns:
            These rooms, its own included; None: it has left already.
        """
        with self.lock:
            socket = self._entering.pop(sid, None)
            if socket is None:
                return None
            self._sockets[sid] = socket
            self._forget_snapshots(sid)
            if self.watch is not None:
                if sid not in self._rooms:
                    self.watch("create-room", sid, None)
                self.watch("join-room", sid, sid)
            joined = self._joined.get(sid, ())
            for room in joined:
                self._add(socket, room, sid)
            return frozenset((sid, *joined))

    def remove(self, sid: str) -> frozenset[str] | None:
        """Forget a socket. Returns the rooms that it was in, its own included; None: it was not known."""
        with self.lock:
            joined = self._joined.pop(sid, ())
            if self._entering.pop(sid, None) is None:
                socket = self._sockets.pop(sid, None)
                if socket is None:
                    return None
                self._forget_snapshots(sid)
                if self.watch is not None:
                    self._tell_left(sid, sid)
                for room in joined:
                    self._drop(socket, room, sid)
            return frozenset((sid, *joined))

    def join(self, sid: str, rooms: Iterable[str]) -> Sequence[str]:
        """Put a socket into rooms, unless it is not known (any more).

        Returns:
            The rooms in which broadcasts reach it from now on, and did not before.
        """
        new: list[str] = []
        with self.lock:
            socket = self._sockets.get(sid)
            if socket is None and sid not in self._entering:
                return new
            for room in rooms:
                if room == sid:
                    continue
                joined = self._joined.get(sid)
                if joined is None:
                    joined = self._joined[sid] = set()
                if socket is not None and room not in joined:
                    new.append(room)
                    self._add(socket, room, sid)
                joined.add(room)
        return new

    def leave(self, sid: str, room: str) -> bool:
        """Take a socket out of a room. Its own room it never leaves. True: broadcasts reached it there until now."""
        with self.lock:
            joined = self._joined.get(sid)
            if joined is None or room not in joined:
                return False
            joined.discard(room)
            if not joined:
                del self._joined[sid]
            socket = self._sockets.get(sid)
            if socket is not None:
                self._drop(socket, room, sid)
            return socket is not None

    def rooms_by_id(self) -> dict[str, set[str]]:
        """Return a snapshot: the rooms of each socket that broadcasts reach, its own included."""
        with self.lock:
            return {sid: {sid, *self._joined.get(sid, ())} for sid in self._sockets}

    def rooms_of(self, sid: str) -> frozenset[str] | None:
        """Return the rooms of a socket, its own included; None: it is not known."""
        with self.lock:
            if sid not in self._sockets and sid not in self._entering:
                return None
            return frozenset((sid, *self._joined.get(sid, ())))

    def recipients(self, target: Target) -> Sequence[S]:
        """Return whom a broadcast reaches, each one once."""
        names = target.rooms
        found: Sequence[S]
        if names is None:
            found = self._snapshot(None)
        elif len(names) == 1:
            (name,) = names
            found = self._snapshot(name)
        else:
            with self.lock:
                found = list(self._union(names))
        if target.excepts and found:
            with self.lock:
                left_out = self._union(target.excepts)
            if left_out:
                return [socket for socket in found if socket not in left_out]
        return found

    def audit(self) -> list[str]:
        """Name what is left, and what does not agree. Empty when nobody is here. For tests."""
        with self.lock:
            left = [f"socket {sid}" for sid in (*self._sockets, *self._entering)]
            left += [f"room {room} of {len(members)}" for room, members in self._rooms.items()]
            left += [f"joined {sid}: {sorted(rooms)}" for sid, rooms in self._joined.items()]
            left += [f"snapshot of {len(found)} for {room}" for room, found in self._snapshots.items() if found]
            for sid, rooms in self._joined.items():
                socket = self._sockets.get(sid)
                left += [f"{sid} is missing in {room}" for room in rooms if socket and socket not in self._rooms.get(room, ())]
            return left

    def _snapshot(self, room: str | None) -> tuple[S, ...]:
        # A tuple or nothing, so the first look needs no lock. Only rooms that exist are kept: names come from everywhere.
        snapshot = self._snapshots.get(room)
        if snapshot is None:
            with self.lock:
                if room is None:
                    snapshot = self._snapshots[None] = tuple(self._sockets.values())
                else:
                    members = self._rooms.get(room)
                    # a room may have the name of somebody's id, who is in it then
                    snapshot = tuple(members) if members is not None and room not in self._sockets else tuple(self._union((room,)))
                    if members is not None:
                        self._snapshots[room] = snapshot
        return snapshot

    def _union(self, names: Iterable[str]) -> dict[S, None]:
        found: dict[S, None] = {}       # a dict, as it keeps the order in which clients came
        for name in names:
            found.update(dict.fromkeys(self._rooms.get(name, ())))
            own = self._sockets.get(name)
            if own is not None:
                found[own] = None
        return found

    def _add(self, socket: S, room: str, sid: str) -> None:
        members = self._rooms.get(room)
        if members is None:
            members = self._rooms[room] = set()
            if self.watch is not None and room not in self._sockets:
                self.watch("create-room", room, None)
        members.add(socket)
        self._snapshots.pop(room, None)
        if self.watch is not None:
            self.watch("join-room", room, sid)

    def _drop(self, socket: S, room: str, sid: str) -> None:
        members = self._rooms.get(room)
        if members is not None:
            members.discard(socket)
            self._snapshots.pop(room, None)
            if not members:
                del self._rooms[room]
            if self.watch is not None:
                self._tell_left(room, sid)

    def _tell_left(self, room: str, sid: str) -> None:
        assert self.watch is not None
        self.watch("leave-room", room, sid)
        if room not in self._rooms and room not in self._sockets:
            self.watch("delete-room", room, None)

    def _forget_snapshots(self, sid: str) -> None:
        self._snapshots.pop(None, None)
        self._snapshots.pop(sid, None)      # somebody may have joined a room of that name
