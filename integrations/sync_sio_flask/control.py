"""What `flask sync-sio` asks of a server that runs: a page beside the server's path, for who has the application's secret key."""

from __future__ import annotations

import json
from collections.abc import Iterable
from http import HTTPStatus
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final, Literal, TypedDict
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from flask import Flask
from itsdangerous import BadSignature, URLSafeTimedSerializer

from sync_sio.types import Environ, StartResponse, WSGIApp

from .facade import rooms_of

if TYPE_CHECKING:
    from .mount import Mount

MAX_AGE: Final = 30
"""Seconds for which a wish may be on its way."""

_MAX_BYTES: Final = 1_000_000
_TIMEOUT: Final = 10.0


class Wish(TypedDict, total=False):
    """What is asked: `state`, or `emit` with the rest."""

    verb: Literal["state", "emit"]
    event: str
    args: list[Any]
    to: list[str]
    namespace: str


class ControlError(Exception):
    """The server did not do it; the message says why, and what to do."""


def ask(app: Flask, url: str, wish: Wish) -> Any:
    """Have the server at `url`, which runs this application, do something. Raises ControlError."""
    path = _path(app.extensions["socketio"].io.options.path)
    body = _signer(app).dumps(wish)
    request = Request(url.rstrip("/") + path, data=body if isinstance(body, bytes) else body.encode(), method="POST")
    try:
        with urlopen(request, timeout=_TIMEOUT) as answer:
            return json.load(answer)
    except HTTPError as error:
        if error.code == HTTPStatus.FORBIDDEN:
            raise ControlError(f"{url} has another SECRET_KEY, or another time") from error
        if error.code in (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED):
            why = "does not answer such questions: set SYNC_SIO_CONTROL = True there, or run it in debug mode"
            raise ControlError(f"{url} {why}") from error
        raise ControlError(f"{url} answers {error.code}: {error.read(500).decode(errors='replace')}") from error
    except (URLError, OSError, ValueError) as error:
        raise ControlError(f"{url} does not answer ({error}): where does the server run? --url says it") from error


class Control:
    """WSGI middleware between the server and the application."""

    def __init__(self, mount: Mount, wsgi_app: WSGIApp) -> None:
        self._mount = mount
        self._wsgi_app = wsgi_app

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        mount = self._mount
        if environ.get("REQUEST_METHOD") != "POST" or environ.get("PATH_INFO") != _path(mount.io.options.path) or not self._is_on():
            return self._wsgi_app(environ, start_response)
        try:
            wish: Wish = _signer(mount.app).loads(_body(environ), max_age=MAX_AGE)
        except (BadSignature, ControlError):
            return _answer(start_response, HTTPStatus.FORBIDDEN, {"error": "not signed with this application's key, or too long ago"})
        try:
            return _answer(start_response, HTTPStatus.OK, self._do(wish))
        except (TypeError, ValueError) as error:
            return _answer(start_response, HTTPStatus.BAD_REQUEST, {"error": str(error)})

    def _is_on(self) -> bool:
        wanted = self._mount.options.control
        return self._mount.app.debug if wanted is None else wanted

    def _do(self, wish: Wish) -> Any:
        mount = self._mount
        if wish["verb"] == "state":
            return {home.name: {"sockets": len(home), "rooms": _rooms(home)} for home in mount.homes()}
        home = mount.home(wish.get("namespace"))
        if home is None:
            raise ValueError(f"there is no namespace {wish.get('namespace')!r}")
        to = wish.get("to")
        (home.to(to) if to else home).emit(wish["event"], *wish.get("args", ()))
        return {"sent": True}


def _rooms(home: Any) -> dict[str, int]:
    """Count the members of each room, but for those that are a client's own."""
    counts: dict[str, int] = {}
    for socket in home:
        for room in rooms_of(socket):
            if room != socket.id:
                counts[str(room)] = counts.get(str(room), 0) + 1
    return dict(sorted(counts.items()))


def _path(path: str) -> str:
    # not below it, where the server's own requests go
    return "/" + path.strip("/") + "-control"


def _signer(app: Flask) -> URLSafeTimedSerializer:
    if not app.secret_key:
        raise ControlError("the application has no SECRET_KEY, by which a server knows who may ask")
    return URLSafeTimedSerializer(app.secret_key, salt="sync_sio_flask.control")


def _body(environ: Environ) -> bytes:
    length = str(environ.get("CONTENT_LENGTH") or "")
    if not length.isdecimal() or int(length) > _MAX_BYTES:
        raise ControlError(f"a body of at most {_MAX_BYTES} bytes is wanted")
    found: bytes = environ.get("wsgi.input", BytesIO()).read(int(length))
    return found


def _answer(start_response: StartResponse, status: HTTPStatus, value: Any) -> list[bytes]:
    body = json.dumps(value).encode()
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body))), ("Cache-Control", "no-store")]
    start_response(f"{status.value} {status.phrase}", headers)
    return [body]
