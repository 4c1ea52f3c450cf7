"""A way to Redis that a test can block: connections stay open, and nothing comes through any more, as when a firewall forgets them."""

from __future__ import annotations

import contextlib
import socket
import threading


class Proxy:
    """`with Proxy(port) as proxy:` listens at `proxy.port` and forwards to `port`."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._muted: set[socket.socket] = set()
        self._subscribers: set[socket.socket] = set()
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Proxy:
        self._spawn(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for sock in self._sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        for sock in self._sockets:
            sock.close()

    def mute_subscribers(self) -> int:
        """Let nothing come from Redis on connections that have subscribed so far. Returns how many they are."""
        self._muted |= self._subscribers
        return len(self._muted)

    def _spawn(self, fn: object, *args: object) -> None:
        thread = threading.Thread(target=fn, args=args)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._to))
            self._sockets += [client, server]
            self._spawn(self._forward, client, server, client)
            self._spawn(self._forward, server, client, client)

    def _forward(self, source: socket.socket, target: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if source is client and b"SUBSCRIBE" in data:
                    self._subscribers.add(client)
                if source is client or client not in self._muted:
                    target.sendall(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_RDWR)
