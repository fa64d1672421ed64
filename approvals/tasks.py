"""Wake-ups: something moved, look at the requests that are judged on it. Nothing here is needed for the gate to hold,
because every evaluation reads everything again; it keeps the record and the pages up to date."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

import structlog
from celery import shared_task
from django.db import transaction

from approvals.models import TransitionRequest
from approvals.policy import Policy, begins_between, ends_between
from approvals.rulebook import Rulebook
from approvals.services.decisions import reconsider
from core.clock import now
from core.errors import CountersignError
from registry import evidence
from registry.models import ModelVersion, RegisteredModel

log = structlog.get_logger(__name__)
LOOKS_BACK = timedelta(minutes=5)


@shared_task
def run_changed(run_id: str) -> None:
    """A run with versions logged something: take the evidence of each anew, then look at the requests of their models,
    which may compare with them."""
    versions = ModelVersion.objects.live().filter(run_id=run_id).select_related("model", "evidence").order_by("pk")
    for version in versions:
        with transaction.atomic():
            RegisteredModel.objects.select_for_update().get(pk=version.model_id)
            version.refresh_from_db(fields=["evidence"])
            evidence.refresh(version)
    _reconsider(TransitionRequest.objects.pending().filter(model__in={version.model_id for version in versions}))


@shared_task
def reconsider_model(model_id: int) -> None:
    """Something moved within a model: its pending requests may stand differently."""
    _reconsider(TransitionRequest.objects.pending().filter(model_id=model_id))


@shared_task
def reconsider_pending() -> None:
    """A policy came, changed or went: every pending request may stand differently."""
    _reconsider(TransitionRequest.objects.pending())


@shared_task
def carry_out_due() -> None:
    """Every minute: what waited for a moment that has come, and what a freeze stops or lets go from now on. Looks back
    a few of them, should a worker have been away; ``reconsider_pending`` finds the rest."""
    until = now()
    since = until - LOOKS_BACK
    _reconsider(TransitionRequest.objects.due(since=since, until=until))
    turned = [rule for rule in Rulebook.load().rules if rule.read and _turns(rule.read, since, until)]
    if turned:
        pending = TransitionRequest.objects.pending().select_related("model")
        _reconsider(
            asked for asked in pending if any(rule.applies_to(asked.model.name, asked.model.tags) for rule in turned)
        )


def _turns(read: Policy, since: datetime, until: datetime) -> bool:
    return begins_between(read.freeze, since, until) or ends_between(read.freeze, since, until)


def _reconsider(requests: Iterable[TransitionRequest]) -> None:
    """Each in its own transaction: one that cannot be applied keeps no other waiting, nor does one that fails by a
    fault of ours. That fault is raised once all have been looked at."""
    faults: list[Exception] = []
    for review_request in requests:
        try:
            reconsider(review_request)
        except CountersignError as error:
            log.warning("request_not_applied", request=review_request.pk, reason=error.message)
        except Exception as error:
            log.exception("request_not_looked_at", request=review_request.pk)
            faults.append(error)
    if faults:
        raise faults[0]
