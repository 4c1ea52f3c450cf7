"""Byte streams in memory between a server under test and a scripted client, with small buffers and a scheduler in between."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..drivers.base import BytesLike
from .schedule import BrokenRule

if TYPE_CHECKING:
    from .interleave import InterleaveDriver
    from .schedule import Task


SHORT = 160
"""Bytes that a kernel takes whole when there is room for them; of more it may take a part although there is."""


class Pipe:
    """One direction: bytes on their way, at most `capacity`, and whether its writer or its reader has gone."""

    __slots__ = ("capacity", "data", "has_ended", "is_broken", "readers", "writers")

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.data = bytearray()
        self.has_ended = False
        """No more comes: the reader gets what is left, then the end."""
        self.is_broken = False
        """Nobody reads any more: writing fails."""
        self.readers: list[Task] = []
        self.writers: list[Task] = []

    @property
    def room(self) -> int:
        return self.capacity - len(self.data)


class MemoryStream:
    """The server's end: a `drivers.base.Stream`. Descriptor numbers are reused at once, as a kernel does.

    It fails the schedule when it is used after `close`, by two readers or by two writers at a time, or closed twice.
    """

    is_tls = False

    def __init__(self, driver: InterleaveDriver, fd: int, name: str, inward: Pipe, outward: Pipe) -> None:
        self.fd = fd
        self.name = name
        self.inward = inward
        self.outward = outward
        self.is_closed = False
        self.is_shut = False
        self._driver = driver
        self._reading: str | None = None
        self._writing: str | None = None

    def __repr__(self) -> str:
        return f"<MemoryStream {self.name} fd={self.fd}>"

    def recv(self, size: int) -> bytes | None:
        schedule = self._driver.schedule
        self._begin("recv")
        if self._reading is not None:
            schedule.fail(BrokenRule(f"{self!r}: two readers, {self._reading} and {schedule.current.name}"))
        self._reading = schedule.current.name
        schedule.point(f"recv {self.name}")
        self._reading = None
        self._begin("recv")
        pipe = self.inward
        if self.is_shut or pipe.is_broken:
            return b""
        if not pipe.data:
            return b"" if pipe.has_ended else None
        count = min(size, len(pipe.data))
        if schedule.chance() < 0.3:
            count = 1 + int(schedule.chance() * count)
            count = min(count, size, len(pipe.data))
        data = bytes(pipe.data[:count])
        del pipe.data[:count]
        for task in pipe.writers:
            schedule.wake(task)
        pipe.writers.clear()
        return data

    def recv_into(self, view: memoryview) -> int | None:
        data = self.recv(len(view))
        if data is None:
            return None
        view[: len(data)] = data
        return len(data)

    def send(self, data: BytesLike) -> int:
        schedule = self._driver.schedule
        self._begin("send")
        if schedule.current.held is None and not schedule.current.is_phase_one:
            schedule.fail(BrokenRule(f"{self!r}: written to without a lock"))
        if self._writing is not None:
            schedule.fail(BrokenRule(f"{self!r}: two writers, {self._writing} and {schedule.current.name}"))
        self._writing = schedule.current.name
        schedule.point(f"send {self.name}")
        self._writing = None
        self._begin("send")
        pipe = self.outward
        if self.is_shut or pipe.is_broken:
            raise BrokenPipeError(32, "the peer is gone")
        count = min(len(data), pipe.room)
        if count > SHORT and schedule.chance() < 0.2:
            count = 1 + int(schedule.chance() * (count - 1))
        if count:
            pipe.data += bytes(data[:count])
            for task in pipe.readers:
                schedule.wake(task)
            pipe.readers.clear()
        return count

    @property
    def lane(self) -> MemoryStream:
        return self

    def has_pending(self) -> bool:
        return False

    def shutdown(self) -> None:
        """End both directions; what was sent before still arrives."""
        self._driver.schedule.point(f"shutdown {self.name}")
        self._begin("shutdown")
        self._shut()

    def close(self) -> None:
        schedule = self._driver.schedule
        schedule.point(f"close {self.name}")
        if self.is_closed:
            schedule.fail(BrokenRule(f"{self!r}: closed twice"))
        if self._reading is not None or self._writing is not None:
            schedule.fail(BrokenRule(f"{self!r}: closed while {self._reading or self._writing} uses it"))
        self.is_closed = True
        self._shut()
        self._driver.gave_back(self)

    def is_readable(self) -> bool:
        return bool(self.inward.data) or self.inward.has_ended or self.inward.is_broken or self.is_shut

    def is_writable(self) -> bool:
        # a kernel says so when a good part of the buffer is free, not for each byte
        pipe = self.outward
        return pipe.room * 2 >= pipe.capacity or pipe.is_broken or self.is_shut

    def _begin(self, what: str) -> None:
        if self.is_closed:
            self._driver.schedule.fail(BrokenRule(f"{self!r}: {what} after close: the number may be another client's by now"))

    def _shut(self) -> None:
        schedule = self._driver.schedule
        self.is_shut = True
        self.outward.has_ended = True
        self.inward.is_broken = True
        for task in (*self.outward.readers, *self.inward.writers):
            schedule.wake(task)
        self._driver.ready_again()


class ClientEnd:
    """The client's end. `read` and `write` block their task, as a client's own threads would."""

    def __init__(self, driver: InterleaveDriver, name: str, inward: Pipe, outward: Pipe) -> None:
        self.name = name
        self.inward = inward
        self.outward = outward
        self.is_closed = False
        self._driver = driver

    def read(self, timeout: float | None = None) -> bytes:
        """Return what has come, at least a byte; `b""` at the end. Raises TimeoutError."""
        schedule = self._driver.schedule
        schedule.point(f"client reads {self.name}")
        pipe = self.inward
        deadline = None if timeout is None else schedule.now + timeout
        while not pipe.data:
            if pipe.has_ended or self.is_closed:
                return b""
            pipe.readers.append(schedule.current)
            if not schedule.block(f"bytes for the client of {self.name}", deadline) and not pipe.data:
                raise TimeoutError(f"nothing came for {timeout} s")
        data = bytes(pipe.data)
        pipe.data.clear()
        self._driver.ready_again()
        return data

    def write(self, data: bytes) -> None:
        """Hand over everything, waiting for room. Raises ConnectionError when the server has hung up."""
        schedule = self._driver.schedule
        pipe = self.outward
        while data:
            schedule.point(f"client writes {self.name}")
            if pipe.is_broken or self.is_closed:
                raise ConnectionResetError(104, "the server has hung up")
            count = pipe.room
            if count <= 0:
                pipe.writers.append(schedule.current)
                schedule.block(f"room to write to {self.name}")
                continue
            pipe.data += data[:count]
            data = data[count:]
            self._driver.ready_again()

    def close(self) -> None:
        """Hang up: the server reads what was written, then the end, and cannot write any more."""
        self._driver.schedule.point(f"client closes {self.name}")
        self._gone()

    def reset(self) -> None:
        """Vanish: what was under way is lost, and the server's next read or write fails."""
        self._driver.schedule.point(f"client resets {self.name}")
        self.outward.data.clear()
        self.inward.data.clear()
        self._gone()

    def _gone(self) -> None:
        self.is_closed = True
        self.outward.has_ended = True
        self.inward.is_broken = True
        for task in (*self.inward.readers, *self.outward.writers):
            self._driver.schedule.wake(task)
        self._driver.ready_again()
