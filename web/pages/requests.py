"""/requests/ID/: the review page, and its verbs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from accounts.models import User
from accounts.queries import find_holders
from approvals import services
from approvals.consequences import archives, consequences_of
from approvals.models import Comment, Look, Review, TransitionRequest
from approvals.permissions import can_bypass, can_mark_ready, can_reschedule, can_review, can_withdraw
from approvals.policy import SCAN
from approvals.queries import get_request, request_as_shown
from approvals.standing import Standing, standing_of
from core.clock import now
from core.errors import Conflict, CountersignError, Invalid
from core.keyset import key_in
from registry.lineage import brief
from web.errors import refused_status
from web.pages.changes import changes_of
from web.pages.conversation import kept, thread_named
from web.pages.evidence import query_of
from web.pages.lineage import SMALL, picture_of
from web.pages.moments import moment_of
from web.pages.reviewers import Since, news_of, people_of, since, told_of
from web.pages.run_reading import outside_of
from web.pages.timeline import Newest, Place, Timeline, timeline_of
from web.pages.verdicts import shown_of, state_label
from web.signed_in import SignedInRequest

Decision = Review.Decision
MAX_ELSEWHERE = 5
LOOKS_ANEW = timedelta(minutes=10)


@require_safe
def changes(request: SignedInRequest, pk: int) -> HttpResponse:
    """What changes, alone: for HTMX, when another tab or another version to compare with is chosen."""
    review_request = request_as_shown(request.user, pk)
    if not request.htmx:
        return redirect(f"{review_request.get_absolute_url()}?{request.GET.urlencode()}#changes")
    standing = standing_of(review_request)
    context = {
        "item": review_request,
        "model": review_request.model,
        "version": review_request.version,
        "changes": changes_of(review_request, standing, shown_of(review_request, standing), request.GET),
        **outside_of(request, review_request.version),
    }
    return render(request, "requests/changes.html", context)


@require_safe
def detail(request: SignedInRequest, pk: int) -> HttpResponse:
    context = _context(request, request_as_shown(request.user, pk), notes_look=_is_a_look(request))
    return render(request, "requests/detail.html", context)


@require_safe
def pulse(request: SignedInRequest, pk: int) -> HttpResponse:
    """For a page that stays open: nothing, or the page as it is now with what has happened since the event ``at``."""
    after = key_in(request.GET.get("at", ""))
    news = news_of(request.user, pk, after=after) if after is not None else []
    if not news:
        return HttpResponse(status=204)
    looked = Place.from_text(request.GET.get("looked", ""))
    context = _context(request, request_as_shown(request.user, pk), looked=looked.at if looked else None)
    return render(request, "requests/detail.html#request-body", {**context, "news": news})


def _is_a_look(request: SignedInRequest) -> bool:
    """Whether a person looks at the page: neither a service account nor a script with a token."""
    return request.method == "GET" and request.token is None and not request.user.is_service


def _is_worth_noting(look: Look | None, since: Since | None, timeline: Timeline, at: datetime) -> bool:
    """A page that is opened again and again with nothing new on it writes nothing for ten minutes."""
    if look is None or since is None or since.moved or timeline.has_news:
        return True
    return at - look.at > LOOKS_ANEW


def _context(
    request: SignedInRequest,
    review_request: TransitionRequest,
    *,
    looked: datetime | None = None,
    notes_look: bool = False,
) -> dict[str, Any]:
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
    """The page after a verb: for HTMX its body, fresh; without it a redirect. A refusal keeps what was typed, and a
    conflict says what has happened since the form was shown."""
    htmx = request.htmx
    if error is None and not htmx:
        return redirect(at.get_absolute_url() if at else reverse("request", args=[pk]))
    context = {**_context(request, request_as_shown(request.user, pk)), "typed": typed}
    if error is not None:
        context["error"] = error.message
        shown = key_in(request.POST.get("at", ""))
        if isinstance(error, Conflict) and shown is not None:
            context["meanwhile"] = news_of(request.user, pk, after=shown)
    template = "requests/detail.html#request-body" if htmx else "requests/detail.html"
    status = refused_status(error) if error else 200
    return render(request, template, context, status=status)


def _do(
    request: SignedInRequest,
    pk: int,
    verb: Callable[..., Any],
    *,
    says: str | Callable[[Any], str],
    level: int = messages.SUCCESS,
    typed: dict[str, Any] | None = None,
    **given: Any,
) -> HttpResponse:
    """One verb on one request: done, and said so; or refused, with what was ``typed`` still there."""
    found = get_request(request.user, pk)
    try:
        done = verb(actor=request.user, review_request=found, **given)
    except CountersignError as error:
        return answer(request, pk, error, **(typed or {}))
    messages.add_message(request, level, says if isinstance(says, str) else says(done))
    return answer(request, pk)


@require_POST
def review(request: SignedInRequest, pk: int) -> HttpResponse:
    comment, decision = request.POST.get("comment", ""), request.POST.get("decision", "")
    if decision == "comment":
        return _comment(request, pk, comment)
    return _do(
        request,
        pk,
        services.submit_review,
        says=lambda done: _said(done, decision),
        typed={"comment": comment},
        decision=decision,
        comment=comment,
        seen=request.POST.get("seen", ""),
    )


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
    return _comment(request, pk, request.POST.get("comment", ""))


def _comment(request: SignedInRequest, pk: int, text: str) -> HttpResponse:
    found, thread = get_request(request.user, pk), thread_named(request)
    try:
        said = services.add_comment(
            actor=request.user, version=found.version, text=text, review_request=found, parent=thread
        )
    except CountersignError as error:
        return answer(request, pk, error, **kept(thread, text))
    return answer(request, pk, at=said)


@require_POST
def vouch(request: SignedInRequest, pk: int) -> HttpResponse:
    """Say of the files that the page showed that one has looked at them."""
    text = request.POST.get("summary", "")
    return _do(
        request,
        pk,
        lambda actor, review_request, **given: services.report_check(
            actor=actor, version=review_request.version, name=SCAN, **given
        ),
        says="Your word on the files is recorded.",
        typed={"summary": text},
        status=request.POST.get("status", ""),
        summary=text,
        digest=request.POST.get("digest", ""),
    )


@require_POST
def withdraw(request: SignedInRequest, pk: int) -> HttpResponse:
    text = request.POST.get("comment", "")
    said = "The request is withdrawn."
    return _do(request, pk, services.withdraw_request, says=said, typed={"comment": text}, comment=text)


@require_POST
def ready(request: SignedInRequest, pk: int) -> HttpResponse:
    text = request.POST.get("comment", "")
    said = "Those who asked for changes have been told that it is ready again."
    return _do(request, pk, services.mark_ready, says=said, typed={"comment": text}, comment=text)


@require_POST
def reschedule(request: SignedInRequest, pk: int) -> HttpResponse:
    text = request.POST.get("not_before", "")
    return _do(
        request,
        pk,
        lambda **given: services.reschedule_request(not_before=moment_of(text), **given),
        says="The schedule is changed, and everybody involved has been told.",
        typed={"not_before": text},
    )


@require_POST
def bypass(request: SignedInRequest, pk: int) -> HttpResponse:
    reason = request.POST.get("reason", "")

    def confirmed(**given: Any) -> TransitionRequest:
        if request.POST.get("confirmed") != "on":
            raise Invalid("Tick the box if you mean it.", field="confirmed")
        return services.bypass_request(**given)

    return _do(
        request,
        pk,
        confirmed,
        says=lambda done: f"Version {done.version.version} is {done.asks_for} now, and everybody has been told why.",
        level=messages.WARNING,
        typed={"reason": reason},
        reason=reason,
        seen=request.POST.get("seen", ""),
    )


@require_POST
def ask(request: SignedInRequest, pk: int) -> HttpResponse:
    """Ask a person by name for a review."""
    name = request.POST.get("person", "").strip().removeprefix("@")
    return _do(
        request,
        pk,
        lambda **given: services.ask_for_review(person=_named(name), **given),
        says=f"{name} has been told that you wait for a review.",
        typed={"person": name},
    )


@require_POST
def withdraw_ask(request: SignedInRequest, pk: int) -> HttpResponse:
    name = request.POST.get("person", "")
    return _do(
        request,
        pk,
        lambda **given: services.withdraw_ask(person=_named(name), **given),
        says=f"{name} is asked no longer.",
    )


def _named(name: str) -> User:
    name = name.replace("\x00", "")
    people, _ = find_holders(users=[name], teams=[])
    return people[name]


@require_POST
def recuse(request: SignedInRequest, pk: int) -> HttpResponse:
    reason = request.POST.get("reason", "")
    said = "You have stepped back: this waits for you no longer."
    return _do(request, pk, services.recuse, says=said, typed={"stepping_back": reason}, reason=reason)


@require_POST
def step_in_again(request: SignedInRequest, pk: int) -> HttpResponse:
    return _do(request, pk, services.step_in_again, says="You take part again.")
