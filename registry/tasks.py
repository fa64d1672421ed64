"""Periodic work of the registry, and the wake-ups that start some of it sooner."""

from __future__ import annotations

import time

import structlog
from celery import shared_task
from django.conf import settings

from core import jobs
from core.errors import Unavailable
from registry import scanning
from registry.artifacts import sweep
from registry.dependencies import keep_packages
from registry.models import ModelVersion
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


@shared_task
def scan_version(version_id: int) -> None:
    """Read the files of a version that was just registered, and the packages that they name; then look at the requests
    that waited for it."""
    version = ModelVersion.objects.live().select_related("evidence").filter(pk=version_id).first()
    if version is not None:
        _scan(version)


@shared_task
def scan_missed() -> None:
    """Read the files that no wake-up led to, and all of them again where the reading has learned something."""
    until = time.monotonic() + LONGEST_RUN
    while versions := scanning.next_missed():
        for version in versions:
            if not _scan(version):
                return
            if time.monotonic() > until:
                scanning.note_swept([version])
                jobs.after_commit("registry.tasks.scan_missed")
                return
        scanning.note_swept(versions)


def _scan(version: ModelVersion) -> bool:
    """Whether the store answered; the sweep asks again if not."""
    try:
        read = scanning.read_files(version)
        keep_packages(version)
    except Unavailable:
        log.warning("files_not_scanned", version=version.pk)
        return False
    if read:
        jobs.after_commit(settings.EVIDENCE_CHANGED_TASK, version.model_id)
    return True
