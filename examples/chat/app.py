"""A chat: rooms, who is here, who is typing, and the last words of a room for whoever comes in.

    python examples/chat/app.py                                    http://127.0.0.1:3000
    flask --app examples/chat/app.py run --port 3000               the same, by Flask's own server
    gunicorn -k gthread --threads 4 --chdir examples/chat app:app  or -k gevent

What is said is kept in this process, so serve it with one worker.
"""

from __future__ import annotations

import itertools
import os
import time
from collections import Counter, defaultdict, deque
from typing import Any

from flask import Flask, Response

from sync_sio import ConnectRefused, Server, Socket

app = Flask(__name__)
io = Server()
app.wsgi_app = io.attach(app.wsgi_app)  # type: ignore[method-assign]

ROOMS = ("lobby", "kitchen", "music")  # always listed; any other exists while somebody is in it
said: dict[str, deque[dict[str, Any]]] = defaultdict(lambda: deque(maxlen=50))  # room -> its last lines
numbers = itertools.count(1)


@app.get("/")
def page() -> Response:
    return app.send_static_file("index.html")


# --- coming in


@io.use
def has_a_name(socket: Socket) -> None:
    """Runs before a client is connected; raising refuses it."""
    name = str(socket.handshake.auth.get("name", "")).strip()[:24]
    if not name:
        raise ConnectRefused("please choose a name")
    socket.data["name"] = name


@io.on("connection")
def connected(socket: Socket) -> None:
    """No event of this client is handled before this has returned, so the handlers below always find a room."""
    move(socket, socket.handshake.auth.get("room"))


# --- the events that a client sends


@io.event
def enter(socket: Socket, room: Any) -> None:
    left = socket.data["room"]
    socket.leave(f"room:{left}")
    move(socket, room)
    tell_who_is_in(left)


@io.event
def say(socket: Socket, text: Any) -> bool:
    text = str(text).strip()[:2000]
    if text:
        room = socket.data["room"]
        line = {"id": next(numbers), "name": socket.data["name"], "text": text, "at": time.time()}
        said[room].append(line)
        io.to(f"room:{room}").emit("line", line)
    return bool(text)  # the acknowledgement: the page clears its input when it gets one


@io.event
def typing(socket: Socket, is_typing: Any) -> None:
    socket.to(f"room:{socket.data['room']}").emit("typing", socket.data["name"], bool(is_typing))


@io.event
def disconnect(socket: Socket, reason: str) -> None:
    tell_who_is_in(socket.data["room"])


# --- what they have in common


def move(socket: Socket, room: Any) -> None:
    room = str(room or "").strip().lower()[:24] or ROOMS[0]
    socket.data["room"] = room
    # The prefix keeps rooms apart from sockets' ids, which are rooms too.
    socket.join(f"room:{room}")
    # Joined first: a line that is said right now may come twice, and the page knows lines by their id. Never not at all.
    socket.emit("room", room, list(said[room]))
    tell_who_is_in(room)


def tell_who_is_in(room: str) -> None:
    here = [socket.data for socket in io.sockets]
    names = {data["name"] for data in here if data["room"] == room}
    io.to(f"room:{room}").emit("people", sorted(names, key=str.casefold))
    io.emit("rooms", {**dict.fromkeys(ROOMS, 0), **Counter(data["room"] for data in here)})


if __name__ == "__main__":
    port = int(os.environ.get("PORT", "3000"))
    print(f"The chat is at http://127.0.0.1:{port}  (Ctrl-C ends it)", flush=True)
    io.listen(port)
