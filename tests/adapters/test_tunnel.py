"""Both ends of a tunnel, and between them what keeps order and may lose: in thousands of seeded schedules."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable
from typing import Any

import pytest

from sync_sio.adapters.redis import tunnel as tunnels
from sync_sio.adapters.redis.frames import DATA, OPEN, Frame
from sync_sio.adapters.redis.tunnel import Tunnel
from sync_sio.testing.interleave import InterleaveDriver, explore
from sync_sio.testing.memory import ClientEnd

SEEDS = range(400)
LINE = b"a line\n"


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows of two frames, so that a few hundred bytes meet all limits."""
    monkeypatch.setattr(tunnels, "MAX_DATA", 32)
    monkeypatch.setattr(tunnels, "WINDOW", 64)


class Mail:
    """What waits for one thread."""

    def __init__(self, driver: InterleaveDriver) -> None:
        self._driver = driver
        self._items: deque[Any] = deque()
        self._bell: Any = None

    def put(self, item: Any) -> None:
        self._items.append(item)
        bell, self._bell = self._bell, None
        if bell is not None:
            bell.set()

    def __iter__(self) -> Mail:
        return self

    def __next__(self) -> Any:
        while not self._items:
            self._bell = self._driver.waiter()
            self._bell.wait()
        item = self._items.popleft()
        if item is None:
            raise StopIteration
        return item


class Side:
    """One server: a thread that sends, and one that listens."""

    def __init__(self, place: Place, name: str) -> None:
        self.place = place
        self.name = name
        self.driver = place.driver
        self.stream, self.client = self.driver.stream_pair(name, to_client=48, to_server=48)
        self.said = Mail(self.driver)
        self.heard = Mail(self.driver)
        self.tunnel: Tunnel | None = None
        self.overs = 0
        self.first = b""
        self.got = b""
        self.frames = 0
        self.most = 0

    def make(self) -> Tunnel:
        assert self.tunnel is None
        self.tunnel = Tunnel(self.driver, self.stream, ("opener", 1), "other", self)
        return self.tunnel

    def over(self, tunnel: Tunnel) -> None:
        assert tunnel is self.tunnel
        self.overs += 1

    def say(self, tunnel: Tunnel, kind: int, said: int, data: bytes) -> None:
        assert len(data) <= 32
        self.said.put(Frame("server", kind, said=said, data=data))

    def may_say(self, tunnel: Tunnel) -> bool:
        """As when others say much: now and then it has to wait."""
        may = self.driver.schedule.chance() < 0.9
        if not may:
            self.said.put("go on")
        return may

    def send(self) -> None:
        for frame in self.said:
            assert self.tunnel is not None
            if frame == "go on":
                self.tunnel.go_on()
                continue
            self.frames += 1
            if self.frames != self.place.lost.get(self.name):
                self.place.other(self).heard.put(frame)
            if frame.kind in (OPEN, DATA):
                if self.place.is_there(self):
                    self.tunnel.go_on()
                else:
                    self.tunnel.end()

    def listen(self) -> None:
        for frame in self.heard:
            if frame.kind == OPEN:
                self.first = frame.data
                self.make().opened(len(frame.data))
            elif self.tunnel is None:
                self.place.other(self).gone()
            else:
                self.tunnel.hear(frame)
                self.most = max(self.most, len(self.tunnel._waiting))

    def gone(self) -> None:
        if self.tunnel is not None:
            self.tunnel.gone()

    def read(self) -> None:
        while data := self.client.read():
            self.got += data


class Place:
    """The two of them. `lost`: which of the frames of a side, counted from 1, does not arrive."""

    def __init__(self, driver: InterleaveDriver, lost: dict[str, int] | None = None) -> None:
        self.driver = driver
        self.lost = lost or {}
        self.dead: Side | None = None
        self.asker, self.owner = Side(self, "asker"), Side(self, "owner")
        self._threads = [driver.thread(fn) for side in (self.asker, self.owner) for fn in (side.send, side.listen)]

    def other(self, side: Side) -> Side:
        return self.owner if side is self.asker else self.asker

    def is_there(self, side: Side) -> bool:
        return self.other(side) is not self.dead

    def look(self) -> None:
        """Have each tell the other how far it is, as servers do now and then."""
        for side in (self.asker, self.owner):
            self.driver.settle()
            if side.tunnel is not None and side.overs == 0:
                said, other = side.tunnel.said(), self.other(side)
                if not said:
                    continue
                if other.tunnel is None or other.overs:
                    side.tunnel.gone()
                else:
                    other.tunnel.check(said)
        self.driver.settle()

    def finish(self) -> None:
        self.driver.settle()
        for side in (self.asker, self.owner):
            side.said.put(None)
            side.heard.put(None)
        self.driver.join(*self._threads)
        for side in (self.asker, self.owner):
            assert side.most <= 64
            if side.tunnel is None:
                continue
            assert side.overs == 1
            assert side.stream.is_closed
        assert self.driver.audit() == []


def written(client: ClientEnd, data: bytes) -> Callable[[], None]:
    def write() -> None:
        with contextlib.suppress(ConnectionError):
            client.write(data)

    return write


def numbered(count: int, start: int = 0) -> bytes:
    return bytes((start + number) % 251 for number in range(count))


def test_bytes_come_whole_and_in_order_both_ways() -> None:
    def scenario(driver: InterleaveDriver) -> None:
        place = Place(driver)
        asker, owner = place.asker, place.owner
        asker.make().open(LINE + numbered(100))
        readers = [driver.thread(side.read) for side in (asker, owner)]
        driver.run_all(written(asker.client, numbered(300, 100)), written(owner.client, numbered(400)))
        driver.settle()
        owner.client.close()                # as a server does behind its answer
        driver.join(*readers)
        assert owner.first + owner.got == LINE + numbered(400)
        assert asker.got == numbered(400)
        place.finish()

    explore(scenario, SEEDS)


@pytest.mark.parametrize("who", ["asker", "owner"])
@pytest.mark.parametrize("how", ["close", "reset"])
def test_one_end_ends_the_other(who: str, how: str) -> None:
    def scenario(driver: InterleaveDriver) -> None:
        place = Place(driver)
        asker, owner = place.asker, place.owner
        asker.make().open(LINE)
        ending, other = (asker, owner) if who == "asker" else (owner, asker)
        reader = driver.thread(other.read)

        def end() -> None:
            written(ending.client, numbered(200))()
            getattr(ending.client, how)()

        if how == "reset":
            driver.run_all(end, written(other.client, numbered(150)))
        else:                               # nobody must be writing, or what was not read yet is lost, as with any connection
            end()
        driver.join(reader)
        assert numbered(200).startswith(other.got)
        if how == "close":
            assert other.got == numbered(200)
        other.client.close()
        place.finish()

    explore(scenario, SEEDS)


@pytest.mark.parametrize("who", ["asker", "owner"])
def test_a_frame_that_is_lost_ends_it(who: str) -> None:
    """Whichever it is, the last one included: nobody gets what stands behind a gap, and nobody waits for ever."""

    def scenario(driver: InterleaveDriver) -> None:
        number = 2 + int(driver.schedule.chance() * 9)
        place = Place(driver, {who: number})
        asker, owner = place.asker, place.owner
        asker.make().open(LINE + numbered(50))
        readers = [driver.thread(side.read) for side in (asker, owner)]
        writers = [driver.thread(written(asker.client, numbered(120, 50))), driver.thread(written(owner.client, numbered(120)))]
        place.look()
        side = asker if who == "asker" else owner
        is_lost = side.frames >= number
        assert is_lost == (asker.overs == owner.overs == 1)
        if not is_lost:
            owner.client.close()
            place.look()
        driver.join(*readers, *writers)
        assert (LINE + numbered(170)).startswith(owner.first + owner.got)
        assert numbered(120).startswith(asker.got)
        place.finish()

    explore(scenario, SEEDS)


def test_whom_nobody_hears_ends_it() -> None:
    def scenario(driver: InterleaveDriver) -> None:
        place = Place(driver)
        asker, owner = place.asker, place.owner
        asker.make().open(LINE)
        driver.settle()
        place.dead = owner
        reader = driver.thread(asker.read)
        asker.client.write(b"is anybody there?")
        driver.join(reader)
        assert asker.overs == 1
        driver.settle()
        place.finish()

    explore(scenario, range(200))


def test_what_one_side_does_not_take_is_not_sent_to_it() -> None:
    """A window is under way, and no more; when the last bytes are not taken either, they are given up after a while."""

    def scenario(driver: InterleaveDriver) -> None:
        place = Place(driver)
        asker, owner = place.asker, place.owner
        asker.make().open(LINE)
        writer = driver.thread(written(owner.client, numbered(1000)))
        driver.settle()
        assert asker.tunnel is not None
        assert len(asker.tunnel._waiting) <= 64
        assert owner.client.outward.room == 0       # and so its server knows
        owner.client.close()
        assert owner.tunnel is not None
        owner.tunnel.end()
        driver.join(writer)
        driver.settle()
        assert asker.overs == 0
        asker.tunnel.look(driver.now() + 29)
        assert asker.overs == 0
        asker.tunnel.look(driver.now() + 31)
        assert asker.overs == 1
        place.finish()

    explore(scenario, range(200))


def test_a_server_that_stops_says_its_last_words() -> None:
    def scenario(driver: InterleaveDriver) -> None:
        place = Place(driver)
        asker, owner = place.asker, place.owner
        asker.make().open(LINE)
        driver.settle()
        reader = driver.thread(asker.read)
        owner.client.write(b"good-bye")
        assert owner.tunnel is not None
        owner.tunnel.close()
        driver.join(reader)
        assert asker.got == b"good-bye"
        place.finish()

    explore(scenario, range(300))
