"""What docs/django.md says of speed, measured: `python -m tests.django.measure load`, or `reload`. Nothing else should run meanwhile.

`load`: gunicorn's gthread worker with four threads, 1,000 clients over WebSocket whose events query SQLite through the ORM, and one
visitor who reads a page that does the same: how long does a page take, and how many database connections are open?
`reload`: a file changes under `runserver`: after how many seconds does a page show it, without us, with us, and with 50 clients?
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.live.crowd import read_pages, talk
from tests.live.django_server import PYTHONPATH, Site, make_empty, serving
from tests.live.servers import wait_for
from tests.live.wire import SocketClient, WebSocketClient

CLIENTS = 1000


def load(rate: int, seconds: float = 15.0, clients: int = CLIENTS, kind: str = "gunicorn-gthread", **given: Any) -> dict[str, Any]:
    """Have `clients` send `rate` events per second together for so long, and read pages meanwhile. Returns what came of it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with serving(kind, folder, make_empty(folder), SYNC_SIO_DEBUG="", **given) as site:
            for number in range(100):
                site.get(f"/publish?text=note-{number}")
            ours, theirs = multiprocessing.Pipe()
            crowd = multiprocessing.get_context("spawn").Process(target=talk, args=(site.address, clients, rate, seconds, theirs))
            crowd.start()
            assert ours.recv() == "connected"
            pages, databases = read_pages(site.address, seconds)
            sent, answered = ours.recv()
            crowd.join()
            site.wait_until_clean()
            after = site.page("/stats")
            return {
                "rate": rate, "clients": clients, "sent": sent, "answered": answered, "pages": len(pages),
                "p50": statistics.median(pages), "p99": statistics.quantiles(pages, n=100)[98], "longest": max(pages),
                "peak": max(databases), "databases": after["databases"], "threads": after["threads"], "left": after["clients"],
            }  # fmt: skip


def reload(times: int = 5) -> dict[str, list[float]]:
    """Change a file under `runserver` so many times; return the seconds until a page shows it, by who serves."""
    return {
        "without sync_sio": _reload(times, 0, has_us=False),
        "with it, no clients": _reload(times, 0, has_us=True),
        "with it, 50 clients": _reload(times, 50, has_us=True),
    }


def _reload(times: int, clients: int, has_us: bool) -> list[float]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        changing = folder / "changing.py"
        changing.write_text("NUMBER = 0\n")
        apps = ["sync_sio_django"] if has_us else []
        settings = {
            "SECRET_KEY": "x", "DEBUG": True, "STATIC_URL": "static/",
            "ROOT_URLCONF": "pages", "WSGI_APPLICATION": "application.application",
            "INSTALLED_APPS": [*apps, *(f"django.contrib.{app}" for app in ("auth", "contenttypes", "sessions", "staticfiles"))],
            "DATABASES": {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": str(folder / "site.sqlite3")}},
        }  # fmt: skip
        (folder / "project.py").write_text("".join(f"{name} = {value!r}\n" for name, value in settings.items()))
        (folder / "pages.py").write_text(
            "from django.http import HttpResponse\nfrom django.urls import path\nimport changing\n"
            "urlpatterns = [path('plain', lambda request: HttpResponse(str(changing.NUMBER)))]\n"
        )
        source = "sync_sio_django" if has_us else "django.core.wsgi"
        (folder / "application.py").write_text(f"from {source} import get_wsgi_application\napplication = get_wsgi_application()\n")
        took = []
        environ = {"DJANGO_SETTINGS_MODULE": "project", "PYTHONPATH": f"{folder}:{PYTHONPATH}"}
        with serving("runserver", folder, make_empty(folder), **environ) as site:
            for number in range(1, times + 1):
                crowd = [SocketClient(WebSocketClient(site.address)) for _ in range(clients)]
                for client in crowd:
                    client.wait_until_connected()
                time.sleep(number / times)          # the reloader looks once a second: at all distances from its last look
                started = time.monotonic()
                changing.write_text(f"NUMBER = {number}{' ' * number}\n")
                wait_for(_shows(site, str(number)), 20.0)
                took.append(time.monotonic() - started)
                for client in crowd:
                    client.engine.close()
        return took


def _shows(site: Site, text: str) -> Callable[[], bool]:
    def shows() -> bool:
        try:
            return bool(site.get("/plain") == text)
        except (OSError, Exception):
            return False

    return shows


def main(what: str) -> None:
    if what == "load":
        for rate, age in ((200, 0), (500, 0), (1000, 0), (1000, 600)):
            found = load(rate, PROJECT_CONN_MAX_AGE=str(age))
            print(
                f"{found['clients']} clients, CONN_MAX_AGE {age}, {found['answered'] / 15:.0f} of {rate} events/s: "
                f"pages p50 {found['p50'] * 1000:.1f} ms, "
                f"p99 {found['p99'] * 1000:.1f} ms, longest {found['longest'] * 1000:.1f} ms of {found['pages']}; "
                f"databases at most {found['peak']}, afterwards {found['databases']}; threads {found['threads']}"
            )
    else:
        for who, took in reload().items():
            print(f"{who}: {statistics.mean(took):.2f} s on the average of {len(took)}, {min(took):.2f} to {max(took):.2f}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "load")
