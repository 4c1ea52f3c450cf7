"""How a handler says no: `ConnectionRefusedError`, `abort(…)`, a page that Flask-Login would send; and what the client is told."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from werkzeug.exceptions import HTTPException, Unauthorized
from werkzeug.wrappers import Response

from sync_sio import ConnectRefused

REJECTED = "Connection rejected by server"


class ConnectionRefusedError(ConnectRefused):
    """Refuse a client: raise it in a `connect` handler.

    Args:
        args: first what the client's `connect_error` says, then what it finds in `error.data`: one value as it is, several as a list.
    """

    def __init__(self, *args: Any) -> None:
        rest = args[1:]
        super().__init__(str(args[0]) if args else REJECTED, rest[0] if len(rest) == 1 else list(rest) or None)
        self.args = args

    @property
    def error_args(self) -> dict[str, Any]:
        """What the client is sent."""
        return {"message": self.message} if self.data is None else {"message": self.message, "data": self.data}


def refusal_of(error: HTTPException) -> ConnectRefused:
    """Return how a client is refused for whom a `connect` handler has called `abort(…)`."""
    return ConnectRefused(_phrase(error), data={"code": error.code})


def ack_of(error: HTTPException) -> dict[str, Any]:
    """Return the acknowledgement of an event whose handler has called `abort(…)`."""
    return {"error": {"code": error.code, "message": _phrase(error)}}


def refused_if_page(result: Any) -> Any:
    """Return what a handler has returned, unless that is a page: `login_required` answers so, where `abort` would have been meant.

    Raises:
        HTTPException: it is a page that refuses, or leads elsewhere: to the login, for example.
    """
    if isinstance(result, Response) and result.status_code >= HTTPStatus.MULTIPLE_CHOICES:
        if result.status_code < HTTPStatus.BAD_REQUEST:
            raise Unauthorized
        error = HTTPException()
        error.code = result.status_code
        raise error
    return result


def _phrase(error: HTTPException) -> str:
    # `description` has sentences about URLs, unless somebody wrote one for this
    is_own = error.description is not None and error.description != type(error).description
    return str(error.description) if is_own else error.name
