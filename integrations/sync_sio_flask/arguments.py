"""`connect(auth)` or `connect()`, `disconnect(reason)` or `disconnect()`: what a function takes is looked at before it is called."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

_TOO_MANY = re.compile(r"takes (no|\d+) (positional )?arguments?")


def call_with_or_without(fn: Callable[..., Any], argument: object) -> Any:
    """Call `fn(argument)`, or `fn()` when it takes none."""
    if not takes_argument(fn):
        return fn()
    if not _hides_what_it_takes(fn):
        return fn(argument)
    try:
        return fn(argument)
    except TypeError as error:
        # A decorator that takes everything, without functools.wraps, around a function that takes nothing.
        if _TOO_MANY.search(str(error)) is None:
            raise
        return fn()


def takes_argument(fn: Callable[..., Any]) -> bool:
    """Tell whether a function can be called with one argument. What has no signature takes everything."""
    try:
        inspect.signature(fn).bind(None)
    except TypeError:
        return False
    except ValueError:
        return True
    return True


def _hides_what_it_takes(fn: Callable[..., Any]) -> bool:
    try:
        parameters = inspect.signature(fn).parameters.values()
    except (TypeError, ValueError):
        return False
    return not any(parameter.kind is parameter.POSITIONAL_OR_KEYWORD for parameter in parameters)
