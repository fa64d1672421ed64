"""The URL table: three doors and the health checks."""

from __future__ import annotations

from django.urls import include, path

urlpatterns = [
    path("", include("web.urls")),
]

handler400 = "web.errors.bad_request"
handler403 = "web.errors.forbidden"
handler404 = "web.errors.not_found"
handler500 = "web.errors.server_error"
