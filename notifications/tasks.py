"""Wake-ups: both do the same work, one after a commit and one by the clock."""

from __future__ import annotations

from celery import shared_task

from notifications.delivery import send_due
from notifications.fanout import fan_out

ROUNDS = 50  # then let other tasks run; what is left, the next wake-up finds


@shared_task(name="notifications.tasks.drain")
def drain() -> None:
    """Fan out and send until nothing is due."""
    for _ in range(ROUNDS):
        if not fan_out() and not send_due():
            return
    drain.delay()


@shared_task(name="notifications.tasks.sweep")
def sweep() -> None:
    """The guarantee: whatever a lost wake-up or a killed worker left behind."""
    drain()
