"""A client in memory, in the words of Flask-SocketIO's: what is sent has been handled when `emit` returns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from flask import Flask
from werkzeug.datastructures import Headers
from werkzeug.test import EnvironBuilder

from sync_sio import ConnectRefused, RequestRefused
from sync_sio.testing import TestClient

from .mount import FAILURES, mount_in
from .targets import namespace_name
from .turn import SESSION, SHOWN

if TYPE_CHECKING:
    from flask.testing import FlaskClient

    from .extension import SocketIO


class SocketIOTestClient:
    """A client of an application's server, for one namespace or several. What handlers raise that nobody handles is raised here.

    Args:
        app, socketio: the application, and what was given it.
        namespace: to connect to; None: `"/"`.
        query_string, headers, auth: of the handshake.
        flask_test_client: a client whose cookies the handshake has, so that handlers see its user's session.
    """

    def __init__(
        self,
        app: Flask,
        socketio: SocketIO,
        namespace: str | None = None,
        query_string: str | None = None,
        headers: Any = None,
        auth: dict[str, Any] | None = None,
        flask_test_client: FlaskClient | None = None,
    ) -> None:
        self.app = app
        self.socketio = socketio
        self.flask_test_client = flask_test_client
        self.eio_sid: str | None = None
        self.acks: Any = None
        self.queue: list[dict[str, Any]] = []
        self.refusal: ConnectRefused | RequestRefused | None = None
        """Why the last `connect` was refused; None: it was not."""
        mount = mount_in(app, socketio)
        if mount is None:
            raise RuntimeError(f"{socketio!r} is not in front of {app!r}: init_app(app) puts it there")
        self._mount = mount
        self._clients: dict[str, TestClient] = {}
        self._session: Any = None
        self._failures: list[BaseException] = []
        self.connect(namespace, query_string, headers, auth)

    @property
    def connected(self) -> dict[str, bool]:
        """By namespace whether it is connected."""
        return {name: client.connected for name, client in self._clients.items()}

    def is_connected(self, namespace: str | None = None) -> bool:
        """Tell whether it is connected to a namespace."""
        client = self._clients.get(namespace_name(namespace))
        return client is not None and client.connected

    def connect(
        self,
        namespace: str | None = None,
        query_string: str | None = None,
        headers: Any = None,
        auth: dict[str, Any] | None = None,
    ) -> None:
        """Connect to one more namespace, or again. Who is refused is not connected; `refusal` says why."""
        self._failures.clear()
        self.refusal = None
        try:
            client = TestClient(
                self._mount.io,
                namespace_name(namespace),
                auth,
                headers=dict(headers or {}),
                environ=self._environ(query_string, headers or {}),
                raise_errors=True,
            )
        except (ConnectRefused, RequestRefused) as refusal:
            self.refusal = refusal
            self._clients.pop(namespace_name(namespace), None)
            if self._failures and not isinstance(self._failures[0], ConnectRefused):
                raise self._failures[0] from None
            return
        self._clients[client.namespace] = client
        client.settle()
        if client.connected:
            self.eio_sid = self.eio_sid or client.socket.conn.id
            self._session = client.socket.request.get(SESSION)

    def disconnect(self, namespace: str | None = None) -> None:
        """Leave a namespace; its `disconnect` handler has run then. Raises RuntimeError when it is not connected."""
        self._client(namespace).disconnect()

    def emit(self, event: str, *args: Any, callback: bool = False, namespace: str | None = None, **ignored: Any) -> Any:
        """Send an event and wait until it has been handled. Other keywords, such as `broadcast`, are a server's affair: ignored.

        Args:
            callback: ask for the acknowledgement: it is returned, one value as it is, any other number of them as a list; None: there
                was none, as nobody handles the event.
        """
        client = self._client(namespace)
        answers: list[list[Any]] = []
        if callback:
            client.emit(event, *args, ack=lambda *answer: answers.append(list(answer)))
        elif self._mount.options.async_handlers and self._mount.table.find(client.namespace, event, args) is not None:
            client.call(event, *args, timeout=client.timeout)
        else:
            client.emit(event, *args)
        client.settle()
        if self._failures:
            raise self._failures.pop()
        if not answers:
            return None
        return answers[0][0] if len(answers[0]) == 1 else answers[0]

    def send(self, data: Any, json: bool = False, callback: bool = False, namespace: str | None = None) -> Any:
        """Send the event `"message"`, or with `json` the event `"json"`."""
        return self.emit("json" if json else "message", data, callback=callback, namespace=namespace)

    def get_received(self, namespace: str | None = None) -> list[dict[str, Any]]:
        """Return what has come since the last time: each with `name`, `args` and `namespace`.

        `args` is a list, but for the events `"message"` and `"json"`, of which it is the value.
        """
        client = self._clients.get(namespace_name(namespace))
        if client is not None and client.connected:
            client.settle()
        if client is None or not (client.connected or client.received):
            raise RuntimeError("not connected")
        found = [client.receive(0) for _ in client.received]
        return [
            {"name": name, "args": args[0] if name in ("message", "json") and args else args, "namespace": client.namespace}
            for name, *args in found
        ]

    def on(self, event: str, fn: Any = None, namespace: str | None = None) -> Any:
        """Answer what the server sends or asks, with what `fn` returns; such events are not received. As a call or a decorator."""
        client = self._client(namespace)
        return client.on(event) if fn is None else client.on(event, fn)

    def _client(self, namespace: str | None) -> TestClient:
        client = self._clients.get(namespace_name(namespace))
        if client is None or not client.connected:
            raise RuntimeError("not connected")
        return client

    def _environ(self, query_string: str | None, headers: Mapping[str, str]) -> dict[str, Any]:
        """Return what is to be in the environ of the handshake, and the request that handlers see."""
        query = (query_string or "").lstrip("?")
        shown = EnvironBuilder(path=f"{self._mount.io.options.path}/", query_string=query, headers=Headers(headers)).get_environ()
        if self.flask_test_client is not None:
            # Werkzeug has no public way to ask a client for all of its cookies
            self.flask_test_client._add_cookies_to_wsgi(shown)
        environ: dict[str, Any] = {FAILURES: self._failures, SHOWN: shown}
        if query:
            environ["QUERY_STRING"] = f"EIO=4&transport=websocket&{query}"
        if "HTTP_COOKIE" in shown:
            environ["HTTP_COOKIE"] = shown["HTTP_COOKIE"]
        if self._session is not None:
            environ[SESSION] = self._session
        return environ
