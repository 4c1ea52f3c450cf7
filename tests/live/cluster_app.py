"""A server of a cluster that does what its clients say: `python -m tests.live.cluster_app threads|gevent|patched ADAPTER URL NAME`.

tests/live/node/cluster.cjs is the same for Node.js. It prints its port when it serves.
"""

# ruff: noqa: E402  (patching comes first)
from __future__ import annotations

import sys

KIND, ADAPTER, URL, NAME = sys.argv[1:5]
if KIND == "patched":
    from gevent import monkey

    monkey.patch_all()

import os
import threading
from typing import Any

from sync_sio import AckTimeout, Server
from sync_sio.adapters import redis

BYTES = bytes([1, 2, 255])


def is_told_of(thread: threading.Thread) -> bool:
    """Leave out those of pools, which come and go, and what gevent has instead of threads."""
    return thread.name != "sync_sio" and not thread.name.startswith("Dummy-")


def main() -> None:
    io = Server(
        adapter=getattr(redis, ADAPTER)(URL, requests_timeout=2.0),
        runtime="threads" if KIND == "threads" else "gevent",
        connection_state_recovery="LIVE_RECOVERY" in os.environ,
    )
    team = io.of("/team")
    heard: list[Any] = []

    def those(who: dict[str, Any]) -> Any:
        found: Any = team
        if "rooms" in who:
            found = found.to(who["rooms"])
        if "except" in who:
            found = found.except_(who["except"])
        return found.local if who.get("local") else found

    def ask(who: dict[str, Any], args: Any) -> Any:
        return those(who).call(*with_bytes(args), timeout=who.get("timeout", 5))

    def told(fn: Any, shown: Any = list) -> Any:
        try:
            return {"answers": shown(fn())}
        except AckTimeout as error:
            return {"error": str(error), "answers": shown(error.responses)}

    def clients(found: Any) -> Any:
        return [
            {"id": each.id, "rooms": sorted(each.rooms), "data": each.data, "query": dict(each.handshake.query)} for each in found
        ]

    team.event("join", lambda socket, room: socket.join(room))
    team.event("rooms", lambda socket: sorted(socket.rooms - {socket.id}))
    team.event("data", lambda socket, data: socket.data.update(with_bytes(data)))
    team.event("emit", lambda socket, who, *args: those(who).emit(*with_bytes(args)))
    team.event("threads", lambda socket: sorted(thread.name for thread in threading.enumerate() if is_told_of(thread)))
    team.event("broadcast", lambda socket, *args: socket.broadcast.emit(*args))
    team.event("call", lambda socket, who, *args: told(lambda: ask(who, args)), concurrent=True)
    team.event("fetch", lambda socket, who: told(those(who).fetch_sockets, clients), concurrent=True)
    team.event("sockets_join", lambda socket, who, rooms: those(who).sockets_join(rooms))
    team.event("sockets_leave", lambda socket, who, rooms: those(who).sockets_leave(rooms))
    team.event("disconnect_sockets", lambda socket, who, close: those(who).disconnect_sockets(close))
    team.event("side_emit", lambda socket, *args: team.server_side_emit(*with_bytes(args)))
    team.event("side_call", lambda socket, *args: told(lambda: team.server_side_call(*with_bytes(args), timeout=2)), concurrent=True)
    team.event("recovered", lambda socket: [socket.recovered, socket.data])
    team.event("to_me", lambda socket, *args: socket.emit(*with_bytes(args)))
    team.event("volatile", lambda socket, *args: team.volatile.emit(*args))
    team.event("heard", lambda socket: heard)
    team.event("nodes", lambda socket: io.adapter_status().nodes)
    team.event("status", lambda socket: list(io.adapter_status()))
    team.event("name", lambda socket: getattr(io.adapter, "id", NAME))

    @team.on("news")
    def news(*args: Any) -> Any:
        heard.append(list(args))
        return [NAME, *args]

    running = io.start()
    print(running.http_server.port, flush=True)
    sys.stdin.read() if KIND == "threads" else wait_on_a_thread()
    running.stop()


def wait_on_a_thread() -> None:
    from gevent import get_hub

    get_hub().threadpool.apply(sys.stdin.read)


def with_bytes(value: Any) -> Any:
    """Put bytes where a client that speaks text only has said that it wants some."""
    if value == "<bytes>":
        return BYTES
    if isinstance(value, list | tuple):
        return [with_bytes(item) for item in value]
    return {key: with_bytes(item) for key, item in value.items()} if isinstance(value, dict) else value


if __name__ == "__main__":
    main()
