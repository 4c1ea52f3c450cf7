"""What is read of a server's settings from what it hands to every application. That the real ones hand it over is shown in tests/live."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest

from sync_sio.wsgi.hosting import Hosting, Limit, hosting_of, program_of

NOT_KNOWN = Hosting(is_shared=False)


def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
    raise AssertionError("it is only looked at")


class Response:
    """gunicorn's bound method leads to its settings."""

    def __init__(self, **settings: Any) -> None:
        self.cfg = type("cfg", (), settings)

    def start(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        raise AssertionError("it is only looked at")


@pytest.mark.parametrize("environ", [{}, {"wsgi.multiprocess": False}, {"wsgi.multiprocess": 0}, {"gunicorn.socket": object()}])
def test_what_nobody_says_is_harmless(environ: dict[str, Any]) -> None:
    assert hosting_of(environ, start_response) == NOT_KNOWN


def test_several_processes() -> None:
    assert hosting_of({"wsgi.multiprocess": True}, start_response).is_shared


@pytest.mark.parametrize(
    ("is_multithread", "timeout", "busy"), [(False, 30, Limit(30.0, "gunicorn's --timeout")), (False, 0, None), (True, 30, None)]
)
def test_only_the_sync_worker_is_killed_while_it_is_busy(is_multithread: bool, timeout: int, busy: Limit | None) -> None:
    environ = {"gunicorn.socket": object(), "wsgi.multithread": is_multithread}
    assert hosting_of(environ, Response(timeout=timeout).start).busy == busy


@pytest.mark.parametrize(
    ("options", "busy", "silent"),
    [
        ({"http-socket": b":8000"}, None, None),
        ({"http": b":8000", "http-timeout": b"20"}, None, Limit(20.0, "uWSGI's --http-timeout")),
        ({"https": b":8000,a,b"}, None, Limit(60.0, "uWSGI's --http-timeout")),
        ({b"https-socket": b":8000", b"harakiri": b"15"}, Limit(15.0, "uWSGI's --harakiri"), None),
        ({"harakiri": [b"15", b"20"]}, None, None),
    ],
)
def test_what_uwsgi_says(
    monkeypatch: pytest.MonkeyPatch, options: dict[Any, Any], busy: Limit | None, silent: Limit | None
) -> None:
    module = ModuleType("uwsgi")
    module.opt = options  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "uwsgi", module)
    assert hosting_of({"uwsgi.version": b"2.0.31"}, start_response) == Hosting(False, busy, silent)


def test_programs_of_one_web_server_are_told_apart() -> None:
    one = program_of({"mod_wsgi.process_group": "chat", "mod_wsgi.application_group": "example.org|"})
    assert one == program_of({"mod_wsgi.process_group": "chat", "mod_wsgi.application_group": "example.org|"})
    assert one != program_of({"mod_wsgi.process_group": "shop", "mod_wsgi.application_group": "example.org|"})
    assert program_of({}) == program_of({"gunicorn.socket": object()})
