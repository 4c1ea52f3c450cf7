"""JSON as Socket.IO peers write it: orjson where it can, and the same result from the standard library where it cannot.

orjson refuses integers over 64 bits, lone surrogates and keys that are no strings, all of which JavaScript has a form for;
and it may not be there at all. `_Writer` is the one definition of what such values become, so the output never depends on
which of the two made it.
"""

from __future__ import annotations

import json as standard
import re
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from json.encoder import encode_basestring
from math import isfinite, isnan
from typing import Any
from uuid import UUID

from ..errors import ProtocolError
from ..types import JsonDefault

__all__ = ["decode", "encode", "put_back"]

MAX_DEPTH = 1024
"""How deeply arrays and objects may be nested in what is received; orjson's own limit."""

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_TOO_DEEP = "nested too deeply, or a default that never ends"


def _refuse(value: object, default: object = None, option: int | None = None) -> bytes:
    raise TypeError("orjson is not there")


_dumps: Callable[[Any, JsonDefault | None, int | None], bytes]
_loads: Callable[[bytes | bytearray], Any]


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
        return _dumps(value, None, _OPTIONS), []
    except TypeError:
        # the first try has no hook: ordinary values pay nothing for attachments, and those that have some pay 0.6 us
        return _encode_slowly(value, default, root, offset)


def _encode_slowly(value: object, default: JsonDefault | None, root: str, offset: int) -> tuple[bytes, list[bytes]]:
    attachments: list[bytes] = []
    try:
        return _dumps(value, lambda item: _replace(item, default, attachments), _OPTIONS), attachments
    except TypeError:
        writer = _Writer(default)
        try:
            writer.write(value)
        except RecursionError as error:
            raise TypeError(f"{writer.where(root, offset, 4)}…: {_TOO_DEEP}") from error
        except _CannotSend as error:
            raise TypeError(f"{writer.where(root, offset)}: {error}") from error.__cause__
        return "".join(writer.pieces).encode(), writer.attachments


def decode(data: bytes | bytearray) -> Any:
    """Return the value of a JSON text.

    Integers outside 64 bits become floats, as in every JavaScript peer; escaped lone surrogates are kept.

    Raises:
        ProtocolError: it is no JSON, no UTF-8, nested deeper than 1,024, or holds a number beyond floats.
    """
    try:
        return _loads(data)
    except ValueError as error:
        if b"\\ud" in data or b"\\uD" in data:
            return _decode_slowly(data)
        raise ProtocolError(f"invalid JSON: {error}") from error


def put_back(value: Any, attachments: list[bytes] | tuple[bytes, ...]) -> Any:
    """Return the value with each placeholder replaced by its attachment; containers are changed in place.

    Raises:
        ProtocolError: a placeholder names an attachment that there is not ("illegal attachments").
    """
    holder = [value]
    stack: list[Any] = [holder]
    while stack:        # no recursion: a peer chooses the depth
        container = stack.pop()
        for key, item in enumerate(container) if type(container) is list else container.items():
            if type(item) is dict:
                if item.get("_placeholder") is True:
                    num = item.get("num")
                    if type(num) is not int or not 0 <= num < len(attachments):
                        raise ProtocolError("illegal attachments")
                    container[key] = attachments[num]       # an existing key: the dict's size stays
                else:
                    stack.append(item)
            elif type(item) is list:
                stack.append(item)
    return holder[0]


class _CannotSend(TypeError):
    pass


def _replace(value: Any, default: JsonDefault | None, attachments: list[bytes]) -> Any:
    """Return what to write instead of a value that is no plain JSON."""
    if isinstance(value, bytes | bytearray | memoryview):
        attachments.append(bytes(value))        # a snapshot: the caller may go on writing into its buffer
        return {"_placeholder": True, "num": len(attachments) - 1}
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, float):
        return float.__add__(value, 0.0)
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    name = type(value).__name__
    if default is None:
        raise _CannotSend(f"{name} cannot be sent; convert it first, or give the server a json_default")
    try:
        return default(value)
    except TypeError as error:
        raise _CannotSend(f"{name} cannot be sent; convert it first, or have json_default handle it ({error})") from error


class _Writer:
    """Writes a value as orjson would, and what orjson refuses too; knows where it is when something cannot be written."""

    __slots__ = ("attachments", "default", "path", "pieces", "within")

    def __init__(self, default: JsonDefault | None) -> None:
        self.default = default
        self.attachments: list[bytes] = []
        self.pieces: list[str] = []
        self.path: list[str | int] = []
        self.within: set[int] = set()

    def where(self, root: str, offset: int, depth: int | None = None) -> str:
        steps = self.path[:depth]
        if steps and isinstance(steps[0], int):
            steps[0] -= offset
        return root + "".join(f"[{step}]" if isinstance(step, int) else f'["{step}"]' for step in steps)

    def write(self, value: Any) -> None:
        put = self.pieces.append
        if value is None:
            put("null")
        elif value is True:
            put("true")
        elif value is False:
            put("false")
        elif isinstance(value, Enum):
            self.write(value.value)
        elif isinstance(value, str):
            put(_quote(value))
        elif isinstance(value, int):
            put(_digits(value))
        elif type(value) is float:
            put(float.__repr__(value).replace("e-0", "e-") if isfinite(value) else "null")
        elif isinstance(value, list | tuple):
            self._write_array(value)
        elif isinstance(value, dict):
            self._write_object(value)
        else:
            self.write(_replace(value, self.default, self.attachments))

    def _write_array(self, value: list[Any] | tuple[Any, ...]) -> None:
        self._enter(value)
        opening = "["
        for index, item in enumerate(value):
            self.pieces.append(opening)
            opening = ","
            self.path.append(index)
            self.write(item)
            self.path.pop()
        self.pieces.append("]" if opening == "," else "[]")
        self.within.discard(id(value))

    def _write_object(self, value: dict[Any, Any]) -> None:
        self._enter(value)
        opening = "{"
        for key, item in dict.items(value):
            name = _key(key)
            self.pieces.append(f"{opening}{_quote(name)}:")
            opening = ","
            self.path.append(name)
            self.write(item)
            self.path.pop()
        self.pieces.append("}" if opening == "," else "{}")
        self.within.discard(id(value))

    def _enter(self, container: object) -> None:
        if id(container) in self.within:
            raise _CannotSend(f"this {type(container).__name__} contains itself, which JSON has no form for")
        self.within.add(id(container))


def _quote(text: str) -> str:
    quoted: str = encode_basestring(text)
    if quoted.isascii():
        return quoted
    return _LONE_SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", quoted)


def _digits(number: int) -> str:
    try:
        return int.__repr__(number)
    except ValueError:      # more digits than the interpreter converts at once (sys.set_int_max_str_digits): in pieces
        rest, step, parts = abs(int(number)), 10**600, list[str]()
        while rest:
            rest, low = divmod(rest, step)
            parts.append(f"{low:0600d}" if rest else str(low))
        return ("-" if number < 0 else "") + "".join(reversed(parts))


def _key(key: object) -> str:
    """Return the name that JavaScript gives to a property."""
    if isinstance(key, Enum):
        return _key(key.value)
    if isinstance(key, str):
        return str.__str__(key)
    if key is None:
        return "null"
    if isinstance(key, bool):
        return "true" if key else "false"
    if isinstance(key, int):
        return _digits(key)
    if isinstance(key, float):
        return _number(key)
    raise _CannotSend(f"a key of type {type(key).__name__} cannot be sent; keys are str, int, float, bool or None")


def _number(number: float) -> str:
    """Source: ECMA-262, Number::toString."""
    if isnan(number):
        return "NaN"
    if not isfinite(number):
        return "Infinity" if number > 0 else "-Infinity"
    if number == 0:
        return "0"
    shortest = float.__repr__(number)
    if 1e-6 <= abs(number) < 1e21:
        shortest = f"{Decimal(shortest):f}"
        return shortest[:-2] if shortest.endswith(".0") else shortest
    return shortest.replace("e-0", "e-").replace("e+0", "e+")


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
    for _ in range(MAX_DEPTH + 1):
        level = [item for container in level for item in _children(container)]
        if not level:
            return
    raise ValueError("depth limit exceeded")


def _children(value: Any) -> Any:
    return value if type(value) is list else value.values() if type(value) is dict else ()


try:
    import orjson
except ImportError:
    _dumps, _loads, _OPTIONS = _refuse, _decode_slowly, 0
else:
    _dumps, _loads = orjson.dumps, orjson.loads
    # dataclasses and dates have one rule, `_replace`; orjson's own leaves out fields that start with "_" and rounds offsets
    _OPTIONS = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME
