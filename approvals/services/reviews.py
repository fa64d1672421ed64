"""Submitting a verdict."""

from __future__ import annotations

from django.db import transaction

from accounts.models import Membership, User
from approvals.audience import participants
from approvals.events import RequestNeedsChanges, RequestRejected, ReviewApproved, ReviewChangesRequested, about
from approvals.models import Review, TransitionRequest
from approvals.permissions import can_review
from approvals.pins import Pins
from approvals.services.comments import checked_comment, tell_of_mention
from approvals.services.decisions import (
    apply,
    check_seen,
    close,
    enter,
    lock_pending,
    look_again,
    remember_stand,
    reopen,
    take_stock,
)
from approvals.standing import Standing, standing_of
from core.answers import require
from core.errors import Conflict, Invalid
from notifications.events import record
from registry.permissions import can_read

State = TransitionRequest.State
Decision = Review.Decision


def submit_review(
    *,
    actor: User,
    review_request: TransitionRequest,
    decision: str,
    comment: str = "",
    seen: str,
    archive_existing: bool | None = None,
) -> TransitionRequest:
    """Say approve, request_changes or reject about what ``seen`` names; the last needed approval applies the request.

    Conflict when the request is closed, or when what the reviewer saw is no longer what is on the table: that much
    is then on record, and nothing else has changed. A person's newer verdict replaces their older one.
    ``archive_existing`` of an approval, when given, replaces what was asked for; the last one that says so counts.
    """
    if decision not in Decision.values:
        raise Invalid(f"A decision is one of {', '.join(Decision.values)}.", field="decision")
    comment = checked_comment(comment, needed_for=_REASON_NEEDED.get(decision, ""))
    saw = Pins.from_token(seen)
    require(can_read(actor, review_request.model))
    look_again(review_request)
    with transaction.atomic():
        return _submit(
            actor=actor,
            review_request=review_request,
            decision=decision,
            comment=comment,
            saw=saw,
            archive_existing=archive_existing,
        )


_REASON_NEEDED: dict[str, str] = {
    Decision.REQUEST_CHANGES: "Say what should change: the requester needs a reason.",
    Decision.REJECT: "Say why: a rejection needs a reason.",
}


def _submit(
    *,
    actor: User,
    review_request: TransitionRequest,
    decision: str,
    comment: str,
    saw: Pins,
    archive_existing: bool | None,
) -> TransitionRequest:
    locked = lock_pending(review_request)
    standing = take_stock(locked)
    require(can_review(actor, locked, decision, standing))
    check_seen(locked, standing, saw)
    mine = locked.reviews.filter(person_id=actor.person_id, is_current=True).first()
    if mine and mine.dismissed_at is None and (mine.decision, mine.comment) == (decision, comment):
        raise Conflict(f"You have said this about request {locked.pk} already; nothing was changed.")

    review = _record_verdict(actor, locked, decision, comment, standing)
    if decision == Decision.REJECT:
        close(locked, State.REJECTED, actor=actor, reason=comment, standing=standing_of(locked))
        _tell(RequestRejected(**about(locked), comment=comment), actor, locked)
    elif decision == Decision.REQUEST_CHANGES:
        _tell(ReviewChangesRequested(**about(locked), comment=comment), actor, locked)
        if locked.state == State.OPEN:
            enter(locked, State.NEEDS_CHANGES)
            record(RequestNeedsChanges(**about(locked), comment=comment), actor=actor)
        remember_stand(locked, standing_of(locked))
    else:
        if archive_existing is not None:
            locked.archive_existing = archive_existing
            locked.save(update_fields=["archive_existing"])
        _tell(ReviewApproved(**about(locked), comment=comment, teams=tuple(review.teams)), actor, locked)
        if locked.state == State.NEEDS_CHANGES and not _calls_for_changes(locked):
            reopen(locked, actor=actor, reason="everybody who asked for changes has approved since")
        standing = standing_of(locked)
        remember_stand(locked, standing)
        if locked.state == State.OPEN and standing.is_satisfied:
            apply(locked, actor=actor, standing=standing)
    return locked


def _record_verdict(actor: User, locked: TransitionRequest, decision: str, comment: str, standing: Standing) -> Review:
    locked.reviews.filter(person_id=actor.person_id, is_current=True).update(is_current=False)
    locked.reviewers.filter(person_id=actor.person_id).update(asked_by=None, asked_at=None)
    teams = Membership.objects.filter(user_id=actor.person_id).order_by("team__name")
    return Review.objects.create(
        request=locked,
        reviewer=actor,
        person_id=actor.person_id,
        decision=decision,
        comment=comment,
        teams=list(teams.values_list("team__name", flat=True)),
        seen_digest=standing.pins.digest,
        seen_evidence=standing.pins.evidence,
        seen_policy_revisions=list(standing.pins.policy_revisions),
        seen_baseline_id=standing.pins.baseline_id,
    )


def _calls_for_changes(locked: TransitionRequest) -> bool:
    return locked.reviews.current().filter(decision=Decision.REQUEST_CHANGES).exists()


def _tell(
    event: RequestRejected | ReviewChangesRequested | ReviewApproved, actor: User, locked: TransitionRequest
) -> None:
    audience = participants(locked.version, locked)
    record(event, actor=actor, audience=audience)
    tell_of_mention(actor=actor, review_request=locked, text=event.comment, heard=audience)
