"""All that the review page shows of a request to one person."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from accounts.models import User
from approvals import services
from approvals.consequences import archives, consequences_of
from approvals.models import Comment, Look, Review, TransitionRequest
from approvals.permissions import can_bypass, can_mark_ready, can_reschedule, can_review, can_withdraw
from approvals.standing import Standing, standing_of
from core.clock import now
from registry.lineage import brief
from registry.models import ModelVersion
from web.pages.changes import changes_of
from web.pages.evidence import query_of
from web.pages.lineage import SMALL, Picture, picture_of
from web.pages.reviewers import Since, Undelivered, people_of, since, told_of
from web.pages.run_reading import outside_of
from web.pages.timeline import Newest, Place, Timeline, timeline_of
from web.pages.verdicts import Shown, shown_of, state_label
from web.signed_in import SignedInRequest

Decision = Review.Decision
MAX_ELSEWHERE = 5
LOOKS_ANEW = timedelta(minutes=10)


def context_of(
    request: SignedInRequest,
    review_request: TransitionRequest,
    *,
    looked: datetime | None = None,
    notes_look: bool = False,
) -> dict[str, Any]:
    """``looked`` is when this person looked before; with ``notes_look`` that is asked, and this look is remembered."""
    began = now()
    newest = Newest.of(review_request)
    standing = standing_of(review_request, read=newest.whole)
    look = review_request.look if notes_look else None
    if look is not None:
        looked = look.at
    told, undelivered = told_of(request.user, review_request)
    shown = shown_of(review_request, standing)
    changes = changes_of(review_request, standing, shown, query_of(request))
    timeline = _timeline(request, review_request, undelivered, newest, looked)
    moved = since(look, review_request, standing)
    if notes_look and _is_worth_noting(look, moved, timeline, began):
        services.note_look(actor=request.user, review_request=review_request, pins=standing.pins, at=began)
    return {
        "item": review_request,
        "model": review_request.model,
        "version": review_request.version,
        "standing": standing,
        **_verdict(review_request, standing, shown),
        "baseline": changes["holder"],
        "changes": changes,
        "lineage": _lineage(review_request, replaces=changes["holder"]),
        "timeline": timeline,
        "told": told,
        "newest": review_request.newest,
        "looked": looked,
        "looked_place": Place(looked, 0, 0) if looked else "",
        "since": moved,
        "threads_elsewhere": _threads_elsewhere(standing, review_request),
        "draft": f"request-{review_request.pk}-comment",
        **people_of(request.user, review_request, standing),
        **_may(request.user, review_request, standing),
        **outside_of(request, review_request.version),
    }


def _verdict(review_request: TransitionRequest, standing: Standing, shown: Shown) -> dict[str, Any]:
    """Where it stands, and what happens when it is applied."""
    met, total = shown.verdict.counts
    return {
        "shown": shown,
        "state_label": state_label(review_request, shown.verdict),
        "met": met,
        "total": total,
        "consequences": consequences_of(review_request, standing) if review_request.is_pending else None,
        "archives": archives(review_request, standing),
        "apply_label": f"Approve and {'return' if review_request.returns_to_id else 'promote'}",
    }


def _may(user: User, review_request: TransitionRequest, standing: Standing) -> dict[str, Any]:
    """What this person may do, each with the reason where not, and what their approval would be worth."""
    answers = {decision: can_review(user, review_request, decision, standing) for decision in Decision}
    is_pending = review_request.is_pending
    return {
        "approve": answers[Decision.APPROVE],
        "ask_changes": answers[Decision.REQUEST_CHANGES],
        "reject": answers[Decision.REJECT],
        "withdraw": can_withdraw(user, review_request),
        "bypass": can_bypass(user, review_request, standing),
        "reschedule": can_reschedule(user, review_request),
        "ready": can_mark_ready(user, review_request),
        "may_vouch": is_pending and _may_vouch(standing, user),
        "is_last": is_pending and bool(answers[Decision.APPROVE]) and standing.would_apply(user),
        "counts_for": _counts_for(standing, user),
    }


def _timeline(
    request: SignedInRequest,
    review_request: TransitionRequest,
    undelivered: list[Undelivered],
    newest: Newest,
    looked: datetime | None,
) -> Timeline:
    """The part of it that the address asks for."""
    before, whole = request.GET.get("before", ""), request.GET.get("all") == "1"
    return timeline_of(request.user, review_request, undelivered, newest, before=before, whole=whole, looked=looked)


def _lineage(review_request: TransitionRequest, *, replaces: ModelVersion | None) -> Picture:
    version, known = review_request.version, review_request.evidence.data
    return picture_of(brief(version, known, asked=review_request.asks_for, replaces=replaces), version, SMALL)


def _is_worth_noting(look: Look | None, since: Since | None, timeline: Timeline, at: datetime) -> bool:
    """An earlier part of the conversation does not show what is new, and a page that is opened again and again with
    nothing new on it writes nothing for ten minutes."""
    if not timeline.is_newest:
        return False
    if look is None or since is None or since.moved or timeline.has_news:
        return True
    return at - look.at > LOOKS_ANEW


def _may_vouch(standing: Standing, user: User) -> bool:
    """Whether it is this person who is to look at the files."""
    return not user.is_service and any(user.pk in node.people for node in standing.verdict.open if node.kind == "scan")


def _threads_elsewhere(standing: Standing, review_request: TransitionRequest) -> list[Comment]:
    """The open threads that stop it, but are not among its own: of its version, or of another request for it."""
    found = [thread for thread in standing.known.threads or () if thread.request_id != review_request.pk]
    for thread in found:
        thread.version = review_request.version
    return found[:MAX_ELSEWHERE]


def _counts_for(standing: Standing, user: User) -> list[str]:
    """The teams for which an approval by this person would count."""
    return sorted(team for team, members in standing.known.members.items() if user.person_id in members)
