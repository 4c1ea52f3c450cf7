"""What waits for a client: parcels, and the rest of a write that did not fit. The connection's lock guards it."""

from __future__ import annotations

from ..protocol.parcel import Parcel

FLUSH_BYTES = 256 * 1024
"""About so much is joined into one write: more would copy what the kernel cannot take anyway."""


class Outbox:
    """A queue of parcels that knows its size. Made when first needed; a connection without one has nothing waiting."""

    __slots__ = ("parcels", "size", "tail")

    def __init__(self) -> None:
        self.parcels: list[Parcel] = []
        self.tail: memoryview | None = None
        self.size = 0

    def append(self, parcel: Parcel) -> None:
        self.parcels.append(parcel)
        self.size += parcel.size

    def keep(self, tail: memoryview) -> None:
        """Remember the rest of a write: bytes that go out before any parcel does."""
        self.tail = tail
        self.size += len(tail)

    def take_tail(self) -> memoryview | None:
        tail, self.tail = self.tail, None
        if tail is not None:
            self.size -= len(tail)
        return tail

    def take_all(self) -> list[Parcel]:
        parcels, self.parcels = self.parcels, []
        self.size = 0 if self.tail is None else len(self.tail)
        return parcels

    def take_some(self) -> list[Parcel]:
        """Return the oldest parcels, about `FLUSH_BYTES` of them, at least one if there is one."""
        if self.size <= FLUSH_BYTES:
            return self.take_all()
        size = count = 0
        for parcel in self.parcels:
            size += parcel.size
            count += 1
            if size >= FLUSH_BYTES:
                break
        taken = self.parcels[:count]
        del self.parcels[:count]
        self.size -= size
        return taken
