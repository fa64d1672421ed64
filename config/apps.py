"""What must hold before any process of Countersign serves anybody."""

from __future__ import annotations

from django.apps import AppConfig
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from config.celery import app as celery_app

__all__ = ["ConfigConfig", "celery_app"]  # the import makes it the application that tasks are sent through


class ConfigConfig(AppConfig):
    name = "config"

    def ready(self) -> None:
        """Refuse to start without somebody who answers the gate."""
        try:
            answerer = import_string(settings.CHANGE_GATE)
        except ImportError as error:
            raise ImproperlyConfigured(f"CHANGE_GATE {settings.CHANGE_GATE!r} cannot be imported: {error}.") from error
        if missing := [name for name in ("check", "questions") if not callable(getattr(answerer, name, None))]:
            raise ImproperlyConfigured(f"CHANGE_GATE {settings.CHANGE_GATE!r} cannot {' or '.join(missing)}.")
