"""Periodic work of the registry, and the wake-ups that start some of it sooner."""

from __future__ import annotations

import time

import structlog
from celery import shared_task

from core import jobs
from core.errors import Unavailable
from registry.artifacts import sweep
from registry.readings import read_next

log = structlog.get_logger(__name__)

LONGEST_RUN = 60.0  # seconds; then other tasks get their turn


@shared_task
def sweep_storage() -> None:
    """Remove what broken and abandoned uploads left behind. A store that does not answer is asked next time."""
    try:
        uploads, orphans = sweep.drop_abandoned_uploads(), sweep.remove_orphans()
    except Unavailable:
        log.warning("storage_not_swept")
        return
    if uploads or orphans:
        log.info("storage_swept", uploads=uploads, orphans=orphans)


@shared_task
def read_runs() -> None:
    """Read runs from the other tracking server until none is due: after a commit, and by the clock."""
    until = time.monotonic() + LONGEST_RUN
    while read_next():
        if time.monotonic() > until:
            jobs.after_commit("registry.tasks.read_runs")
            return
