"""Who said what about a request, whom it waits for and who was told: for the review page."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from accounts.models import User
from approvals.models import Review, TransitionRequest
from approvals.standing import Standing
from notifications.models import Delivery, Event
from web.pages.conversation import threads_of

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


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the conversation: a review, a thread of comments, or an event that is a line."""

    at: datetime
    kind: str
    thing: Any


def timeline_of(user: User, review_request: TransitionRequest, reviews: list[Review]) -> list[Entry]:
    threads = threads_of(user, review_request.version, review_request)
    events = Event.objects.filter(request_id=review_request.pk, kind__in=LINES).select_related("actor").order_by("id")
    entries = [Entry(review.created_at, "review", review) for review in reviews]
    entries += [Entry(thread.first.comment.created_at, "thread", thread) for thread in threads]
    entries += [Entry(event.created_at, "event", event) for event in events[:MAX_TIMELINE]]
    return sorted(entries, key=lambda entry: entry.at)


def waiting_names(standing: Standing, reviews: list[Review]) -> list[str]:
    spoken = {r.reviewer.username for r in reviews if r.is_current and r.dismissed_at is None}
    names: dict[str, None] = {}
    for node in standing.verdict.open:
        if node.kind in ("approvals", "objections"):
            names |= dict.fromkeys(name for name in node.who if name not in spoken)
    return list(names)[:20]


def told_of(review_request: TransitionRequest) -> list[dict[str, Any]]:
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
