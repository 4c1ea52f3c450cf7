"""A server with dynamic namespaces and catch-all listeners: `python dynamic_app.py RUNTIME PORT`. What has happened is told in pages."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from sync_sio import ConnectRefused, Server

made: list[str] = []


def pages(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Tell what is there."""
    body = json.dumps({"audit": io.audit(), "made": made, "children": sorted(numbered.children), "rooms": sorted(rooms.children)}).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


io = Server(pages, runtime=sys.argv[1], cleanup_empty_child_namespaces=True, max_namespaces=8)  # type: ignore[arg-type]
io.on("new_namespace", lambda namespace: made.append(namespace.name))

# -- by pattern

numbered = io.of(re.compile(r"^/numbered-\d+$"))


@numbered.use
def first(socket: Any) -> None:
    if "refuse" in socket.handshake.auth:
        raise ConnectRefused("not here", data={"namespace": socket.namespace.name})
    socket.data["seen by"] = ["first"]


@numbered.on("connection")
def connected(socket: Any) -> None:
    socket.join("a room")
    socket.emit("welcome", socket.namespace.name, socket.data["seen by"])


@numbered.event
def where(socket: Any) -> str:
    name: str = socket.namespace.name
    return name


@numbered.event
def later(socket: Any, word: str) -> None:
    """Register middleware and a handler with the parent, for children that are there and for those to come."""
    numbered.use(lambda socket: socket.data["seen by"].append(word))
    numbered.event(word, lambda socket: [word, socket.namespace.name])


@numbered.event("tell all children")
def tell_all_children(socket: Any, *args: Any) -> None:
    numbered.emit("told", *args)
    numbered.to("a room").emit("told in a room", *args)


@numbered.event("ask all children", concurrent=True)
def ask_all_children(socket: Any) -> Any:
    return {"responses": sorted(numbered.timeout(10).call("question")), "ids": sorted(each.id for each in numbered.fetch_sockets())}


@numbered.event("by hand")
def by_hand(socket: Any, name: str) -> str:
    io.of(name)
    assert name in numbered.children
    return name


# -- by function


def with_token(name: str, auth: dict[str, Any], environ: dict[str, Any]) -> bool:
    if auth.get("token") == "fail":
        raise RuntimeError("on purpose")
    return name.startswith("/room/") and auth.get("token") == name.removeprefix("/room/") and "EIO=4" in environ["QUERY_STRING"]


rooms = io.of(with_token)
rooms.event(where)

# -- catch-all listeners


@io.on("connection")
def watch(socket: Any) -> None:
    """Remember what comes and what goes, `bytes` as lists; the journal is told without being seen itself."""
    heard: list[Any] = []
    sent: list[Any] = []

    def plain(args: Any) -> Any:
        return [list(arg) if isinstance(arg, bytes) else arg for arg in args if not callable(arg)]

    @socket.on_any
    def any(event: str, *args: Any) -> None:
        heard.append(["any", event, *plain(args)])

    @socket.prepend_any
    def before(event: str, *args: Any) -> None:
        heard.append(["before", event])

    @socket.use
    def guard(packet: list[Any]) -> None:
        heard.append(["middleware", packet[0]])
        if packet[0] == "forbidden":
            raise ConnectRefused("forbidden")

    @socket.on_any_outgoing
    def outgoing(event: str, *args: Any) -> None:
        sent.append([event, *plain(args)])

    @socket.on("journal")
    def journal(ack: Any) -> None:
        ack({"heard": heard, "sent": sent, "listeners": [len(socket.listeners_any()), len(socket.listeners_any_outgoing())]})

    @socket.on("stop")
    def stop() -> None:
        socket.off_any(before)
        socket.off_any_outgoing()


@io.event
def echo(socket: Any, *args: Any) -> Any:
    socket.emit("echoed", *args)
    return args


@io.event("close the server")
def close_the_server(socket: Any) -> None:
    while not socket.conn.transport.may_take():     # what a client reads of an end depends on whether its poll is there
        io.sleep(0.005)
    io.close()


@io.event("broadcast")
def broadcast(socket: Any, whom: str, *args: Any) -> None:
    io.to(whom).except_("nobody").emit("news", *args)
    socket.to(whom).emit("news of another", *args)


@io.event
def ask(socket: Any, ack: Any) -> None:
    socket.emit("question", 1, ack=lambda *answer: ack(*answer))


if __name__ == "__main__":
    io.listen(int(sys.argv[2]))
