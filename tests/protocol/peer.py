"""An independent WebSocket client: the `websockets` library without its network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from websockets.client import ClientProtocol
from websockets.extensions.base import ClientExtensionFactory
from websockets.frames import Frame
from websockets.http11 import Response
from websockets.protocol import State
from websockets.uri import parse_uri

from sync_sio.protocol.websocket import handshake
from sync_sio.types import Environ


class Peer:
    """A client whose bytes are handed over by the test.

    Attributes:
        environ: its opening request, as a WSGI server would give it.
    """

    def __init__(self, extensions: Sequence[ClientExtensionFactory] = ()) -> None:
        self.protocol = ClientProtocol(parse_uri("ws://example.com/socket.io/"), extensions=list(extensions), max_size=None)
        request = self.protocol.connect()
        self.protocol.send_request(request)
        self.take()
        self.environ: Environ = {"REQUEST_METHOD": "GET", "SERVER_PROTOCOL": "HTTP/1.1"}
        for name, value in request.headers.raw_items():
            self.environ["HTTP_" + name.upper().replace("-", "_")] = value

    def open(self, headers: Sequence[tuple[str, str]] = ()) -> None:
        """Have it read our 101 and check it."""
        self.protocol.receive_data(handshake.response_head(self.environ, headers))
        (response,) = self.protocol.events_received()
        assert isinstance(response, Response)
        assert self.protocol.handshake_exc is None, self.protocol.handshake_exc
        assert self.protocol.state is State.OPEN

    def take(self) -> bytes:
        """Return what it has written, masked by itself."""
        return b"".join(self.protocol.data_to_send())

    def give(self, data: bytes) -> list[tuple[int, bytes]]:
        """Have it read our frames and return what it understood, as (opcode, payload)."""
        self.protocol.receive_data(data)
        assert self.protocol.parser_exc is None, self.protocol.parser_exc
        events: list[Any] = self.protocol.events_received()
        return [(event.opcode.value, bytes(event.data)) for event in events if isinstance(event, Frame)]
