"""Which runtime is taken."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sync_sio.drivers.choose import choose, is_served_by_gevent

ROOT = Path(__file__).parent.parent.parent


def run(code: str) -> object:
    """Run code in a fresh interpreter that prints one JSON value."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_threads_unless_something_speaks_for_gevent() -> None:
    assert choose("auto", None, None).name == "threads"
    assert choose("auto", {"SERVER_SOFTWARE": "gunicorn/23"}, None).name == "threads"
    assert choose("threads", None, 5).name == "threads"


def test_an_unknown_runtime_is_refused() -> None:
    with pytest.raises(ValueError, match="'asyncio'"):
        choose("asyncio", None, None)  # type: ignore[arg-type]


@pytest.mark.parametrize("runtime", ["threads", "gevent"])
def test_no_handlers_at_all_is_refused(runtime: str) -> None:
    if runtime == "gevent":
        pytest.importorskip("gevent")
    with pytest.raises(ValueError, match="max_handlers"):
        choose(runtime, None, 0)  # type: ignore[arg-type]


def test_gevent_when_named() -> None:
    pytest.importorskip("gevent")
    assert choose("gevent", None, None).name == "gevent"


def test_gevent_that_is_imported_is_not_gevent_that_serves() -> None:
    gevent = pytest.importorskip("gevent")
    gevent.get_hub()
    assert choose("auto", None, None).name == "threads"
    assert choose("auto", {"SERVER_SOFTWARE": "Werkzeug/3", "wsgi.input": sys.stdin}, None).name == "threads"


def test_gevents_own_server_speaks_for_gevent() -> None:
    gevent = pytest.importorskip("gevent")
    from gevent.pywsgi import Input

    gevent.get_hub()
    assert is_served_by_gevent({"SERVER_SOFTWARE": "gevent/25.1 Python/3.12"})
    assert is_served_by_gevent({"wsgi.input": Input(None, 0)})
    assert choose("auto", {"SERVER_SOFTWARE": "gevent/25.1 Python/3.12"}, None).name == "gevent"


def test_a_patched_process_is_gevents() -> None:
    pytest.importorskip("gevent")
    assert run("""
from gevent import monkey; monkey.patch_all()
import json
from sync_sio.drivers.choose import choose
try:
    choose("threads", None, None)
except RuntimeError as error:
    message = str(error)
print(json.dumps([choose("auto", None, None).name, "gthread" in message]))
""") == ["gevent", True]


def test_the_threads_runtime_imports_no_gevent_and_works_without_it() -> None:
    assert run("""
import sys, json
sys.modules["gevent"] = sys.modules["greenlet"] = None
from sync_sio.drivers.choose import choose
driver = choose("auto", {}, None)
waiter = driver.waiter()
driver.post(waiter.set, 1)
assert waiter.wait(5)
try:
    choose("gevent", None, None)
except RuntimeError as error:
    message = str(error)
driver.stop(5)
print(json.dumps([driver.name, "sync-sio[gevent]" in message]))
""") == ["threads", True]


def test_a_process_that_is_patched_after_the_choice_module_was_imported_is_seen() -> None:
    pytest.importorskip("gevent")
    assert run("""
import json
from sync_sio.drivers.choose import choose
import sync_sio.drivers.threads
from gevent import monkey; monkey.patch_all()
print(json.dumps(choose("auto", None, None).name))
""") == "gevent"
