"""Django, set up once for the tests of this folder, with a database in memory."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.django.project.settings"

import django

django.setup()
del os.environ["DJANGO_SETTINGS_MODULE"]        # it is read, and servers that other tests start have projects of their own

from django.db import connection  # noqa: E402  # the set-up above comes first
from django.test.utils import setup_test_environment, teardown_test_environment  # noqa: E402

from sync_sio_django.server import get_server  # noqa: E402


@pytest.fixture(scope="package", autouse=True)
def database() -> Iterator[None]:
    setup_test_environment(debug=False)
    name = connection.creation.create_test_db(verbosity=0)
    yield
    get_server().close()        # or its threads go on beside the tests of others
    connection.creation.destroy_test_db(name, verbosity=0)
    teardown_test_environment()
