"""A thousand clients that ask, and a visitor who reads pages beside them: what tests/django and tests/flask measure."""

from __future__ import annotations

import multiprocessing.connection
import selectors
import struct
import time
from typing import Any

from .wire import TEXT, Http, SocketClient, WebSocketClient, frame

WARM_UP = 2.0
"""Seconds before anything counts: the pool learns which handlers block, Python's caches fill."""


def read_pages(address: tuple[str, int], seconds: float) -> tuple[list[float], list[int]]:
    """Read a page with a query twenty times a second; return how many seconds each took, and how many connections were open."""
    took, databases = [], []
    http = Http(address)
    started = time.monotonic()
    while (now := time.monotonic()) < started + seconds:
        assert http.request("GET", "/notes").status == 200
        if now > started + WARM_UP:
            took.append(time.monotonic() - now)
        databases.append(http.request("GET", "/stats").json()["databases"])
        time.sleep(max(0.0, now + 0.05 - time.monotonic()))
    http.close()
    return took, databases


def talk(address: tuple[str, int], clients: int, rate: int, seconds: float, told: multiprocessing.connection.Connection) -> None:
    """Be the clients, in a process of their own: one after the other sends an event that asks for an answer."""
    selector = selectors.DefaultSelector()
    sockets = []
    for _ in range(clients):
        client = SocketClient(WebSocketClient(address))
        client.wait_until_connected()
        sock = client.engine.ws.sock
        sock.setblocking(False)
        selector.register(sock, selectors.EVENT_READ, bytearray(client.engine.ws.buffer))
        sockets.append(sock)
    told.send("connected")
    message = frame(TEXT, b'420["count"]')
    sent = answered = 0
    started = time.monotonic()
    while (now := time.monotonic()) < started + seconds or (answered < sent and now < started + seconds + 10):
        while sent < (min(now - started, seconds)) * rate:
            sockets[sent % clients].sendall(message)
            sent += 1
        for key, _ in selector.select(0.001):
            answered += read(key.fileobj, key.data)
    told.send((sent, answered))
    for sock in sockets:
        sock.close()


def read(sock: Any, buffer: bytearray) -> int:
    """Read what is there; count the answers, answer the pings."""
    buffer += sock.recv(65536)
    answers = 0
    while len(buffer) >= 2:
        size, head = buffer[1], 2
        if size == 126:
            size, head = struct.unpack_from("!H", buffer, 2)[0], 4
        if len(buffer) < head + size:
            break
        text = bytes(buffer[head : head + size])
        del buffer[: head + size]
        answers += text.startswith(b"43")
        if text == b"2":
            sock.sendall(frame(TEXT, b"3"))
    return answers
