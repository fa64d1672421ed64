"""The three doors. Health checks stand outside all of them."""

from __future__ import annotations

from django.urls import include, path

from web import health

urlpatterns = [
    path("health", health.live, name="health_live"),
    path("health/live", health.live, name="health_live"),
    path("health/ready", health.ready, name="health_ready"),
    path("", include("web.mlflow.urls")),
    path("api/v1/", include("web.api.urls")),
    path("", include("web.pages.urls")),
]
