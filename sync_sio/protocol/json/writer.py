"""The one definition of what Python values become in JSON, for those that orjson refuses or asks about."""

from __future__ import annotations

import re
from dataclasses import fields, is_dataclass
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from json.encoder import encode_basestring
from math import isfinite, isnan
from typing import Any
from uuid import UUID

from ...types import JsonDefault

__all__ = ["CannotSend", "Writer", "name_of", "replace"]

_BYTES = (bytes, bytearray, memoryview)
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


class CannotSend(TypeError):
    """A value has no form in JSON. Says why, not where: the writer knows that."""


def replace(value: Any, default: JsonDefault | None, attachments: list[bytes]) -> Any:
    """Return what to write instead of a value that is no plain JSON."""
    if isinstance(value, _BYTES):
        attachments.append(bytes(value))        # a snapshot: the caller may go on writing into its buffer
        return {"_placeholder": True, "num": len(attachments) - 1}
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, float):
        return float.__pos__(value)
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    problem: TypeError | None = None
    if default is not None:
        try:
            return default(value)
        except TypeError as error:
            problem = error
    kind = type(value)
    if hasattr(kind, "__struct_fields__"):
        return _struct(value, default)
    if hasattr(kind, "__pydantic_validator__"):
        return value.model_dump()
    if problem is not None:
        raise CannotSend(f"{kind.__name__} cannot be sent; convert it first, or have json_default handle it ({problem})") from problem
    raise CannotSend(f"{kind.__name__} cannot be sent; convert it first, or give the server a json_default")


def _struct(value: Any, default: JsonDefault | None) -> Any:
    """Return what msgspec makes of a struct: names, tags and what is left out are its affair."""
    import msgspec  # it is there: the value is one of its structs

    try:
        return msgspec.to_builtins(value, builtin_types=(bytes, bytearray, memoryview, date, datetime, time), enc_hook=default)
    except TypeError as error:
        message = f"something in this {type(value).__name__} cannot be sent ({error}); convert it first, or give the server a json_default"
        raise CannotSend(message) from error


class Writer:
    """Writes a value as orjson would, and what orjson refuses too; knows where it is when something cannot be written."""

    __slots__ = ("attachments", "default", "path", "pieces", "within")

    def __init__(self, default: JsonDefault | None) -> None:
        self.default = default
        self.attachments: list[bytes] = []
        self.pieces: list[str] = []
        self.path: list[str | int] = []
        self.within: set[int] = set()

    def where(self, root: str, offset: int, depth: int | None = None) -> str:
        """Return the path to what could not be written: its first `depth` steps, the first index less `offset`."""
        steps = self.path[:depth]
        if steps and isinstance(steps[0], int):
            steps[0] -= offset
        return root + "".join(f"[{step}]" if isinstance(step, int) else f'["{step}"]' for step in steps)

    def write(self, value: Any) -> None:
        """Add a value's text to `pieces`.

        Raises:
            CannotSend: `where` tells which part of it.
            RecursionError: it is too deep.
        """
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
            put(_real(value) if isfinite(value) else "null")
        elif isinstance(value, list | tuple):
            self._write_array(value)
        elif isinstance(value, dict):
            self._write_object(value)
        else:
            self.write(replace(value, self.default, self.attachments))

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
            name = name_of(key)
            self.pieces.append(f"{opening}{_quote(name)}:")
            opening = ","
            self.path.append(name)
            self.write(item)
            self.path.pop()
        self.pieces.append("}" if opening == "," else "{}")
        self.within.discard(id(value))

    def _enter(self, container: object) -> None:
        if id(container) in self.within:
            raise CannotSend(f"this {type(container).__name__} contains itself, which JSON has no form for")
        self.within.add(id(container))


def _quote(text: str) -> str:
    quoted: str = encode_basestring(text)
    if quoted.isascii():
        return quoted
    return _LONE_SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", quoted)


def _real(number: float) -> str:
    """Return the shortest form, spelled as orjson spells it."""
    shortest = float.__repr__(number)
    return f"{Decimal(shortest):f}" if shortest.endswith("e-05") else shortest.replace("e-0", "e-")


def _digits(number: int) -> str:
    try:
        return int.__repr__(number)
    except ValueError:      # more digits than the interpreter converts at once (sys.set_int_max_str_digits): in pieces
        rest, step, parts = abs(int(number)), 10**600, list[str]()
        while rest:
            rest, low = divmod(rest, step)
            parts.append(f"{low:0600d}" if rest else str(low))
        return ("-" if number < 0 else "") + "".join(reversed(parts))


def name_of(key: object) -> str:
    """Return the name that JavaScript gives to a property."""
    if isinstance(key, Enum):
        return name_of(key.value)
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
    raise CannotSend(f"a key of type {type(key).__name__} cannot be sent; keys are str, int, float, bool or None")


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
