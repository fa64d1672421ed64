"""The way from a transaction to a Celery task: by name, after the commit, and never at the user's expense."""

from __future__ import annotations

from typing import Any

import structlog
from celery import current_app
from django.db import transaction
from kombu.exceptions import OperationalError

log = structlog.get_logger(__name__)


def after_commit(task: str, *args: Any) -> None:
    """Send ``task`` once the surrounding transaction has committed.

    A wake-up, not a promise: whatever must happen is a row that a periodic task finds as well, so a dead
    broker is logged and not raised.
    """
    transaction.on_commit(lambda: _send(task, args))


def _send(task: str, args: tuple[Any, ...]) -> None:
    try:
        current_app.send_task(task, args=args, retry=False)
    except (OperationalError, OSError) as error:
        log.warning("broker_unreachable", task=task, error=str(error))
