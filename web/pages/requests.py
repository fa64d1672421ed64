"""/requests/ID/: the review page, and its verbs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from accounts.models import User
from approvals import services
from approvals.models import Comment, PolicyRevision, Review, TransitionRequest
from approvals.permissions import can_bypass, can_mark_ready, can_reschedule, can_review, can_withdraw
from approvals.policy import SCAN, MetricRule, Node, Status, Verdict
from approvals.policy.wording import amount
from approvals.queries import get_request
from approvals.standing import Standing, standing_of
from core.errors import CountersignError, Invalid
from notifications.models import Delivery, Event
from registry.comparison import compare
from registry.evidence import known_of
from web.errors import refused_status
from web.pages.conversation import kept, thread_named, threads_of
from web.pages.lineage import lineage_of
from web.pages.moments import moment_of
from web.pages.run_reading import outside_of
from web.signed_in import SignedInRequest

Decision = Review.Decision
# Events that the timeline shows as lines; requests, reviews and comments have bubbles of their own.
LINES = (
    "request.updated",
    "request.ready",
    "request.rescheduled",
    "review.dismissed",
    "request.withdrawn",
    "request.superseded",
    "request.expired",
    "transition.applied",
    "transition.bypassed",
    "transition.rolled_back",
)
MAX_TIMELINE = 500
MAX_ELSEWHERE = 5


@require_safe
def detail(request: SignedInRequest, pk: int) -> HttpResponse:
    return render(request, "requests/detail.html", _context(request, get_request(request.user, pk)))


def _context(request: SignedInRequest, review_request: TransitionRequest) -> dict[str, Any]:
    standing = standing_of(review_request)
    answers = {decision: can_review(request.user, review_request, decision, standing) for decision in Decision}
    is_last = review_request.is_pending and bool(answers[Decision.APPROVE]) and standing.would_apply(request.user)
    shown = _shown(review_request, standing)
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
        "state_label": _state_label(review_request, shown.verdict),
        "counts_for": _counts_for(standing, request.user),
        "met": met,
        "total": total,
        "changes": _changes(review_request, standing, shown),
        "lineage": lineage_of(
            review_request.version, review_request.evidence.data, asked=review_request.asks_for, replaces=baseline
        ),
        "timeline": _timeline(request.user, review_request, reviews),
        "reviews": [r for r in reviews if r.is_current and r.dismissed_at is None],
        "waiting": _waiting_names(standing, reviews) if review_request.is_pending else [],
        "told": _told(review_request),
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


# -- Where it stands ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Group:
    """The requirements of one policy; without a name they are the house's own, or a moment to wait for (``kind``)."""

    kind: str
    name: str
    revision: int | None
    enforcement: str
    nodes: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Shown:
    """While a request is open, the verdict as of now; once closed, the one that the decision was made on."""

    verdict: Verdict
    sentence: str
    groups: tuple[Group, ...]

    def metric(self, name: str) -> Node | None:
        """What is asked of a metric: the first that is not met, where several policies ask."""
        nodes = [node for node in self.verdict.requirements if node.kind == "metric" and node.name == name]
        return min(nodes, key=lambda node: node.passes, default=None)


def _shown(review_request: TransitionRequest, standing: Standing) -> Shown:
    if review_request.is_pending or not review_request.verdict:
        verdict = standing.verdict
        sentence = verdict.sentence
        revisions = {rule.name: rule.revision.number for rule in standing.rules}
    else:
        verdict = Verdict(_node(review_request.verdict["tree"]))
        sentence = review_request.verdict["sentence"]
        pinned = PolicyRevision.objects.filter(pk__in=review_request.policy_revisions)
        revisions = dict(pinned.values_list("policy__name", "number"))
    policies = sorted(verdict.policies, key=lambda node: (not node.blocking, node.is_moment))
    groups = [
        Group(node.kind, node.name, revisions.get(node.name), node.enforcement, _open_first(node.children or (node,)))
        for node in policies
    ]
    return Shown(verdict, sentence, tuple(groups))


def _open_first(nodes: tuple[Node, ...]) -> tuple[Node, ...]:
    """What is refused, what is awaited, what is met: each in the order of the policy."""
    return tuple(sorted(nodes, key=lambda node: (node.passes, node.status == Status.WAITING)))


def _node(recorded: dict[str, Any]) -> Node:
    """A node as it was written into the request."""
    plain = {key: recorded[key] for key in ("kind", "name", "title", "reason", "figure", "needed", "link")}
    return Node(
        **plain,
        status=Status(recorded["status"]),
        who=tuple(recorded["who"]),
        blocking=recorded["blocking"],
        missing=recorded["missing"],
        enforcement=recorded["enforcement"],
        children=tuple(_node(child) for child in recorded["children"]),
    )


def _state_label(review_request: TransitionRequest, verdict: Verdict) -> str:
    """ "Waiting for 1 approval" says more than "Open"."""
    if review_request.state == TransitionRequest.State.OPEN and verdict.waits_for_time:
        return "Ready, and waiting for its time"
    missing = verdict.waiting_for.get("approvals", 0)
    if (
        review_request.state == TransitionRequest.State.OPEN
        and missing
        and all(n.kind == "approvals" or n.is_moment for n in verdict.open)
    ):
        return f"Waiting for {amount(missing, 'approval')}"
    return review_request.get_state_display()


def _counts_for(standing: Standing, user: User) -> list[str]:
    """The teams for which an approval by this person would count."""
    return sorted(team for team, members in standing.known.members.items() if user.person_id in members)


# -- What would change -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class MetricRow:
    """One line of the comparison; ``passed`` is None where no policy asks for anything."""

    name: str
    before: float | None
    after: float | None
    change: float | None
    is_better: bool | None
    minimum: float | None
    maximum: float | None
    needed: str
    passed: bool | None


def _changes(review_request: TransitionRequest, standing: Standing, shown: Shown) -> dict[str, Any]:
    """The version asked for against who holds the target: as pinned once closed, as of now while open."""
    baseline = standing.known.baseline if review_request.is_pending else review_request.baseline
    before = known_of(baseline) if baseline else None
    compared = compare(before, review_request.evidence.data)
    rules = {
        rule.name: rule
        for judged in standing.rules
        if judged.read is not None
        for rule in judged.read.requirements
        if isinstance(rule, MetricRule)
    }
    rows = [_metric_row(c.name, c.before, c.after, rules.get(c.name), shown.metric(c.name)) for c in compared.metrics]
    # What stops it first, then what a policy asks for, then what can be compared at all.
    rows.sort(key=lambda row: (row.passed is not False, row.passed is None, row.change is None, row.name))
    return {"compared": compared, "metrics": rows}


def _metric_row(
    name: str, before: float | None, after: float | None, rule: MetricRule | None, node: Node | None
) -> MetricRow:
    change = after - before if after is not None and before is not None else None
    minimum = rule.min.value if rule and rule.min else None
    maximum = rule.max.value if rule and rule.max else None
    lower_is_better = maximum is not None and minimum is None
    is_better = None if not change else (change < 0) == lower_is_better
    known_direction = rule is not None
    return MetricRow(
        name=name,
        before=before,
        after=after,
        change=change,
        is_better=is_better if known_direction else None,
        minimum=minimum,
        maximum=maximum,
        needed=node.needed if node else "",
        passed=node.passes if node else None,
    )


# -- Who said what -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the conversation: a review, a thread of comments, or an event that is a line."""

    at: datetime
    kind: str
    thing: Any


def _timeline(user: User, review_request: TransitionRequest, reviews: list[Review]) -> list[Entry]:
    threads = threads_of(user, review_request.version, review_request)
    events = Event.objects.filter(request_id=review_request.pk, kind__in=LINES).select_related("actor").order_by("id")
    entries = [Entry(review.created_at, "review", review) for review in reviews]
    entries += [Entry(thread.first.comment.created_at, "thread", thread) for thread in threads]
    entries += [Entry(event.created_at, "event", event) for event in events[:MAX_TIMELINE]]
    return sorted(entries, key=lambda entry: entry.at)


def _waiting_names(standing: Standing, reviews: list[Review]) -> list[str]:
    spoken = {r.reviewer.username for r in reviews if r.is_current and r.dismissed_at is None}
    names: dict[str, None] = {}
    for node in standing.verdict.open:
        if node.kind in ("approvals", "objections"):
            names |= dict.fromkeys(name for name in node.who if name not in spoken)
    return list(names)[:20]


def _told(review_request: TransitionRequest) -> list[dict[str, Any]]:
    """How many deliveries about this request each shared channel and the mailboxes got."""
    rows = Delivery.objects.filter(event__request_id=review_request.pk).values_list(
        "channel__name", "channel__user", "state"
    )
    counts: dict[str, dict[str, int]] = {}
    for name, person, state in rows[:1000]:
        label = "email" if person else name
        counts.setdefault(label, {"sent": 0, "failed": 0, "waiting": 0})
        counts[label]["sent" if state == "sent" else "failed" if state == "failed" else "waiting"] += 1
    return [{"label": label, **states} for label, states in sorted(counts.items())]


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
