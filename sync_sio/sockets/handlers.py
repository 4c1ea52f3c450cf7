"""Users' functions and what is known about them: which arguments they take, how often they run.

What a function takes is looked at once, when it is registered, and always of the outermost callable: a decorator that takes
`*args` is given what the client sent, whatever it wraps.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from types import CodeType, FunctionType, MethodType
from typing import Any, Final, NamedTuple, TypeVar, overload

from ..errors import WrongArguments
from ..protocol.socketio.packet import RESERVED_EVENTS
from .payloads import Misfit, payloads_of

F = TypeVar("F", bound=Callable[..., Any])
EventName = str | int

ANY_NUMBER: Final = 1 << 30
_ASYNC: Final = inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR
_MARK: Final = "__sync_sio_events__"


class Own(Enum):
    """Events that only we fire. They have keys that no client can send, so none can forge them."""

    CONNECTION = "connection"
    DISCONNECTING = "disconnecting"
    DISCONNECT = "disconnect"
    ERROR = "error"
    MIDDLEWARE = "middleware"
    ANSWER = "answer"
    """No events: under these keys the driver learns about middleware and about acknowledgement callbacks."""


_OWN: Final[dict[EventName, Own]] = {"disconnecting": Own.DISCONNECTING, "disconnect": Own.DISCONNECT, "error": Own.ERROR}

Key = str | int | Own
Registry = dict[Key, tuple["Handler", ...]]


def key_of(event: object) -> Key:
    """Return under which key handlers of `event` are kept. Raises TypeError when it is no event's name."""
    name = check_name(event)
    return _OWN.get(name, name)


def check_name(event: object) -> EventName:
    if isinstance(event, str) or (isinstance(event, int) and not isinstance(event, bool)):
        return event
    raise TypeError(f"{event!r} is no event name: a str is wanted, or an int")


def check_emitted(event: object) -> None:
    """Raise what `emit` raises for a name that it does not take."""
    if type(event) is str and event not in RESERVED_EVENTS:
        return
    if check_name(event) in RESERVED_EVENTS:
        raise ValueError(f'"{event}" is a reserved event name: {", ".join(sorted(RESERVED_EVENTS))} are told by other means')


def check_function(fn: object, where: str) -> Callable[..., Any]:
    """Return `fn` if it can be registered. Raises TypeError when it cannot be called, or is async."""
    if type(fn) is FunctionType and not fn.__code__.co_flags & _ASYNC:
        return fn       # closures are registered for each client: inspect would take most of the time of a connect
    if not callable(fn):
        raise TypeError(f"{where}: {fn!r} cannot be called, a function is wanted")
    call = getattr(type(fn), "__call__", None)      # noqa: B004  # it is callable; is its __call__ async?
    if any(map(inspect.iscoroutinefunction, (fn, call))) or any(map(inspect.isasyncgenfunction, (fn, call))):
        raise TypeError(f"{where}: {fn!r} is async; sync_sio is synchronous: write it with `def`, it may block")
    return fn


class _Parameters(NamedTuple):
    """What a callable takes: the names of what can be given by position, how many of them must be, and the rest."""

    positional: tuple[str, ...]
    positional_only: int
    required: int
    takes_more: bool
    keywords: tuple[str, ...]
    required_keywords: tuple[str, ...]


class _Shape(NamedTuple):
    """What a handler takes of a client: so many arguments, and an `ack` at that position (-1: by name) or none."""

    low: int
    high: int
    takes_ack: bool
    ack_at: int


_ANYTHING: Final = _Shape(0, ANY_NUMBER, False, -1)


def _shape(fn: Callable[..., Any], given: int, ack: str) -> _Shape:
    """Look at the outermost callable, less the first `given` parameters. Raises TypeError when it cannot be a handler."""
    plain = fn.__func__ if type(fn) is MethodType else fn
    try:
        if type(plain) is FunctionType:
            defaults, keyword_defaults = plain.__defaults__, plain.__kwdefaults__
            return _shape_of_code(
                plain.__code__,
                len(defaults) if defaults else 0,
                tuple(keyword_defaults) if keyword_defaults else (),
                0 if plain is fn else 1,
                given,
                ack,
            )
        parameters = _parameters(fn)
        return _ANYTHING if parameters is None else _fit(parameters, given, ack)
    except TypeError as error:
        raise TypeError(f"{fn!r} {error}") from None


@lru_cache(maxsize=1024)
def _shape_of_code(
    code: CodeType, defaults: int, keyword_defaults: tuple[str, ...], bound: int, given: int, ack: str
) -> _Shape:
    # Closures are registered for each client, and share their code: inspect.signature takes a hundred times as long
    names, count = code.co_varnames, code.co_argcount
    keywords = names[count : count + code.co_kwonlyargcount]
    parameters = _Parameters(
        names[bound:count],
        max(0, code.co_posonlyargcount - bound),
        max(0, count - defaults - bound),
        bool(code.co_flags & inspect.CO_VARARGS),
        keywords,
        tuple(name for name in keywords if name not in keyword_defaults),
    )
    return _fit(parameters, given, ack)


def _parameters(fn: Callable[..., Any]) -> _Parameters | None:
    """The same for whatever is no plain function. None: it has no signature (some that are written in C)."""
    try:
        parameters = inspect.signature(fn, follow_wrapped=False).parameters.values()
    except (TypeError, ValueError):
        return None
    by_position = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    by_keyword = [p for p in parameters if p.kind is p.KEYWORD_ONLY]
    return _Parameters(
        tuple(p.name for p in by_position),
        sum(p.kind is p.POSITIONAL_ONLY for p in by_position),
        sum(p.default is p.empty for p in by_position),
        any(p.kind is p.VAR_POSITIONAL for p in parameters),
        tuple(p.name for p in by_keyword),
        tuple(p.name for p in by_keyword if p.default is p.empty),
    )


def _fit(parameters: _Parameters, given: int, ack: str) -> _Shape:
    if len(parameters.positional) < given and not parameters.takes_more:
        raise TypeError("takes no argument: the first one that it gets is the socket")
    names = parameters.positional[given:]
    low, high, ack_at = max(0, parameters.required - given), len(names), -1
    if ack in names:
        ack_at = names.index(ack)
        high -= 1
        low -= ack_at < low
        if ack_at < parameters.positional_only - given:
            low = max(low, ack_at)      # it can only be given by position, so what comes before it must be there
    missing = [name for name in parameters.required_keywords if name != ack]
    if missing:
        raise TypeError(f"has keyword-only parameters that nobody gives: {', '.join(missing)}; `ack` is the only one")
    return _Shape(low, ANY_NUMBER if parameters.takes_more else high, ack_at >= 0 or ack in parameters.keywords, ack_at)


class Handler:
    """A registered function.

    Attributes:
        low, high: how many arguments it takes from the client.
        takes_socket: whether the socket comes before them.
        takes_ack: whether it has a parameter `ack`; `ack_at`: that one's position among the client's arguments, or -1.
        payloads: what its annotations make of the client's arguments; None: nothing.
        is_plain: it is called with the socket and what came, as often as that comes.
    """

    __slots__ = ("ack_at", "fn", "high", "is_concurrent", "is_once", "is_plain", "low", "payloads", "takes_ack", "takes_socket")

    def __init__(
        self,
        fn: Callable[..., Any],
        *,
        takes_socket: bool,
        may_ack: bool = True,
        is_typed: bool = False,
        is_once: bool = False,
        is_concurrent: bool = False,
    ) -> None:
        self.fn = fn
        self.takes_socket = takes_socket
        self.is_once = is_once
        self.is_concurrent = is_concurrent
        self.low, self.high, self.takes_ack, self.ack_at = _shape(fn, 1 if takes_socket else 0, "ack" if may_ack else "")
        self.payloads = payloads_of(fn, 1 if takes_socket else 0) if is_typed else None
        self.is_plain = takes_socket and not self.takes_ack and self.payloads is None and not is_once

    def call_with_ack(self, socket: object, args: list[Any], ack: Callable[..., None]) -> None:
        """Call a function that wants `ack`."""
        at = self.ack_at
        first = (socket,) if self.takes_socket else ()
        if 0 <= at <= len(args):
            self.fn(*first, *args[:at], ack, *args[at:])
        else:
            self.fn(*first, *args, ack=ack)

    def wrong_arguments(self, event: object, count: int) -> WrongArguments:
        if self.high == ANY_NUMBER:
            wanted = f"at least {self.low}"
        else:
            wanted = f"{self.low}" if self.low == self.high else f"{self.low} to {self.high}"
        error = WrongArguments(f"event {event!r} came with {count} arguments, but {self.name} takes {wanted}: it was not called")
        if self.payloads is not None:
            is_short = count < self.low
            error.path, error.problem = f"[{count if is_short else self.high}]", "it is missing" if is_short else "one too many"
        return error

    def typed(self, event: object, args: list[Any]) -> list[Any]:
        """Return the arguments as `payloads` makes them. Raises WrongArguments for what does not fit."""
        assert self.payloads is not None
        try:
            return self.payloads.convert(args)
        except Misfit as misfit:
            message = f"event {event!r} came with what {self.name} does not take, at {misfit.path}: {misfit}: it was not called"
            raise WrongArguments(message, misfit.path, str(misfit)) from None

    @property
    def name(self) -> str:
        return getattr(self.fn, "__qualname__", repr(self.fn))


# A registry has tuples: changed by who holds its owner's lock, and read without.


def add(registry: Registry, key: Key, handler: Handler) -> None:
    registry[key] = (*registry.get(key, ()), handler)


def take_once(registry: Registry | None, key: Key, handler: Handler) -> bool:
    """Remove a handler that runs once. False: somebody else has, so it must not run (again)."""
    handlers = registry.get(key, ()) if registry is not None else ()
    if registry is None or handler not in handlers:
        return False
    registry[key] = tuple(other for other in handlers if other is not handler)
    return True


def remove(registry: Registry, key: Key, fn: Callable[..., Any] | None) -> None:
    """Remove one handler, the last that was registered with `fn`; all of the event when that is None."""
    if fn is None:
        registry[key] = ()
        return
    for handler in reversed(registry.get(key, ())):
        if handler.fn == fn:
            take_once(registry, key, handler)
            return


# -- classes of handlers ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Mark:
    """What `@event(…)` says about a method."""

    name: EventName
    is_concurrent: bool


@overload
def event(name: F) -> F: ...
@overload
def event(name: EventName | None = None, *, concurrent: bool = False) -> Callable[[F], F]: ...
def event(name: Any = None, *, concurrent: bool = False) -> Any:
    """Mark a method as the handler of an event, for `io.register(obj)`: names that are no identifiers need it.

    Args:
        name: the event; None: the method's own name.
        concurrent: whether it runs beside other events of the same socket.
    """
    if callable(name):
        return _mark(name, Mark(function_name(name), False))
    return lambda fn: _mark(fn, Mark(function_name(fn) if name is None else check_name(name), concurrent))


def function_name(fn: object) -> str:
    name = getattr(fn, "__name__", "")
    if not name.isidentifier():
        raise TypeError(f"{fn!r} has no name that an event could have: give one, as in event('name')")
    return str(name)


def _mark(fn: F, mark: Mark) -> F:
    setattr(fn, _MARK, (*getattr(fn, _MARK, ()), mark))
    return fn


def methods_of(target: object) -> Iterator[tuple[EventName, Callable[..., Any], bool]]:
    """Yield (event, function, is concurrent) of an object's `on_…` methods and of those that are marked with `event`."""
    if inspect.isclass(target):
        raise TypeError(f"{target!r} is a class: register an object of it, {target.__name__}()")
    for name in dir(target):
        if name.startswith("__"):
            continue
        found = inspect.getattr_static(target, name)
        if isinstance(found, property) or not (callable(found) or isinstance(found, staticmethod | classmethod)):
            continue        # a property may do anything: it is not touched
        fn = getattr(target, name)
        marks: tuple[Mark, ...] = getattr(fn, _MARK, ())
        if marks:
            for mark in marks:
                yield mark.name, fn, mark.is_concurrent
        elif name.startswith("on_") and len(name) > 3:
            yield name[3:], fn, False
