"""Runs on another tracking server: noting that one is to be read, and having it read again."""

from __future__ import annotations

from django.conf import settings
from django.db import transaction
from django.db.models import Q

from accounts.models import User
from core import jobs
from core.answers import require
from core.clock import now
from core.errors import Conflict
from notifications.events import record
from registry import elsewhere, gate
from registry.events import EvidenceRequested, about_version
from registry.evidence import lies_elsewhere
from registry.gate import Change, ChangeKind
from registry.models import ModelVersion, RunReading
from registry.permissions import can_edit
from registry.services._rows import lock_version

READ_RUNS = "registry.tasks.read_runs"


def expect_run(version: ModelVersion) -> None:
    """Have the run of a new version read after the commit, where it is not ours. In the caller's transaction."""
    if elsewhere.is_configured() and lies_elsewhere(version):
        RunReading.objects.create(version=version, server=settings.EXTERNAL_TRACKING_URI)
        jobs.after_commit(READ_RUNS)


@transaction.atomic
def read_run_again(*, actor: User, version: ModelVersion) -> RunReading:
    """Have the run read now: for the first time, after it was given up, or once more. Tries start anew, unless one is
    under way. Raises Conflict where there is nothing to read elsewhere."""
    version = lock_version(version)
    require(can_edit(actor, version.model))
    gate.enforce(Change(ChangeKind.READ_RUN, actor, version.model, version))
    if not elsewhere.is_configured():
        raise Conflict(elsewhere.NOT_CONFIGURED)
    if not lies_elsewhere(version):
        raise Conflict(f"The run of {version} is not on another tracking server.")
    moment, server = now(), settings.EXTERNAL_TRACKING_URI
    fields = {"state": RunReading.State.WAITING, "server": server, "asked_at": moment, "next_attempt_at": moment}
    reading, _ = RunReading.objects.get_or_create(version=version, defaults=fields)
    RunReading.objects.filter(~Q(state=RunReading.State.WAITING), pk=reading.pk).update(attempts=0)
    RunReading.objects.filter(pk=reading.pk).update(**fields, reason="")
    record(
        EvidenceRequested(
            **about_version(version),
            run_id=version.run_id,
            server=server,
        ),
        actor=actor,
    )
    jobs.after_commit(READ_RUNS)
    reading.refresh_from_db()
    return reading
