"""What the live tests ask of operators, acknowledgements of many, and utilities: the namespaces `/operators`, `/crowd`
and `/feed`."""

from __future__ import annotations

import gc
import random
import threading
from collections import Counter
from typing import Any

from sync_sio import AckTimeout, Disconnected, Server

ROOM_EVENTS = ("create-room", "join-room", "leave-room", "delete-room")


def register(io: Server) -> None:
    home = io.of("/operators")
    room_news: list[list[str]] = []
    for name in ROOM_EVENTS:
        home.adapter.on(name, lambda *args, name=name: room_news.append([name, *args]))

    def operator(socket: Any, how: dict[str, Any]) -> Any:
        """Build what `how` says: `from`, `to`, `except`, `volatile`, `local`, `compress`, `timeout`, in this order."""
        start = how.get("from", "namespace")
        if start == "remote":
            (found,) = home.to(how["id"]).fetch_sockets()
            return found if "timeout" not in how else found.timeout(how["timeout"])
        found = {"namespace": home, "socket": socket, "broadcast": socket}[start]
        if start == "broadcast":
            found = found.broadcast
        for key, method in (("to", "to"), ("except", "except_")):
            if key in how:
                found = getattr(found, method)(how[key])
        for flag in ("volatile", "local"):
            if how.get(flag):
                found = getattr(found, flag)
        for key in ("compress", "timeout"):
            if key in how:
                found = getattr(found, key)(how[key])
        return found

    @home.event
    def emit(socket: Any, how: dict[str, Any], *args: Any) -> None:
        operator(socket, how).emit(*args)

    @home.event
    def send(socket: Any, how: dict[str, Any], *args: Any) -> None:
        operator(socket, how).send(*args)

    @home.event("emit with ack")
    def emit_with_ack(socket: Any, how: dict[str, Any], *args: Any, ack: Any) -> None:
        """Answer with the error's name (or null) and whatever else the callback was given; note how often it was called."""
        calls: list[list[Any]] = socket.data.setdefault("calls", [])

        def told(*outcome: Any) -> None:
            described = [type(each).__name__ if isinstance(each, Exception) else each for each in outcome]
            calls.append(described)
            ack(*described)

        operator(socket, how).emit(*args, ack=told)

    @home.event
    def calls(socket: Any) -> list[list[Any]]:
        found: list[list[Any]] = socket.data.get("calls", [])
        return found

    @home.event(concurrent=True)
    def call(socket: Any, how: dict[str, Any], *args: Any) -> dict[str, Any]:
        keywords = {"timeout": how["keyword"]} if "keyword" in how else {}
        try:
            return {"responses": operator(socket, how).call(*args, **keywords)}
        except (AckTimeout, Disconnected) as error:
            return {"error": type(error).__name__, "responses": getattr(error, "responses", None)}

    @home.event
    def leaky(socket: Any) -> None:
        """Use flags, then emit without them: nothing of them may be left."""
        socket.volatile.compress(False).timeout(0.01)
        home.volatile.to("nobody").timeout(0.01)
        home.to("nobody")
        socket.emit("plain", ack=lambda *response: socket.emit("plain ack", *response))

    @home.event
    def fetch(socket: Any, how: dict[str, Any]) -> list[dict[str, Any]]:
        return [
            {
                "id": each.id,
                "rooms": sorted(each.rooms),
                "data": each.data,
                "auth": each.handshake.auth,
                "query": each.handshake.query.get("mark"),
                "secure": each.handshake.secure,
            }
            for each in operator(socket, how).fetch_sockets()
        ]

    @home.event
    def change(socket: Any, how: dict[str, Any], method: str, *args: Any) -> None:
        getattr(operator(socket, how), method)(*args)

    @home.event
    def remember(socket: Any, key: str, value: Any) -> None:
        socket.data[key] = value

    @home.event("change copy")
    def change_copy(socket: Any) -> Any:
        (copy,) = home.to(socket.id).fetch_sockets()
        copy.data["list"].append("changed")
        return socket.data["list"]

    @home.event
    def rooms(socket: Any) -> list[str]:
        return sorted(socket.rooms)

    @home.event
    def adapter(socket: Any) -> dict[str, Any]:
        """What the namespace's adapter knows of this client."""
        io.sleep(0.05)      # what it tells is a turn of its own
        return {
            "rooms": sorted(room for room, members in home.adapter.rooms.items() if socket.id in members),
            "sids": sorted(home.adapter.sids[socket.id]),
            "news": [each for each in room_news if socket.id in each or each[1] in socket.rooms],
        }

    @home.event("server side")
    def server_side(socket: Any, ack: Any) -> None:
        answers = io.server_side_call("nobody else is there")
        home.server_side_emit("nobody else is there", ack=lambda *outcome: ack(answers, *outcome, *io.adapter_status()))

    @home.event("leave and go on")
    def leave_and_go_on(socket: Any) -> None:
        """After it has left its namespace, nothing of it reaches its client."""
        told: list[str] = []
        socket.disconnect()
        socket.emit("never seen")
        socket.volatile.emit("never seen")
        socket.emit("never seen", ack=lambda *response: told.append("an answer"))
        socket.timeout(1).emit("never seen", ack=lambda error, *response: told.append(type(error).__name__))
        for calling in (socket.call, socket.volatile.call):
            try:
                calling("never seen")
            except Disconnected as error:
                told.append(error.reason)
        socket.join("a room")
        io.sleep(0.2)
        home.emit("left", socket.id, sorted(told), sorted(socket.rooms))

    @home.event
    def flood(socket: Any, count: int, size: int) -> None:
        """Send what may be lost, from a thread of its own, and then something that may not."""

        def pour() -> None:
            for number in range(count):
                socket.volatile.emit("flood", number, "x" * size)
            for number in range(count // 10):
                home.to(socket.id).volatile.emit("flood", number, b"x" * size)
            socket.emit("later", count)
            home.emit("poured")

        io.spawn(pour)

    @home.event("ask much")
    def ask_much(socket: Any, count: int, seconds: float | None, ack: Any) -> None:
        """Ask so many questions at once, and answer when each callback was told; with what kind of error, or "in time"."""
        told: Counter[str] = Counter()
        lock = threading.Lock()             # callbacks run beside each other: only one of them is the last

        def tell(error: Any = None, *_: Any) -> None:
            with lock:
                told[type(error).__name__ if isinstance(error, Exception) else "in time"] += 1
                is_last = sum(told.values()) == count
            if is_last:
                ack(told)
                home.emit("all told", socket.id, told)

        asking = socket if seconds is None else socket.timeout(seconds)
        for number in range(count):
            asking.emit("ask", number, ack=tell)

    # -- thousands of calls, and clients that leave at random

    crowd = io.of("/crowd")
    outcomes: Counter[str] = Counter()

    @crowd.event(concurrent=True)
    def hurry(socket: Any, count: int) -> dict[str, int]:
        """Call clients at random `count` times, some of which leave meanwhile; every kind of call takes its turn."""

        def tell(outcome: Any, *_: Any) -> None:
            outcomes["callback", type(outcome).__name__] += 1  # type: ignore[index]

        found: Counter[str] = Counter()
        for number in range(count):
            sockets = list(crowd.sockets.values())
            other = random.choice(sockets)
            try:
                if number % 4 == 0:
                    other.timeout(0.5).emit("ask", number, ack=tell)
                    found["emitted"] += 1
                elif number % 50 == 1:
                    crowd.timeout(0.5).call("ask", number)
                    found["answered"] += 1
                else:
                    assert other.call("ask", number, timeout=0.5) == number
                    found["answered"] += 1
            except (AckTimeout, Disconnected) as error:
                found[type(error).__name__] += 1
        return dict(found)

    @home.event
    def objects(socket: Any) -> dict[str, int]:
        """Count what a client, a call or a question leaves behind if anything does."""
        gc.collect()
        names = ("Callback", "Connection", "Core", "Inquiry", "Socket", "Strand")
        found = Counter(type(each).__name__ for each in gc.get_objects())
        return {name: found[name] for name in names}

    @crowd.event("callbacks told")
    def callbacks_told(socket: Any) -> dict[str, int]:
        return {name[1]: number for name, number in outcomes.items()}

    # -- a broadcast that some never read

    feed = io.of("/feed")
    ends: list[list[str]] = []

    @feed.on("connection")
    def watch(socket: Any) -> None:
        socket.on("disconnect", lambda reason, description: ends.append([socket.id, reason, type(description).__name__, str(description)]))

    @feed.event
    def publish(socket: Any, start: int, count: int, size: int) -> int:
        """Broadcast so many events, and answer when the last was sent."""
        for number in range(start, start + count):
            feed.emit("news", number, "x" * size)
        return start + count

    @home.event("feed ends")
    def feed_ends(socket: Any) -> list[list[str]]:
        return ends
