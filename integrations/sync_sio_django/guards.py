"""Who may: decorators for handlers, which are middleware for namespaces, too."""

from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from inspect import iscoroutinefunction, signature
from typing import TYPE_CHECKING, Any, TypeVar, overload

from sync_sio import ConnectRefused

from .socket import Socket

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser
    from django.contrib.auth.models import AnonymousUser

    User = AbstractBaseUser | AnonymousUser

F = TypeVar("F", bound=Callable[..., Any])

__all__ = ["Guard", "login_required", "permission_required", "user_passes_test"]


class Guard:
    """A condition on `socket.user`: a decorator for handlers, and middleware for namespaces.

    A handler is not called for whom it is not met; if the client asks for an acknowledgement, it is
    `{"error": {"code": …, "message": …}}`. In a namespace, `io.of("/staff").use(guard)`, the client is refused with `message`, and
    `{"code": …}` as its data.
    """

    def __init__(self, test: Callable[[User], bool], code: str, message: str, fresh: bool = False) -> None:
        self._test = test
        self.code = code
        self.message = message
        self._is_fresh = fresh

    def __repr__(self) -> str:
        return f"<Guard {self.code}: {self.message}>"

    @overload
    def __call__(self, target: Socket) -> None: ...
    @overload
    def __call__(self, target: F) -> F: ...
    def __call__(self, target: Any) -> Any:
        """Decorate a handler; or, as middleware, judge a socket."""
        if isinstance(target, Socket):
            if not self.admits(target):
                raise ConnectRefused(self.message, data={"code": self.code})
            return None
        if not callable(target) or iscoroutinefunction(target):
            raise TypeError(f"{target!r} is no handler: a function of the socket is wanted, and not an async one")
        return _Guarded(target, self)

    def admits(self, socket: Socket) -> bool:
        """Tell whether this client's user meets the condition."""
        return bool(self._test(socket.refresh_user() if self._is_fresh else socket.user))


class _Guarded:
    """A handler behind a guard. It has the signature of what it wraps, as it is called with what that one takes."""

    def __init__(self, fn: Callable[..., Any], guard: Guard) -> None:
        update_wrapper(self, fn)
        self.__signature__ = signature(fn, follow_wrapped=False)
        self._fn = fn
        self._guard = guard

    def __repr__(self) -> str:
        return f"<{self._fn!r} behind {self._guard!r}>"

    def __call__(self, socket: Socket, *args: Any, **named: Any) -> Any:
        guard = self._guard
        if guard.admits(socket):
            return self._fn(socket, *args, **named)
        answer = {"error": {"code": guard.code, "message": guard.message}}
        for ack in (*args, *named.values()):
            if callable(ack):               # what came from the client cannot be called
                ack(answer)
        return answer

    def __get__(self, instance: object, owner: type | None = None) -> _Guarded:
        """Bind a method of a class of handlers."""
        if instance is None:
            return self
        bound = _Guarded(self._fn.__get__(instance, owner), self._guard)
        for name, value in self.__dict__.items():
            bound.__dict__.setdefault(name, value)      # what other decorators, such as `event`, have noted on this one
        return bound


login_required = Guard(lambda user: user.is_authenticated, "login_required", "log in first")
"""For users who are logged in."""


def permission_required(permission: str | list[str] | tuple[str, ...], *, fresh: bool = False) -> Guard:
    """For users who have a permission, or all of several, such as `"board.add_note"`.

    Args:
        fresh: read the user anew for each event, so that what was taken from it meanwhile counts: two queries or three.
    """
    wanted = (permission,) if isinstance(permission, str) else tuple(permission)
    message = f"you lack the permission {' and '.join(wanted)}"
    return Guard(lambda user: user.has_perms(wanted), "permission_denied", message, fresh)  # type: ignore[union-attr]


def user_passes_test(test: Callable[[Any], bool], message: str = "you may not", *, fresh: bool = False) -> Guard:
    """For users for whom `test(user)` is true. `fresh`: as of `permission_required`."""
    return Guard(test, "permission_denied", message, fresh)
