"""Typed payloads: what a client sent, as what a handler's annotations ask for, or the place where it does not fit.

An annotation that contains a dataclass, a `TypedDict`, a msgspec `Struct` or a pydantic model is converted as a whole; others are never
looked at again. All of it is found out when the handler is registered, and neither library is imported before an annotation asks for it.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable
from functools import partial
from types import CodeType, FunctionType, GenericAlias, MethodType, SimpleNamespace
from typing import Any, Final, ForwardRef, NamedTuple, get_type_hints

from .conversions import Convert, Misfit, conversion, open_yet

__all__ = ["Misfit", "Payloads", "payloads_of"]

MAX_KNOWN: Final = 1024
"""Functions whose annotations are remembered."""
_FUTURE: Final = 0x1000000
"""The flag of code under `from __future__ import annotations`. Source: CO_FUTURE_ANNOTATIONS in CPython's code.h."""
_PLAIN: Final = frozenset({"Any", "bool", "bytes", "dict", "dict[str, Any]", "float", "int", "list", "object", "str", "tuple"})


class Payloads(NamedTuple):
    """What a handler's parameters want. Immutable; any thread.

    Attributes:
        at: (position, conversion) of those that are typed.
        rest: the conversion of what comes from position `rest_at` on, if `*args` is typed.
    """

    at: tuple[tuple[int, Convert], ...]
    rest: Convert | None
    rest_at: int

    def convert(self, args: list[Any]) -> list[Any]:
        """Return the arguments as the handler wants them. Raises Misfit for the first that does not fit."""
        given = args[:]     # other handlers of the event want theirs
        count, index = len(args), 0
        try:
            for index, convert in self.at:
                if index < count:
                    given[index] = convert(args[index])
            if self.rest is not None:
                for index in range(self.rest_at, count):
                    given[index] = self.rest(args[index])
        except Misfit as misfit:
            misfit.path = f"[{index}]{misfit.path}"
            raise
        return given


class _Parameters(NamedTuple):
    """Those that a client's arguments go to, with the function whose names their annotations use."""

    names: tuple[str, ...]
    rest: str
    annotations: dict[str, Any]
    source: Any


_known: dict[tuple[int, int], tuple[CodeType, Payloads | None]] = {}
"""By the identity of code, which is kept so that it stays one: code that is equal may stand in another module, with other annotations."""


def payloads_of(fn: Callable[..., Any], given: int) -> Payloads | None:
    """Return what a handler's parameters want, but for the first `given` and `ack`; None: nothing that would be checked.

    Raises:
        TypeError: an annotation does not resolve, or no library can convert to it; names function, parameter and annotation.
        ImportError: the library that is wanted is not installed; says how to.
    """
    plain = fn.__func__ if type(fn) is MethodType else fn
    if type(plain) is not FunctionType:
        parameters = _parameters(fn, given)
        return _payloads(fn, parameters)[0] if parameters is not None else None
    code = plain.__code__
    first = given if plain is fn else given + 1
    has_rest = code.co_flags & inspect.CO_VARARGS
    if code.co_argcount <= first and not has_rest:
        return None
    # closures are registered for each client: where annotations are mere texts, those of one place are the same each time
    is_constant = code.co_flags & _FUTURE and not hasattr(plain, "__wrapped__")
    key = id(code), first
    if is_constant:
        known = _known.get(key)
        if known is not None:
            return known[1]
    names = code.co_varnames
    rest = names[code.co_argcount + code.co_kwonlyargcount] if has_rest else ""
    found, is_local = None, False
    annotations = _annotations(plain)
    if annotations:
        found, is_local = _payloads(fn, _Parameters(names[first : code.co_argcount], rest, annotations, plain))
    if is_constant and not is_local:
        if len(_known) >= MAX_KNOWN:
            _known.clear()
        _known[key] = code, found
    return found


def _parameters(fn: Callable[..., Any], given: int) -> _Parameters | None:
    """The same for whatever is no plain function; None: it has no signature."""
    try:
        parameters = inspect.signature(fn, follow_wrapped=False).parameters.values()
    except (TypeError, ValueError, NameError):
        return None
    source: Any = fn
    while isinstance(source, partial):
        source = source.func
    if not isinstance(source, FunctionType | MethodType) and not hasattr(source, "__wrapped__"):
        source = source.__init__ if isinstance(source, type) else type(source).__call__  # type: ignore[misc]
    return _Parameters(
        tuple(p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD))[given:],
        next((p.name for p in parameters if p.kind is p.VAR_POSITIONAL), ""),
        {p.name: p.annotation for p in parameters if p.annotation is not p.empty},
        source,
    )


def _annotations(fn: FunctionType) -> dict[str, Any]:
    try:
        return fn.__annotations__
    except NameError:       # Python 3.14 evaluates them now; the one that fails need not be one of ours
        from annotationlib import Format, get_annotations  # type: ignore[import-not-found]

        return get_annotations(fn, format=Format.FORWARDREF)  # type: ignore[no-any-return]


def _payloads(fn: Callable[..., Any], parameters: _Parameters) -> tuple[Payloads | None, bool]:
    """Return the conversions, and whether any of the names in the annotations is a local one."""
    names = [name for name in parameters.names if name != "ack"]
    at: list[tuple[int, Convert]] = []
    rest: Convert | None = None
    is_local = False
    for index, name in enumerate([*names, parameters.rest]):
        annotation = parameters.annotations.get(name)
        if annotation is None or (type(annotation) is str and annotation in _PLAIN):
            continue
        try:
            convert = open_yet if type(annotation) is str else conversion(annotation)
            if convert is open_yet:
                annotation, has_local = _resolved(annotation, parameters.source)
                is_local = is_local or has_local
                convert = conversion(annotation)
                if convert is open_yet:
                    raise NameError("a name in it is text still")
        except ImportError as error:
            raise ImportError(f"{fn!r}: parameter {name!r} is annotated with {_shown(annotation)}: {error}") from error
        except Exception as error:      # whatever a class says when it is looked at
            hint = "name what can be found from its module, or leave the annotation out"
            raise TypeError(f"{fn!r}: the annotation {_shown(annotation)} of parameter {name!r} cannot be used: {error}; {hint}") from error
        if convert is not None and index < len(names):
            at.append((index, convert))
        elif convert is not None:
            rest = convert
    if not at and rest is None:
        return None, is_local
    return Payloads(tuple(at), rest, len(names)), is_local


def _shown(annotation: object) -> str:
    return annotation.__qualname__ if isinstance(annotation, type) else repr(annotation)


# -- names --------------------------------------------------------------------------------------------------------------------


def _resolved(annotation: Any, source: Any) -> tuple[Any, bool]:
    """Return an annotation without forward references, and whether that took a local name. Raises NameError and others."""
    source = getattr(inspect.unwrap(source), "__func__", inspect.unwrap(source))      # a decorator copies the texts of what it wraps
    names = _local_names(source)
    holder: Any = SimpleNamespace(__annotations__={"it": _referring(annotation)})
    found = get_type_hints(holder, getattr(source, "__globals__", {}), names, include_extras=True)["it"]
    return found, not names.keys().isdisjoint(re.findall(r"\w+", repr(annotation)))


def _referring(annotation: Any) -> Any:
    """Return `list["Model"]` in the form in which Python 3.10 resolves it, too."""
    if type(annotation) is not GenericAlias:
        return annotation
    origin: Any = annotation.__origin__
    return origin[tuple(ForwardRef(each) if type(each) is str else _referring(each) for each in annotation.__args__)]


def _local_names(source: Any) -> dict[str, Any]:
    """Return what the function sees of the function around it, if that is registering it just now, and in its closure."""
    code = getattr(source, "__code__", None)
    names: dict[str, Any] = {}
    frame = sys._getframe(1)
    while code is not None and frame is not None:
        if frame.f_code.co_name != "<module>" and any(each is code for each in frame.f_code.co_consts):
            names.update(frame.f_locals)
            break
        frame = frame.f_back  # type: ignore[assignment]
    for name, cell in zip(getattr(code, "co_freevars", ()), getattr(source, "__closure__", None) or (), strict=False):
        try:
            names[name] = cell.cell_contents
        except ValueError:      # not yet assigned
            continue
    return names
