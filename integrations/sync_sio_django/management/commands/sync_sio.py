"""`manage.py sync_sio`: what clients may connect to and say; and events sent from outside of the serving processes."""

from __future__ import annotations

import json
import time
from argparse import ArgumentParser
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError

from sync_sio_django.inventory import lines_of
from sync_sio_django.server import Server, get_server

LINK_TIMEOUT: Final = 3.0
"""Seconds in which an adapter must be connected."""


class Command(BaseCommand):
    """Lists, or emits."""

    help = "Lists the namespaces of Socket.IO with their events and handlers; `sync_sio emit` sends an event to the clients."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take the subcommand `emit`, and what it needs."""
        commands = parser.add_subparsers(dest="command")
        emit = commands.add_parser("emit", help="send an event: needs an adapter, as the clients are in other processes")
        emit.add_argument("event")
        emit.add_argument("args", nargs="*", help="the arguments as JSON; what is no JSON is a string")
        emit.add_argument("--namespace", default="/")
        whom = "or a socket's id, as --room=ID: it may begin with a dash; may be given several times; without it, all of the namespace"
        emit.add_argument("--room", action="append", help=whom)

    def handle(self, *args: Any, command: str | None = None, **options: Any) -> None:
        """Do it."""
        if command == "emit":
            self._emit(args, **options)
            return
        for line in lines_of(get_server()):
            self.stdout.write(line)

    def _emit(self, args: tuple[str, ...], event: str, namespace: str, room: list[str] | None, **options: Any) -> None:
        server = get_server()
        if server.adapter is None:
            raise CommandError(
                "the clients are connected to other processes, and no adapter links this one to them: give SYNC_SIO an 'adapter', "
                "or emit from a view"
            )
        server.engine.start()
        try:
            _wait_for_link(server)
            target: Any = server.of(namespace)
            (target.to(room) if room else target).emit(event, *map(_value, args))
        except (TypeError, ValueError) as error:
            raise CommandError(str(error)) from error
        finally:
            server.close()
        self.stdout.write(f"sent {event!r} to {', '.join(room) if room else 'everybody'} in {namespace}")


def _wait_for_link(server: Server) -> None:
    """Wait until the adapter is connected: what is emitted before would be given up with the process."""
    until = time.monotonic() + LINK_TIMEOUT
    while not (status := server.adapter_status()).connected:
        if time.monotonic() > until:
            raise CommandError(f"not sent: no link to the other servers ({status.last_error})")
        time.sleep(0.01)


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
