"""WebSocket frames as a server reads and writes them.

The reader works on the receive buffer itself and makes nothing per frame but the payload; a large frame gets a buffer of its
own, into which the caller may receive. Sizes are checked when a frame's head is there, before anything is kept for it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import NoReturn

from ...errors import ProtocolError

__all__ = [
    "BINARY",
    "CLOSE",
    "PING",
    "PONG",
    "TEXT",
    "TEXT_FRAME",
    "FrameError",
    "FrameReader",
    "binary_frame",
    "binary_head",
    "close_frame",
    "frame",
    "frame_head",
    "is_close_code",
    "parse_close",
    "ping_frame",
    "pong_frame",
    "text_frame",
]

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10

PROTOCOL_ERROR, INVALID_DATA, TOO_BIG = 1002, 1007, 1009
NO_CODE = 1005
"""What `parse_close` returns for a close frame without a code; never on the wire."""

MAX_CONTROL_BYTES = 125

_FIN, _RSV1, _RSV = 0x80, 0x40, 0x70
TEXT_FRAME = _FIN | TEXT
"""The first byte of a whole text message."""
_MASKED = 0x80
_SMALLEST = 6                       # the head of a masked frame without a long length
_FILL_FROM = 4096                   # a longer frame that is not whole gets a buffer of its own
_COPY_BELOW = 4096                  # for a longer frame a memoryview is cheaper than a slice
_FIRST_CAPACITY = 65536             # what a head can make us allocate before its bytes come
_CLEAN, _REST, _FILLING, _ENDED = range(4)
_SHORT_TEXT = tuple(bytes((TEXT_FRAME, size)) for size in range(126))
_SHORT_BINARY = tuple(bytes((_FIN | BINARY, size)) for size in range(126))


class FrameError(ProtocolError):
    """A peer broke RFC 6455 or a limit.

    Attributes:
        code: what the close frame should say: 1002, 1007 or 1009.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


def _mask_slowly(data: bytes | bytearray | memoryview, mask: bytes | bytearray) -> bytes:
    size = len(data)
    key = (bytes(mask) * (size // 4 + 1))[:size]
    return (int.from_bytes(data, sys.byteorder) ^ int.from_bytes(key, sys.byteorder)).to_bytes(size, sys.byteorder)


_mask: Callable[[bytes | bytearray | memoryview, bytes | bytearray], bytes]
try:
    from websockets.speedups import apply_mask as _mask
except ImportError:
    _mask = _mask_slowly


def frame_head(first: int, size: int) -> bytes:
    """Return what goes before an unmasked frame's payload of so many bytes; `first`: FIN, reserved bits and opcode."""
    if size < 126:
        return bytes((first, size))
    if size < 65536:
        return bytes((first, 126, size >> 8, size & 255))
    return bytes((first, 127)) + size.to_bytes(8, "big")


def frame(first: int, payload: bytes) -> bytes:
    """Return an unmasked frame with this first byte: FIN, reserved bits and opcode."""
    return frame_head(first, len(payload)) + payload


def binary_head(size: int) -> bytes:
    """Return what goes before the payload of a whole binary message of so many bytes."""
    return _SHORT_BINARY[size] if size < 126 else frame_head(_FIN | BINARY, size)


def text_frame(payload: bytes) -> bytes:
    """Return a whole text message; `payload` is UTF-8."""
    size = len(payload)
    return _SHORT_TEXT[size] + payload if size < 126 else frame(TEXT_FRAME, payload)


def binary_frame(payload: bytes) -> bytes:
    """Return a whole binary message."""
    return binary_head(len(payload)) + payload


def ping_frame(payload: bytes = b"") -> bytes:
    """Return a ping; what is over 125 bytes of the payload is left out."""
    return frame(_FIN | PING, payload[:MAX_CONTROL_BYTES])


def pong_frame(payload: bytes = b"") -> bytes:
    """Return a pong, the answer to a ping of this payload."""
    return frame(_FIN | PONG, payload[:MAX_CONTROL_BYTES])


def close_frame(code: int | None = None, reason: str = "") -> bytes:
    """Return a close frame, without a body when there is no code; a reason that is too long is cut."""
    if code is None:
        return frame(_FIN | CLOSE, b"")
    # cut between characters: "ignore" drops what the slice left of the last one
    text = reason.encode("utf-8", "replace")[: MAX_CONTROL_BYTES - 2].decode("utf-8", "ignore").encode()
    return frame(_FIN | CLOSE, code.to_bytes(2, "big") + text)


def is_close_code(code: int) -> bool:
    """Tell whether a close frame may carry this code (RFC 6455, 7.4, and the IANA registry)."""
    return 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999


def parse_close(payload: bytes) -> tuple[int, str]:
    """Return code and reason of a close frame; (1005, "") when it has none.

    Raises:
        FrameError: one byte, a code that may not be sent, or a reason that is not UTF-8.
    """
    if not payload:
        return NO_CODE, ""
    code = int.from_bytes(payload[:2], "big")
    if len(payload) == 1 or not is_close_code(code):
        raise FrameError(PROTOCOL_ERROR, "invalid close code")
    try:
        return code, payload[2:].decode()
    except UnicodeDecodeError:
        raise FrameError(INVALID_DATA, "the close reason is not UTF-8") from None


class FrameReader:
    """Makes messages of the bytes that one client sends. One thread at a time.

    After a close frame or an error, everything else is ignored.

    Args:
        max_message_bytes: what one message may have, on the wire and inflated.
        inflate: `f(payload, max_bytes)` for compressed messages; None: the extension was not agreed on.
    """

    __slots__ = (
        "_first", "_have", "_inflate", "_is_compressed", "_key", "_limit", "_mode", "_need", "_opcode", "_parts", "_rest", "_short",
        "buffer",
    )  # fmt: skip

    def __init__(self, max_message_bytes: int, inflate: Callable[[bytes, int], bytes] | None = None) -> None:
        self._limit = max_message_bytes
        self._short = min(max_message_bytes, MAX_CONTROL_BYTES)
        self._inflate = inflate
        self._mode = _CLEAN
        self._rest: bytes = b""                         # _REST: the start of a small frame
        self.buffer: bytearray | None = None            # _FILLING: a large frame's payload so far, still masked …
        self._have = self._need = self._first = 0       # … its count, its length and the frame's first byte
        self._key: bytes | bytearray = b""
        self._parts: bytearray | None = None            # the payloads of a message in fragments …
        self._opcode = 0                                # … and of what kind it is
        self._is_compressed = False

    def feed(self, data: bytes | bytearray, out: list[tuple[int, bytes]]) -> None:
        """Append (opcode, payload) for each whole message (TEXT is checked UTF-8) and each CLOSE, PING and PONG.

        Raises:
            FrameError: what came before it was appended.
        """
        at = 0
        try:
            if self._mode:
                if self._mode == _ENDED:
                    return
                if self._mode == _FILLING:
                    at = self._fill(data, out)
                    if self._mode:
                        return
                else:
                    data = self._rest + data
                    self._rest = b""
                    self._mode = _CLEAN
            end = len(data)
            limit = self._limit
            short = self._short if self._parts is None else -1
            last = end - _SMALLEST
            while at <= last:
                first = data[at]
                size = data[at + 1] - _MASKED
                start = at + 6
                if first == 0x81 and 0 <= size <= short:
                    # what nearly all are: the same as below with fewer questions
                    stop = start + size
                    if stop > end:
                        break
                    payload = _mask(data[start:stop], data[start - 4 : start])
                    at = stop
                    if not payload.isascii():
                        _check_text(payload)
                    out.append((TEXT, payload))
                    continue
                if size < 0:
                    raise FrameError(PROTOCOL_ERROR, "a frame is not masked")
                if size > 125:
                    start = at + (8 if size == 126 else 14)
                    if start > end:
                        break
                    size = int.from_bytes(data[at + 2 : start - 4], "big")
                if first > 0x82 or first < 0x81 or size > limit or self._parts is not None:
                    self._check(first, size)
                stop = start + size
                if stop > end:
                    if size > _FILL_FROM:
                        self._start_filling(first, size, data, start)
                        return
                    break
                masked = data[start:stop] if size < _COPY_BELOW else memoryview(data)[start:stop]
                payload = _mask(masked, data[start - 4 : start])
                at = stop
                if first == 0x81:
                    if not payload.isascii():
                        _check_text(payload)
                    out.append((TEXT, payload))
                elif first == 0x82:
                    out.append((BINARY, payload))
                else:
                    self._deliver(first, payload, out)
                    if self._mode:
                        return
                    short = self._short if self._parts is None else -1
            if at < end:
                self._keep(data, at, end)
        except FrameError:
            self._end()
            raise

    def lone(self, data: bytes) -> bytes | None:
        """Return the payload if `data` is one short text message, ASCII and not empty, as most reads are. None: `feed` has to take it."""
        size = len(data) - _SMALLEST
        if not 0 < size <= self._short or data[0] != TEXT_FRAME or data[1] != size + _MASKED or self._mode or self._parts is not None:
            return None
        payload = _mask(data[6:], data[2:6])
        return payload if payload.isascii() else None

    def space(self) -> memoryview | None:
        """Return where the next bytes of a large frame belong, for `recv_into`; None when `feed` is to get them.

        The view must be gone before the next call of any method but `filled`.
        """
        buffer = self.buffer
        if buffer is None or self._need - self._have < _FILL_FROM:
            return None         # so little is missing that one ordinary read brings it together with what follows
        if len(buffer) < self._need and len(buffer) - self._have < _FILL_FROM:
            buffer = self._grow(self._have)
        return memoryview(buffer)[self._have :]

    def filled(self, count: int, out: list[tuple[int, bytes]]) -> None:
        """Take note that `count` bytes were written into `space()`; else as `feed`."""
        self._have += count
        if self._have == self._need:
            try:
                self._finish_filling(out)
            except FrameError:
                self._end()
                raise

    def _check(self, first: int, size: int) -> None:
        """Refuse a frame from its head."""
        opcode = first & 15
        if first & _RSV and (first & _RSV != _RSV1 or self._inflate is None or opcode not in (TEXT, BINARY)):
            raise FrameError(PROTOCOL_ERROR, "reserved bits are set")
        if opcode >= CLOSE:
            if opcode > PONG:
                raise FrameError(PROTOCOL_ERROR, f"unknown opcode {opcode}")
            if not first & _FIN or size > MAX_CONTROL_BYTES:
                raise FrameError(PROTOCOL_ERROR, "a control frame is fragmented or over 125 bytes")
            return
        if opcode > BINARY:
            raise FrameError(PROTOCOL_ERROR, f"unknown opcode {opcode}")
        if (opcode == CONTINUATION) != (self._parts is not None):
            raise FrameError(PROTOCOL_ERROR, "a fragment is out of place")
        total = size if self._parts is None else size + len(self._parts)
        if total > self._limit:
            self._refuse_size(total)

    def _refuse_size(self, size: int) -> NoReturn:
        raise FrameError(TOO_BIG, f"a message of {size} bytes or more is over the limit of {self._limit}")

    def _deliver(self, first: int, payload: bytes, out: list[tuple[int, bytes]]) -> None:
        """Take a frame whose head was checked."""
        opcode = first & 15
        if opcode >= CLOSE:
            out.append((opcode, payload))
            if opcode == CLOSE:
                self._end()
        elif opcode == CONTINUATION:
            parts = self._parts
            assert parts is not None, "checked by _check"
            parts += payload
            if first & _FIN:
                self._parts = None
                self._complete(self._opcode, bytes(parts), self._is_compressed, out)
        elif first & _FIN:
            self._complete(opcode, payload, bool(first & _RSV1), out)
        else:
            self._parts = bytearray(payload)
            self._opcode = opcode
            self._is_compressed = bool(first & _RSV1)

    def _complete(self, opcode: int, payload: bytes, is_compressed: bool, out: list[tuple[int, bytes]]) -> None:
        if is_compressed:
            assert self._inflate is not None, "checked by _check"
            payload = self._inflate(payload, self._limit)
        if opcode == TEXT and not payload.isascii():
            _check_text(payload)
        out.append((opcode, payload))

    def _keep(self, data: bytes | bytearray, at: int, end: int) -> None:
        if end - at > 1 and data[at + 1] < _MASKED:
            raise FrameError(PROTOCOL_ERROR, "a frame is not masked")
        self._rest = bytes(data[at:end])
        self._mode = _REST

    def _start_filling(self, first: int, size: int, data: bytes | bytearray, start: int) -> None:
        have = len(data) - start
        self._first, self._need, self._have = first, size, have
        self._key = data[start - 4 : start]
        self.buffer = bytearray(min(size, max(_FIRST_CAPACITY, 2 * have)))
        self.buffer[:have] = data[start:]
        self._mode = _FILLING

    def _fill(self, data: bytes | bytearray, out: list[tuple[int, bytes]]) -> int:
        count = min(self._need - self._have, len(data))
        buffer = self.buffer
        assert buffer is not None, "_FILLING has one"
        have = self._have + count
        if have > len(buffer):
            buffer = self._grow(have)
        buffer[self._have : have] = memoryview(data)[:count]
        self._have = have
        if have == self._need:
            self._finish_filling(out)
        return count

    def _grow(self, least: int) -> bytearray:
        """Double the buffer: what is allocated follows what has come, not what a head has promised."""
        old = self.buffer
        assert old is not None, "_FILLING has one"
        buffer = bytearray(min(self._need, max(least, 2 * len(old))))
        buffer[: self._have] = memoryview(old)[: self._have]
        self.buffer = buffer
        return buffer

    def _finish_filling(self, out: list[tuple[int, bytes]]) -> None:
        buffer = self.buffer
        assert buffer is not None, "_FILLING has one"
        payload = _mask(buffer, self._key)
        self.buffer = None
        self._mode = _CLEAN
        self._deliver(self._first, payload, out)

    def _end(self) -> None:
        self._mode = _ENDED
        self._rest = b""
        self.buffer = self._parts = None


def _check_text(payload: bytes) -> None:
    try:
        payload.decode()
    except UnicodeDecodeError as error:
        raise FrameError(INVALID_DATA, f"a text message is not UTF-8: {error.reason}") from None
