"""A drawing board for everybody who is there: strokes are kept and never lost, where a pointer is may be lost.

    python examples/drawing/app.py                                         http://127.0.0.1:3000
    gunicorn -k gthread --threads 4 --chdir examples/drawing app:io        one worker process: the board is in it
"""

import itertools
import mimetypes
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sync_sio import Server, Socket
from sync_sio.types import Environ, StartResponse

STATIC = Path(__file__).parent / "static"
PAGES = {"/": STATIC / "index.html", **{f"/static/{file.name}": file for file in STATIC.iterdir()}}


def site(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    file = PAGES.get(environ["PATH_INFO"])
    kind = mimetypes.guess_type(file.name)[0] if file else None
    start_response("200 OK" if file else "404 Not Found", [("Content-Type", kind or "text/plain"), ("Cache-Control", "no-cache")])
    return [file.read_bytes() if file else b"Not found"]


io = Server(site)

ANIMALS = ("Otter", "Heron", "Badger", "Lynx", "Magpie", "Hare", "Newt", "Robin", "Stoat", "Wren")
MOST_STROKES, MOST_NUMBERS = 2000, 20_000  # of the board, and of one stroke: x and y of its points; the board is 1600 by 1200
visitors = itertools.count()
strokes: dict[str, dict[str, Any]] = {}  # by id, the oldest first


@io.on("connection")
def connected(socket: Socket) -> None:
    number = next(visitors)
    socket.data.update(id=socket.id, name=ANIMALS[number % len(ANIMALS)], hue=number * 137 % 360)
    # What is drawn right now may be in here, and come as "part" once more: it says where it belongs. Never not at all.
    socket.emit("board", socket.data, list(strokes.values()), [other.data for other in io.sockets if other.data and other is not socket])
    socket.broadcast.emit("came", socket.data)


@io.event
def part(socket: Socket, stroke: dict[str, Any], at: int, numbers: list[int]) -> None:
    """Some more points of a stroke, or its first ones. The acknowledgement says: kept, and on its way to everybody."""
    name, style = str(stroke["id"])[:40], {"hue": int(stroke["hue"]), "width": int(stroke["width"])}
    if at == 0:
        strokes.setdefault(name, {"id": name, **style, "points": []})
    points = strokes[name]["points"] if name in strokes else None
    if points is not None and at == len(points) and at + len(numbers) <= MOST_NUMBERS:
        points.extend([int(number) for number in numbers])
        socket.broadcast.emit("part", {"id": name, **style}, at, points[at:])
    if len(strokes) > MOST_STROKES:
        erase(socket, next(iter(strokes)))


@io.event
def erase(socket: Socket, stroke: str) -> None:
    if strokes.pop(stroke, None):
        io.emit("erase", stroke)


@io.event
def clear(socket: Socket) -> None:
    strokes.clear()
    io.emit("clear")


@io.event
def pointer(socket: Socket, x: int, y: int) -> None:
    """Where somebody's pointer is. The next one comes in a moment, so whoever has no room for this one goes without it."""
    socket.broadcast.volatile.emit("pointer", socket.id, int(x), int(y))


@io.event
def disconnect(socket: Socket, reason: str) -> None:
    io.emit("left", socket.id)


if __name__ == "__main__":
    port = int(os.environ.get("PORT", "3000"))
    print(f"The board is at http://127.0.0.1:{port}  (Ctrl-C ends it)", flush=True)
    io.listen(port)
