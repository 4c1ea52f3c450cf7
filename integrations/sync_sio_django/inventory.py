"""What a server has registered, in lines for people."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import sync_sio


def lines_of(server: sync_sio.Server) -> Iterator[str]:
    """Yield the server's path, then each namespace with its middleware and events, and where each function is."""
    yield f"path {server.options.path}"
    for name, namespace in sorted(server.namespaces.items()):
        found = [(event if kind == "event" else kind if kind == "use" else f"on {event}", fn) for kind, event, fn in namespace.registered()]
        yield ""
        yield f"namespace {name}" if isinstance(namespace, sync_sio.Namespace) else f"namespaces by a rule {namespace!r}"
        width = max((len(str(what)) for what, _ in found), default=0)
        for what, fn in found:
            yield f"  {what!s:<{width}}  {_place(fn)}"


def _place(fn: Callable[..., Any]) -> str:
    plain: Any = inspect.unwrap(fn)
    plain = getattr(plain, "__func__", plain)
    code = getattr(plain, "__code__", None)
    name = f"{plain.__module__}.{plain.__qualname__}" if hasattr(plain, "__qualname__") else repr(plain)
    if code is None:
        return name
    file = Path(code.co_filename)
    return f"{name}  {file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file}:{code.co_firstlineno}"
