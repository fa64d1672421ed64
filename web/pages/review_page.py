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
from web.pages.changes import changes_of
from web.pages.evidence import query_of
from web.pages.lineage import SMALL, picture_of
from web.pages.reviewers import Since, people_of, since, told_of
from web.pages.run_reading import outside_of
from web.pages.timeline import Newest, Place, Timeline, timeline_of
from web.pages.verdicts import shown_of, state_label
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
    answers = {decision: can_review(request.user, review_request, decision, standing) for decision in Decision}
    is_last = review_request.is_pending and bool(answers[Decision.APPROVE]) and standing.would_apply(request.user)
    shown = shown_of(review_request, standing)
    met, total = shown.verdict.counts
    changes = changes_of(review_request, standing, shown, query_of(request))
    timeline = timeline_of(
        request.user,
        review_request,
        undelivered,
        newest,
        before=request.GET.get("before", ""),
        whole=request.GET.get("all") == "1",
        looked=looked,
    )
    moved = since(look, review_request, standing)
    if notes_look and _is_worth_noting(look, moved, timeline, began):
        services.note_look(actor=request.user, review_request=review_request, pins=standing.pins, at=began)
    return {
        "item": review_request,
        "model": review_request.model,
        "version": review_request.version,
        "baseline": changes["holder"],
        "standing": standing,
        "shown": shown,
        "state_label": state_label(review_request, shown.verdict),
        "counts_for": _counts_for(standing, request.user),
        "met": met,
        "total": total,
        "changes": changes,
        "consequences": consequences_of(review_request, standing) if review_request.is_pending else None,
        "lineage": picture_of(
            brief(
                review_request.version,
                review_request.evidence.data,
                asked=review_request.asks_for,
                replaces=changes["holder"],
            ),
            review_request.version,
            SMALL,
        ),
        "timeline": timeline,
        "told": told,
        "newest": review_request.newest,
        "looked": looked,
        "looked_place": Place(looked, 0, 0) if looked else "",
        "since": moved,
        **people_of(request.user, review_request, standing),
        "approve": answers[Decision.APPROVE],
        "ask_changes": answers[Decision.REQUEST_CHANGES],
        "reject": answers[Decision.REJECT],
        "withdraw": can_withdraw(request.user, review_request),
        "bypass": can_bypass(request.user, review_request, standing),
        "reschedule": can_reschedule(request.user, review_request),
        "threads_elsewhere": _threads_elsewhere(standing, review_request),
        "may_vouch": review_request.is_pending and _may_vouch(standing, request.user),
        "ready": can_mark_ready(request.user, review_request),
        "is_last": is_last,
        "draft": f"request-{review_request.pk}-comment",
        "apply_label": f"Approve and {'return' if review_request.returns_to_id else 'promote'}",
        "archives": archives(review_request, standing),
        **outside_of(request, review_request.version),
    }


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
