"""permessage-deflate (RFC 7692): agreeing on it, and the two streams of one connection."""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .frames import BINARY, INVALID_DATA, TEXT, TOO_BIG, FrameError, frame

__all__ = ["Deflate", "DeflateOptions", "negotiate"]

_TAIL = b"\x00\x00\xff\xff"
_PARAMETER = re.compile(r'\s*([!#$%&\'*+.^_`|~0-9A-Za-z-]+)\s*(?:=\s*(?:"([^"\\]*)"|([!#$%&\'*+.^_`|~0-9A-Za-z-]+))\s*)?')
_FIN_AND_RSV1 = 0xC0
_FIN = 0x80


@dataclass(frozen=True, slots=True)
class DeflateOptions:
    """How the server would like to compress.

    Attributes:
        threshold: bytes from which on a message is compressed.
        level: zlib's, 1 to 9; -1: its default.
        mem_level: zlib's, 1 to 9.
        server_no_context_takeover: forget what was sent after each message: less memory per client, worse compression, and a
            broadcast is compressed once, not for each client.
        client_no_context_takeover: ask the client to do so.
        server_max_window_bits: 9 to 15; the window for what is sent takes 2 ** (bits + 2) bytes.
        client_max_window_bits: 9 to 15; asked of clients that let us.
    """

    threshold: int = 1024
    level: int = -1
    mem_level: int = 5
    server_no_context_takeover: bool = False
    client_no_context_takeover: bool = False
    server_max_window_bits: int = 12
    client_max_window_bits: int = 12

    def __post_init__(self) -> None:
        for name, low, high in (
            ("threshold", 0, None),
            ("level", -1, 9),
            ("mem_level", 1, 9),
            ("server_max_window_bits", 9, 15),
            ("client_max_window_bits", 9, 15),
        ):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int):
                raise TypeError(f"per_message_deflate: {name} is {value!r}; it is an int")
            if value < low or (high is not None and value > high):
                raise ValueError(f"per_message_deflate: {name} is {value}; it is {low} {'or more' if high is None else f'to {high}'}")

    @classmethod
    def of(cls, option: bool | Mapping[str, Any]) -> DeflateOptions | None:
        """Return what `Server(per_message_deflate=…)` means; None: no compression.

        Raises:
            TypeError, ValueError: an unknown or impossible option; the message names it and what is allowed.
        """
        if option is True or option is False:
            return cls() if option else None
        if not isinstance(option, Mapping):
            raise TypeError(f"per_message_deflate is {option!r}; it may be False, True or a dict")
        unknown = [str(name) for name in option if name not in cls.__slots__]
        if unknown:
            raise TypeError(f"per_message_deflate: unknown {', '.join(unknown)}; there are {', '.join(cls.__slots__)}")
        return cls(**option)


def negotiate(offer_header: str, options: DeflateOptions) -> Deflate | None:
    """Return the streams for the first offer of a Sec-WebSocket-Extensions header that can be met; None: there is none.

    An offer that is not understood is declined, as RFC 7692 (7.1) wants it.
    """
    for offer in offer_header.split(","):
        name, *parameters = offer.split(";")
        if name.strip().lower() == "permessage-deflate":
            deflate = _accept(parameters, options)
            if deflate is not None:
                return deflate
    return None


def _accept(parameters: list[str], options: DeflateOptions) -> Deflate | None:
    asked: dict[str, str | None] = {}
    for parameter in parameters:
        found = _PARAMETER.fullmatch(parameter)
        if found is None or found[1] in asked:
            return None
        asked[found[1]] = found[2] if found[2] is not None else found[3]
    server_reset, client_reset = options.server_no_context_takeover, options.client_no_context_takeover
    server_bits, client_bits = options.server_max_window_bits, 15
    for name, value in asked.items():
        if name == "server_no_context_takeover" and value is None:
            server_reset = True
        elif name == "client_no_context_takeover" and value is None:
            client_reset = True
        elif name == "server_max_window_bits" and (bits := _bits(value)):
            if bits < 9:        # zlib cannot write a window of 256 bytes
                return None
            server_bits = min(server_bits, bits)
        elif name == "client_max_window_bits" and (value is None or _bits(value)):
            client_bits = min(options.client_max_window_bits, _bits(value) or 15)
        else:
            return None
    response = ["permessage-deflate"]
    if server_reset:
        response.append("server_no_context_takeover")
    if client_reset:
        response.append("client_no_context_takeover")
    if server_bits < 15 or "server_max_window_bits" in asked:       # who asked for it wants to read it, 15 too
        response.append(f"server_max_window_bits={server_bits}")
    if "client_max_window_bits" in asked and client_bits < 15:
        response.append(f"client_max_window_bits={client_bits}")
    return Deflate(options, "; ".join(response), server_bits, client_bits, server_reset, client_reset)


def _bits(value: str | None) -> int:
    return int(value) if value in ("8", "9", "10", "11", "12", "13", "14", "15") else 0


class Deflate:
    """Both streams of one connection. `inflate` for its one reader, `deflate` and `frame` under its lock for sending.

    zlib's state, some tens of KiB, is made with the first message that needs it.

    Attributes:
        response: the value of Sec-WebSocket-Extensions that tells the client.
        kind: streams of the same kind make the same frames of the same messages; None: each depends on what was sent before.
    """

    __slots__ = ("_client_bits", "_client_reset", "_deflater", "_inflater", "_options", "_server_bits", "_server_reset", "kind", "response")

    def __init__(
        self, options: DeflateOptions, response: str, server_bits: int, client_bits: int, server_reset: bool, client_reset: bool
    ) -> None:
        self.response = response
        self.kind = (options, server_bits) if server_reset else None
        self._options = options
        self._server_bits = server_bits
        self._client_bits = client_bits
        self._server_reset = server_reset
        self._client_reset = client_reset
        self._deflater: Any = None
        self._inflater: Any = None

    def inflate(self, data: bytes, max_bytes: int) -> bytes:
        """Return a message's payload.

        Raises:
            FrameError: it is no deflated data (1007), or more than `max_bytes` come out of it (1009): inflating stops there.
        """
        inflater = self._inflater
        if inflater is None:
            inflater = self._inflater = zlib.decompressobj(-max(self._client_bits, 9))     # some zlibs write 9 when told 8
        try:
            payload: bytes = inflater.decompress(data + _TAIL, max_bytes + 1)
        except zlib.error as error:
            raise FrameError(INVALID_DATA, f"a compressed message is broken: {error}") from None
        if len(payload) > max_bytes:
            raise FrameError(TOO_BIG, f"a compressed message is over the limit of {max_bytes} bytes when inflated")
        if self._client_reset or inflater.eof:      # a sender may end its stream; the next message begins another
            self._inflater = None
        return payload

    def deflate(self, data: bytes) -> bytes:
        """Return a message's payload compressed, whatever its size."""
        deflater = self._deflater
        if deflater is None:
            deflater = zlib.compressobj(self._options.level, zlib.DEFLATED, -self._server_bits, self._options.mem_level)
            self._deflater = deflater
        packed: bytes = deflater.compress(data) + deflater.flush(zlib.Z_SYNC_FLUSH)
        if self._server_reset:
            self._deflater = None
        return packed[: -len(_TAIL)]

    def frame(self, is_binary: bool, payload: bytes) -> bytes:
        """Return a whole message as a frame: compressed when it is long enough for that."""
        opcode = BINARY if is_binary else TEXT
        if len(payload) < self._options.threshold:
            return frame(_FIN | opcode, payload)
        return frame(_FIN_AND_RSV1 | opcode, self.deflate(payload))
