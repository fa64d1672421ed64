"""The Celery application. Tasks are wake-ups: what must happen is a row, and the periodic sweep finds it as well."""

from __future__ import annotations

import os

from celery import Celery
from celery.signals import setup_logging
from django.conf import settings
from django_structlog.celery.steps import DjangoStructLogInitStep

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("countersign")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.steps["worker"].add(DjangoStructLogInitStep)


@setup_logging.connect
def _keep_our_logging(**_kwargs: object) -> None:
    """Celery would otherwise replace the handlers that Django has set up from settings.LOGGING."""
    assert settings.LOGGING
