"""Servers joined by Redis Pub/Sub, together with those of Node.js that use npm's `@socket.io/redis-adapter` 8."""

from __future__ import annotations

from typing import Any, Final

from ...types import JsonDefault
from ..base import (
    Answer,
    Broadcast,
    ClientAnswer,
    ClientCount,
    ClientGone,
    ClientRecord,
    DisconnectClients,
    Fetch,
    Fetched,
    JoinRooms,
    LeaveRooms,
    Message,
    ServerAnswer,
    ServerEvent,
    Target,
)
from . import streams_wire, wire
from .batches import Command
from .ears import PATTERN, PLAIN, escaped
from .on_redis import OnRedis, Subscription

SOCKETS: Final = 0
ALL_ROOMS: Final = 1
JOIN: Final = 2
LEAVE: Final = 3
DISCONNECT: Final = 4
FETCH: Final = 5
SERVER_EVENT: Final = 6
BROADCAST: Final = 7
CLIENT_COUNT: Final = 8
CLIENT_ANSWER: Final = 9
# ours, which servers of Node.js ignore
HELLO: Final = 50
BYE: Final = 51
CLIENT_GONE: Final = 52

_EVERYBODY: Final = Target()


class RedisAdapter(OnRedis):
    """Links this server to all that use the same Redis and key. Give it to `Server(adapter=…)`.

    Args:
        url: see `sync_sio.adapters.redis.address.Address`: `redis://`, `rediss://`, `unix://`, Sentinel, Cluster, Valkey.
        key: with what the names of channels begin; Node.js calls it `key`, too.
        requests_timeout: seconds in which other servers must answer `fetch_sockets` and `server_side_emit`.
    """

    def __init__(self, url: str = "redis://localhost:6379", *, key: str = "socket.io", requests_timeout: float = 5.0) -> None:
        super().__init__(url, key, requests_timeout)

    def _renew(self) -> None:
        super()._renew()
        self._own_prefix = wire.pack(["", self.id], None)[2:]       # how a message of this server goes on after its first byte
        self._old_forms: dict[str, int] = {}                        # requests whose answer is a part of `Fetched`

    # -- to the others -----------------------------------------------------------------------------------------------------

    def publish(self, namespace: str, message: Message) -> None:
        if not isinstance(message, ServerEvent) and wire.reaches_nobody(message.target):
            if isinstance(message, Broadcast | Fetch) and message.request is not None:
                self._listener.reached(message.request, 0, ())
            return
        default = self._listener.json_default
        request = message.request if isinstance(message, Broadcast | Fetch | ServerEvent) else None
        if request is None:
            self._link.say(*self._command(self.id, namespace, message, default))
            return
        body: dict[str, Any] = {"uid": self.id, "requestId": request}
        if isinstance(message, Broadcast):
            body |= {"type": BROADCAST, "packet": _packet(namespace, message), "opts": wire.broadcast_options(message)}
            data = wire.pack(body, default)
        elif isinstance(message, Fetch):
            data = wire.write(body | {"type": FETCH, "opts": wire.options(message.target)}, default)
        else:
            assert isinstance(message, ServerEvent)     # what else has a request
            data = wire.write(body | {"type": SERVER_EVENT, "data": message.data}, default)
        self._ask(namespace, request, "PUBLISH", self._common(namespace), data)

    def _said_outside(self, namespace: str, message: Message, default: JsonDefault | None) -> Command:
        return self._command(streams_wire.EMITTER, namespace, message, default)

    def _command(self, uid: str, namespace: str, message: Message, default: JsonDefault | None) -> Command:
        """Return how a message that wants no answer is published."""
        if isinstance(message, Broadcast):
            options = wire.broadcast_options(message)
            channel = self._channel(namespace)
            if len(options["rooms"]) == 1:
                channel += f"{options['rooms'][0]}#"
            return "PUBLISH", channel, wire.pack([uid, _packet(namespace, message), options], default)
        # npm's emitter names itself in events alone
        body: dict[str, Any] = {} if uid == streams_wire.EMITTER and not isinstance(message, ServerEvent) else {"uid": uid}
        if isinstance(message, ServerEvent):
            body |= {"type": SERVER_EVENT, "data": message.data}
        elif isinstance(message, DisconnectClients):
            body |= {"type": DISCONNECT, "opts": wire.options(message.target), "close": message.close}
        elif isinstance(message, JoinRooms | LeaveRooms):
            kind = JOIN if isinstance(message, JoinRooms) else LEAVE
            body |= {"type": kind, "opts": wire.options(message.target), "rooms": list(message.rooms)}
        else:
            raise TypeError(f"{message!r} has no form in Redis Pub/Sub without an answer")
        return "PUBLISH", self._common(namespace), wire.write(body, default)

    def answer(self, namespace: str, server: str, answer: Answer) -> None:
        body: dict[str, Any] = {"requestId": answer.request, "uid": self.id}
        is_binary = False
        if isinstance(answer, ClientCount):
            body |= {"type": CLIENT_COUNT, "clientCount": answer.count}
        elif isinstance(answer, ClientAnswer):
            body |= {"type": CLIENT_ANSWER, "packet": answer.value}
            is_binary = True
        elif isinstance(answer, ClientGone):
            body |= {"type": CLIENT_GONE}
        elif isinstance(answer, Fetched):
            body |= _fetched(answer, self._old_forms.pop(answer.request, FETCH))
        else:
            body |= {"type": SERVER_EVENT, "data": answer.value}
        channel = self._channel(namespace, "-response")
        if server in self._names.get(namespace, ()):
            channel += f"{server}#"         # those of Node.js listen there, too, from some version on
        encode = wire.pack if is_binary else wire.write
        self._link.say("PUBLISH", channel, encode(body, self._listener.json_default))

    def _request(self, namespace: str, body: dict[str, Any]) -> None:
        self._link.say("PUBLISH", self._common(namespace), wire.write(body, None))

    def _greet(self, namespace: str, kind: int) -> None:
        body: dict[str, Any] = {"type": BYE if kind == streams_wire.BYE else HELLO, "uid": self.id}
        if kind == streams_wire.HELLO:
            body["ask"] = True
        self._request(namespace, body)

    # -- from the others ---------------------------------------------------------------------------------------------------

    def _broadcast(self, namespace: str, data: bytes) -> None:
        if data.startswith(self._own_prefix, 1):
            return
        said = wire.read(data)
        if type(said) is not list or len(said) < 2:
            raise ValueError("no broadcast")
        server, packet, options = said[0], said[1], said[2] if len(said) > 2 else None
        message = wire.broadcast_of(packet, options, None)
        if packet.get("nsp", "/") == namespace:
            self._listener.received(namespace, str(server), message)

    def _requested(self, namespace: str, data: bytes) -> None:
        said = wire.read_map(data)
        kind, server = said.get("type"), said.get("uid")
        if server == self.id:
            return
        server = server if type(server) is str else ""
        request = said.get("requestId")
        request = request if type(request) is str else None
        if kind == HELLO:
            self._met(namespace, server, streams_wire.HELLO if said.get("ask") else streams_wire.HELLO_TOO)
        elif kind == BYE:
            self._met(namespace, server, streams_wire.BYE)
        else:
            message = self._message(kind, said, request)
            if message is not None:
                self._listener.received(namespace, server, message)

    def _message(self, kind: Any, said: dict[str, Any], request: str | None) -> Message | None:
        target = wire.target_of(said.get("opts"))
        if kind in (JOIN, LEAVE) and "opts" not in said:        # as servers of long ago said it
            target, rooms = Target(frozenset((str(said.get("sid")),))), wire.strings([said.get("room")])
        else:
            rooms = wire.strings(said.get("rooms"))
        if kind == JOIN:
            return JoinRooms(target, rooms)
        if kind == LEAVE:
            return LeaveRooms(target, rooms)
        if kind == DISCONNECT:
            if "opts" not in said:
                target = Target(frozenset((str(said.get("sid")),)))
            return DisconnectClients(target, bool(said.get("close")))
        if kind == SERVER_EVENT:
            data = said.get("data")
            if type(data) is not list or not data:
                raise ValueError("a server's event without a name")
            return ServerEvent(wire.revive(data), request)
        if request is None:
            return None
        if kind == BROADCAST:
            return wire.broadcast_of(said.get("packet"), said.get("opts"), request)
        if kind == FETCH:
            return Fetch(target, request)
        if kind in (SOCKETS, ALL_ROOMS):
            self._old_forms[request] = kind
            return Fetch(Target(frozenset(rooms)) if kind == SOCKETS and rooms else _EVERYBODY, request)
        return None

    def _response(self, namespace: str, data: bytes) -> None:
        said = wire.read_map(data)
        request, kind = said.get("requestId"), said.get("type")
        server = said.get("uid") if type(said.get("uid")) is str else ""
        if type(request) is not str or server == self.id:
            return
        answer: Answer
        if kind == CLIENT_COUNT:
            answer = ClientCount(request, int(said.get("clientCount") or 0))
        elif kind == CLIENT_ANSWER:
            answer = ClientAnswer(request, said.get("packet"))
        elif kind == CLIENT_GONE:
            answer = ClientGone(request)
        elif kind == SERVER_EVENT:
            answer = ServerAnswer(request, wire.revive(said.get("data")))
        elif type(said.get("sockets")) is list:
            answer = Fetched(request, tuple(_record(each) for each in said["sockets"] if isinstance(each, dict)))
        else:
            return
        self._listener.received(namespace, str(server), answer)

    # -- channels ------------------------------------------------------------------------------------------------------------

    def _channel(self, namespace: str, kind: str = "") -> str:
        return f"{self._prefix}{kind}#{namespace}#"

    def _common(self, namespace: str) -> str:
        return self._channel(namespace, "-request")

    def _subscriptions(self, namespace: str) -> list[Subscription]:
        response = self._channel(namespace, "-response")
        return [
            (PATTERN, escaped(self._channel(namespace)) + "*", self._broadcast),
            (PLAIN, response, self._response),
            (PLAIN, f"{response}{self.id}#", self._response),
            (PLAIN, self._common(namespace), self._requested),
        ]


def _packet(namespace: str, message: Broadcast) -> dict[str, Any]:
    return {"type": 2, "data": message.data, "nsp": namespace}


def _fetched(answer: Fetched, form: int) -> dict[str, Any]:
    if form == SOCKETS:
        return {"sockets": [client.id for client in answer.clients]}
    if form == ALL_ROOMS:
        return {"rooms": sorted({room for client in answer.clients for room in client.rooms})}
    return {
        "sockets": [
            {"id": client.id, "handshake": client.handshake, "rooms": list(client.rooms), "data": client.data}
            for client in answer.clients
        ]
    }


def _record(said: dict[str, Any]) -> ClientRecord:
    handshake, data = said.get("handshake"), said.get("data")
    return ClientRecord(
        str(said.get("id", "")),
        handshake if isinstance(handshake, dict) else {},
        wire.strings(said.get("rooms")),
        wire.revive(data) if isinstance(data, dict) else {},
    )
