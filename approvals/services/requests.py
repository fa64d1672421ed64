"""Opening, withdrawing and readying requests."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.db import transaction

from accounts.models import User
from approvals.audience import participants, who_may_read
from approvals.events import RequestOpened, RequestRescheduled, RequestWithdrawn, about
from approvals.models import TransitionRequest
from approvals.permissions import can_mark_ready, can_request, can_reschedule, can_withdraw
from approvals.policy import moment
from approvals.returning import holding_before, request_behind
from approvals.services.comments import checked_comment, tell_of_mention
from approvals.services.decisions import (
    apply,
    close,
    expire_if_due,
    lock_pending,
    remember_stand,
    reopen,
    take_stock,
)
from approvals.standing import Standing, standing_of
from core.answers import require
from core.clock import now
from core.errors import AlreadyAsked, Conflict, Invalid
from notifications.events import record
from registry import evidence
from registry.gate import Change, Target
from registry.models import ModelVersion, RegisteredModel, Stage, TargetKind
from registry.permissions import can_read
from registry.services.aliases import check_alias

State = TransitionRequest.State
FURTHEST = timedelta(days=366)


def open_request(
    *,
    actor: User,
    version: ModelVersion,
    target: Target,
    comment: str = "",
    archive_existing: bool = True,
    not_before: datetime | None = None,
) -> TransitionRequest:
    """Ask that a version gets a stage or an alias, at ``not_before`` at the earliest. Whoever can see it may ask.

    Pins what it is judged on, tells the people who can clear what is unmet, and is applied at once when nothing is.
    """
    return _open(
        actor=actor,
        version=version,
        target=target,
        comment=comment,
        archive_existing=archive_existing,
        not_before=not_before,
    )


@transaction.atomic
def request_rollback(
    *, actor: User, model: RegisteredModel, target: Target, to: int, comment: str = ""
) -> TransitionRequest:
    """Ask that version ``to``, which held a stage or an alias before, gets it again. Conflict when going back means
    another version by now: a second press must not bring back what the first one took away.

    What was said of the request that put it there counts for this one, as far as it was about the same; with nothing
    else unmet it is applied at once. Where it got there without a request, this is a request like any other.
    """
    require(can_read(actor, model))
    if target.kind == TargetKind.ALIAS:
        check_alias(target.name)
    model = RegisteredModel.objects.select_for_update().get(pk=model.pk)
    before = holding_before(model, target)
    if before is None:
        raise Conflict(f"No other version of {model} held {target} before: there is nothing to return to.")
    if before.version.version != to:
        raise Conflict(
            f"Who holds {target} has changed: going back means version {before.version.version} now, not version {to}. "
            "Nothing was changed."
        )
    return _open(actor=actor, version=before.version, target=target, comment=comment, returns_to=request_behind(before))


@transaction.atomic
def _open(
    *,
    actor: User,
    version: ModelVersion,
    target: Target,
    comment: str,
    archive_existing: bool = True,
    not_before: datetime | None = None,
    returns_to: TransitionRequest | None = None,
) -> TransitionRequest:
    require(can_request(actor, version))
    comment = checked_comment(comment)
    not_before = _checked_moment(not_before)
    model = RegisteredModel.objects.select_for_update().get(pk=version.model_id)
    version = ModelVersion.objects.select_related("user").get(pk=version.pk)
    version.model = model
    _check_target(version, target)
    pending = TransitionRequest.objects.pending().for_target(target).filter(version=version, requester=actor).first()
    if pending:
        raise AlreadyAsked(
            f"You have asked for this already: request {pending.pk}, {settings.BASE_URL}{pending.get_absolute_url()}"
        )

    version.evidence = evidence.refresh(version)
    review_request = TransitionRequest(
        model=model,
        version=version,
        target_kind=target.kind,
        target=target.name,
        from_stage=version.current_stage,
        requester=actor,
        comment=comment,
        archive_existing=archive_existing,
        not_before=not_before,
        returns_to=returns_to,
        digest=version.digest,
        evidence=version.evidence,
    )
    standing = standing_of(review_request)
    _check_lives_until(not_before, standing)
    review_request.policy_revisions = list(standing.pins.policy_revisions)
    review_request.baseline_id = standing.pins.baseline_id
    review_request.updated_at = review_request.created_at
    review_request.save()
    remember_stand(review_request, standing)
    audience = who_may_read(model, standing.reviewers)
    record(
        RequestOpened(**about(review_request), comment=comment, waiting_for=standing.unmet),
        actor=actor,
        audience=audience,
    )
    tell_of_mention(actor=actor, review_request=review_request, text=comment, heard=audience)
    if standing.is_satisfied:
        apply(review_request, actor=actor, standing=standing)
    return review_request


def request_after_refusal(change: Change) -> TransitionRequest:
    """The request for a direct move that the gate refused with ``open_request``: the pending one, or a new one.

    For the door, after the rollback: the request has a transaction of its own.
    """
    if change.version is None or change.entering is None:
        raise Conflict("There is nothing to ask for: this change puts no version anywhere.")
    mine = TransitionRequest.objects.pending().for_target(change.entering)
    pending = mine.filter(version=change.version, requester=change.actor).first()
    if pending:
        return pending
    return open_request(
        actor=change.actor,
        version=change.version,
        target=change.entering,
        comment="Opened by a direct move that the policy refused.",
        archive_existing=bool(change.replaces) or change.entering.kind == TargetKind.ALIAS,
    )


@transaction.atomic
def withdraw_request(*, actor: User, review_request: TransitionRequest, comment: str = "") -> TransitionRequest:
    """Take a request back: its requester, or who manages the model."""
    comment = checked_comment(comment)
    locked = lock_pending(review_request)
    require(can_withdraw(actor, locked))

    close(locked, State.WITHDRAWN, actor=actor, reason=comment, standing=standing_of(locked))
    record(
        RequestWithdrawn(**about(locked), comment=comment), actor=actor, audience=participants(locked.version, locked)
    )
    return locked


@transaction.atomic
def reschedule_request(
    *, actor: User, review_request: TransitionRequest, not_before: datetime | None
) -> TransitionRequest:
    """Say anew when a request is carried out at the earliest: its requester, or who manages the model. ``None``: as
    soon as all is met, which may be at once."""
    not_before = _checked_moment(not_before)
    locked = lock_pending(review_request)
    require(can_reschedule(actor, locked))
    if locked.not_before == not_before:
        raise Conflict(f"Request {locked.pk} is scheduled like this already; nothing was changed.")
    if expire_if_due(locked, take_stock(locked)):
        return locked

    locked.not_before, locked.updated_at = not_before, now()
    locked.save(update_fields=["not_before", "updated_at"])
    standing = standing_of(locked)
    _check_lives_until(not_before, standing)
    remember_stand(locked, standing)
    record(
        RequestRescheduled(**about(locked), not_before=not_before),
        actor=actor,
        audience=participants(locked.version, locked),
    )
    if locked.state == State.OPEN and standing.is_satisfied:
        apply(locked, actor=actor, standing=standing)
    return locked


def _checked_moment(not_before: datetime | None) -> datetime | None:
    """In UTC, on the minute: what people are shown is what counts."""
    if not_before is None:
        return None
    if not_before.tzinfo is None:
        raise Invalid("Say in which time zone, as in 2026-05-03T14:00Z.", field="not_before")
    if not now() < not_before <= now() + FURTHEST:
        raise Invalid("Choose a moment in the future, at most a year ahead.", field="not_before")
    minute = not_before.astimezone(UTC).replace(second=0, microsecond=0)
    return minute if minute == not_before else minute + timedelta(minutes=1)


def _check_lives_until(not_before: datetime | None, standing: Standing) -> None:
    if not_before and standing.expiry and standing.expiry[0] <= not_before:
        ends, rule = standing.expiry
        raise Invalid(
            f"By then the request has expired: the policy {rule.name} gives it until {moment(ends, beside=now())}.",
            field="not_before",
        )


@transaction.atomic
def mark_ready(*, actor: User, review_request: TransitionRequest, comment: str = "") -> TransitionRequest:
    """The requester's answer to a call for changes: look again. Those who called are asked anew."""
    comment = checked_comment(comment)
    locked = lock_pending(review_request)
    if locked.state != State.NEEDS_CHANGES:
        raise Conflict(f"Nobody has asked for changes to request {locked.pk}; nothing was changed.")
    require(can_mark_ready(actor, locked))
    if expire_if_due(locked, take_stock(locked)):
        return locked
    if locked.state == State.NEEDS_CHANGES:
        reopen(locked, actor=actor, reason=f"{actor.display_name} says it is ready", comment=comment)
    standing = standing_of(locked)
    remember_stand(locked, standing)
    if standing.is_satisfied:
        apply(locked, actor=actor, standing=standing)
    return locked


def _check_target(version: ModelVersion, target: Target) -> None:
    if version.deleted_at is not None:
        raise Conflict(f"{version} is deleted.")
    if target.kind == TargetKind.STAGE:
        if target.name not in Stage.values:
            raise Invalid(f"There is no stage {target.name}: choose one of {', '.join(Stage.values)}.", field="stage")
        if target.name == version.current_stage:
            raise Invalid(f"{version} is in {target.name} already.", field="stage")
        return
    check_alias(target.name)
    if version.model.aliases.get(target.name) == version.version:
        raise Invalid(f"{version} is {target} already.", field="alias")
