"""Which web pages may talk to the server, and the headers that tell their browsers so (API.md, "Origins")."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from ..types import Environ, HeaderList

__all__ = ["AllowedOrigins", "Origins"]

OriginCheck: TypeAlias = Callable[[str, Environ], object]
AllowedOrigins: TypeAlias = "str | re.Pattern[str] | Iterable[str | re.Pattern[str]] | OriginCheck | bool | None"

_DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
_HEADER_NAMES = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+(?:[ \t]*,[ \t]*[!#$%&'*+.^_`|~0-9A-Za-z-]+)*")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_ORIGIN = re.compile(r"null|[A-Za-z][A-Za-z0-9+.-]*://[^/?#@\s,\x00-\x1f\x7f]*")


class Origins:
    """The rule for origins of one server.

    Args:
        allowed: None or an empty list: the own origin only. "*": every one. A str, a compiled regular expression (which must
            match up to the end of the origin, so that `example.com.evil.io` is not taken for `example.com`), a list of such,
            or `f(origin, environ) -> bool`. False: no check at all.
        credentials: whether browsers may send cookies. None: yes, unless `allowed` is "*".
        methods: what a preflight answer allows.
        allowed_headers: the request headers that a preflight answer allows. None: those that were asked for.
        max_age: how many seconds a browser may keep a preflight answer. None: its own default.

    Raises:
        TypeError, ValueError: a value that is impossible; the message names the option and what is allowed.
    """

    __slots__ = ("_any", "_check", "_credentials", "_exact", "_off", "_patterns", "_preflight", "_request_headers", "_tells")

    def __init__(
        self,
        allowed: AllowedOrigins = None,
        credentials: bool | None = None,
        methods: Iterable[str] = ("GET", "POST"),
        allowed_headers: Iterable[str] | None = None,
        max_age: float | None = None,
    ) -> None:
        self._off = allowed is False
        self._check: OriginCheck | None = None
        self._exact: set[str] = set()
        self._patterns: list[re.Pattern[str]] = []
        self._any: bool = self._allow(allowed)
        self._tells = any((self._any, self._check, self._exact, self._patterns))
        if credentials not in (None, True, False):
            raise TypeError(f"cors_credentials is {credentials!r}; it may be None, True or False")
        if credentials and self._any:
            raise ValueError('cors_credentials=True with cors_allowed_origins="*": browsers refuse that; name the origins')
        self._credentials = not self._any if credentials is None else credentials
        self._preflight: HeaderList = [("Access-Control-Allow-Methods", ",".join(_tokens("cors_methods", methods)))]
        self._request_headers: str | None = None
        if allowed_headers is not None:
            self._request_headers = ",".join(_tokens("cors_allowed_headers", allowed_headers))
        if max_age is not None:
            if isinstance(max_age, bool) or not isinstance(max_age, int | float):
                raise TypeError(f"cors_max_age is {max_age!r}; it is a number of seconds, or None")
            if not 0 <= max_age < 1e9:
                raise ValueError(f"cors_max_age is {max_age!r}; it is a number of seconds from 0 on, or None")
            self._preflight.append(("Access-Control-Max-Age", str(int(max_age))))

    def may(self, origin: str | None, environ: Environ, own_host: str | None, own_scheme: str | None = None) -> bool:
        """Tell whether a request with this Origin header is served. None or "": not from a foreign page, yes.

        Args:
            own_host: the Host header, or what a trusted proxy says instead.
            own_scheme: only when a trusted proxy states it: then the origin's must be the same.
        """
        if not origin or self._off or self._any:
            return True
        return _is_own(origin, own_host, own_scheme) or self._is_added(origin, environ)

    def headers(self, origin: str | None, environ: Environ) -> HeaderList:
        """Return the CORS headers of a response, an error's too. The own origin needs none."""
        if self._any:
            return [("Access-Control-Allow-Origin", "*")]
        if not self._tells:
            return []
        if not origin or not self._is_added(origin, environ):
            return [("Vary", "Origin")]
        headers = [("Access-Control-Allow-Origin", origin), ("Vary", "Origin")]
        if self._credentials:
            headers.append(("Access-Control-Allow-Credentials", "true"))
        return headers

    def preflight(self, origin: str | None, requested_headers: str | None, environ: Environ | None = None) -> HeaderList:
        """Return all the headers of the answer to an OPTIONS request.

        Args:
            requested_headers: the request's Access-Control-Request-Headers.
        """
        headers = self.headers(origin, {} if environ is None else environ)
        if not headers or headers[0][0] != "Access-Control-Allow-Origin":
            return headers
        headers += self._preflight
        if self._request_headers is not None:
            headers.append(("Access-Control-Allow-Headers", self._request_headers))
        else:
            headers = [(name, value) for name, value in headers if name != "Vary"]
            headers.append(("Vary", "Access-Control-Request-Headers" if self._any else "Origin, Access-Control-Request-Headers"))
            if requested_headers and _HEADER_NAMES.fullmatch(requested_headers.strip()):
                headers.append(("Access-Control-Allow-Headers", requested_headers.strip()))
        return headers

    def _allow(self, allowed: AllowedOrigins) -> bool:
        """Take the option apart and tell whether it means every origin."""
        if allowed is None or allowed is False:
            return False
        if allowed is True:
            raise ValueError('cors_allowed_origins is True; write "*" for every origin, False for no check')
        if isinstance(allowed, str | re.Pattern):
            allowed = [allowed]
        elif callable(allowed):
            self._check = allowed
            return False
        elif not isinstance(allowed, Iterable):
            raise TypeError(f"cors_allowed_origins is {allowed!r}; {_ALLOWED}")
        is_any = False
        for item in allowed:
            if isinstance(item, re.Pattern):
                _check_is_for_text(item)
                self._patterns.append(item)
            elif not isinstance(item, str):
                raise TypeError(f"cors_allowed_origins: {item!r}; {_ALLOWED}")
            elif item == "*":
                is_any = True
            elif _ORIGIN.fullmatch(item.removesuffix("/")):
                self._exact.add(_normal(item.removesuffix("/")))
            else:
                raise ValueError(f"cors_allowed_origins: {item!r} is no origin; write it like https://example.com, without a path")
        return is_any

    def _is_added(self, origin: str, environ: Environ) -> bool:
        if not _ORIGIN.fullmatch(origin):
            return False        # no browser's; with a folded line in it, it would be a header of its own in our answer
        if self._check is not None:
            return bool(self._check(origin, environ))
        if _normal(origin) in self._exact:
            return True
        return any(_matches_to_the_end(pattern, origin) for pattern in self._patterns)


_ALLOWED = 'it may be None, "*", an origin like https://example.com, a compiled pattern, a list of these, a function, or False'


def _check_is_for_text(pattern: re.Pattern[Any]) -> None:
    if isinstance(pattern.pattern, bytes):
        raise TypeError(f"cors_allowed_origins: {pattern!r} is a pattern for bytes; origins are str")


def _matches_to_the_end(pattern: re.Pattern[str], origin: str) -> bool:
    if pattern.fullmatch(origin):
        return True
    return any(found.end() == len(origin) for found in pattern.finditer(origin))


def _is_own(origin: str, own_host: str | None, own_scheme: str | None) -> bool:
    scheme, separator, host = origin.partition("://")
    scheme = scheme.lower()
    if not separator or not own_host or scheme not in _DEFAULT_PORTS:
        return False
    own_scheme = own_scheme.lower() if own_scheme else scheme
    if scheme != own_scheme:
        return False
    theirs = _host_and_port(host, scheme)
    return theirs is not None and theirs == _host_and_port(own_host, own_scheme)


def _host_and_port(text: str, scheme: str) -> tuple[str, int | None] | None:
    try:
        parts = urlsplit(f"//{text}")
        port, name = parts.port, parts.hostname
    except ValueError:
        return None
    if not name or parts.username is not None or parts.path or parts.query or parts.fragment:
        return None
    return name, _DEFAULT_PORTS.get(scheme) if port is None else port


def _normal(origin: str) -> str:
    """Return the one spelling of an origin: lower case, and no port that its scheme has anyway."""
    scheme, separator, host = origin.lower().partition("://")
    port = _DEFAULT_PORTS.get(scheme)
    return f"{scheme}{separator}{host.removesuffix(f':{port}') if port else host}"


def _tokens(option: str, values: Iterable[object]) -> list[str]:
    if not isinstance(values, Iterable):
        raise TypeError(f"{option} is {values!r}; give a list like ['GET', 'POST']")
    if isinstance(values, str):
        values = [value.strip() for value in values.split(",")]
    names = []
    for value in values:
        if not isinstance(value, str) or not _TOKEN.fullmatch(value):
            raise ValueError(f"{option}: {value!r} is no name that HTTP knows; give a list like ['GET', 'POST']")
        names.append(value)
    return names
