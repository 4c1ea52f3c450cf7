"""Functions that stand before others, and may refuse: of a namespace (`use`) and of a socket's packets (`socket.use`)."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from enum import Enum
from typing import Any, Final, Protocol

from ..drivers.base import Lock


class Next(Protocol):
    """What a middleware's parameter `next` is."""

    def __call__(self, error: object = None) -> None:
        """Go on, or refuse with `error`. The first call counts; any thread."""
        ...


class Verdict(Enum):
    """How a middleware ended that has not refused: `GO_ON`, or it will call `next` later."""

    GO_ON = "go on"
    LATER = "later"


GO_ON: Final = Verdict.GO_ON
LATER: Final = Verdict.LATER


class Middleware:
    """A registered middleware: `fn(subject)`, or `fn(subject, next)` by position or by name."""

    __slots__ = ("by_name", "fn", "is_admitted", "takes_next")

    def __init__(self, fn: Callable[..., Any], is_admitted: bool = False) -> None:
        self.fn = fn
        self.is_admitted = is_admitted
        self.takes_next = False
        self.by_name = False
        try:
            parameters = list(inspect.signature(fn, follow_wrapped=False).parameters.values())
        except (TypeError, ValueError):
            return
        for at, parameter in enumerate(parameters):
            is_positional = parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
            if parameter.name == "next" and (is_positional or parameter.kind is parameter.KEYWORD_ONLY):
                self.takes_next = True
                self.by_name = not (is_positional and at == 1)
                return
        if len(parameters) > 1:
            second = parameters[1]
            self.takes_next = second.kind in (second.POSITIONAL_ONLY, second.POSITIONAL_OR_KEYWORD) and second.default is second.empty


class Answer:
    """One middleware's `next`. The lock settles the race between a late call and the middleware's return."""

    __slots__ = ("_error", "_is_given", "_is_late", "_lock", "_resume")

    def __init__(self, lock: Lock, resume: Callable[[object], None]) -> None:
        self._lock = lock
        self._resume: Callable[[object], None] | None = resume
        self._error: object = None
        self._is_given = False
        self._is_late = False

    def __call__(self, error: object = None) -> None:
        with self._lock:
            if self._is_given:
                return
            self._is_given = True
            self._error = error
            resume, self._resume = self._resume, None
            if not self._is_late:
                return
        if resume is not None:
            resume(GO_ON if error is None else error)

    def after(self, returned: object) -> object:
        """The middleware has returned: give its verdict, or LATER, and then `resume` gets it."""
        with self._lock:
            if not self._is_given and returned is False:
                self._is_given = True
                self._error = False
            if self._is_given:
                return GO_ON if self._error is None else self._error
            self._is_late = True
            return LATER


def ask(middleware: Middleware, subject: object, lock: Lock, resume: Callable[[object], None]) -> object:
    """Run one middleware. Returns GO_ON, LATER (`resume` is called with the rest, on any thread), or what it refused with.

    Raises:
        BaseException: what the function raises, unless it had called `next` before.
    """
    if not middleware.takes_next:
        returned = middleware.fn(subject)
        return GO_ON if returned is None else returned
    answer = Answer(lock, resume)
    if middleware.by_name:
        return answer.after(middleware.fn(subject, next=answer))
    return answer.after(middleware.fn(subject, answer))
