"""The way from a transaction to a Celery task: by name, after the commit, and never at the user's expense."""

from __future__ import annotations

import time
from typing import Any

import structlog
from celery import current_app
from django.db import transaction
from kombu.exceptions import OperationalError

log = structlog.get_logger(__name__)

PAUSE = 10.0  # seconds
_broker = {"dead_until": 0.0}  # of this process, in the time of time.monotonic()


def after_commit(task: str, *args: Any) -> None:
    """Send ``task`` once the surrounding transaction has committed.

    A wake-up, not a promise: whatever must happen is a row that a periodic task finds as well, so a dead
    broker is logged and not raised.
    """
    transaction.on_commit(lambda: _send(task, args))


def _send(task: str, args: tuple[Any, ...]) -> None:
    """Asking a broker that hangs costs seconds, so after a failure nobody in this process asks for a while."""
    if time.monotonic() < _broker["dead_until"]:
        return
    try:
        current_app.send_task(task, args=args, retry=False)
    except (OperationalError, OSError) as error:
        _broker["dead_until"] = time.monotonic() + PAUSE
        log.warning("broker_unreachable", task=task, error=str(error), no_wake_ups_for_seconds=PAUSE)
