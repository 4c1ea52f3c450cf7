"""Notes, each where its author put it."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models


class Note(models.Model):
    """A sticky note. Its place is in hundredths of the board's size."""

    author = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    text = models.CharField(max_length=240, blank=True)
    colour = models.PositiveSmallIntegerField(default=0)
    x = models.FloatField()
    y = models.FloatField()
    changed = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return self.text or "(empty)"

    def shown(self) -> dict[str, Any]:
        """Return what a browser needs to show it."""
        return {
            "id": self.pk, "text": self.text, "colour": self.colour, "x": self.x, "y": self.y, "author": self.author.get_username(),
        }  # fmt: skip
