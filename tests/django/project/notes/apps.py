"""The app of the notes."""

from __future__ import annotations

from django.apps import AppConfig


class NotesConfig(AppConfig):
    name = "tests.django.project.notes"
