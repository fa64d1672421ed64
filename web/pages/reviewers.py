"""Who reviews a request, whom it waits for, who was told, and what moved since somebody looked: for the review page."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, Max, Q, QuerySet

from accounts.models import User
from approvals.models import Look, Reviewer, TransitionRequest
from approvals.permissions import can_ask_for_review, can_recuse, can_withdraw_ask
from approvals.pins import BASELINE, EVIDENCE, POLICY, Pins, in_words
from approvals.queries import NO_REQUEST
from approvals.standing import Standing
from core.errors import NotFound
from core.formatting import metric
from core.prepared import Prepared
from notifications.models import Channel, Delivery, Event
from notifications.services import can_send_again
from registry.comparison import compare
from registry.models import Evidence
from registry.queries import of_present_names

MOST_NAMES = 20
MOST_NEWS = 20
MOST_CHANNELS = 200
MOST_FIGURES = 3


_REVIEWERS = Prepared(
    lambda request: Reviewer.objects.filter(request=request).select_related("person", "asked_by"), int
)


def people_of(user: User, review_request: TransitionRequest, standing: Standing) -> dict[str, Any]:
    """Verdicts that count, who was asked by name, who stepped back, who else is awaited, and what ``user`` may do."""
    parts = _REVIEWERS.all(review_request.pk)
    reviews = list(standing.known.reviews)
    asked = [part for part in parts if part.asked_by_id and review_request.is_pending]
    named = {review.reviewer.username for review in reviews} | {part.person.username for part in asked}
    awaited = [name for name in _awaited(standing) if name not in named] if review_request.is_pending else []
    mine = next((part for part in parts if part.person_id == user.pk), None)
    return {
        "reviews": reviews,
        "asked": [(part, bool(can_withdraw_ask(user, _within(part, review_request)))) for part in asked],
        "recused": [part for part in parts if part.recused_at],
        "waiting": awaited[:MOST_NAMES],
        "may_ask": can_ask_for_review(user, review_request),
        "is_recused": review_request.is_pending and mine is not None and mine.recused_at is not None,
        "may_recuse": bool(can_recuse(user, review_request, standing, mine)),
        "asked_me": mine.asked_by if mine else None,
    }


def _within(part: Reviewer, review_request: TransitionRequest) -> Reviewer:
    part.request = review_request
    return part


def _awaited(standing: Standing) -> list[str]:
    open_ = (node for node in standing.verdict.open if node.kind in ("approvals", "objections"))
    return list(dict.fromkeys(name for node in open_ for name in node.who))


@dataclass(frozen=True, slots=True)
class Undelivered:
    """What a channel did not take: how many messages, and the last of them."""

    to: str
    kind: str
    count: int
    last: int
    at: datetime
    may_send_again: bool


@dataclass(slots=True)
class Told:
    """How many messages about a request a shared channel, or all mailboxes together, got."""

    label: str
    sent: int = 0
    failed: int = 0
    waiting: int = 0


def _told(request: int) -> QuerySet[Delivery, Any]:
    sent, failed = Q(state=Delivery.State.SENT), Q(state=Delivery.State.FAILED)
    rows = Delivery.objects.filter(event__request_id=request).order_by("channel")
    person = ("channel__user", "channel__user__username")
    return rows.values_list("channel", "channel__name", "channel__kind", *person).annotate(
        count=Count("pk"),
        sent=Count("pk", filter=sent),
        failed=Count("pk", filter=failed),
        last=Max("pk", filter=failed),
        at=Max("created_at", filter=failed),
    )[:MOST_CHANNELS]


_TOLD = Prepared(_told, int)


def told_of(user: User, review_request: TransitionRequest) -> tuple[list[Told], list[Undelivered]]:
    """Who was told of a request, and what could not be delivered: one statement."""
    told: dict[str, Told] = {}
    undelivered = []
    for _, name, kind, person, username, count, sent, failed, last, at in _TOLD.all(review_request.pk):
        label = "email" if person else name
        shown = told.setdefault(label, Told(label))
        shown.sent += sent
        shown.failed += failed
        shown.waiting += count - sent - failed
        if failed:
            delivery = Delivery(channel=Channel(user_id=person))
            undelivered.append(
                Undelivered(
                    to=username or name,
                    kind=Channel.Kind(kind).label,
                    count=failed,
                    last=last,
                    at=at,
                    may_send_again=bool(can_send_again(user, delivery)),
                )
            )
    return [told[label] for label in sorted(told)], undelivered


# -- Since somebody looked ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Since:
    """The last look, and what is another on the table now, as sentences."""

    at: datetime
    moved: tuple[str, ...]


def since(look: Look | None, review_request: TransitionRequest, standing: Standing) -> Since | None:
    if look is None:
        return None
    then = Pins(standing.pins.digest, look.evidence, tuple(look.policy_revisions), look.baseline_id)
    moved = standing.pins.moved(then) if review_request.is_pending else ()
    return Since(look.at, tuple(_moved(part, look, review_request, standing) for part in moved))


def _moved(part: str, look: Look, review_request: TransitionRequest, standing: Standing) -> str:
    baseline = standing.known.baseline
    if part == BASELINE and baseline:
        return f"version {baseline.version} holds {review_request.asks_for} now"
    if part == BASELINE:
        return f"nobody holds {review_request.asks_for} now"
    new = [rule for rule in standing.rules if rule.revision.pk not in look.policy_revisions]
    if part == POLICY and new:
        return "; ".join(f"the policy {rule.name} is at revision {rule.revision.number}" for rule in new)
    return f"{in_words((part,))}{_figures(look, review_request) if part == EVIDENCE else ''}"


def _figures(look: Look, review_request: TransitionRequest) -> str:
    """The metrics that are others now, the first of them with their figures."""
    known = review_request.version.evidence
    then = Evidence.objects.filter(version=review_request.version_id, digest=look.evidence).first()
    if then is None or known is None:
        return ""
    changed = [each for each in compare(then.data, known.data).metrics if each.before != each.after]
    figures = [f"{each.name[:60]} {metric(each.before)} → {metric(each.after)}" for each in changed[:MOST_FIGURES]]
    if len(changed) > MOST_FIGURES:
        figures.append(f"{len(changed) - MOST_FIGURES} more")
    return f" ({', '.join(figures)})" if figures else ""


def news_of(user: User, pk: int, *, after: int) -> list[Event]:
    """What happened to a request, and to its version, after an event; nothing of what one may not see."""
    found = TransitionRequest.objects.visible_to(user).filter(pk=pk).values_list("model__name", "version__version")
    about = found.first()
    if about is None:
        raise NotFound(NO_REQUEST)
    name, version = about
    about_it = Q(request_id=pk) | Q(request_id=None)
    events = of_present_names(Event.objects.filter(about_it, model_name=name, version=version, pk__gt=after))
    return list(events.select_related("actor").order_by("pk")[:MOST_NEWS])
