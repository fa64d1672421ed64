"""Asking somebody by name to look at a request, and stepping back from one. Neither is a verdict, and neither ever
makes a requirement met: whose approval is needed is the policy's to say."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q

from accounts.models import User
from approvals.audience import askers, who_may_read
from approvals.events import ReviewerAsked, ReviewerRecused, ReviewerReleased, ReviewerReturned, about
from approvals.models import Look, Review, Reviewer, TransitionRequest
from approvals.permissions import can_ask_for_review, can_be_asked, can_recuse, can_step_in_again, can_withdraw_ask
from approvals.pins import Pins
from approvals.services.decisions import dismiss, lock_pending, remember_stand, take_stock
from approvals.standing import standing_of
from core.answers import require
from core.clock import now
from core.errors import Conflict, Invalid, NotFound
from core.formatting import relative_time
from notifications.events import record

REMINDED_AFTER = timedelta(days=1)
MOST_ASKED = 20
LONGEST_REASON = 250


@transaction.atomic
def ask_for_review(*, actor: User, review_request: TransitionRequest, person: User) -> Reviewer:
    """Ask a person to look: they are told, and it waits for them until they have said something. Asked again they are
    reminded, whoever asks, once a day at most."""
    locked = lock_pending(review_request)
    require(can_ask_for_review(actor, locked))
    require(can_be_asked(person, locked))
    if locked.reviews.current().filter(person=person).exists():
        raise Conflict(f"{person.display_name} has given a verdict already. Mention them in a comment instead.")
    part = _part_of(person, locked) or Reviewer(request=locked, person=person)
    if part.recused_at:
        raise Conflict(f"{person.display_name} stepped back from this review.")
    if part.asked_at and now() < part.asked_at + REMINDED_AFTER:
        when = relative_time(part.asked_at, now=now())
        raise Conflict(f"{person.display_name} was asked {when}, and is told of it once a day at most.")
    told_lately = Q(asked_by__isnull=False) | Q(asked_at__gt=now() - REMINDED_AFTER)  # even if asked no longer
    if part.asked_by is None and locked.reviewers.filter(told_lately).exclude(pk=part.pk).count() >= MOST_ASKED:
        raise Invalid(f"{MOST_ASKED} people are asked already, and nobody is left to feel asked.", field="person")

    part.asked_by, part.asked_at = actor, now()
    part.save()
    record(ReviewerAsked(**about(locked), reviewer=person.username), actor=actor, audience=[person.pk])
    return part


@transaction.atomic
def withdraw_ask(*, actor: User, review_request: TransitionRequest, person: User) -> None:
    """Ask them no longer. When they were last told is kept, so that asking anew is no way to tell them more often."""
    locked = lock_pending(review_request)
    part = _part_of(person, locked)
    if part is None or part.asked_by is None:
        raise NotFound(f"Nobody has asked {person.display_name} for a review of request {locked.pk}.")
    require(can_withdraw_ask(actor, part))

    part.asked_by = None
    part.save(update_fields=["asked_by"])
    record(ReviewerReleased(**about(locked), reviewer=person.username), actor=actor)


@transaction.atomic
def recuse(*, actor: User, review_request: TransitionRequest, reason: str = "") -> Reviewer:
    """Step back: it no longer waits for this person, and an approval that they gave counts no longer. What they object
    to stands until it is answered, else stepping back could open the gate."""
    reason = " ".join(reason.split())
    if len(reason) > LONGEST_REASON or "\x00" in reason:
        raise Invalid(f"A reason is a text of at most {LONGEST_REASON} characters.", field="reason")
    locked = lock_pending(review_request)
    part = _part_of(actor, locked) or Reviewer(request=locked, person=actor)
    if part.recused_at:
        raise Conflict("You have stepped back from this review already; nothing was changed.")
    require(can_recuse(actor, locked, take_stock(locked), part if part.pk else None))

    part.recused_at, part.recused_reason, part.asked_by = now(), reason, None
    part.save()
    _remember_recused(locked)
    stepped_back = f"{actor.username} stepped back{f': {reason}' if reason else ''}"
    for review in locked.reviews.current().filter(person=actor, decision=Review.Decision.APPROVE):
        dismiss(locked, review, stepped_back, actor=actor)
    remember_stand(locked, standing_of(locked))
    audience = who_may_read(locked.model, askers(locked))
    record(ReviewerRecused(**about(locked), comment=reason), actor=actor, audience=audience)
    return part


@transaction.atomic
def step_in_again(*, actor: User, review_request: TransitionRequest) -> Reviewer:
    """Take part again. What was withdrawn stays withdrawn: it waits for a new verdict."""
    locked = lock_pending(review_request)
    require(can_step_in_again(actor))
    part = _part_of(actor, locked)
    if part is None or part.recused_at is None:
        raise Conflict("You have not stepped back from this review; nothing was changed.")

    part.recused_at, part.recused_reason = None, ""
    part.save(update_fields=["recused_at", "recused_reason"])
    _remember_recused(locked)
    remember_stand(locked, take_stock(locked))
    record(ReviewerReturned(**about(locked)), actor=actor, audience=who_may_read(locked.model, askers(locked)))
    return part


def note_look(*, actor: User, review_request: TransitionRequest, pins: Pins, at: datetime) -> None:
    """Remember that a person looked at a request ``at`` a moment, and what is on the table. It merely says that
    somebody was here: no event, and nothing is decided on it."""
    mine = Look(
        request=review_request,
        person=actor,
        at=at,
        evidence=pins.evidence,
        policy_revisions=list(pins.policy_revisions),
        baseline_id=pins.baseline_id,
    )
    Look.objects.bulk_create(
        [mine],
        update_conflicts=True,
        unique_fields=["request", "person"],
        update_fields=["at", "evidence", "policy_revisions", "baseline"],
    )


def _remember_recused(locked: TransitionRequest) -> None:
    recused = locked.reviewers.filter(recused_at__isnull=False).order_by("person")
    locked.recused = list(recused.values_list("person", flat=True))
    locked.save(update_fields=["recused"])


def _part_of(person: User, locked: TransitionRequest) -> Reviewer | None:
    return locked.reviewers.filter(person=person.person_id).select_related("asked_by").first()
