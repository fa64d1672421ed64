"""How a request moves from state to state: lock, take stock, apply, close. The public services are built from these."""

from __future__ import annotations

from collections.abc import Iterable

from django.conf import settings
from django.db import transaction

from accounts.models import User
from approvals.audience import askers, participants, who_may_hear_of_bypass, who_may_read
from approvals.consequences import archives, replaced
from approvals.events import (
    RequestExpired,
    RequestOverdue,
    RequestReady,
    RequestSuperseded,
    RequestUpdated,
    ReviewDismissed,
    TransitionApplied,
    TransitionBypassed,
    TransitionRolledBack,
    about,
)
from approvals.models import Awaited, Review, TransitionRequest
from approvals.outlook import Outlook
from approvals.pins import BASELINE, EVIDENCE, Pins, in_words
from approvals.policy import span
from approvals.standing import Standing, standing_of
from core.clock import now
from core.errors import Conflict
from notifications.events import record
from registry import evidence
from registry import services as registry
from registry.gate import Permit
from registry.models import RegisteredModel, Stage, TargetKind

State = TransitionRequest.State
RECONSIDER_MODEL = "approvals.tasks.reconsider_model"


def lock(review_request: TransitionRequest) -> TransitionRequest:
    """The request as it is now, with its model row and its own row locked, in that order."""
    RegisteredModel.objects.select_for_update().get(pk=review_request.model_id)
    return TransitionRequest.objects.with_rows().select_for_update(of=("self",)).get(pk=review_request.pk)


def lock_pending(review_request: TransitionRequest) -> TransitionRequest:
    """``lock``, and Conflict with who decided and when if the request is closed."""
    locked = lock(review_request)
    if not locked.is_pending:
        raise Conflict(already(locked))
    return locked


def look_again(review_request: TransitionRequest) -> None:
    """Take stock in a transaction of its own: a move stays on record, and the next page shows it, even when what
    follows is refused."""
    with transaction.atomic():
        locked = lock_pending(review_request)
        expire_if_due(locked, take_stock(locked))


def check_seen(review_request: TransitionRequest, standing: Standing, saw: Pins) -> None:
    """Conflict when what somebody decides about is no longer what they saw."""
    if moved := standing.pins.moved(saw):
        url = settings.BASE_URL + review_request.get_absolute_url()
        raise Conflict(f"What you saw has changed: {in_words(moved)}. Look again at {url}")


def already(review_request: TransitionRequest) -> str:
    """Who closed this request and when, as a sentence."""
    by = f" by {review_request.closed_by.display_name}" if review_request.closed_by else ""
    at = f" on {review_request.closed_at:%Y-%m-%d at %H:%M} UTC" if review_request.closed_at else ""
    done = review_request.get_state_display().lower()
    return f"Request {review_request.pk} was already {done}{by}{at}; nothing was changed."


@transaction.atomic
def reconsider(review_request: TransitionRequest) -> TransitionRequest:
    """Look at a request because something may have moved; apply it, in its requester's name, when nothing is unmet."""
    locked = lock(review_request)
    if not locked.is_pending:
        return locked
    standing = take_stock(locked)
    if expire_if_due(locked, standing):
        return locked
    if locked.state == State.OPEN and standing.is_satisfied:
        apply(locked, actor=locked.requester, standing=standing)
    else:
        _remind_if_due(locked, standing)
    return locked


def _remind_if_due(review_request: TransitionRequest, standing: Standing) -> None:
    """Tell those whose turn it is that it still is: reviewers, or the requester who was asked for changes."""
    last = review_request.reminded_at or review_request.created_at
    if standing.remind_after is None or now() < last + standing.remind_after:
        return
    if review_request.state == State.NEEDS_CHANGES:
        awaited = askers(review_request)
    else:
        asked = review_request.reviewers.filter(asked_by__isnull=False).values_list("person", flat=True)
        awaited = {*standing.reviewers, *asked} - standing.known.recused
    if not (audience := who_may_read(review_request.model, awaited)):
        return
    review_request.reminded_at = now()
    review_request.save(update_fields=["reminded_at"])
    record(RequestOverdue(**about(review_request), waiting_for=standing.unmet), actor=None, audience=audience)


def expire_if_due(review_request: TransitionRequest, standing: Standing) -> bool:
    """Close a request whose time is up; whether it was."""
    if standing.expiry is None:
        return False
    ends, rule = standing.expiry
    if now() < ends:
        return False
    assert rule.read is not None and rule.read.reviews.expires_after is not None
    reason = f"Nobody decided it within the {span(rule.read.reviews.expires_after)} that the policy {rule.name} gives."
    close(review_request, State.EXPIRED, actor=None, reason=reason, standing=standing)
    record(
        RequestExpired(**about(review_request), comment=reason),
        actor=None,
        audience=participants(review_request.version, review_request),
    )
    return True


def remember_stand(review_request: TransitionRequest, standing: Standing) -> None:
    """Keep the inbox's answers beside the request: how it stands, and of whom an approval is still missing."""
    outlook = Outlook.of(standing).to_json()
    if review_request.outlook != outlook:
        review_request.outlook = outlook
        review_request.save(update_fields=["outlook"])
    rows = {(row.team, row.level): row.authors_too for row in review_request.awaited.all()}
    if rows == standing.awaited:
        return
    review_request.awaited.all().delete()
    Awaited.objects.bulk_create(
        Awaited(request=review_request, team=team, level=level, authors_too=authors_too)
        for (team, level), authors_too in standing.awaited.items()
    )


def take_stock(review_request: TransitionRequest) -> Standing:
    """Look at everything anew, under the lock: what moved since the pins is put on record and pinned, and the approvals
    that it voids are dismissed. New evidence answers a call for changes. Where another version has taken the target, a
    return to what was there before is a request like any other."""
    version = review_request.version
    version.evidence = evidence.refresh(version)
    standing = standing_of(review_request)
    pinned = Pins.of_request(review_request)
    moved = standing.pins.moved(pinned)
    what_moved = standing.drift  # against the pins as they are until now
    for review, parts in standing.void:
        dismiss(review_request, review, f"since then {in_words(parts)}", actor=None)
    remember_stand(review_request, standing)
    if not moved:
        return standing

    review_request.digest = standing.pins.digest
    review_request.evidence = version.evidence
    review_request.policy_revisions = list(standing.pins.policy_revisions)
    review_request.baseline_id = standing.pins.baseline_id
    review_request.updated_at = now()
    if BASELINE in moved:
        review_request.returns_to = None
    pinned_fields = ["digest", "evidence", "policy_revisions", "baseline", "returns_to", "updated_at"]
    review_request.save(update_fields=pinned_fields)
    record(
        RequestUpdated(
            **about(review_request), moved=what_moved, before=pinned.as_json(), after=standing.pins.as_json()
        ),
        actor=None,
        audience=who_may_read(review_request.model, askers(review_request)),
    )
    answered = EVIDENCE in moved and review_request.state == State.NEEDS_CHANGES
    if answered:
        reopen(review_request, actor=review_request.requester, reason="there is new evidence")
    if answered or BASELINE in moved:
        standing = standing_of(review_request)
        remember_stand(review_request, standing)
    return standing


def reopen(review_request: TransitionRequest, *, actor: User, reason: str, comment: str = "") -> None:
    """From "changes asked for" back to open: the calls for changes are answered, and who made them is asked again."""
    enter(review_request, State.OPEN)
    calls = review_request.reviews.current().filter(decision=Review.Decision.REQUEST_CHANGES)
    calls.update(dismissed_at=now(), dismissed_reason=f"answered: {reason}"[:300])
    record(
        RequestReady(**about(review_request), comment=comment),
        actor=actor,
        audience=participants(review_request.version, review_request),
    )


def apply(review_request: TransitionRequest, *, actor: User, standing: Standing, bypass: str = "") -> None:
    """Carry a satisfied request out, or with ``bypass``, which says why, one that is not: move the stage or the alias
    through the gate, close the request, tell everybody.

    The gate reads everything again with this very permit, so this function cannot be the hole.
    """
    archived = _move(review_request, actor=actor, standing=standing, permit=Permit(review_request.pk, bypass))
    if bypass:
        review_request.is_bypassed = True
        review_request.save(update_fields=["is_bypassed"])
    close(review_request, State.APPLIED, actor=actor, reason=bypass, standing=standing)
    _tell_applied(review_request, actor=actor, standing=standing, bypass=bypass, archived=archived)
    # The target has a new holder: approvals of other versions for it were given against the old one.
    rivals = TransitionRequest.objects.pending().for_target(review_request.asks_for)
    others = rivals.filter(model_id=review_request.model_id).with_rows()
    for other in others.select_for_update(of=("self",)).order_by("pk"):
        take_stock(other)


def _move(review_request: TransitionRequest, *, actor: User, standing: Standing, permit: Permit) -> tuple[int, ...]:
    """Through the gate; the numbers of the versions that are archived for it."""
    version = review_request.version
    if review_request.target_kind != TargetKind.STAGE:
        registry.set_alias(actor=actor, version=version, alias=review_request.target, permit=permit)
        return ()
    stage, archive = Stage(review_request.target), archives(review_request, standing)
    archived = replaced(review_request) if archive else ()
    registry.move_to_stage(actor=actor, version=version, stage=stage, archive_existing=archive, permit=permit)
    return archived


def _tell_applied(
    review_request: TransitionRequest, *, actor: User, standing: Standing, bypass: str, archived: tuple[int, ...]
) -> None:
    """First of the bypass, if it was one, then of the move, then of the return that it was."""
    said, version, baseline = about(review_request), review_request.version, review_request.baseline
    previous = baseline.version if baseline else None
    if bypass:
        blocking = tuple(rule.name for rule in standing.rules if rule.blocks)
        record(
            TransitionBypassed(**said, comment=bypass, unmet=standing.unmet, policies=blocking),
            actor=actor,
            audience=who_may_hear_of_bypass(review_request, standing.verdict.people),
        )
    record(
        TransitionApplied(
            **said,
            comment=review_request.comment,
            digest=version.digest,
            source=version.source,
            run_id=version.run_id,
            previous_version=previous,
            archived_versions=archived,
            approved_by=tuple(review.reviewer.display_name for review in standing.approvals),
            policies=tuple(rule.name for rule in standing.rules),
            bypassed=bool(bypass),
        ),
        actor=actor,
        audience=participants(version, review_request),
    )
    if returns_to := review_request.returns_to_id:
        record(
            TransitionRolledBack(
                **said, comment=review_request.comment, previous_version=previous, returns_to=returns_to
            ),
            actor=actor,
            audience=participants(version, TransitionRequest.objects.get(pk=returns_to)),
        )


def supersede(requests: Iterable[TransitionRequest], *, actor: User | None, reason: str) -> None:
    """Close requests whose question is settled: their version got there another way, or is gone."""
    for review_request in requests:
        close(review_request, State.SUPERSEDED, actor=actor, reason=reason)
        record(
            RequestSuperseded(**about(review_request), comment=reason),
            actor=actor,
            audience=participants(review_request.version, review_request),
        )


def close(
    review_request: TransitionRequest,
    state: State,
    *,
    actor: User | None,
    reason: str = "",
    standing: Standing | None = None,
) -> None:
    """Enter a final state, with who, when, why, and the verdict that stood at that moment."""
    enter(review_request, state)
    review_request.closed_at = review_request.updated_at
    review_request.closed_by = actor
    review_request.closed_reason = reason
    review_request.verdict = standing.verdict.to_json() if standing else None
    review_request.save(update_fields=["closed_at", "closed_by", "closed_reason", "verdict"])
    review_request.awaited.all().delete()


def enter(review_request: TransitionRequest, state: State) -> None:
    """Change the state as the table of moves allows; the row must be locked."""
    if state not in TransitionRequest.MOVES.get(review_request.state, ()):
        raise Conflict(already(review_request))
    review_request.state = state
    review_request.updated_at = now()
    review_request.save(update_fields=["state", "updated_at"])


def dismiss(review_request: TransitionRequest, review: Review, reason: str, *, actor: User | None) -> None:
    """Put on record that a verdict no longer counts. Its author and who asked are told."""
    Review.objects.filter(pk=review.pk).update(dismissed_at=now(), dismissed_reason=reason[:300])
    record(
        ReviewDismissed(**about(review_request), reviewer=review.reviewer.username, comment=reason),
        actor=actor,
        audience=who_may_read(review_request.model, {review.reviewer_id, *askers(review_request)}),
    )
