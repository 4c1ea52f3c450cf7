"""JSON as Socket.IO peers write it: orjson where it can, and the same result from the standard library where it cannot.

orjson refuses integers over 64 bits, lone surrogates and keys that are no strings, all of which JavaScript has a form for;
and it may not be there at all. `Writer` is the one definition of what such values become, so the output never depends on
which of the two made it.
"""

from __future__ import annotations

import json as standard
from collections.abc import Callable
from math import isfinite
from typing import Any

from ...errors import ProtocolError
from ...types import JsonDefault
from .writer import CannotSend, Writer, replace

__all__ = ["OPTIONS", "decode", "dumps", "encode", "encode_slowly", "loads", "put_back"]

MAX_DEPTH = 1024
"""How deeply arrays and objects may be nested in what is received: orjson's own limit. The standard library's is the
interpreter's, which may be a little less, and is never allowed to be more."""

_TOO_DEEP = "nested too deeply, or a default that never ends"


def _refuse(value: object, default: object = None, option: int | None = None) -> bytes:
    raise TypeError("orjson is not there")


dumps: Callable[[Any, JsonDefault | None, int | None], bytes]
"""The quick way, `dumps(value, None, OPTIONS)`: raises TypeError for what `encode_slowly` must see."""
loads: Callable[[bytes | bytearray], Any]
"""The quick way back: raises ValueError for what `decode` must see."""


def encode(value: object, default: JsonDefault | None = None, root: str = "value", offset: int = 0) -> tuple[bytes, list[bytes]]:
    """Return the compact JSON of a value as UTF-8, and the bytes objects that placeholders in it stand for, in order.

    Args:
        value: anything of API.md, "What can be sent".
        default: asked for values that JSON has no form for; raises TypeError for what it does not know either.
        root: what an error calls `value`: `args` gives `args[1]["when"]`.
        offset: how many leading items of `value` an error does not count: the event's name, for instance.

    Raises:
        TypeError: something in it cannot be sent; the message names the path to it, its type, and what to do.
            What else `default` raises is passed on.
    """
    try:
        return dumps(value, None, OPTIONS), []
    except TypeError:
        # the first try has no hook: ordinary values pay nothing for attachments, and those that have some pay 0.6 us
        return encode_slowly(value, default, root, offset)


def encode_slowly(value: object, default: JsonDefault | None, root: str, offset: int) -> tuple[bytes, list[bytes]]:
    """The same for what `dumps` refuses, or for all."""
    attachments: list[bytes] = []
    try:
        return dumps(value, lambda item: replace(item, default, attachments), OPTIONS), attachments
    except TypeError:
        writer = Writer(default)
        try:
            writer.write(value)
        except RecursionError as error:
            raise TypeError(f"{writer.where(root, offset, 4)}…: {_TOO_DEEP}") from error
        except CannotSend as error:
            raise TypeError(f"{writer.where(root, offset)}: {error}") from error.__cause__
        return "".join(writer.pieces).encode(), writer.attachments


def decode(data: bytes | bytearray) -> Any:
    """Return the value of a JSON text.

    Integers outside 64 bits become floats, as in every JavaScript peer; escaped lone surrogates are kept.

    Raises:
        ProtocolError: it is no JSON, no UTF-8, nested deeper than 1,024, or holds a number beyond floats.
    """
    try:
        return loads(data)
    except ValueError as error:
        if b"\\ud" in data or b"\\uD" in data:
            return _decode_slowly(data)
        raise ProtocolError(f"invalid JSON: {error}") from error


def put_back(value: Any, attachments: list[bytes] | tuple[bytes, ...]) -> Any:
    """Return the value with each placeholder replaced by its attachment; containers are changed in place.

    Raises:
        ProtocolError: a placeholder names an attachment that there is not ("illegal attachments").
    """
    holder: list[Any] = value if type(value) is list else [value]
    stack: list[Any] = [holder]
    while stack:        # no recursion: a peer chooses the depth
        container = stack.pop()
        for key, item in enumerate(container) if type(container) is list else container.items():
            kind = type(item)
            if kind is dict:
                if item.get("_placeholder") is True:
                    num = item.get("num")
                    if type(num) is not int or not 0 <= num < len(attachments):
                        raise ProtocolError("illegal attachments")
                    container[key] = attachments[num]       # an existing key: the dict's size stays
                else:
                    stack.append(item)
            elif kind is list:
                stack.append(item)
    return value if holder is value else holder[0]


def _whole(text: str) -> int | float:
    if len(text) <= 20:         # never int() on a peer's endless digits
        number = int(text)
        if -(2**63) <= number < 2**64:
            return number
    return _real(text)


def _real(text: str) -> float:
    number = float(text)
    if not isfinite(number):
        raise ValueError("number is too large")
    return number


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


_decoder = standard.JSONDecoder(parse_int=_whole, parse_float=_real, parse_constant=_refuse_constant)


def _decode_slowly(data: bytes | bytearray) -> Any:
    try:
        value = _decoder.decode(str(data, "utf-8"))
        _check_depth(value)
        return value
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"invalid JSON: {error}") from error


def _check_depth(value: Any) -> None:
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        level = [item for container in level for item in _children(container) if type(item) in (list, dict)]
        if not level:
            return
    raise ValueError("depth limit exceeded")


def _children(value: Any) -> Any:
    return value if type(value) is list else value.values() if type(value) is dict else ()


try:
    import orjson
except ImportError:
    dumps, loads, OPTIONS = _refuse, _decode_slowly, 0
else:
    dumps, loads = orjson.dumps, orjson.loads
    # dataclasses and dates have one rule, `writer.replace`; orjson's own leaves out fields that start with "_" and rounds offsets
    OPTIONS = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME
