"""`flask sync-sio`: what the application handles, and what goes on in a server that runs it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import click
from flask import current_app
from flask.cli import AppGroup

from .control import ControlError, Wish, ask

if TYPE_CHECKING:
    from .mount import Mount

commands = AppGroup("sync-sio", help="Socket.IO: namespaces, handlers, rooms, and an emit from the shell.")

_url = click.option(
    "--url",
    envvar="SYNC_SIO_URL",
    help="Where the server runs.  [default: http://127.0.0.1:5000, or the port of FLASK_RUN_PORT; also SYNC_SIO_URL]",
)


@commands.command()
@click.option("--live", is_flag=True, help="Ask the server that runs how many clients are there.")
@_url
def namespaces(live: bool, url: str | None) -> None:
    """List the namespaces that clients may connect to."""
    mount = _mount()
    state = _ask(url, {"verb": "state"}) if live else {}
    rows = []
    for home in mount.homes():
        found = state.get(home.name, {"sockets": 0, "rooms": {}})
        count = str(len([row for row in _handlers(mount) if row[0] == home.name]))
        rows.append((home.name, count, *((str(found["sockets"]), str(len(found["rooms"]))) if live else ())))
    for name in sorted(state.keys() - {home.name for home in mount.homes()}):
        rows.append((name, "0", str(state[name]["sockets"]), str(len(state[name]["rooms"]))))
    _show(("NAMESPACE", "HANDLERS", *(("CLIENTS", "ROOMS") if live else ())), rows)


@commands.command()
@click.option("--namespace", help="Those of one namespace only.")
def handlers(namespace: str | None) -> None:
    """List what handles which event."""
    _show(("NAMESPACE", "EVENT", "HANDLER"), [row for row in _handlers(_mount()) if namespace in (None, row[0])])


@commands.command()
@click.option("--namespace", help="Those of one namespace only.")
@_url
def rooms(namespace: str | None, url: str | None) -> None:
    """List the rooms of a server that runs, with how many clients are in them."""
    state = _ask(url, {"verb": "state"})
    if namespace is not None and namespace not in state:
        raise click.ClickException(f"there is no namespace {namespace!r}: there are {', '.join(sorted(state))}")
    rows = [
        (name, room, str(count))
        for name in sorted(state)
        if namespace in (None, name)
        for room, count in state[name]["rooms"].items()
    ]
    _show(("NAMESPACE", "ROOM", "CLIENTS"), rows)


@commands.command()
@click.argument("event")
@click.argument("values", nargs=-1)
@click.option("--to", "to", multiple=True, help="A room, or a client's id; may be given several times.  [default: everybody]")
@click.option("--namespace", default="/", show_default=True)
@_url
def emit(event: str, values: Sequence[str], to: Sequence[str], namespace: str, url: str | None) -> None:
    """Have a server that runs emit an event. Each of VALUES is JSON, or else a text."""
    _ask(url, {"verb": "emit", "event": event, "args": [_value(value) for value in values], "to": list(to), "namespace": namespace})


def _mount() -> Mount:
    found: Mount = current_app.extensions["socketio"].mount
    return found


def _handlers(mount: Mount) -> list[tuple[str, str, str]]:
    """Return namespace, event and function of each handler, of those of `socketio.io` too."""
    table = mount.table
    found = set()
    for name, event in table.events:
        fn = table.handler(name, event) or getattr(table.object(name), f"on_{event}", None)
        found.add((name, event, _name_of(fn)))
    for home in mount.homes():
        for event, fn in mount.native_handlers(home):
            found.add((home.name, event, _name_of(fn)))
    return sorted(found)


def _name_of(fn: Any) -> str:
    return f"{getattr(fn, '__module__', '?')}.{getattr(fn, '__qualname__', repr(fn))}"


def _ask(url: str | None, wish: Wish) -> Any:
    app = current_app._get_current_object()  # type: ignore[attr-defined]  # how Werkzeug's documentation says to do it
    try:
        return ask(app, url or f"http://127.0.0.1:{os.environ.get('FLASK_RUN_PORT', '5000')}", wish)
    except ControlError as error:
        raise click.ClickException(str(error)) from error


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _show(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    table = [titles, *rows]
    widths = [max(len(row[at]) for row in table) for at in range(len(titles))]
    for row in table:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
