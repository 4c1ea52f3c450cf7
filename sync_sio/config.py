"""The options of the servers: checked once, at construction, then frozen.

Times are seconds here and milliseconds on the wire only; sizes are bytes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches
from inspect import iscoroutinefunction
from ipaddress import ip_network
from typing import Any, Literal

from .types import Environ, JsonDefault

Runtime = Literal["auto", "threads", "gevent"]
Cookie = str | Mapping[str, Any] | Callable[[Environ], Mapping[str, Any] | str | None] | bool | None
AllowedOrigins = str | Sequence[str] | re.Pattern[str] | Callable[[str, Environ], bool] | Literal[False] | None

_TRANSPORTS = ("polling", "websocket")
UNIX_SOCKET = "unix"
"""Among `trusted_proxies`: whoever comes over a Unix socket."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """What the Engine.IO floor needs to know. Every field is an option of `EngineServer` and of `Server`."""

    path: str = "/engine.io"
    add_trailing_slash: bool = True
    runtime: Runtime = "auto"
    transports: Sequence[str] = _TRANSPORTS
    allow_upgrades: bool = True
    ping_interval: float = 25.0
    ping_timeout: float = 20.0
    upgrade_timeout: float = 10.0
    max_http_buffer_size: int = 1_000_000
    cors_allowed_origins: AllowedOrigins = None
    cors_credentials: bool | None = None
    cors_methods: Sequence[str] = ("GET", "POST")
    cors_allowed_headers: Sequence[str] | None = None
    cors_max_age: int | None = None
    cookie: Cookie = None
    http_compression: bool | Mapping[str, Any] = True
    per_message_deflate: bool | Mapping[str, Any] = False
    allow_request: Callable[[Environ], object] | None = None
    initial_packet: str | bytes | None = None
    max_connections: int | None = None
    max_buffered_bytes: int = 16_000_000
    send_timeout: float = 20.0
    max_handlers: int | None = None
    ws_engine: Literal["native", "simple-websocket"] = "native"
    trusted_proxies: Sequence[str] = ()
    allow_eio3: bool = False

    def __post_init__(self) -> None:
        _check_path(self.path)
        _check_choice("runtime", self.runtime, ("auto", "threads", "gevent"))
        _check_choice("ws_engine", self.ws_engine, ("native", "simple-websocket"))
        if not isinstance(self.transports, Iterable):
            raise TypeError(f"transports={self.transports!r}: a list is wanted, of one or both of {_TRANSPORTS}")
        if isinstance(self.transports, str) or not self.transports or any(name not in _TRANSPORTS for name in self.transports):
            raise ValueError(f"transports={self.transports!r}: give one or both of {_TRANSPORTS}")
        for name in ("add_trailing_slash", "allow_upgrades", "allow_eio3"):
            _check_flag(name, getattr(self, name))
        for name in ("ping_interval", "ping_timeout", "upgrade_timeout", "send_timeout"):
            _check_seconds(name, getattr(self, name))
        for name in ("max_http_buffer_size", "max_buffered_bytes"):
            _check_count(name, getattr(self, name))
        for name in ("max_connections", "max_handlers"):
            if getattr(self, name) is not None:
                _check_count(name, getattr(self, name))
        _check_function("allow_request", self.allow_request, "the environ")
        for name in ("cookie", "cors_allowed_origins"):
            if callable(getattr(self, name)):
                _check_function(name, getattr(self, name), "the environ")
        if self.initial_packet is not None and not isinstance(self.initial_packet, str | bytes):
            raise TypeError(f"initial_packet={self.initial_packet!r}: a str or bytes is wanted, or None")
        if isinstance(self.trusted_proxies, str) or not isinstance(self.trusted_proxies, Iterable):
            raise TypeError(f"trusted_proxies={self.trusted_proxies!r}: a list of addresses or networks is wanted")
        for network in self.trusted_proxies:
            if isinstance(network, int | bytes):        # `ipaddress` takes them for addresses
                raise TypeError(f"trusted_proxies: {network!r} is no str such as '10.0.0.0/8'")
            try:
                network == UNIX_SOCKET or ip_network(network, strict=False)
            except ValueError as error:
                raise ValueError(
                    f"trusted_proxies: {network!r} is neither an address nor a network such as '10.0.0.0/8', nor {UNIX_SOCKET!r}"
                ) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveryOptions:
    """What `connection_state_recovery={…}` may say.

    Attributes:
        max_disconnection_duration: seconds that a client may be away.
        skip_middlewares: whether middleware is left out for one who comes back in time.
        max_packets, max_bytes: what is kept of each namespace at most; who has missed more than that begins anew.
        max_sessions: clients of one namespace that are waited for; of more, the one that left first is forgotten.
    """

    max_disconnection_duration: float = 120.0
    skip_middlewares: bool = True
    max_packets: int = 10_000
    max_bytes: int = 16_000_000
    max_sessions: int = 10_000

    def __post_init__(self) -> None:
        option = "connection_state_recovery"
        _check_seconds(f"{option}: max_disconnection_duration", self.max_disconnection_duration)
        _check_flag(f"{option}: skip_middlewares", self.skip_middlewares)
        for name in ("max_packets", "max_bytes", "max_sessions"):
            _check_count(f"{option}: {name}", getattr(self, name))

    @classmethod
    def of(cls, option: object) -> RecoveryOptions | None:
        """Return what `Server(connection_state_recovery=…)` means; None: it is off."""
        if option is None or option is False:
            return None
        if option is not True and not isinstance(option, Mapping):
            raise TypeError(f"connection_state_recovery={option!r}: True, False, None or a dict is wanted")
        given = {} if option is True else dict(option)
        known = [each.name for each in fields(cls)]
        for name in given:
            if name not in known:
                raise TypeError(f"connection_state_recovery: unknown {name!r}: there are {', '.join(known)}")
        return cls(**given)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions(EngineOptions):
    """What the Socket.IO floor needs on top. Every field is an option of `Server`."""

    path: str = "/socket.io"
    connect_timeout: float = 45.0
    max_attachments: int = 10
    max_namespaces: int = 100
    cleanup_empty_child_namespaces: bool = False
    connection_state_recovery: bool | Mapping[str, Any] | None = None
    json_default: JsonDefault | None = None
    parser: Any = None
    adapter: Any = None
    serve_client: bool = True
    health: bool = False

    def __post_init__(self) -> None:
        # not super(): a dataclass with slots is another class than the one that its methods know
        EngineOptions.__post_init__(self)
        for name in ("serve_client", "health"):
            _check_flag(name, getattr(self, name))
        _check_seconds("connect_timeout", self.connect_timeout)
        _check_count("max_attachments", self.max_attachments)
        _check_count("max_namespaces", self.max_namespaces)
        _check_flag("cleanup_empty_child_namespaces", self.cleanup_empty_child_namespaces)
        RecoveryOptions.of(self.connection_state_recovery)
        _check_function("json_default", self.json_default, "a value")


def refuse_unknown(kind: type[EngineOptions], unknown: Mapping[str, object]) -> None:
    """Raise TypeError for the first option in `unknown`, naming what is allowed; return when there is none."""
    for name in unknown:
        allowed = [field.name for field in fields(kind)]
        close = get_close_matches(name, allowed, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise TypeError(f"unknown option {name!r}: {hint}allowed are {', '.join(allowed)}")


def _check_path(path: object) -> None:
    if not isinstance(path, str):
        raise TypeError(f"path={path!r}: a str such as '/socket.io' is wanted")
    if not path.strip("/") or any(character in path for character in "?#\r\n "):
        raise ValueError(f"path={path!r}: a path such as '/socket.io' is wanted, without query, fragment or spaces")


def _check_choice(name: str, value: object, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise ValueError(f"{name}={value!r}: allowed are {', '.join(map(repr, allowed))}")


def _check_function(name: str, value: object, of: str) -> None:
    if value is not None and not callable(value):
        raise TypeError(f"{name}={value!r}: a function of {of} is wanted, or None")
    if iscoroutinefunction(value):
        raise TypeError(f"{name}={value!r} is async; sync_sio is synchronous: write it with `def`, it may block")


def _check_flag(name: str, value: object) -> None:
    if not isinstance(value, bool):
        raise TypeError(f"{name}={value!r}: True or False is wanted")


def _check_seconds(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name}={value!r}: seconds are wanted, as a number")
    if not 0 < value < 10**9:
        raise ValueError(f"{name}={value!r}: a number of seconds above 0 is wanted")


def _check_count(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name}={value!r}: a whole number is wanted")
    if value < 1:
        raise ValueError(f"{name}={value!r}: a whole number above 0 is wanted")


__all__ = ["EngineOptions", "RecoveryOptions", "ServerOptions", "refuse_unknown"]


def check_server(io: object) -> None:
    """Raise TypeError for what is no server, where a tool is given one."""
    if not hasattr(io, "engine"):
        raise TypeError(f"io={io!r}: a sync_sio.Server is wanted; that of a SocketIO for Flask is its attribute io")
