"""The pages: to log in and out, to write, and for tests to see what goes on in the process."""

from __future__ import annotations

import os
from typing import Any

from django.contrib.auth import get_user_model, login, logout
from django.contrib.auth.models import Permission
from django.db import transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path

from sync_sio_django import io, on_commit

from .notes.models import Note, count_databases


def plain(request: HttpRequest) -> HttpResponse:
    return HttpResponse("plain")


def enter(request: HttpRequest) -> HttpResponse:
    """Log somebody in, who is made if need be."""
    user, _ = get_user_model().objects.get_or_create(username=request.GET["user"])
    if request.GET.get("may") == "delete":
        user.user_permissions.add(Permission.objects.get(codename="delete_note"))
    login(request, user)
    return HttpResponse(str(user))


def leave(request: HttpRequest) -> HttpResponse:
    logout(request)
    return HttpResponse("bye")


def publish(request: HttpRequest) -> HttpResponse:
    """Write a note in a transaction, and tell the readers of it; or change one's mind."""
    with transaction.atomic():
        note = Note.objects.create(text=request.GET["text"])
        on_commit(io.to("readers")).emit("note", note.pk, note.text)
        if "undo" in request.GET:
            transaction.set_rollback(True)
    return HttpResponse(str(note.pk))


def session(request: HttpRequest) -> HttpResponse:
    for key, value in request.GET.items():
        request.session[key] = value
    return JsonResponse(dict(request.session.items()))


def notes(request: HttpRequest) -> HttpResponse:
    return JsonResponse(list(Note.objects.values_list("text", flat=True)), safe=False)


def stats(request: HttpRequest) -> HttpResponse:
    """Count the process's threads, its descriptors, and those of the database."""
    told: dict[str, Any] = {
        **io.health(),
        "threads": len(os.listdir("/proc/self/task")),
        "descriptors": len(os.listdir("/proc/self/fd")),
        "databases": count_databases(),
    }
    return JsonResponse(told)


def audit(request: HttpRequest) -> HttpResponse:
    return JsonResponse(io.audit(), safe=False)


urlpatterns = [
    path("plain", plain, name="plain"),
    path("enter", enter),
    path("leave", leave),
    path("publish", publish),
    path("session", session),
    path("notes", notes),
    path("stats", stats),
    path("audit", audit),
]
