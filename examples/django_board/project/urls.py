"""The board is the only page; the rest is Django's."""

from django.contrib import admin
from django.contrib.staticfiles.urls import staticfiles_urlpatterns
from django.urls import include, path

urlpatterns = [
    path("", include("board.urls")),
    path("", include("django.contrib.auth.urls")),
    path("admin/", admin.site.urls),
    *staticfiles_urlpatterns(),     # gunicorn serves them while DEBUG is on; elsewhere it is the proxy's work
]
