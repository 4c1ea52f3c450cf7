"""A WSGI application that takes sockets over and echoes on them: the least that a user of `takeover` must do.

`ECHO_LOOP=hub`: on gevent's hub, else on one plain thread.
"""

from __future__ import annotations

import gc
import os
import select
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from sync_sio.drivers.base import Stream
from sync_sio.types import Environ, StartResponse
from sync_sio.wsgi.takeover import CannotTake, may_take, take

SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
PARKED = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nparked"


class ThreadLoop:
    """One thread, one poll set."""

    def __init__(self) -> None:
        self.poller = select.epoll()
        self.streams: dict[int, Stream] = {}
        threading.Thread(target=self.run, daemon=True).start()

    def add(self, stream: Stream) -> None:
        self.streams[stream.fd] = stream
        self.poller.register(stream.fd, select.EPOLLIN)

    def later(self, seconds: float, fn: Callable[[], None]) -> None:
        threading.Timer(seconds, fn).start()

    def pause(self) -> None:
        time.sleep(0.001)

    def run(self) -> None:
        while True:
            for fd, _ in self.poller.poll():
                stream = self.streams[fd]
                if not echo_some(stream):
                    self.poller.unregister(fd)
                    del self.streams[fd]
                    stream.close()


class HubLoop:
    """A watcher per stream on gevent's hub."""

    def __init__(self) -> None:
        import gevent

        self.gevent = gevent
        self.streams: dict[int, Stream] = {}

    def add(self, stream: Stream) -> None:
        self.streams[stream.fd] = stream
        self.gevent.spawn(self.run, stream)

    def later(self, seconds: float, fn: Callable[[], None]) -> None:
        self.gevent.spawn_later(seconds, fn)

    def pause(self) -> None:
        self.gevent.sleep(0.001)

    def run(self, stream: Stream) -> None:
        hub = self.gevent.get_hub()
        watcher = hub.loop.io(stream.fd, 1)
        while True:
            hub.wait(watcher)
            if not echo_some(stream):
                break
        watcher.close()
        del self.streams[stream.fd]
        stream.close()


def send(stream: Stream, data: bytes) -> None:
    while data:
        data = data[stream.send(data) :]
        if data:
            get_loop().pause()


def echo_some(stream: Stream) -> bool:
    try:
        while True:
            data = stream.recv(65536)
            if data:
                send(stream, data)
            if not stream.has_pending():
                return data is None or data != b""
    except OSError:
        return False


loop: Any = None


def get_loop() -> Any:
    global loop
    if loop is None:  # after any fork, never at import
        loop = HubLoop() if os.environ.get("ECHO_LOOP") == "hub" else ThreadLoop()
    return loop


def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    path = environ["PATH_INFO"]
    if path == "/reason":
        body = str(may_take(environ)).encode()
    elif path == "/held":
        body = str(len(get_loop().streams)).encode()
    elif path == "/descriptors":
        gc.collect()  # cheroot's connections are cycles
        body = str(len(os.listdir("/proc/self/fd"))).encode()
    elif path == "/post":
        body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
    elif path in ("/echo", "/park"):
        return takeover(environ, start_response)
    else:
        body = b"plain"
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


def takeover(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    may = may_take(environ)
    try:
        taken = take(environ)
    except CannotTake as error:
        body = f"refused: {error}".encode()
        assert may == str(error), may
        start_response("501 Not Implemented", [("Content-Length", str(len(body)))])
        return [body]
    assert may is None, may
    stream = taken.stream
    if environ["PATH_INFO"] == "/park":

        def answer() -> None:
            send(stream, PARKED)
            stream.close()

        get_loop().later(0.2, answer)
        start_response("200 OK", [("Content-Length", "0")])
        return []
    send(stream, (b"" if taken.handshaken else SWITCHING) + taken.leftover)
    get_loop().add(stream)
    start_response("101 Switching Protocols", [])
    return []
