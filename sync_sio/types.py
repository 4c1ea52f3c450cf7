"""The types that several floors share: WSGI's, and what JSON and Socket.IO can carry."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

Environ: TypeAlias = dict[str, Any]
"""A WSGI environment."""

HeaderList: TypeAlias = list[tuple[str, str]]
StartResponse: TypeAlias = Callable[..., Any]
WSGIApp: TypeAlias = Callable[[Environ, StartResponse], Iterable[bytes]]

JsonDefault: TypeAlias = Callable[[Any], Any]
"""Turns a value that JSON has no form for into one that it has; raises TypeError for what it does not know."""
