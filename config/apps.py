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
        """Refuse to start without somebody who answers the gate and somebody who keeps the events."""
        answerer = _named("CHANGE_GATE")
        if missing := [name for name in ("check", "questions") if not callable(getattr(answerer, name, None))]:
            raise ImproperlyConfigured(f"CHANGE_GATE {settings.CHANGE_GATE!r} cannot {' or '.join(missing)}.")
        if not callable(_named("EVENT_RECORDER")):
            raise ImproperlyConfigured(f"EVENT_RECORDER {settings.EVENT_RECORDER!r} is not a function.")


def _named(setting: str) -> object:
    path = getattr(settings, setting)
    try:
        found: object = import_string(path)
    except ImportError as error:
        raise ImproperlyConfigured(f"{setting} {path!r} cannot be imported: {error}.") from error
    return found
