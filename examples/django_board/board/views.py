"""Pages: the board, and the one to join it."""

from django.contrib.auth import login
from django.contrib.auth.decorators import login_required
from django.contrib.auth.forms import UserCreationForm
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render


@login_required
def board(request: HttpRequest) -> HttpResponse:
    return render(request, "board/board.html")


def join(request: HttpRequest) -> HttpResponse:
    form = UserCreationForm(request.POST or None)
    if form.is_valid():
        login(request, form.save())
        return redirect("board")
    return render(request, "registration/login.html", {"form": form, "joins": True})
