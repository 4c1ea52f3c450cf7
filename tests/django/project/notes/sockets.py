"""The events of the notes: found because this module is called `sockets`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db import connection, transaction
from django.urls import reverse

from sync_sio_django import Socket, io, login_required, on_commit, permission_required

from .models import Note, count_databases


@io.event
def whoami(socket: Socket) -> str:
    return str(socket.user)


@io.event
def whoami_now(socket: Socket) -> str:
    return str(socket.refresh_user())


@io.event
@login_required
def write(socket: Socket, text: str) -> int:
    with transaction.atomic():
        note = Note.objects.create(author_id=socket.user.pk, text=text)
        on_commit(io.to("readers")).emit("note", note.pk, note.text)
        if text == "no":
            raise ValueError("on purpose: nobody may hear of this note")
    return note.pk


@io.event
@permission_required("notes.delete_note", fresh=True)
def delete(socket: Socket, pk: int) -> int:
    return Note.objects.filter(pk=pk).delete()[0]


@dataclass
class Wish:
    """What `wish` gets."""

    text: str
    times: int = 1


@io.event
@login_required
def wish(socket: Socket, wish: Wish, ack: Any) -> None:
    ack(wish.text * wish.times)


@io.event
def read(socket: Socket) -> list[str]:
    socket.join("readers")
    return list(Note.objects.order_by("pk").values_list("text", flat=True))


@io.event
def count(socket: Socket) -> int:
    return Note.objects.count()


@io.event
def hold(socket: Socket, seconds: float) -> int:
    """Ask the database, wait, and count who else has it open."""
    Note.objects.count()
    io.sleep(seconds)
    return count_databases()


@io.event
def work(socket: Socket) -> None:
    """Ask the database in the background."""
    io.spawn(lambda: socket.emit("worked", Note.objects.count()))


@io.event
def remember(socket: Socket, key: str, value: str) -> None:
    socket.session[key] = value


@io.event
def recall(socket: Socket, key: str) -> Any:
    return socket.session.get(key)


@io.event
def request(socket: Socket) -> dict[str, Any]:
    request = socket.http_request
    return {
        "path": request.path,
        "host": request.get_host(),
        "user": str(request.user),
        "is_the_same": request is socket.http_request,
        "reversed": reverse("plain"),
    }


@io.event
def queries(socket: Socket) -> int:
    """Tell how many queries of this event Django has noted."""
    Note.objects.count()
    return len(connection.queries)


@io.of("/writers").event
def hello(socket: Socket) -> str:
    return f"hello {socket.user}"


io.of("/writers").use(login_required)


class Deleters:
    """Handlers as methods."""

    @permission_required("notes.delete_note")
    def on_delete(self, socket: Socket, pk: int) -> str:
        return f"{self.__class__.__name__} {pk}"

    @login_required
    def on_connection(self, socket: Socket) -> None:
        socket.emit("welcome", str(socket.user))


io.of("/deleters").register(Deleters())
