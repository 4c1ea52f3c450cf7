"""What JSON makes of Python's values, as plain values for codecs that have a binary form: bytes stay where they are."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import Enum
from math import inf, isfinite
from typing import Any, Final

from ..protocol.json.writer import CannotSend, name_of, replace
from ..types import JsonDefault

__all__ = ["Flattener"]

_AS_THEY_ARE: Final = frozenset((str, bool, type(None), bytes))


class Flattener:
    """Makes one value plain: None, bool, int of 64 bits, float, str, bytes, list, dict. Knows where it was when that fails.

    Args:
        mends_text: replace lone surrogates by U+FFFD; those that make a pair become what they stand for.
    """

    __slots__ = ("_default", "_steps", "_text")

    def __init__(self, default: JsonDefault | None, mends_text: bool = False) -> None:
        self._default = default
        self._steps: list[str | int] = []       # to where it failed, the last first
        self._text: Callable[[str], str] | None = _mended if mends_text else None

    def where(self, root: str, offset: int, depth: int | None = None) -> str:
        """Return the path to what failed: its first `depth` steps, the first index less `offset`."""
        steps = self._steps[::-1][:depth]
        if steps and isinstance(steps[0], int):
            steps[0] -= offset
        return root + "".join(f"[{step}]" if isinstance(step, int) else f'["{step}"]' for step in steps)

    def flat(self, value: Any) -> Any:
        """Return the plain form.

        Raises:
            CannotSend: there is none; `where` tells of which part.
            RecursionError: it is too deep, or contains itself.
        """
        kind = type(value)
        if kind is str and self._text is not None:
            return self._text(value)
        if kind in _AS_THEY_ARE:
            return value
        if kind is int:
            return value if -(2**63) <= value < 2**64 else _real(value)
        if kind is float:
            return value if isfinite(value) else None
        if kind is list or kind is tuple:
            return self._array(value)
        if kind is dict:
            return self._object(value)
        return self._other(value)

    def _array(self, value: Iterable[Any]) -> list[Any]:
        items: list[Any] = []
        try:
            for item in value:
                items.append(self.flat(item))
        except (CannotSend, RecursionError):
            self._steps.append(len(items))
            raise
        return items

    def _object(self, value: dict[Any, Any]) -> dict[str, Any]:
        items: dict[str, Any] = {}
        for key, item in dict.items(value):
            name = key if type(key) is str else name_of(key)
            try:
                items[name if self._text is None else self._text(name)] = self.flat(item)
            except (CannotSend, RecursionError):
                self._steps.append(name)
                raise
        return items

    def _other(self, value: Any) -> Any:
        if isinstance(value, Enum):
            return self.flat(value.value)
        if isinstance(value, str):
            return self.flat(str.__str__(value))
        if isinstance(value, int):
            return self.flat(int.__pos__(value))
        if isinstance(value, list | tuple):
            return self._array(value)
        if isinstance(value, dict):
            return self._object(value)
        if isinstance(value, bytes | bytearray | memoryview):
            return bytes(value)         # a snapshot: the caller may go on writing into its buffer
        return self.flat(replace(value, self._default, []))


def _real(number: int) -> float:
    """Return what JavaScript reads a long number as."""
    try:
        return float(number)
    except OverflowError:
        return inf if number > 0 else -inf


def _mended(text: str) -> str:
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
