"""Wake-ups: both do the same work, one after a commit and one by the clock."""

from __future__ import annotations

import time

from celery import shared_task

from core import jobs
from notifications.delivery import send_next
from notifications.events import DRAIN
from notifications.fanout import fan_out

LONGEST_RUN = 60.0  # seconds; then other tasks get their turn


@shared_task(name=DRAIN)
def drain() -> None:
    """Fan out and send until nothing is due."""
    jobs.awake(DRAIN)
    until = time.monotonic() + LONGEST_RUN
    while fan_out() or send_next():
        if time.monotonic() > until:
            jobs.after_commit(DRAIN)
            return


@shared_task(name="notifications.tasks.sweep")
def sweep() -> None:
    """The guarantee: whatever a lost wake-up or a killed worker left behind."""
    drain()
