"""What is changed in the admin's pages shows on the board, too."""

from django.contrib import admin

from .models import Note

admin.site.register(Note)
