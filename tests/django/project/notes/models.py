"""Notes that users write."""

from __future__ import annotations

import os

from django.conf import settings
from django.db import connections, models


class Note(models.Model):
    author = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, null=True)
    text = models.CharField(max_length=200)

    def __str__(self) -> str:
        return self.text


def count_databases() -> int:
    """Count the descriptors that this process has of its database."""
    name = str(connections["default"].settings_dict["NAME"])
    count = 0
    for number in os.listdir("/proc/self/fd"):
        try:
            count += os.readlink(f"/proc/self/fd/{number}") == name
        except OSError:
            continue                # it is closed by now
    return count
