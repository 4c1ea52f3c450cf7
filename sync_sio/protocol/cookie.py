"""The cookie with a session's id, which load balancers can route by (RFC 6265)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Cookie"]

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_ATTRIBUTE = re.compile(r"[\x20-\x3a\x3c-\x7e]+")
_SAME_SITE = {"strict": "Strict", "lax": "Lax", "none": "None"}


@dataclass(frozen=True, slots=True)
class Cookie:
    """What `Server(cookie=…)` says of it.

    Attributes:
        path: None or False: the request's own.
        http_only: pages' scripts do not see it.
        same_site: `"strict"`, `"lax"`, `"none"` (which browsers take with `secure` alone), or None: not said.
        secure: it is sent over HTTPS only.
        max_age: seconds; None: until the browser is closed.
        domain: which hosts get it back; None: this one alone.
    """

    name: str = "io"
    path: str | bool | None = "/"
    http_only: bool = True
    same_site: str | bool | None = "lax"
    secure: bool = False
    max_age: float | None = None
    domain: str | None = None

    def __post_init__(self) -> None:
        _check_text("name", self.name, _NAME, "letters, digits and some signs")
        if self.path is not None and self.path is not False:
            _check_text("path", self.path, _ATTRIBUTE, "a path such as '/'")
        if self.domain is not None:
            _check_text("domain", self.domain, _ATTRIBUTE, "a host such as 'example.com'")
        for name in ("http_only", "secure"):
            if not isinstance(getattr(self, name), bool):
                raise TypeError(f"cookie: {name} is {getattr(self, name)!r}; it is True or False")
        if self.max_age is not None:
            if isinstance(self.max_age, bool) or not isinstance(self.max_age, int | float):
                raise TypeError(f"cookie: max_age is {self.max_age!r}; it is a number of seconds")
            if not abs(self.max_age) < 1e12:
                raise ValueError(f"cookie: max_age is {self.max_age!r}; it is a number of seconds")
        if self.same_site is not None and self.same_site is not False:
            if not isinstance(self.same_site, str) or self.same_site.lower() not in _SAME_SITE:
                raise ValueError(f"cookie: same_site is {self.same_site!r}; it is 'strict', 'lax', 'none' or None")
            if self.same_site.lower() == "none" and not self.secure:
                raise ValueError("cookie: same_site='none' without secure=True; browsers refuse such a cookie")

    @classmethod
    def of(cls, option: object) -> Cookie | None:
        """Return the cookie that a name or a dict stands for; None: none is wanted.

        Raises:
            TypeError, ValueError: an unknown or impossible setting; the message names it and what is allowed.
        """
        if option is None or option is False:
            return None
        if option is True:
            return cls()
        if isinstance(option, str):
            return cls(option)
        if not isinstance(option, Mapping):
            raise TypeError(f"cookie is {option!r}; it may be None, a name, a dict, or a function of the environ that returns one")
        settings: Mapping[Any, Any] = option
        unknown = [str(name) for name in settings if name not in cls.__slots__]
        if unknown:
            raise TypeError(f"cookie: unknown {', '.join(unknown)}; there are {', '.join(cls.__slots__)}")
        return cls(**settings)

    def line(self, value: str) -> str:
        """Return the value of a Set-Cookie header. `value` needs no quoting."""
        parts = [f"{self.name}={value}"]
        if self.max_age is not None:
            parts.append(f"Max-Age={int(self.max_age)}")
        if self.domain:
            parts.append(f"Domain={self.domain}")
        if self.path:
            parts.append(f"Path={self.path}")
        if self.http_only:
            parts.append("HttpOnly")
        if self.secure:
            parts.append("Secure")
        if isinstance(self.same_site, str):
            parts.append(f"SameSite={_SAME_SITE[self.same_site.lower()]}")
        return "; ".join(parts)


def _check_text(name: str, value: object, pattern: re.Pattern[str], wanted: str) -> None:
    if not isinstance(value, str):
        raise TypeError(f"cookie: {name} is {value!r}; it is a str")
    if not pattern.fullmatch(value):
        raise ValueError(f"cookie: {name} is {value!r}; wanted is {wanted}, without ';' and control characters")
