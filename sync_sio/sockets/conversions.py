"""From a type in an annotation to the function that makes values of it, with the help of msgspec or pydantic."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import is_dataclass
from functools import lru_cache
from json import dumps
from typing import Annotated, Any, Final, ForwardRef, Literal, get_args, get_origin

__all__ = ["Convert", "Misfit", "conversion", "open_yet"]

Convert = Callable[[Any], Any]

MAX_KNOWN: Final = 1024
"""Annotations that are remembered."""


class Misfit(ValueError):
    """A value is not of its type.

    Attributes:
        path: to where, from the first argument on: `[0].age`.
    """

    def __init__(self, path: str, message: str) -> None:
        super().__init__(message)
        self.path = path


def conversion(annotation: Any) -> Convert | None:
    """Return how to convert to an annotation; None: it is a plain one; `open_yet`: there are names in it to be looked up first.

    Raises:
        ImportError: the library that is wanted is not installed.
        TypeError, NameError and others: it contains what the library has no use for.
    """
    try:
        return _cached_conversion(annotation)
    except TypeError as error:
        if "unhashable" not in str(error):
            raise
        return _cached_conversion.__wrapped__(annotation)


@lru_cache(maxsize=MAX_KNOWN)
def _cached_conversion(annotation: Any) -> Convert | None:
    if _is_open(annotation):
        return open_yet
    libraries = _libraries(annotation, set())
    if "pydantic" in libraries:
        return _with_pydantic(annotation)
    return _with_msgspec(annotation) if libraries else None


def open_yet(value: Any) -> Any:
    """Stand for the conversion of an annotation whose names have to be looked up first."""
    raise AssertionError


def _is_open(annotation: Any) -> bool:
    """Tell whether there is a forward reference in it."""
    if isinstance(annotation, str | ForwardRef):
        return True
    return getattr(annotation, "__origin__", None) is not Literal and any(map(_is_open, getattr(annotation, "__args__", ()) or ()))


def _libraries(annotation: Any, seen: set[int]) -> set[str]:
    """Return who knows the types that an annotation contains: `"msgspec"`, `"pydantic"`; nobody: it is a plain one."""
    if id(annotation) in seen:      # an alias may contain itself
        return set()
    seen.add(id(annotation))
    origin = get_origin(annotation)
    if origin is Literal:
        return set()
    if origin is Annotated:
        return _libraries(get_args(annotation)[0], seen)
    if origin is not None:
        return _libraries(origin, seen).union(*(_libraries(each, seen) for each in get_args(annotation)))
    for name in ("__value__", "__supertype__"):     # `type X = …` and NewType
        if not isinstance(annotation, type) and hasattr(annotation, name):
            return _libraries(getattr(annotation, name), seen)
    if not isinstance(annotation, type):
        return set()
    if hasattr(annotation, "__pydantic_validator__"):
        return {"pydantic"}
    is_typed_dict = issubclass(annotation, dict) and hasattr(annotation, "__total__")
    return {"msgspec"} if is_typed_dict or is_dataclass(annotation) or hasattr(annotation, "__struct_fields__") else set()


def _with_msgspec(annotation: Any) -> Convert:
    try:
        import msgspec
    except ImportError as error:
        raise ImportError("typed payloads need msgspec: pip install sync-sio[typed]") from error

    msgspec.msgpack.Decoder(annotation, dec_hook=_nested)       # looks at all that it contains: fails now or never

    def convert(value: Any) -> Any:
        try:
            # JSON has no bytes, but Socket.IO has: text is none, not even base64. Keys are always text.
            return msgspec.convert(value, annotation, builtin_types=(bytes,), str_keys=True, dec_hook=_nested)
        except msgspec.ValidationError as error:
            message, at, where = str(error).rpartition(" - at `")
            path = where.rstrip("`").rpartition("$")[2] if at else ""
            if hasattr(error.__cause__, "errors"):
                inner, message = _first(error.__cause__)
                path += inner
            raise Misfit(path, message or where) from None
        except RecursionError:
            raise Misfit("", "nested too deeply") from None

    return convert


def _nested(kind: Any, value: Any) -> Any:
    """Convert what msgspec does not know: a pydantic model in a dataclass."""
    return kind.model_validate(value) if hasattr(kind, "model_validate") else value


def _with_pydantic(annotation: Any) -> Convert:
    import pydantic

    if hasattr(annotation, "model_validate"):
        annotation.model_rebuild(raise_errors=True)
        validate = annotation.model_validate
    else:
        adapter = pydantic.TypeAdapter(annotation)
        if hasattr(adapter, "rebuild"):
            adapter.rebuild(raise_errors=True)
        validate = adapter.validate_python

    def convert(value: Any) -> Any:
        try:
            return validate(value)
        except pydantic.ValidationError as error:
            raise Misfit(*_first(error)) from None
        except RecursionError:
            raise Misfit("", "nested too deeply") from None

    return convert


def _first(error: Any) -> tuple[str, str]:
    """Return path and message of the first of pydantic's errors."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    steps = (f"[{step}]" if isinstance(step, int) else f".{step}" if step.isidentifier() else f"[{dumps(step)}]" for step in first["loc"])
    return "".join(steps), first["msg"]
