"""What `settings.SYNC_SIO` says: the options for the server, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from typing import Any, Final

from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.utils.module_loading import import_string

import sync_sio
from sync_sio.config import ServerOptions

BY_PATH: Final = ("adapter", "allow_request", "json_default", "parser")
"""Options that may be the dotted path of what is meant: settings are read before models can be imported."""
OURS: Final = ("middleware",)
KNOWN: Final = (*(field.name for field in fields(ServerOptions)), *OURS)


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in the settings.

    Attributes:
        number: of the system check that tells of it.
        message: what is wrong, with the value.
        hint: what to do.
    """

    number: str
    message: str
    hint: str


@dataclass(frozen=True, slots=True)
class Options:
    """The setting, read once.

    Attributes:
        server: what `Server` gets: what is right of it.
        middleware: dotted paths of what each `socket.http_request` goes through; None: the session's and the user's of `MIDDLEWARE`.
        problems: what is not right.
    """

    server: dict[str, Any]
    middleware: tuple[str, ...] | None
    problems: tuple[Problem, ...]


def read() -> Options:
    """Read `settings.SYNC_SIO`. Raises nothing for what is wrong in it: `problems` has that, and the option its default."""
    given = getattr(settings, "SYNC_SIO", {})
    if not isinstance(given, Mapping):
        return Options(_defaults({}), None, (Problem("E001", f"SYNC_SIO = {given!r}: a dict is wanted", "write SYNC_SIO = {…}"),))
    server: dict[str, Any] = {}
    problems: list[Problem] = []
    middleware: tuple[str, ...] | None = None
    for name, value in given.items():
        if name not in KNOWN:
            problems.append(_unknown(name))
        elif name == "middleware":
            problem = _check_middleware(value)
            problems += [] if problem is None else [problem]
            middleware = tuple(value) if problem is None and value is not None else None
        else:
            try:
                server[name] = _checked(name, value)
            except (ImportError, TypeError, ValueError) as error:
                problems.append(_wrong(name, value, error))
    try:
        sync_sio.Server(**server)           # each alone is right: do they go together?
    except (TypeError, ValueError) as error:
        problems.append(Problem("E003", f"SYNC_SIO: {error}", "see the options of sync_sio.Server"))
        server = {}
    return Options(_defaults(server), middleware, tuple(problems))


def _defaults(server: dict[str, Any]) -> dict[str, Any]:
    server.setdefault("json_default", DjangoJSONEncoder().default)
    return server


def _checked(name: str, value: Any) -> Any:
    """Return an option's value, what a dotted path leads to. Raises what is wrong with it."""
    if name in BY_PATH and isinstance(value, str):
        value = import_string(value)
    sync_sio.Server(**{name: value})
    return value


def _unknown(name: object) -> Problem:
    close = get_close_matches(str(name), KNOWN, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(KNOWN)}"
    return Problem("E002", f"SYNC_SIO has an unknown option {name!r}", hint)


def _wrong(name: str, value: object, error: Exception) -> Problem:
    if isinstance(error, ImportError):
        return Problem("E004", f"SYNC_SIO[{name!r}] = {value!r} cannot be imported: {error}", "give the dotted path of what is meant")
    return Problem("E003", f"SYNC_SIO[{name!r}]: {error}", "see the options of sync_sio.Server")


def _check_middleware(value: object) -> Problem | None:
    if value is not None and (isinstance(value, str) or not isinstance(value, list | tuple)):
        return Problem("E003", f"SYNC_SIO['middleware'] = {value!r}: a list of dotted paths is wanted", "write it as MIDDLEWARE is written")
    for path in value or ():
        try:
            import_string(path)
        except (ImportError, AttributeError) as error:
            return Problem("E004", f"SYNC_SIO['middleware']: {path!r} cannot be imported: {error}", "write it as MIDDLEWARE is written")
    return None
