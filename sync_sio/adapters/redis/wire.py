"""How values stand in messages: JSON, or MessagePack where there are bytes. The first byte tells which."""

from __future__ import annotations

from typing import Any, Final

from ...errors import ProtocolError
from ...protocol import json
from ...protocol.json.writer import CannotSend
from ...types import JsonDefault
from ..base import Broadcast, Target

try:
    import msgspec

    from ...parsers.flatten import Flattener
    from ...parsers.msgpack import extension
except ImportError as error:
    raise ImportError(f'Redis needs msgspec ({error}): pip install "sync-sio[redis]"') from error

CLIENTS_TIMEOUT: Final = 60.0
"""Seconds that the clients here are waited for where another server says nothing else."""


def pack(value: Any, default: JsonDefault | None) -> bytes:
    """Return a value as MessagePack. Raises TypeError for what has no form, naming the path to it."""
    try:
        return msgspec.msgpack.encode(plain(value, default))
    except UnicodeEncodeError:
        return msgspec.msgpack.encode(plain(value, default, True))


def write(value: dict[str, Any], default: JsonDefault | None) -> bytes:
    """Return a value as JSON, or as MessagePack when there are bytes in it. Raises TypeError as `pack`."""
    text, attachments = json.encode(value, default)
    return pack(value, default) if attachments else text


def read(data: bytes) -> Any:
    """Return the value of a message. Raises ValueError when it is neither."""
    try:
        return json.decode(data) if data[:1] == b"{" else msgspec.msgpack.decode(data, ext_hook=extension)
    except (ProtocolError, TypeError, RecursionError) as error:
        raise ValueError(f"neither JSON nor MessagePack: {error}") from error


def read_map(data: bytes) -> dict[str, Any]:
    """The same where only a map is something."""
    value = read(data)
    if type(value) is not dict:
        raise ValueError("no map")
    return value


def revive(value: Any) -> Any:
    """Return a value in which what JSON makes of a Node.js Buffer is bytes again."""
    if type(value) is list:
        return [revive(item) for item in value]
    if type(value) is not dict:
        return value
    if len(value) == 2 and value.get("type") == "Buffer" and type(value.get("data")) is list:
        try:
            return bytes(value["data"])
        except (TypeError, ValueError):
            return value
    return {key: revive(item) for key, item in value.items()}


def options(target: Target) -> dict[str, Any]:
    """Return whom something is for as Node.js says it. `reaches_nobody` has been asked before."""
    return {"rooms": list(target.rooms or ()), "except": list(target.excepts)}


def broadcast_options(message: Broadcast) -> dict[str, Any]:
    flags: dict[str, Any] = {}
    if message.volatile:
        flags["volatile"] = True
    if not message.compress:
        flags["compress"] = False
    if message.timeout is not None:
        flags["timeout"] = round(message.timeout * 1000)
    return {**options(message.target), "flags": flags}


def reaches_nobody(target: Target) -> bool:
    """Tell whether it is for no room at all, which has no form on the wire: no rooms there are everybody."""
    return target.rooms is not None and not target.rooms


def target_of(said: Any) -> Target:
    """Return whom `options` mean."""
    said = said if isinstance(said, dict) else {}
    rooms = strings(said.get("rooms"))
    return Target(frozenset(rooms) if rooms else None, frozenset(strings(said.get("except"))))


def broadcast_of(packet: Any, said: Any, request: str | None) -> Broadcast:
    """Return the broadcast of a packet and its options. Raises ValueError when it is none."""
    data = packet.get("data") if isinstance(packet, dict) else None
    if type(data) is not list or not data:
        raise ValueError("a broadcast without an event")
    flags = said.get("flags") if isinstance(said, dict) else None
    flags = flags if isinstance(flags, dict) else {}
    timeout = flags.get("timeout")
    seconds = timeout / 1000 if isinstance(timeout, int | float) else None if request is None else CLIENTS_TIMEOUT
    return Broadcast(data, target_of(said), bool(flags.get("volatile")), flags.get("compress") is not False, request, seconds)


def strings(said: Any) -> tuple[str, ...]:
    """Return names of rooms: Node.js may have numbers among them."""
    return tuple(map(room_name, said)) if isinstance(said, list | tuple) else ()


def room_name(said: Any) -> str:
    return said if type(said) is str else json.encode(said)[0].decode().strip('"')


def plain(value: Any, default: JsonDefault | None, mends_text: bool = False) -> Any:
    """Return a copy that has plain values only. Raises TypeError as `pack`."""
    flattener = Flattener(default, mends_text)
    try:
        return flattener.flat(value)
    except RecursionError as error:
        raise TypeError(f"{flattener.where('value', 0, 4)}…: nested too deeply, or it contains itself") from error
    except CannotSend as error:
        raise TypeError(f"{flattener.where('value', 0)}: {error}") from error.__cause__


