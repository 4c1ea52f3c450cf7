"""Where the pages are."""

from django.urls import path

from . import views

urlpatterns = [
    path("", views.board, name="board"),
    path("join/", views.join, name="join"),
]
