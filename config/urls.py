"""The URL table: three doors and the health checks."""

from __future__ import annotations

from django.urls import include, path

urlpatterns = [
    path("", include("web.urls")),
]
