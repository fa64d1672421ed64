"""/requests/ID/: the review page, and its verbs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from accounts.models import User
from accounts.queries import find_holders
from approvals import services
from approvals.models import Comment, Review, TransitionRequest
from approvals.policy import SCAN
from approvals.queries import get_request, request_as_shown
from approvals.standing import standing_of
from core.errors import Conflict, CountersignError, Invalid
from core.keyset import key_in
from web.errors import refused_status
from web.pages.changes import changes_of
from web.pages.conversation import kept, thread_named
from web.pages.moments import moment_of
from web.pages.review_page import context_of
from web.pages.reviewers import news_of
from web.pages.run_reading import outside_of
from web.pages.timeline import Place
from web.pages.verdicts import shown_of
from web.signed_in import SignedInRequest

Decision = Review.Decision


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
    context = context_of(request, request_as_shown(request.user, pk), notes_look=_is_a_look(request))
    return render(request, "requests/detail.html", context)


@require_safe
def pulse(request: SignedInRequest, pk: int) -> HttpResponse:
    """For a page that stays open: nothing, or the page as it is now with what has happened since the event ``at``."""
    after = key_in(request.GET.get("at", ""))
    news = news_of(request.user, pk, after=after) if after is not None else []
    if not news:
        return HttpResponse(status=204)
    looked = Place.from_text(request.GET.get("looked", ""))
    context = context_of(request, request_as_shown(request.user, pk), looked=looked.at if looked else None)
    return render(request, "requests/detail.html#request_body", {**context, "news": news})


def _is_a_look(request: SignedInRequest) -> bool:
    """Whether a person looks at the page: neither a service account, nor a script with a token, nor a browser that
    fetches ahead what might be opened (https://fetch.spec.whatwg.org/#sec-purpose-header)."""
    is_ahead = "prefetch" in request.headers.get("Sec-Purpose", "")
    return request.method == "GET" and request.token is None and not request.user.is_service and not is_ahead


# -- Verbs -------------------------------------------------------------------------------------------------------------


def answer(
    request: SignedInRequest, pk: int, error: CountersignError | None = None, *, at: Comment | None = None, **typed: Any
) -> HttpResponse:
    """The page after a verb: for HTMX its body, fresh; without it a redirect. A refusal keeps what was typed, and a
    conflict says what has happened since the form was shown."""
    htmx = request.htmx
    if error is None and not htmx:
        return redirect(at.get_absolute_url() if at else reverse("request", args=[pk]))
    context = {**context_of(request, request_as_shown(request.user, pk)), "typed": typed}
    if error is not None:
        context["error"] = error.message
        shown = key_in(request.POST.get("at", ""))
        if isinstance(error, Conflict) and shown is not None:
            context["meanwhile"] = news_of(request.user, pk, after=shown)
    template = "requests/detail.html#request_body" if htmx else "requests/detail.html"
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
