"""Going back to the version that held a stage or an alias before, and which verdicts of then still hold for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.models import Exists, OuterRef, QuerySet, Subquery

from approvals.models import Review, TransitionRequest
from approvals.pins import ARTIFACTS, EVIDENCE, POLICY, Pins
from registry.gate import Target
from registry.models import RegisteredModel, StageHolding

# The holder of the target is another one by nature, so nobody looks at that.
_ALWAYS = frozenset({ARTIFACTS, POLICY})


def moved_since(review: Review, pins: Pins, dismissing: frozenset[str]) -> tuple[str, ...]:
    """Why a verdict on an earlier request does not hold for going back: the parts of the table that are others now."""
    voiding = _ALWAYS | (dismissing & {EVIDENCE})
    return tuple(part for part in pins.moved(Pins.of_review(review)) if part in voiding)


def verdicts_of_then(requests: Sequence[TransitionRequest | None]) -> list[tuple[Review, ...]]:
    """For each request what people said of the one that it returns to; of whoever has spoken about the new one, that
    counts alone. Nothing of a request that did not put the very version there."""
    returning = [asked for asked in requests if asked and asked.returns_to_id]
    if not returning:
        return [()] * len(requests)
    origins = TransitionRequest.objects.in_bulk({asked.returns_to_id for asked in returning})
    given: dict[int, list[Review]] = {}
    rows = Review.objects.current().filter(request__in=origins, person__is_active=True)
    for review in rows.select_related("reviewer", "person").order_by("id"):
        given.setdefault(review.request_id, []).append(review)
    mine = Review.objects.filter(request__in=[asked.pk for asked in returning if asked.pk])
    spoken = set(mine.values_list("request_id", "person_id"))

    def of(asked: TransitionRequest | None) -> tuple[Review, ...]:
        origin = origins.get(asked.returns_to_id) if asked and asked.returns_to_id else None
        if asked is None or origin is None or not _put_it_there(origin, asked):
            return ()
        return tuple(review for review in given.get(origin.pk, ()) if (asked.pk, review.person_id) not in spoken)

    return [of(asked) for asked in requests]


def _put_it_there(origin: TransitionRequest, asked: TransitionRequest) -> bool:
    same = (origin.version_id, origin.asks_for) == (asked.version_id, asked.asks_for)
    return same and origin.state == TransitionRequest.State.APPLIED


def request_behind(holding: StageHolding) -> TransitionRequest | None:
    """The request that put a version there. Where that was a return as well, the one whose reviews carried it."""
    by_request = TransitionRequest.objects.select_related("returns_to")
    asked = by_request.filter(pk=holding.request_id).first() if holding.request_id else None
    if asked and asked.returns_to and not asked.reviews.current().approvals().exists():
        return asked.returns_to
    return asked


def holding_before(model: RegisteredModel, target: Target) -> StageHolding | None:
    """Of the version, another than who has it now, that had the target last and is still there."""
    where = {"model": model, "target_kind": target.kind, "target": target.name}
    now = StageHolding.objects.filter(until=None, **where).order_by("-since", "-id").first()
    rows = _earlier(**where).select_related("version__model")
    return (rows.exclude(version=now.version_id) if now else rows).first()


def number_before() -> Subquery:
    """For a query of present holdings: the number of the version that each would return to; null for none."""
    same = {name: OuterRef(name) for name in ("model", "target_kind", "target")}
    return Subquery(_earlier(**same).exclude(version=OuterRef("version")).values("version__version")[:1])


def _earlier(**where: Any) -> QuerySet[StageHolding]:
    """Holdings that have ended, of live versions that do not hold the target again; the last first."""
    again = StageHolding.objects.filter(
        until=None, version=OuterRef("version"), target_kind=OuterRef("target_kind"), target=OuterRef("target")
    )
    ended = StageHolding.objects.filter(until__isnull=False, version__deleted_at=None, **where)
    return ended.exclude(Exists(again)).order_by("-since", "-id")
