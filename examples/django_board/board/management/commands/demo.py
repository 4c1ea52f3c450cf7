"""`manage.py demo`: the board with two people and some notes, in one command."""

from __future__ import annotations

import os
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.core.management import BaseCommand, call_command

from board.models import Note

NOTES = (
    ("ada", "Ship the board", 8, 12),
    ("ada", "Ask Lin about the colours", 36, 46),
    ("lin", "Coffee at three?", 62, 14),
)


class Command(BaseCommand):
    help = "Migrates, makes the users ada and lin (password: board), and runs the server."

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("addrport", nargs="?", default="127.0.0.1:3000")

    def handle(self, *args: Any, addrport: str, **options: Any) -> None:
        if os.environ.get("RUN_MAIN") != "true":        # not again when the reloader starts it
            call_command("migrate", verbosity=0)
            self.fill()
            self.stdout.write(f"http://{addrport}/  Users: ada and lin, password: board. Use two browsers.")
        call_command("runserver", addrport)

    def fill(self) -> None:
        users: Any = get_user_model()._default_manager
        if users.filter(username="ada").exists():
            return
        people = {name: users.create_user(name, password="board") for name in ("ada", "lin")}
        people["ada"].user_permissions.add(Permission.objects.get(codename="delete_note"))
        for number, (name, text, x, y) in enumerate(NOTES):
            Note.objects.create(author=people[name], text=text, colour=number, x=x, y=y)
