"""Servers joined by Redis Streams, together with those of Node.js that use npm's `@socket.io/redis-streams-adapter` 0.3.

What must not be lost goes through a stream: broadcasts, who joins and leaves rooms, who is disconnected. Each server reads it from where
it stopped, so a connection that was lost costs nothing. Questions and answers go through Pub/Sub.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, Final

from ...drivers.base import Driver, Timer
from ...drivers.locks import native_rlock
from ...types import JsonDefault
from ..base import Answer, Broadcast, ClientGone, Fetch, Message, Restored, ServerEvent, SessionRecord
from . import streams_wire as wire
from .batches import Command, Value
from .ears import PLAIN
from .link import Line
from .on_redis import OnRedis, Subscription
from .own import PATIENCE_SECONDS, Desk, Handed
from .pace import Pace
from .questions import Held
from .sessions import Search
from .streams_wire import Body

BLOCK_SECONDS: Final = 1.0
"""How long Redis waits for an entry before it says that there is none: less than a connection may be silent."""
TICK_SECONDS: Final = 0.25
AFTER_SECONDS: Final = 1.0
"""How long a question is held back for what its server has put into the stream before."""

ADD_ONCE: Final = """
local bound, seen = '+', 0
while seen < tonumber(ARGV[3]) do
  local page = redis.call('XREVRANGE', KEYS[1], bound, '-', 'COUNT', 100)
  if #page == 0 then break end
  for _, entry in ipairs(page) do
    local fields, uid, n = entry[2], nil, nil
    for at = 1, #fields, 2 do
      if fields[at] == 'uid' then uid = fields[at + 1] elseif fields[at] == 'n' then n = fields[at + 1] end
    end
    if uid == ARGV[1] and n then
      if tonumber(n) >= tonumber(ARGV[2]) then return entry[1] end
      seen = tonumber(ARGV[3])
      break
    end
  end
  seen = seen + #page
  if #page < 100 then break end
  local ms, count = string.match(page[#page][1], '(%d+)-(%d+)')
  if count == '0' then
    bound = string.format('%.0f', tonumber(ms) - 1)
  else
    bound = ms .. '-' .. string.format('%.0f', tonumber(count) - 1)
  end
end
return redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[3], '*', unpack(ARGV, 4))
"""
"""Add an entry unless this server's newest one has its number, or a later one: it has arrived, and only the reply was lost."""

_log = logging.getLogger("sync_sio.redis")


class RedisStreamsAdapter(OnRedis):
    """Links this server to all that use the same Redis and stream. Give it to `Server(adapter=…)`.

    With `connection_state_recovery` clients may come back to any server: see docs/redis-streams.md.

    Args:
        url: see `sync_sio.adapters.redis.address.Address`: `redis://`, `rediss://`, `unix://`, Sentinel, Cluster, Valkey.
        stream: the stream's key; Node.js calls it `streamName`.
        stream_count: how many streams there are: `name-0` and so on, each for a part of the namespaces; the same on all servers.
        max_len: entries that a stream keeps, about: who has missed more cannot be recovered.
        channel_prefix: with what the names of channels begin; `channelPrefix`.
        session_prefix: with what the keys of sessions begin; `sessionKeyPrefix`.
        requests_timeout: seconds in which other servers must answer `fetch_sockets` and `server_side_emit`.
    """

    def __init__(
        self,
        url: str = "redis://localhost:6379",
        *,
        stream: str = "socket.io",
        stream_count: int = 1,
        max_len: int = 10_000,
        channel_prefix: str = "socket.io",
        session_prefix: str = "sio:session:",
        requests_timeout: float = 5.0,
    ) -> None:
        for name, value in (("stream_count", stream_count), ("max_len", max_len)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{name}={value!r}: a whole number above 0 is wanted")
        self._stream = stream
        self._stream_count = stream_count
        self._max_len = max_len
        self._session_prefix = session_prefix
        super().__init__(url, channel_prefix, requests_timeout)

    def _renew(self) -> None:
        super()._renew()
        self._desk: Desk
        self._pace: Pace
        self._timer: Timer | None = None
        self._read_to: dict[str, str] = {}          # by stream: the newest entry that was read; of its own thread
        self._lock = native_rlock()                 # guards what follows: numbers are in the order of what is said to Redis
        self._number = 0
        self._unconfirmed: OrderedDict[int, None] = OrderedDict()
        self._added: dict[str, str] = {}            # by stream: our newest entry that is surely in it
        self._held: Held[int] = Held()              # questions that wait for what was said before them to be in the stream

    def _begin(self, driver: Driver) -> None:
        self._desk = Desk(self._listener, driver, self.id)
        self._pace = Pace(self._streams(), self._max_len, driver.now, self._link.go_on)
        self._link.room = self._pace.room
        self._ears.attend(PLAIN, self._reading, self._others_read, _nothing)
        self._link.ask(_nothing, _nothing)      # its line is opened now, and not when somebody waits
        for stream in self._streams():
            self._link.open(f"reading {stream}", partial(self._read, stream))
        self._timer = driver.later(TICK_SECONDS, self._tick)

    def close(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
        super().close()

    @property
    def _lag(self) -> float:
        return 0.0 if self._link.is_over else max(self._ears.lag, self._desk.lag)

    # -- to the others -----------------------------------------------------------------------------------------------------

    def publish(self, namespace: str, message: Message) -> None:
        body = wire.body_of(message, self._listener.json_default)
        request = message.request if isinstance(message, Broadcast | Fetch | ServerEvent) else None
        if body is None:
            return
        if wire.is_durable(message):
            self._add(namespace, body, None)
        elif isinstance(message, Broadcast | Fetch) and message.target.rooms is not None and not message.target.rooms:
            self._listener.reached(str(request), 0, ())         # nobody is meant
        else:
            self._ask_after(namespace, body, request)

    def _said_outside(self, namespace: str, message: Message, default: JsonDefault | None) -> Command:
        body = wire.body_of(message, default)
        assert body is not None             # somebody is meant
        if not wire.is_durable(message):
            return "PUBLISH", self._common(namespace), wire.envelope(wire.EMITTER, namespace, body)
        if "packet" in body[1]:
            body[1]["packet"]["nsp"] = namespace
        fields = wire.entry(wire.EMITTER, namespace, body, 0)[:-2]      # it has no number: nothing that is lost is sent again
        return "XADD", self._stream_of(namespace), "MAXLEN", "~", self._max_len, "*", *fields

    def publish_kept(self, namespace: str, broadcast: Broadcast) -> None:
        body = wire.body_of(broadcast, self._listener.json_default)
        if body is not None:
            self._add(namespace, body, replace(broadcast, data=body[1]["packet"]["data"]))
            if not self._link.is_connected:
                self._desk.deliver_late(0.0)

    def answer(self, namespace: str, server: str, answer: Answer) -> None:
        if isinstance(answer, ClientGone) and server not in self._names.get(namespace, ()):
            return                                              # those of Node.js have no form for it
        body = wire.body_of(answer, self._listener.json_default)
        if body is not None:
            self._link.say("PUBLISH", self._channel(namespace, server), wire.envelope(self.id, namespace, body))

    def _add(self, namespace: str, body: Body, own: Broadcast | None) -> None:
        stream = self._stream_of(namespace)
        with self._lock:
            self._number += 1
            number = self._number
            self._unconfirmed[number] = None
            if own is not None:
                self._desk.expect(number, namespace, own)
            fields = wire.entry(self.id, namespace, body, number)
            command: list[Value] = ["XADD", stream, "MAXLEN", "~", self._max_len, "*", *fields]
            self._link.say(
                *command,
                tell=partial(self._was_added, stream, number),
                again=("EVAL", ADD_ONCE, 1, stream, self.id, number, self._max_len, *fields),
            )

    def _was_added(self, stream: str, number: int, reply: Any) -> None:
        """Redis has answered (the thread that sends), or it was too much (whoever says something then)."""
        is_refused = isinstance(reply, Exception)
        if is_refused:
            self._desk.refused(number)
        held = []
        with self._lock:
            self._unconfirmed.pop(number, None)
            if not is_refused:
                self._added[stream] = place = reply.decode() if isinstance(reply, bytes) else reply
                self._pace.added(stream, wire.number(place))
            # what was too much makes no room for what waited for it: that would push out the next one, and so on
            if self._held and not (is_refused and self._unconfirmed):
                oldest = next(iter(self._unconfirmed), self._number + 1)
                held = self._held.take(oldest.__gt__, in_order=True)
        for say in held:
            say()

    def _ask_after(self, namespace: str, body: Body, request: str | None) -> None:
        """Publish what is answered or needs no keeping, once all that was said before is in the stream."""
        say = partial(self._say_after, namespace, body, request)
        with self._lock:
            if self._unconfirmed:
                self._held.keep(self._number, say, len(wire.envelope(self.id, namespace, body)))
                return
        say()

    def _say_after(self, namespace: str, body: Body, request: str | None) -> None:
        data = wire.envelope(self.id, namespace, body, self._added.get(self._stream_of(namespace), ""))
        if request is None:
            self._link.say("PUBLISH", self._common(namespace), data)
        else:
            self._ask(namespace, request, "PUBLISH", self._common(namespace), data)

    def _greet(self, namespace: str, kind: int) -> None:
        self._link.say("PUBLISH", self._common(namespace), wire.envelope(self.id, namespace, (kind, {})))

    # -- from the stream ---------------------------------------------------------------------------------------------------

    def _read(self, stream: str, line: Line) -> None:
        """Read from where it was stopped, or from now on (a thread of its own)."""
        client = line.client
        newest = client.xrevrange(stream, count=1)
        end = newest[0][0].decode() if newest else "0-0"
        place = self._read_to.get(stream, "")
        is_cut = wire.number(end) < wire.number(place)
        if is_cut:
            # Redis was started without its data, or with those of some time ago: nothing that it has is new to us
            _log.warning("%r: stream %s has lost its newest entries", self._link.address, stream)
            with self._lock:
                self._added.pop(stream, None)
        if is_cut or not place:
            place = end
            self._desk.start_at(stream, place)
            self._pace.lost(stream, wire.number(place))
        self._read_to[stream] = place
        line.up()
        while not line.is_over:
            found = client.xread({stream: place}, count=100, block=round(BLOCK_SECONDS * 1000))
            for _, entries in found or ():
                for raw, fields in entries:
                    place = self._read_to[stream] = raw.decode()
                    self._take(stream, place, fields)
                if self._pace.read(stream, wire.number(place), len(entries)):
                    self._tell_read(stream)

    def _take(self, stream: str, place: str, fields: dict[bytes, bytes]) -> None:
        if fields.get(b"uid") == self.id.encode():
            number = fields.get(b"n", b"")
            self._desk.came_back(int(number) if number.isdigit() and len(number) < 20 else 0, stream, place)
            return
        handed = Handed("", "", None, stream, place)
        if fields.get(b"nsp", b"").decode(errors="replace") in self._namespaces:
            try:
                found = wire.from_entry(fields)
            except ValueError as error:
                _log.warning("%r: entry %s of %s is not understood: %s", self._link.address, place, stream, error)
            else:
                if found is not None:
                    handed = Handed(found[1], found[0], wire.with_place(found[2], place), stream, place)
        self._desk.came(handed)

    # -- from Pub/Sub ------------------------------------------------------------------------------------------------------

    def _said(self, namespace: str, data: bytes) -> None:
        server, named, message, after = wire.from_envelope(data)
        if server == self.id or named != namespace:
            return
        if isinstance(message, int):
            self._met(namespace, server, message)
            return
        if after:
            self._desk.wait_for(self._stream_of(namespace), after, AFTER_SECONDS)
        if message is not None:
            self._listener.received(namespace, server, message)

    # -- how far everybody is ----------------------------------------------------------------------------------------------

    def _tell_read(self, stream: str) -> None:
        """Tell the other servers of ours up to where we have read, on a line of its own: what is said must perhaps wait for theirs."""
        place = self._pace.told(stream)
        if place >= 0:
            data = wire.reading(self.id, stream, wire.place(place))
            self._link.ask(lambda client: client.execute_command("PUBLISH", self._reading, data), _nothing)

    def _others_read(self, channel: str, data: bytes) -> None:
        server, stream, place = wire.read_reading(data)
        if server != self.id:
            self._pace.others_read(server, stream, wire.number(place))

    def _beat(self) -> None:
        super()._beat()
        for stream in self._streams():
            self._tell_read(stream)

    def _met(self, namespace: str, server: str, kind: int) -> None:
        if kind == wire.BYE:
            self._pace.forget(server)
        super()._met(namespace, server, kind)

    # -- time --------------------------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        """See to it that clients here get what Redis keeps to itself (a timer: phase one)."""
        if self._timer is None:
            return
        driver = self._link.driver
        for server in self._pace.look():
            _log.warning("%r: %s does not read as fast as others add, or is gone: it is not waited for", self._link.address, server)
        if self._desk.has_late():
            driver.spawn(self._desk.deliver_late, PATIENCE_SECONDS)
        self._timer = driver.later(TICK_SECONDS, self._tick)

    # -- recovery (RecoveryStore) ------------------------------------------------------------------------------------------

    def position(self, namespace: str) -> str:
        return self._desk.place(self._stream_of(namespace))

    def number(self, offset: str) -> int:
        return wire.number(offset)

    def save(self, namespace: str, session: SessionRecord, seconds: float) -> None:
        text = wire.session(session, self._listener.json_default)
        command = ("SET", self._session_prefix + session.pid, text, "PX", max(1, round(seconds * 1000)))
        self._link.say(*command, again=command)

    def restore(self, namespace: str, pid: str, offset: object, then: Callable[[Restored | None], None]) -> None:
        search = Search(self._link, self._stream_of(namespace), self._max_len, namespace, offset, then)
        search.begin(self._session_prefix + pid)

    # -- names -------------------------------------------------------------------------------------------------------------

    def _streams(self) -> list[str]:
        return [self._stream] if self._stream_count == 1 else [f"{self._stream}-{number}" for number in range(self._stream_count)]

    def _stream_of(self, namespace: str) -> str:
        return wire.stream_of(self._stream, self._stream_count, namespace)

    @property
    def _reading(self) -> str:
        return f"{self._prefix}-read#"

    def _common(self, namespace: str) -> str:
        return f"{self._prefix}#{namespace}#"

    def _channel(self, namespace: str, server: str) -> str:
        return f"{self._common(namespace)}{server}#"

    def _subscriptions(self, namespace: str) -> list[Subscription]:
        return [(PLAIN, self._channel(namespace, self.id), self._said), (PLAIN, self._common(namespace), self._said)]


def _nothing(*args: object) -> None: ...
