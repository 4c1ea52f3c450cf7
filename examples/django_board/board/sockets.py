"""What happens on the board, live: found by sync_sio_django, as this module is called `sockets`."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.signals import user_logged_out
from django.db.models.signals import post_delete, post_save
from django.dispatch import receiver

from sync_sio_django import Socket, io, login_required, on_commit, permission_required

from .models import Note

COLOURS = 5

board = io.of("/board")
board.use(login_required)


@board.on("connection")
def came(socket: Socket) -> None:
    socket.data["name"] = socket.user.get_username()
    socket.join(f"user {socket.user.pk}")
    socket.emit("notes", [note.shown() for note in Note.objects.select_related("author").order_by("changed")])
    tell_who_is_here()


@board.event("disconnect")
def went(socket: Socket) -> None:
    tell_who_is_here()


def tell_who_is_here() -> None:
    board.emit("people", sorted({each.data["name"] for each in board if "name" in each.data}))


@board.event
def add(socket: Socket, x: float, y: float) -> int:
    note = Note.objects.create(author_id=socket.user.pk, x=_on_the_board(x), y=_on_the_board(y), colour=(socket.user.pk or 0) % COLOURS)
    return note.pk


@board.event
def drag(socket: Socket, pk: int, x: float, y: float) -> None:
    """A note is on its way: who cannot take that now misses nothing, as `drop` follows."""
    socket.broadcast.volatile.emit("drag", pk, _on_the_board(x), _on_the_board(y))


@board.event
def drop(socket: Socket, pk: int, x: float, y: float) -> None:
    _change(pk, x=_on_the_board(x), y=_on_the_board(y))


@board.event
def write(socket: Socket, pk: int, text: str) -> None:
    _change(pk, text=str(text)[:240])


@board.event
def remove(socket: Socket, pk: int) -> bool:
    """Remove a note of one's own."""
    return bool(Note.objects.filter(pk=pk, author_id=socket.user.pk).delete()[0])


@board.event
@permission_required("board.delete_note", fresh=True)
def clear(socket: Socket) -> int:
    """Remove all notes: for those who may."""
    return Note.objects.all().delete()[0]


def _change(pk: int, **fields: Any) -> None:
    for note in Note.objects.select_related("author").filter(pk=pk):
        for name, value in fields.items():
            setattr(note, name, value)
        note.save(update_fields=[*fields, "changed"])


def _on_the_board(place: float) -> float:
    return min(100.0, max(0.0, float(place)))


# Whoever changes a note, an event, the admin's pages, a command: the board hears of it when it is committed.


@receiver(post_save, sender=Note)
def saved(instance: Note, **kwargs: Any) -> None:
    on_commit(board).emit("note", instance.shown())


@receiver(post_delete, sender=Note)
def deleted(instance: Note, **kwargs: Any) -> None:
    on_commit(board).emit("gone", instance.pk)


@receiver(user_logged_out)
def left(user: Any, **kwargs: Any) -> None:
    if user is not None:
        board.in_(f"user {user.pk}").disconnect_sockets()
