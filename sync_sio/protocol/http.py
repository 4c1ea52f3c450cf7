"""The little HTTP/1.1 that is written by hand: response heads on sockets that were taken over, and header values."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from http import HTTPStatus
from urllib.parse import parse_qsl

__all__ = ["accepts_encoding", "parse_query", "reason_phrase", "response", "response_head", "with_vary"]

_REASONS = {status.value: status.phrase for status in HTTPStatus} | {413: "Payload Too Large"}
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FORBIDDEN = re.compile(r"[\r\n\0]")
_USUAL_NAMES = frozenset(
    """Access-Control-Allow-Origin Cache-Control Connection Content-Encoding Content-Length Content-Type Date Sec-WebSocket-Accept
    Transfer-Encoding Upgrade Vary""".split()  # noqa: SIM905
)
"""What `_NAME` need not be asked about."""
_WITHOUT_BODY = frozenset({204, 304})


def reason_phrase(status: int) -> str:
    """Return the words that belong to a status code; "Unknown" for one that has none."""
    return _REASONS.get(status, "Unknown")


def response_head(status: int, headers: Iterable[tuple[str, str]]) -> bytes:
    """Return the status line and the headers, with the empty line that ends them.

    Raises:
        ValueError: a name is no header name, a value holds CR, LF or NUL, or either has no form in Latin-1.
    """
    lines = [f"HTTP/1.1 {status} {reason_phrase(status)}\r\n"]
    for name, value in headers:
        if name not in _USUAL_NAMES and not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not a header name")
        if not value.isprintable() and _FORBIDDEN.search(value):
            raise ValueError(f"header {name}: the value {value!r} holds CR, LF or NUL")
        lines.append(f"{name}: {value}\r\n")
    lines.append("\r\n")
    try:
        return "".join(lines).encode("latin-1")
    except UnicodeEncodeError as error:
        raise ValueError(f"headers are Latin-1; {error.object[error.start]!r} is not; encode the value first") from error


def response(status: int, headers: Iterable[tuple[str, str]], body: bytes = b"") -> bytes:
    """Return a whole response. Content-Length is added when it is missing and the status allows a body.

    Raises:
        ValueError: as `response_head`.
    """
    headers = list(headers)
    if status >= 200 and status not in _WITHOUT_BODY and not any(name.lower() == "content-length" for name, _ in headers):
        headers.append(("Content-Length", str(len(body))))
    return response_head(status, headers) + body


def with_vary(headers: Iterable[tuple[str, str]], *names: str) -> list[tuple[str, str]]:
    """Return the headers with one Vary line, at the end, that says what all of theirs said and `names` too."""
    headers = list(headers)
    said = [name.strip() for key, value in headers if key.lower() == "vary" for name in value.split(",")]
    kept = [header for header in headers if header[0].lower() != "vary"]
    wanted = {name.lower(): name for name in (*said, *names) if name}
    return [*kept, ("Vary", ", ".join(wanted.values()))] if wanted else kept


def parse_query(qs: str) -> dict[str, str]:
    """Return the parameters of a WSGI query string: the last of several wins, blank ones are kept, bad UTF-8 is replaced."""
    if qs.isascii() and "%" not in qs and "+" not in qs:
        found: dict[str, str] = {}
        for part in qs.split("&"):
            if part:
                name, _, value = part.partition("=")
                found[name] = value
        return found
    # WSGI hands bytes over as Latin-1; raw UTF-8 in it, which browsers escape and others do not, is meant as UTF-8
    raw = qs.encode("latin-1", "replace").decode("utf-8", "replace")
    return dict(parse_qsl(raw, keep_blank_values=True))


def accepts_encoding(accept_encoding: str) -> str | None:
    """Return "gzip" or "deflate", whichever an Accept-Encoding header likes better, or None when it wants neither.

    gzip wins a tie. What cannot be understood is taken as not said.
    """
    if not accept_encoding:
        return None
    return _best_encoding(accept_encoding) if len(accept_encoding) < 100 else _best_encoding.__wrapped__(accept_encoding)


@lru_cache(maxsize=64)
def _best_encoding(accept_encoding: str) -> str | None:
    qualities: dict[str, float] = {}
    for item in accept_encoding.lower().split(","):
        name, _, parameters = item.partition(";")
        quality = _quality(parameters)
        if quality is not None:
            qualities[name.strip()] = quality
    other = qualities.get("*", 0.0)
    best, best_quality = None, qualities.get("identity", 0.0)
    for name in ("gzip", "deflate"):
        quality = qualities.get(name, other)
        if quality > 0 and (quality > best_quality or (best is None and quality == best_quality)):
            best, best_quality = name, quality
    return best


def _quality(parameters: str) -> float | None:
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            value = value.strip()
            return float(value) if re.fullmatch(r"[01](\.\d{0,3})?", value, re.ASCII) else None
    return 1.0
