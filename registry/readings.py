"""Reading runs from the other tracking server: claim one row, ask outside any transaction, write down what came.

At least once: a claim whose worker was killed is due again when its lease ends, and reading twice finds the same.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import F

from core import jobs
from core.clock import now
from notifications.events import record
from registry import elsewhere
from registry.elsewhere import OutsideModel, Unread
from registry.events import EvidenceFailed, EvidenceRead, about_version
from registry.evidence import COMMIT_TAG, MAX_MLMODEL, NOTHING, VOLATILE_TAGS, of_mlmodel, refresh
from registry.models import ModelVersion, RegisteredModel, RunReading
from registry.sources import lies_within
from tracking.models import LoggedModel

log = structlog.get_logger(__name__)

LEASE = timedelta(seconds=90)  # outlasts the three answers that are waited for, each at most 20 s
# Seconds until the next try, after the first, second, … failure: nine tries, 40 hours in all.
SCHEDULE = (5, 30, 120, 600, 3600, 10_800, 43_200, 86_400)


@dataclass(frozen=True, slots=True)
class Found:
    """``data`` is as evidence has it; ``missing`` a sentence about what could not be read, or empty."""

    data: dict[str, Any]
    missing: str = ""


def read_next() -> bool:
    """Claim the reading that is due the longest and carry it out; whether there was one."""
    reading = _claim()
    if reading is None:
        return False
    try:
        found = _read(reading)
    except Unread as error:
        _note_failure(reading, error)
    else:
        _note_success(reading, found)
    return True


def _claim() -> RunReading | None:
    """Move the row that is due out of the others' sight; of two workers one finds its count moved already."""
    moment = now()
    due = RunReading.objects.filter(state=RunReading.State.WAITING, next_attempt_at__lte=moment)
    for reading in due.select_related("version__model", "version__evidence").order_by("next_attempt_at")[:10]:
        claimed = due.filter(pk=reading.pk, attempts=reading.attempts).update(
            attempts=F("attempts") + 1, next_attempt_at=moment + LEASE
        )
        if claimed:
            reading.attempts += 1
            return reading
    return None


def _read(reading: RunReading) -> Found:
    """Ask for the run, the logged model and the MLmodel file, as far as the version names them. Raises Unread."""
    version = reading.version
    if reading.attempts > len(SCHEDULE) + 1:
        raise Unread("Every try ended with the worker that made it.", is_final=True)
    if not elsewhere.is_configured():
        raise Unread("EXTERNAL_TRACKING_URI is not set any more.", is_final=True)
    data = NOTHING | {"origin": {"server": settings.EXTERNAL_TRACKING_URI}}
    logged = _logged_model(version)
    if logged is not None:
        data["params"] = logged.params
    if version.run_id:
        run = elsewhere.read_run(version.run_id)
        if logged is None and _is_proxied(version) and not lies_within(version.storage_location, run.artifact_uri):
            raise Unread(
                f"The source does not lie within the artifacts of the run {version.run_id}, which are at "
                f"{run.artifact_uri}. Register it with the run that it came from.",
                is_final=True,
            )
        tags = run.facts["tags"]
        data |= run.facts | {"commit": tags.get(COMMIT_TAG, "")}
        data["tags"] = {key: value for key, value in tags.items() if key not in VOLATILE_TAGS}
    text, missing = _mlmodel(version)
    return Found(data | of_mlmodel(text), missing)


def _logged_model(version: ModelVersion) -> OutsideModel | None:
    model_id = version.logged_model_id
    if not model_id or LoggedModel.objects.filter(model_id=model_id).exists():
        return None
    return elsewhere.read_logged_model(model_id)


def _mlmodel(version: ModelVersion) -> tuple[bytes, str]:
    """The MLmodel file, or why there is no signature: evidence without one is better than none."""
    if not _is_proxied(version):
        return (
            b"",
            f"The signature is not known: the files lie at {version.storage_location[:100]}, outside that server.",
        )
    try:
        return elsewhere.read_mlmodel(version.storage_location, most=MAX_MLMODEL), ""
    except Unread as error:
        return b"", f"The signature is not known: {error.message}"


def _is_proxied(version: ModelVersion) -> bool:
    return version.storage_location.startswith("mlflow-artifacts:")


@transaction.atomic
def _note_success(reading: RunReading, found: Found) -> None:
    version = _locked(reading.version)
    moment = now()
    kept = _mine(reading).update(
        state=RunReading.State.READ, read_at=moment, reason=found.missing, server=settings.EXTERNAL_TRACKING_URI
    )
    if not kept or version is None:
        return  # somebody else has taken over, or the version was deleted meanwhile
    evidence = refresh(version, outside=found.data)
    record(EvidenceRead(**_about(version), evidence=evidence.digest), actor=None)
    jobs.after_commit(settings.EVIDENCE_CHANGED_TASK, version.model_id)


@transaction.atomic
def _note_failure(reading: RunReading, error: Unread) -> None:
    version = _locked(reading.version)
    if not error.is_final and reading.attempts <= len(SCHEDULE):
        seconds = SCHEDULE[reading.attempts - 1] * random.uniform(1.0, 1.1)  # noqa: S311 (so that not all ask at once)
        _mine(reading).update(reason=error.message, next_attempt_at=now() + timedelta(seconds=seconds))
        return
    if _mine(reading).update(state=RunReading.State.FAILED, reason=error.message) and version is not None:
        log.warning("run_not_read", version=str(version), reason=error.message)
        told = [version.user_id] if version.user_id else []
        record(EvidenceFailed(**_about(version), reason=error.message), actor=None, audience=told)


def _mine(reading: RunReading) -> Any:
    """The row, as long as nobody has claimed it after us."""
    return RunReading.objects.filter(pk=reading.pk, attempts=reading.attempts, state=RunReading.State.WAITING)


def _locked(version: ModelVersion) -> ModelVersion | None:
    """The live version as it is now, its model locked; the order of locks is that of every write."""
    RegisteredModel.objects.select_for_update().get(pk=version.model_id)
    return ModelVersion.objects.live().select_related("model", "evidence").filter(pk=version.pk).first()


def _about(version: ModelVersion) -> dict[str, Any]:
    return {
        **about_version(version),
        "run_id": version.run_id,
        "server": settings.EXTERNAL_TRACKING_URI,
    }
