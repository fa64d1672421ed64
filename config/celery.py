"""The Celery application. Tasks are wake-ups: what must happen is a row, and the periodic sweep finds it as well."""

from __future__ import annotations

import os

from celery import Celery
from celery.signals import celeryd_init, setup_logging, worker_process_init
from django.conf import settings
from django_structlog.celery.steps import DjangoStructLogInitStep

from config.linux import end_with

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("countersign")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.steps["worker"].add(DjangoStructLogInitStep)


@setup_logging.connect
def _keep_our_logging(**_kwargs: object) -> None:
    """Celery would otherwise replace the handlers that Django has set up from settings.LOGGING."""
    assert settings.LOGGING


@celeryd_init.connect
def _leave_no_orphan(**_kwargs: object) -> None:
    """Celery's processes ask to be killed with the worker that forks them, but not whether it was killed before they
    asked. Nor would they hear it: each keeps the pipes of the others open, and two of them wait for ever."""
    worker = os.getpid()

    def end_with_the_worker(**_kwargs: object) -> None:
        if os.getpid() != worker:  # the pool "solo" works in the worker itself
            end_with(worker)

    worker_process_init.connect(end_with_the_worker, weak=False)
