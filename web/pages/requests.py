"""/requests/ID/: the review page, and its verbs."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from accounts.models import User
from approvals import services
from approvals.models import Comment, Review, TransitionRequest
from approvals.permissions import can_bypass, can_mark_ready, can_reschedule, can_review, can_withdraw
from approvals.policy import SCAN
from approvals.queries import get_request
from approvals.standing import Standing, standing_of
from core.errors import CountersignError, Invalid
from registry.lineage import brief
from web.errors import refused_status
from web.pages.changes import changes_of
from web.pages.conversation import kept, thread_named
from web.pages.lineage import SMALL, picture_of
from web.pages.moments import moment_of
from web.pages.run_reading import outside_of
from web.pages.timeline import timeline_of, told_of, waiting_names
from web.pages.verdicts import shown_of, state_label
from web.signed_in import SignedInRequest

Decision = Review.Decision
MAX_ELSEWHERE = 5


@require_safe
def detail(request: SignedInRequest, pk: int) -> HttpResponse:
    return render(request, "requests/detail.html", _context(request, get_request(request.user, pk)))


def _context(request: SignedInRequest, review_request: TransitionRequest) -> dict[str, Any]:
    standing = standing_of(review_request)
    answers = {decision: can_review(request.user, review_request, decision, standing) for decision in Decision}
    is_last = review_request.is_pending and bool(answers[Decision.APPROVE]) and standing.would_apply(request.user)
    shown = shown_of(review_request, standing)
    met, total = shown.verdict.counts
    baseline = standing.known.baseline if review_request.is_pending else review_request.baseline
    reviews = list(review_request.reviews.select_related("reviewer"))
    return {
        "item": review_request,
        "model": review_request.model,
        "version": review_request.version,
        "baseline": baseline,
        "standing": standing,
        "shown": shown,
        "state_label": state_label(review_request, shown.verdict),
        "counts_for": _counts_for(standing, request.user),
        "met": met,
        "total": total,
        "changes": changes_of(review_request, standing, shown),
        "lineage": picture_of(
            brief(
                review_request.version, review_request.evidence.data, asked=review_request.asks_for, replaces=baseline
            ),
            review_request.version,
            SMALL,
        ),
        "timeline": timeline_of(request.user, review_request, reviews),
        "reviews": [r for r in reviews if r.is_current and r.dismissed_at is None],
        "waiting": waiting_names(standing, reviews) if review_request.is_pending else [],
        "told": told_of(review_request),
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
        "archives": review_request.archive_existing or standing.archives_replaced,
        **outside_of(request, review_request.version),
    }


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


# -- Verbs -------------------------------------------------------------------------------------------------------------


def answer(
    request: SignedInRequest, pk: int, error: CountersignError | None = None, *, at: Comment | None = None, **typed: Any
) -> HttpResponse:
    """The page after a verb: for HTMX its body, fresh; without it a redirect. A refusal keeps what was typed."""
    htmx = request.htmx
    if error is None and not htmx:
        return redirect(at.get_absolute_url() if at else reverse("request", args=[pk]))
    context = {**_context(request, get_request(request.user, pk)), "typed": typed}
    if error is not None:
        context["error"] = error.message
    template = "requests/detail.html#request-body" if htmx else "requests/detail.html"
    status = refused_status(error) if error else 200
    return render(request, template, context, status=status)


@require_POST
def review(request: SignedInRequest, pk: int) -> HttpResponse:
    found = get_request(request.user, pk)
    comment, decision = request.POST.get("comment", ""), request.POST.get("decision", "")
    if decision == "comment":
        return _comment(request, found, comment)
    try:
        done = services.submit_review(
            actor=request.user,
            review_request=found,
            decision=decision,
            comment=comment,
            seen=request.POST.get("seen", ""),
        )
    except CountersignError as error:
        return answer(request, pk, error, comment=comment)
    messages.success(request, _said(done, decision))
    return answer(request, pk)


def _said(review_request: TransitionRequest, decision: str) -> str:
    if review_request.state == TransitionRequest.State.APPLIED:
        return f"Done: version {review_request.version.version} is {review_request.asks_for} now."
    return {
        Decision.APPROVE: "Your approval is recorded.",
        Decision.REQUEST_CHANGES: "The requester has been told what should change.",
        Decision.REJECT: "The request is rejected, and its requester has been told why.",
    }[Decision(decision)]


@require_POST
def comment(request: SignedInRequest, pk: int) -> HttpResponse:
    return _comment(request, get_request(request.user, pk), request.POST.get("comment", ""))


def _comment(request: SignedInRequest, found: TransitionRequest, text: str) -> HttpResponse:
    thread = thread_named(request)
    try:
        said = services.add_comment(
            actor=request.user, version=found.version, text=text, review_request=found, parent=thread
        )
    except CountersignError as error:
        return answer(request, found.pk, error, **kept(thread, text))
    return answer(request, found.pk, at=said)


@require_POST
def vouch(request: SignedInRequest, pk: int) -> HttpResponse:
    """Say of the files that the page showed that one has looked at them."""
    found, text = get_request(request.user, pk), request.POST.get("summary", "")
    try:
        services.report_check(
            actor=request.user,
            version=found.version,
            name=SCAN,
            status=request.POST.get("status", ""),
            summary=text,
            digest=request.POST.get("digest", ""),
        )
    except CountersignError as error:
        return answer(request, pk, error, summary=text)
    messages.success(request, "Your word on the files is recorded.")
    return answer(request, pk)


@require_POST
def withdraw(request: SignedInRequest, pk: int) -> HttpResponse:
    text = request.POST.get("comment", "")
    try:
        services.withdraw_request(actor=request.user, review_request=get_request(request.user, pk), comment=text)
    except CountersignError as error:
        return answer(request, pk, error, comment=text)
    messages.success(request, "The request is withdrawn.")
    return answer(request, pk)


@require_POST
def ready(request: SignedInRequest, pk: int) -> HttpResponse:
    text = request.POST.get("comment", "")
    try:
        services.mark_ready(actor=request.user, review_request=get_request(request.user, pk), comment=text)
    except CountersignError as error:
        return answer(request, pk, error, comment=text)
    messages.success(request, "Those who asked for changes have been told that it is ready again.")
    return answer(request, pk)


@require_POST
def reschedule(request: SignedInRequest, pk: int) -> HttpResponse:
    text = request.POST.get("not_before", "")
    try:
        services.reschedule_request(
            actor=request.user, review_request=get_request(request.user, pk), not_before=moment_of(text)
        )
    except CountersignError as error:
        return answer(request, pk, error, not_before=text)
    messages.success(request, "The schedule is changed, and everybody involved has been told.")
    return answer(request, pk)


@require_POST
def bypass(request: SignedInRequest, pk: int) -> HttpResponse:
    reason = request.POST.get("reason", "")
    try:
        if request.POST.get("confirmed") != "on":
            raise Invalid("Tick the box if you mean it.", field="confirmed")
        done = services.bypass_request(
            actor=request.user,
            review_request=get_request(request.user, pk),
            reason=reason,
            seen=request.POST.get("seen", ""),
        )
    except CountersignError as error:
        return answer(request, pk, error, reason=reason)
    messages.warning(
        request, f"Version {done.version.version} is {done.asks_for} now, and everybody has been told why."
    )
    return answer(request, pk)
