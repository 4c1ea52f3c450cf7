"""`SYNC_SIO` and what is said of mistakes in it; where the server is put."""

from __future__ import annotations

import subprocess
import sys
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from django.conf import settings
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.test import override_settings
from django.utils.functional import SimpleLazyObject
from django.utils.translation import gettext_lazy

import sync_sio_django
from sync_sio.parsers import msgpack
from sync_sio_django import Server, io
from sync_sio_django.options import read
from sync_sio_django.wsgi import refuse_problems
from tests.tools import ROOT


def told(setting: Any) -> list[str]:
    """Return what `manage.py check` says of a setting: the check's id, what is wrong and what to do."""
    with override_settings(SYNC_SIO=setting):
        return [f"{each.id} {each.msg} ({each.hint})" for each in run_checks(tags=["sync_sio"])]


def allow(environ: Any) -> bool:
    return False


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ([], "sync_sio.E001 SYNC_SIO = []: a dict is wanted"),
        ({"pign_interval": 5}, "sync_sio.E002 SYNC_SIO has an unknown option 'pign_interval' (did you mean 'ping_interval'?)"),
        ({"ping_interval": -1}, "sync_sio.E003 SYNC_SIO['ping_interval']: ping_interval=-1: a number of seconds above 0"),
        ({"ping_interval": "5"}, "sync_sio.E003 SYNC_SIO['ping_interval']: ping_interval='5': seconds are wanted"),
        ({"path": "/"}, "sync_sio.E003 SYNC_SIO['path']: path='/': a path such as"),
        ({"cookie": {"nmae": 1}}, "sync_sio.E003 SYNC_SIO['cookie']"),
        ({"parser": "nowhere.parser"}, "sync_sio.E004 SYNC_SIO['parser'] = 'nowhere.parser' cannot be imported"),
        ({"allow_request": "tests.django.test_settings.missing"}, "sync_sio.E004 SYNC_SIO['allow_request']"),
        ({"middleware": "a.b"}, "sync_sio.E003 SYNC_SIO['middleware'] = 'a.b': a list of dotted paths is wanted"),
        ({"middleware": ["nowhere.Middleware"]}, "sync_sio.E004 SYNC_SIO['middleware']: 'nowhere.Middleware' cannot be imported"),
        ({"cors_allowed_origins": "*", "cors_credentials": True}, "sync_sio.E003 SYNC_SIO: cors_credentials=True with"),
    ],
)
def test_a_check_names_the_mistake(setting: Any, said: str) -> None:
    (only,) = told(setting)
    assert only.startswith(said)


def test_each_of_several_mistakes_is_named() -> None:
    assert [line.split()[0] for line in told({"path": 5, "nonsense": 1, "send_timeout": 0, "max_handlers": 10})] == [
        "sync_sio.E003", "sync_sio.E002", "sync_sio.E003",
    ]  # fmt: skip


def test_what_is_right_is_taken_and_no_check_says_anything() -> None:
    setting = {
        "path": "/live", "ping_interval": 5, "parser": "sync_sio.parsers.msgpack", "allow_request": "tests.django.test_settings.allow",
        "middleware": [], "cors_allowed_origins": ["https://a.io"],
    }  # fmt: skip
    assert told(setting) == []
    with override_settings(SYNC_SIO=setting):
        options = read()
    assert options.middleware == () and options.server["parser"] is msgpack and options.server["allow_request"] is allow
    server = Server(**options.server)
    assert server.options.path == "/live" and server.options.ping_interval == 5


def test_a_mistake_is_a_default_until_somebody_serves() -> None:
    with override_settings(SYNC_SIO={"ping_interval": -1, "path": "/live"}):
        options = read()
    server = Server(**options.server)
    server.problems = options.problems
    assert server.options.path == "/live" and server.options.ping_interval == 25
    with pytest.raises(ImproperlyConfigured, match="ping_interval=-1"):
        refuse_problems(server)


def test_manage_check_fails_and_says_what_to_do() -> None:
    with override_settings(SYNC_SIO={"pign_interval": 5}), pytest.raises(SystemCheckError, match="did you mean 'ping_interval'"):
        call_command("check", stdout=StringIO(), stderr=StringIO())


def test_the_order_of_apps_is_checked_as_runserver_depends_on_it() -> None:
    apps = [app for app in settings.INSTALLED_APPS if app != "sync_sio_django"]
    with override_settings(INSTALLED_APPS=[*apps, "sync_sio_django"]):
        (warning,) = run_checks(tags=["sync_sio"])
    assert warning.id == "sync_sio.W001" and "django.contrib.staticfiles" in warning.msg


def test_before_it_is_deployed_a_project_is_told_what_is_too_open() -> None:
    with override_settings(SYNC_SIO={"cors_allowed_origins": False}):
        found = run_checks(tags=["sync_sio"], include_deployment_checks=True)
    assert [each.id for each in found] == ["sync_sio.W003"]


def test_before_it_is_deployed_a_project_is_told_that_its_application_has_no_socket_io() -> None:
    code = """
import django
from django.conf import settings
settings.configure(INSTALLED_APPS=["sync_sio_django"], WSGI_APPLICATION="plain.application", SECRET_KEY="x")
import sys, types
django.setup()
from django.core.wsgi import get_wsgi_application
plain = sys.modules["plain"] = types.ModuleType("plain")
plain.application = get_wsgi_application()
from django.core.checks import run_checks
print([each.id for each in run_checks(tags=["sync_sio"], include_deployment_checks=True)])
"""
    assert in_a_process_of_its_own(code) == "['sync_sio.W002']"


def test_importing_the_package_needs_neither_settings_nor_models() -> None:
    assert in_a_process_of_its_own("import sync_sio_django, sync_sio_django.apps; print('fine')") == "fine"


def test_io_is_there_while_apps_are_being_loaded_and_starts_nothing() -> None:
    code = """
import sys, threading, types
import django
from django.conf import settings
settings.configure(INSTALLED_APPS=["early.Config", "django.contrib.auth", "django.contrib.contenttypes", "sync_sio_django"])
early = sys.modules["early"] = types.ModuleType("early")
early.__file__ = "/tmp/early.py"
from django.apps import AppConfig
from sync_sio_django import io
early.Config = type("Config", (AppConfig,), {"name": "early", "__module__": "early"})
django.setup()
from sync_sio_django import io as again
print(io is again, threading.active_count())
"""
    assert in_a_process_of_its_own(code) == "True 1"


def in_a_process_of_its_own(code: str) -> str:
    environ = {"PYTHONPATH": f"{ROOT}:{ROOT / 'integrations'}", "PATH": ""}
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, timeout=50)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_what_django_can_make_json_of_can_be_sent() -> None:
    encode = io.options.json_default
    assert encode is not None
    assert encode(Decimal("1.50")) == "1.50" and encode(gettext_lazy("yes")) == "yes"
    with pytest.raises(TypeError):
        encode(SimpleLazyObject(object))


def test_functions_that_run_before_the_server_starts_run() -> None:
    server = Server()
    made: list[str] = []
    server.on("new_namespace", lambda namespace: made.append(namespace.name))
    server.of("/early")
    assert made == ["/early"]


def test_all_public_names_are_there() -> None:
    assert all(getattr(sync_sio_django, name) is not None for name in sync_sio_django.__all__)
    with pytest.raises(AttributeError, match="nonsense"):
        sync_sio_django.nonsense  # noqa: B018


def test_handlers_that_run_at_once_are_few_on_threads_and_many_as_greenlets() -> None:
    assert Server().options.max_handlers == 16 and Server(max_handlers=3).options.max_handlers == 3
    assert Server(runtime="gevent").options.max_handlers is None
    code = """
from gevent import monkey
monkey.patch_all()
from django.conf import settings
settings.configure()
from sync_sio_django import Server
print(Server().options.max_handlers)
"""
    assert in_a_process_of_its_own(code) == "None"
