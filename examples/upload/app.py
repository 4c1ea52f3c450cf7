"""File upload in binary chunks: the page sends a few ahead and waits for acknowledgements; after a break it goes on where it was.

    python examples/upload/app.py                                          http://127.0.0.1:3000
    gunicorn -k gthread --threads 4 --chdir examples/upload app:io         `io` is a WSGI application, and needs no framework
"""

import hashlib
import mimetypes
import os
import re
from collections.abc import Iterable
from pathlib import Path
from threading import Lock
from typing import Any

from sync_sio import Server, Socket
from sync_sio.types import Environ, StartResponse

CHUNK = 256 * 1024  # bytes of one message: well below the server's max_http_buffer_size
LIMIT = 64 * 1024 * 1024  # bytes of one file
HERE = Path(__file__).parent
FOLDER = Path(os.environ.get("UPLOADS", HERE / "uploads"))  # files are called by their SHA-256, and `.part` while they come
PAGES = {"/": HERE / "static" / "index.html", **{f"/static/{file.name}": file for file in (HERE / "static").iterdir()}}

FOLDER.mkdir(exist_ok=True)
stored: list[dict[str, Any]] = []
writing = Lock()  # two clients may send the same file


def site(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    file = PAGES.get(environ["PATH_INFO"])
    kind = mimetypes.guess_type(file.name)[0] if file else None
    start_response("200 OK" if file else "404 Not Found", [("Content-Type", kind or "text/plain"), ("Cache-Control", "no-cache")])
    return [file.read_bytes() if file else b"Not found"]


io = Server(site)


@io.on("connection")
def connected(socket: Socket) -> None:
    socket.emit("welcome", {"chunk": CHUNK, "limit": LIMIT, "stored": stored})


@io.event
def begin(socket: Socket, name: str, size: int, digest: str) -> dict[str, Any]:
    """Answer how much of the file is here: something after a break, be it of this server, and all of it if it came before."""
    if not 0 < size <= LIMIT:
        return {"error": f"a file may have {LIMIT >> 20} MB"}
    if not re.fullmatch("[0-9a-f]{64}", digest):
        return {"error": "that is no SHA-256"}
    socket.data[digest] = {"name": name[:100], "size": size}
    return {"received": received(digest)}


@io.event
def chunk(socket: Socket, digest: str, offset: int, data: bytes) -> dict[str, Any]:
    """Append it, if it is the next one. The answer lets the page send another: that is all there is to back-pressure."""
    upload = socket.data.get(digest)
    if upload is None:
        return {"error": "it has not begun"}
    with writing:
        here = received(digest)
        if offset != here or not 0 < len(data) <= min(CHUNK, upload["size"] - here):
            return {"received": here}
        with open(FOLDER / f"{digest}.part", "ab") as part:
            part.write(data)
        return finish(upload, digest) if here + len(data) == upload["size"] else {"received": here + len(data)}


def received(digest: str) -> int:
    files = (FOLDER / digest, FOLDER / f"{digest}.part")
    return next((file.stat().st_size for file in files if file.exists()), 0)


def finish(upload: dict[str, Any], digest: str) -> dict[str, Any]:
    part = FOLDER / f"{digest}.part"
    if hashlib.sha256(part.read_bytes()).hexdigest() != digest:
        part.unlink()
        return {"error": "what came is not what was meant: its SHA-256 is another"}
    part.rename(FOLDER / digest)
    stored.append({**upload, "digest": digest})
    io.emit("stored", stored[-1])
    return {"received": upload["size"]}


if __name__ == "__main__":
    port = int(os.environ.get("PORT", "3000"))
    print(f"Uploads are taken at http://127.0.0.1:{port}  (Ctrl-C ends it)", flush=True)
    io.listen(port)
